package fastestswagger

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-freetier/caddy-freetier/internal/status"
)

func init() {
	caddy.RegisterModule(adminAPI{})
}

// adminAPI provides `GET /fastest-swagger/upstreams`, which says for each
// upstream of each pool how fast it is, and why it is winning or not.
type adminAPI struct{}

// upstreamStatus is an upstream as the admin API shows it.
type upstreamStatus struct {
	Upstream            string     `json:"upstream"`
	Page                string     `json:"page"`
	ScoreMS             *float64   `json:"score_ms"`     // null: not measured yet
	LastLoadMS          *float64   `json:"last_load_ms"` // of the last load that passed; null: none
	LastProbe           *time.Time `json:"last_probe"`   // null: none yet
	Samples             int        `json:"samples"`
	Failures            int        `json:"failures"`
	ConsecutiveFailures int        `json:"consecutive_failures"`
	LastError           string     `json:"last_error"` // of the last load; empty: it passed
	InFlight            int        `json:"in_flight"`
	Condition           string     `json:"condition"` // awake, asleep, waking or unknown
	Winner              bool       `json:"winner"`
	Why                 string     `json:"why"`

	reason string // the same in one word
}

// CaddyModule returns the Caddy module information.
func (adminAPI) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "admin.api.fastest-swagger",
		New: func() caddy.Module { return new(adminAPI) },
	}
}

// Routes implements caddy.AdminRouter.
func (a adminAPI) Routes() []caddy.AdminRoute {
	return []caddy.AdminRoute{{
		Pattern: "/fastest-swagger/upstreams",
		Handler: caddy.AdminHandlerFunc(a.upstreams),
	}}
}

func (adminAPI) upstreams(w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodGet {
		return caddy.APIError{HTTPStatus: http.StatusMethodNotAllowed, Err: errors.New("only GET is allowed")}
	}
	all := []upstreamStatus{}
	for _, s := range runningPolicies() {
		all = append(all, s.status()...)
	}
	w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(w).Encode(all)
}

// runningPolicies returns the policies of the running configuration, always
// in the same order.
func runningPolicies() []*Selection {
	var running []*Selection
	policies.Range(func(_, value any) bool {
		if s := value.(*Selection); s.board.running.Load() {
			running = append(running, s)
		}
		return true
	})
	slices.SortFunc(running, func(a, b *Selection) int { return cmp.Compare(a.order(), b.order()) })
	return running
}

func (s *Selection) order() string {
	if len(s.parent.Upstreams) == 0 {
		return "~" + s.page.Path // purely dynamic pools go last
	}
	return s.parent.Upstreams[0].Dial + " " + s.page.Path
}

// status returns the pool's upstreams in the order of the configuration.
func (s *Selection) status() []upstreamStatus {
	st := s.board.standings()
	all := make([]upstreamStatus, len(st.upstreams))
	for i, u := range st.upstreams {
		r := st.records[i]
		all[i] = upstreamStatus{
			Upstream: u.name,
			Page:     s.page.Path, // a query may be a secret
			Samples:  r.samples, Failures: r.failures, ConsecutiveFailures: r.inARow,
			LastError: r.errorText(),
			InFlight:  u.inFlight(),
			Condition: s.awake.State(u.name).String(),
			Winner:    u.score != nil && u.score == st.winner,
			Why:       st.why(i, s.board.margin),
			reason:    st.reason(i),
		}
		if r.measured() {
			all[i].ScoreMS = milliseconds(r.mean)
		}
		if r.passes > 0 {
			all[i].LastLoadMS = milliseconds(r.lastLoad.Seconds())
		}
		if !r.lastAt.IsZero() {
			all[i].LastProbe = &r.lastAt
		}
	}
	return all
}

// errorText is why the last load failed; it is empty if that passed.
func (r *record) errorText() string {
	if r.lastErr == nil {
		return ""
	}
	return r.lastErr.Error()
}

// milliseconds rounds to a hundredth, which is finer than anything measured.
func milliseconds(seconds float64) *float64 {
	ms := float64(int64(seconds*1e5+.5)) / 100
	return &ms
}

