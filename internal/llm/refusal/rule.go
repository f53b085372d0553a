package refusal

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// group is a section of the table, in the order in which they are tried.
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

// window is how long a quota lasts.
type window uint8

const (
	windowNone window = iota
	windowHours
	windowDay
	windowMonth
)

// rule is a row of the table. A response matches if all of only, status and
// when do, and one of fields and texts, where these are given.
type rule struct {
	name  string
	group group

	// only are the providers that it holds for. Empty: all.
	only []Provider
	// status are the statuses that it holds for, such as "400 403 5xx". Empty:
	// all. An error without a status matches rules that have other conditions.
	status string
	// fields are names of errors: codes, types, reasons.
	fields []string
	// texts are patterns of messages.
	texts []string
	// except are patterns of messages that it does not hold for.
	except []string
	// when is any other condition, in words that follow "when".
	when      func(*facts) bool
	whenWords string

	kind   Kind
	reason Reason
	// ask says that the model may be missing for this account only.
	ask bool
	// models is the pattern of the models that share the quota.
	models string
	// byField says that when looks at a field.
	byField bool
	window  window
	// zone is where the quota's day ends, if the rule knows better than the
	// provider's.
	zone string
	// longest is how far a stated time is believed, if not as the kind says.
	longest time.Duration

	// source is where the provider documents it, or who reported it, and when.
	source string
}

// matcher is a rule in the form that is matched.
type matcher struct {
	*rule
	statuses      []statuses
	fields        []glob
	texts, except []pattern
	// leads are texts as patterns of a message's beginning.
	leads []pattern
}

// table are all rules in the order in which they are tried.
var table = compileRules(overrideRules, pageRules, contentRules, sizeRules, modelRules, planRules, regionRules,
	keyRules, moneyRules, capacityRules, longRules, shortRules, failureRules, parameterRules, unclearRules)

func compileRules(groups ...[]rule) []matcher {
	var matchers []matcher
	for _, rules := range groups {
		for i := range rules {
			r := &rules[i]
			m := matcher{rule: r, texts: compileAll(r.texts...), except: compileAll(r.except...)}
			for _, status := range strings.Fields(r.status) {
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

// match reports whether the response matches, and whether a field says so.
func (m *matcher) match(f *facts) (matched, byField bool) {
	if len(m.only) > 0 && !slices.Contains(m.only, f.in.Provider) || !m.matchStatus(f.status) {
		return false, false
	}
	if m.when != nil && !m.when(f) || f.hasText(m.except) {
		return false, false
	}
	if len(m.fields) == 0 && len(m.texts) == 0 {
		return true, m.byField
	}
	if f.hasWord(m.fields) {
		return true, true
	}
	if f.form == formPage {
		return false, false
	}
	// Nothing that a client writes into its prompt may put a key or a channel in
	// cooldown.
	if m.kind.Target() != TargetNone && m.kind != KindUnclear && repeatsPrompt(f.status) {
		return f.hasText(m.leads), false
	}
	return f.hasText(m.texts), false
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

// statuses are a status, such as 429, or a class of them, such as 4xx.
type statuses struct{ first, last int }

func parseStatuses(text string) statuses {
	if class, ok := strings.CutSuffix(text, "xx"); ok {
		n, _ := strconv.Atoi(class)
		return statuses{100 * n, 100*n + 99}
	}
	n, _ := strconv.Atoi(text)
	return statuses{n, n}
}

func (f *facts) hasWord(names []glob) bool {
	for i := range names {
		for _, word := range f.words {
			if names[i].match(word) {
				return true
			}
		}
	}
	return false
}

// Classify says what a response means.
func Classify(in Input) Verdict {
	if in.Status < 300 && !in.InStream {
		if v, done := classifySuccess(&in); done {
			return v
		}
	}
	f := read(&in)
	if v, ok := f.userVerdict(); ok {
		return v
	}
	for i := range table {
		if matched, byField := table[i].match(f); matched {
			return table[i].verdict(f, byField)
		}
	}
	return Verdict{} // the last rule matches everything
}

// classifySuccess decides on responses with a status of success that are no
// error. Of a stream it leaves the event that is one.
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

// verdict is what the rule makes of the response.
func (m *matcher) verdict(f *facts, byField bool) Verdict {
	v := Verdict{
		Kind: m.kind, Reason: m.reason, Rule: m.name, AskAnotherKey: m.ask, Models: m.models,
		Message: f.message(), Status: f.status, Fingerprint: f.fingerprint(),
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

// setUntil sets when the cooldown ends, where that is no guess.
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
	// A dead key does not live again because a proxy adds Retry-After, and a model
	// without a free tier gets none because its quota, of 0, is one a minute.
	if (m.kind == KindDead || m.kind == KindModel) && v.Until.Before(f.in.Now.Add(cooldown.Start)) {
		v.Until = time.Time{}
	}
	if reset, zone := m.reset(f); reset.After(v.Until) {
		v.Until, v.Zone = reset, zone
	}
}

// reset returns when the exhausted quota is reset, if its zone is known.
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

// clientStatus returns the status for the client. A refused key is never its
// own: agents would ask for a new login.
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
