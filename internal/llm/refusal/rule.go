package refusal

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// group is a section of the table. Groups are tried in this order, for the reasons
// in the package's documentation.
type group uint8

const (
	groupOverride group = iota
	groupPage
	groupContent
	groupSize
	groupModel
	groupPlan
	groupRegion
	groupKey
	groupMoney
	groupCapacity
	groupLong
	groupShort
	groupFailure
	groupParameters
	groupUnclear
)

var groupNames = [...]string{
	"Overrides", "Not the API", "Content", "Size", "Model", "Plan", "Region", "Key",
	"Money", "Capacity", "Long window", "Short window", "Failures", "Parameters", "Unclear",
}

// window is the period of a quota.
type window uint8

const (
	windowNone window = iota
	windowHours
	windowDay
	windowMonth
)

// rule is a row of the table. A response matches if it meets each of only, status
// and when that is given, and at least one of fields and texts if these are.
type rule struct {
	name  string // unique; in docs/refusals.md, logs and [Verdict.Rule]
	group group

	// only are the providers that the rule is for. Empty: all.
	only []Provider

	// status is a list of statuses, such as "400 403 5xx". Empty: all. An error
	// without a status, in a stream, matches if fields or texts are given.
	status string

	// fields are names of errors (codes, types, reasons), compared folded and
	// with "*" as in glob.
	fields []string

	// texts are patterns of messages; see pattern.
	texts []string

	// except are patterns of messages that keep the rule from matching.
	except []string

	// when is any other condition. whenWords is the same in English for
	// docs/refusals.md, as it follows the word "when".
	when      func(*facts) bool
	whenWords string

	kind   Kind
	reason Reason

	// ask reports whether the model may be missing for this account only.
	ask bool

	// models is the pattern of the models that share the quota. See
	// [Verdict.Models].
	models string

	// byField reports whether when reads a field, which a client cannot write.
	byField bool

	window window

	// zone is the time zone of the quota's day, if it is not the provider's.
	zone string

	// longest bounds a stated time, if the bound of the kind is too long.
	longest time.Duration

	// source is where the provider documents the response, or who reported it,
	// and when.
	source string
}

// matcher is a rule with its patterns compiled.
type matcher struct {
	*rule
	statuses      []statuses
	fields        []glob
	texts, except []pattern
	leads         []pattern // texts, but only at the beginning of a message
}

// table holds all rules in the order in which they are tried. It is compiled once
// and never changes.
var table = compileRules(overrideRules, pageRules, contentRules, sizeRules, modelRules, planRules, regionRules,
	keyRules, moneyRules, capacityRules, longRules, shortRules, failureRules, parameterRules, unclearRules)

func compileRules(groups ...[]rule) []matcher {
	var matchers []matcher
	for _, rules := range groups {
		for i := range rules {
			r := &rules[i]
			m := matcher{rule: r, texts: compileAll(r.texts...), except: compileAll(r.except...)}
			for status := range strings.FieldsSeq(r.status) {
				m.statuses = append(m.statuses, parseStatuses(status))
			}
			for _, name := range r.fields {
				m.fields = append(m.fields, compileGlob(name))
			}
			for _, p := range m.texts {
				p.start = true
				m.leads = append(m.leads, p)
			}
			matchers = append(matchers, m)
		}
	}
	return matchers
}

// match reports whether the response matches, and whether it does so by a field
// rather than by a text.
func (m *matcher) match(f *facts) (matched, byField bool) {
	switch {
	case len(m.only) > 0 && !slices.Contains(m.only, f.in.Provider),
		!m.matchStatus(f.status),
		m.when != nil && !m.when(f),
		f.messages.match(m.except):
		return false, false
	}
	if len(m.fields) == 0 && len(m.texts) == 0 {
		return true, m.byField
	}
	if f.names.match(m.fields) {
		return true, true
	}
	if f.form == formPage {
		return false, false
	}
	// Where the message may quote the prompt, a text in the middle of it could be
	// the client's, and a client must not be able to start a cooldown.
	if m.kind.Target() != TargetNone && m.kind != KindUnclear && repeatsPrompt(f.status) {
		return f.messages.match(m.leads), false
	}
	return f.messages.match(m.texts), false
}

func (m *matcher) matchStatus(status int) bool {
	if len(m.statuses) == 0 {
		return true
	}
	if status == 0 {
		return len(m.fields) > 0 || len(m.texts) > 0
	}
	for _, s := range m.statuses {
		if s.first <= status && status <= s.last {
			return true
		}
	}
	return false
}

// statuses is a range of statuses: one, such as 429, or a class, such as 4xx.
type statuses struct{ first, last int }

func parseStatuses(text string) statuses {
	if class, ok := strings.CutSuffix(text, "xx"); ok {
		n, _ := strconv.Atoi(class)
		return statuses{100 * n, 100*n + 99}
	}
	n, _ := strconv.Atoi(text)
	return statuses{n, n}
}