// reason returns why an upstream has its place, as one of the reasons of package
// status.
func (st *standings) reason(i int) string {
	u, r := st.upstreams[i], &st.records[i]
	switch {
	case u.score == nil:
		return status.ReasonUnmeasurable
	case !u.available():
		return status.ReasonUnavailable
	case st.sleeps[i] && !r.failing() && st.winner != nil && !st.sleeps[st.of(st.winner)]:
		return status.ReasonAsleep
	case r.lastAt.IsZero():
		return status.ReasonNotLoaded
	case r.failing() && st.sleeps[i]:
		return status.ReasonWaking
	case r.missing():
		return status.ReasonMissing
	case r.failing():
		return status.ReasonFailing
	case !r.measured():
		return status.ReasonJustUp
	case u.score == st.winner:
		return st.winnersReason(i)
	case r.mean < st.meanOf(st.winner):
		return status.ReasonWithinMargin
	}
	return status.ReasonSlower
}

// winnersReason returns why the winner is the one.
func (st *standings) winnersReason(i int) string {
	switch rival := st.rival(i); {
	case rival < 0:
		return status.ReasonOnly
	case st.records[rival].mean < st.records[i].mean:
		return status.ReasonKept
	}
	return status.ReasonFastest
}

// rival returns the fastest of those that compete with the winner, -1 for none.
func (st *standings) rival(winner int) int {
	rival := -1
	for j := range st.records {
		r := &st.records[j]
		if st.upstreams[j].score == st.winner || !r.measured() || r.failing() || st.sleeps[j] && !st.sleeps[winner] {
			continue
		}
		if rival < 0 || r.mean < st.records[rival].mean {
			rival = j
		}
	}
	return rival
}

// why explains the place of an upstream in one sentence.
func (st *standings) why(i int, margin float64) string {
	r := &st.records[i]
	switch st.reason(i) {
	case status.ReasonUnmeasurable:
		return "It cannot be measured, since its address depends on the request; it counts as average."
	case status.ReasonUnavailable:
		return "Caddy holds it unavailable, so no request goes to it while another one is available."
	case status.ReasonAsleep:
		return "It is asleep" + skipped(r) + ", so those that are awake are asked first."
	case status.ReasonNotLoaded:
		return "It has not been loaded yet" + skipped(r) + "; until then it counts as average."
	case status.ReasonWaking:
		return "It is waking up; until its page loads it ranks behind all that passed."
	case status.ReasonMissing:
		return "Its last load failed, since it does not have the page; it ranks behind all that passed."
	case status.ReasonFailing:
		return "Its last load failed, so it ranks behind all that passed."
	case status.ReasonJustUp:
		return "It has just come up; that load does not count, so it counts as average until the next."
	case status.ReasonOnly:
		return fmt.Sprintf("It is the only one that has been measured and passes (%s).", ms(r.mean))
	case status.ReasonKept:
		rival := st.rival(i)
		return fmt.Sprintf("It was the fastest, and %s is faster by less than the margin of %g%% (%s against %s).",
			st.upstreams[rival].name, margin*100, ms(st.records[rival].mean), ms(r.mean))
	case status.ReasonFastest:
		rival := st.rival(i)
		return fmt.Sprintf("It is the fastest: %s against %s of %s.", ms(r.mean), ms(st.records[rival].mean), st.upstreams[rival].name)
	case status.ReasonWithinMargin:
		return fmt.Sprintf("It is faster than the winner %s (%s against %s), but not by the margin of %g%%.",
			st.nameOf(st.winner), ms(r.mean), ms(st.meanOf(st.winner)), margin*100)
	}
	return fmt.Sprintf("It is slower than the winner %s: %s against %s.", st.nameOf(st.winner), ms(r.mean), ms(st.meanOf(st.winner)))
}

// skipped says why an upstream is not loaded, if that is so.
func skipped(r *record) string {
	if r.skipped {
		return " and not loaded, since its hours are saved"
	}
	return ""
}

func ms(seconds float64) string { return fmt.Sprintf("%g ms", *milliseconds(seconds)) }

// Interface guards
var _ caddy.AdminRouter = adminAPI{}