// Classify returns the verdict on a response. It never fails: what no rule matches
// is [KindUnclear].
func Classify(in Input) Verdict {
	if in.Status < 300 && !in.InStream {
		if v, done := classifySuccess(&in); done {
			return v
		}
	}
	f := read(&in)
	if v, ok := userVerdict(in.Rules, f); ok {
		return v
	}
	for i := range table {
		if matched, byField := table[i].match(f); matched {
			return table[i].verdict(f, byField)
		}
	}
	return Verdict{} // the last rule matches everything
}

// classifySuccess returns the verdict on a response with status 2xx, unless it is
// an error or a page; then done is false. If the error is an event of a stream,
// in is reduced to that event.
func classifySuccess(in *Input) (Verdict, bool) {
	found, data := inspectBody(in.Dialect, in.Body)
	switch found {
	case Output:
		return Verdict{Status: in.Status, ClientStatus: in.Status}, true
	case Failure:
		if data != nil {
			in.Body, in.InStream = data, true
		}
		return Verdict{}, false
	}
	if body := trimStart(in.Body); len(body) > 0 && body[0] == '<' {
		return Verdict{}, false // a page
	}
	return NoOutput(), true
}

// verdict returns the rule's verdict on a response that it matches.
func (m *matcher) verdict(f *facts, byField bool) Verdict {
	v := Verdict{
		Kind: m.kind, Reason: m.reason, Rule: m.name, AskAnotherKey: m.ask, Models: m.models,
		Message: f.messages.forClient(f.form), Status: f.status, Fingerprint: f.fingerprint(),
	}
	if v.Status == 0 {
		v.Status = http.StatusBadGateway
	}
	v.NamedByField = byField && (m.kind == KindDead || m.kind == KindDayQuota && m.window >= windowDay)
	v.ClientStatus = clientStatus(v.Kind, v.Status)
	v.Hint = f.hint()
	m.setUntil(f, &v)
	return v
}

// setUntil sets the end of the cooldown if it is known: the later of the time that
// the provider states, within its bound, and the reset of the quota. The delay
// that Gemini states beside an exhausted quota of a day is a minute's.
func (m *matcher) setUntil(f *facts, v *Verdict) {
	cooldown := m.kind.Policy().Cooldown
	if cooldown.Target == TargetNone || m.kind == KindUnclear {
		return
	}
	longest := cooldown.LongestStated
	if longest == 0 {
		longest = f.in.MaxCooldown
	}
	if longest <= 0 {
		longest = DefaultMaxCooldown
	}
	if m.longest > 0 {
		longest = min(longest, m.longest)
	}
	latest := f.in.Now.Add(longest)
	v.Hint.Believed = !v.Hint.Until.IsZero() && !v.Hint.Until.After(latest)
	v.Until = v.Hint.Until
	if v.Until.After(latest) {
		v.Until = latest
	}
	// A stated time must not shorten the cooldown of a dead key, to whose response
	// a proxy adds Retry-After, nor of a model without a free tier, whose quota of
	// 0 is one a minute.
	if (m.kind == KindDead || m.kind == KindModel) && v.Until.Before(f.in.Now.Add(cooldown.Start)) {
		v.Until = time.Time{}
	}
	if reset, zone := m.reset(f); reset.After(v.Until) {
		v.Until, v.Zone = reset, zone
	}
}

// reset returns when the exhausted quota is reset, and the zone. Both are zero if
// the zone is unknown or the quota is shorter than a day.
func (m *matcher) reset(f *facts) (time.Time, string) {
	zone := m.zone
	if zone == "" {
		zone = f.in.Provider.known().zone
	}
	switch {
	case m.window == windowDay && zone != "":
		return NextDay(f.in.Now, zone), zone
	case m.window == windowMonth && zone != "":
		return NextMonth(f.in.Now, zone), zone
	}
	return time.Time{}, ""
}

// clientStatus returns the status for the client when no candidate is left. A
// refused key is the gateway's and not the client's, so it is never a 401: agents
// would ask their user to log in again.
func clientStatus(kind Kind, status int) int {
	switch kind {
	case KindDead, KindNoCredit, KindSuspect:
		return http.StatusServiceUnavailable
	case KindRateLimit, KindDayQuota:
		return http.StatusTooManyRequests
	case KindModel:
		return http.StatusNotFound
	case KindRequest, KindRequestHere:
		if status == http.StatusUnauthorized || status >= 500 || status < 400 {
			return http.StatusBadRequest
		}
		return status
	case KindUnclear:
		if status != http.StatusUnauthorized {
			return status
		}
		return http.StatusServiceUnavailable
	}
	switch {
	case status < 400:
		return http.StatusBadGateway
	case status == 529:
		return status
	case status > 511:
		return http.StatusBadGateway
	case status < 500 && status != http.StatusTooManyRequests:
		return http.StatusServiceUnavailable
	}
	return status
}
