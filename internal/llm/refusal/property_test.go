package refusal

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// harm orders kinds by what they take from other clients.
var harm = [numKinds]int{
	KindAnswered: 0, KindRequest: 0, KindRequestHere: 0,
	KindUnclear: 1, KindSuspect: 1,
	KindRateLimit: 2, KindCapacity: 2, KindChannel: 2, KindBlockPage: 2,
	KindPlan: 3, KindDayQuota: 3, KindModel: 3, KindDegraded: 3,
	KindPage: 4, KindNoCredit: 5, KindRegion: 5, KindDead: 6,
}

// check fails if a verdict is none that a gateway can act on.
func check(t testing.TB, in Input, v Verdict) {
	t.Helper()
	if v.Kind >= numKinds {
		t.Fatalf("kind %d", v.Kind)
	}
	if v.Kind != KindAnswered && (!slices.Contains(Reasons(), v.Reason) || v.Rule == "") {
		t.Fatalf("reason %q, rule %q", v.Reason, v.Rule)
	}
	if v.Until.After(in.Now.Add(longestQuota + time.Hour)) {
		t.Fatalf("cooldown until %v", v.Until)
	}
	if v.Kind == KindRateLimit && v.Until.After(in.Now.Add(DefaultMaxCooldown)) {
		t.Fatalf("rate limit until %v", v.Until)
	}
	if v.ClientStatus == http.StatusUnauthorized || v.ClientStatus < 400 && v.Kind != KindAnswered || v.ClientStatus > 599 {
		t.Fatalf("status %d for the client", v.ClientStatus)
	}
	if v.Scope() == ScopeKey && v.ClientStatus != http.StatusServiceUnavailable {
		t.Fatalf("a refused key becomes %d", v.ClientStatus)
	}
	if !utf8.ValidString(v.Message) || len(v.Message) > longestText {
		t.Fatalf("message of %d bytes", len(v.Message))
	}
	if v.NamedByField && v.Kind != KindDead && v.Kind != KindDayQuota {
		t.Fatalf("%v does not count towards the caps", v.Kind)
	}
}

// mutate removes, renames and adds members of a JSON value: the same ones in every
// run, for a given r.
func mutate(r *rand.Rand, v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any)
		for _, name := range slices.Sorted(maps.Keys(v)) {
			member := mutate(r, v[name])
			switch r.IntN(8) {
			case 0:
				continue
			case 1:
				name = strings.ToUpper(name[:1]) + name[1:] + "_"
			}
			out[name] = member
		}
		if r.IntN(2) == 0 {
			out[fmt.Sprintf("x%d", r.IntN(9))] = randomValue(r)
		}
		return out
	case []any:
		out := []any{}
		for _, element := range v {
			if r.IntN(6) > 0 {
				out = append(out, mutate(r, element))
			}
		}
		return out
	}
	return v
}

func randomValue(r *rand.Rand) any {
	values := []any{nil, true, 17, -1.5, "", "invalid_api_key", "API key not valid", []any{"quota"}, map[string]any{"code": "insufficient_quota"}}
	return values[r.IntN(len(values))]
}

func randomHeader(r *rand.Rand, header http.Header) http.Header {
	header = header.Clone()
	for range r.IntN(4) {
		names := []string{
			"Retry-After", "Retry-After-Ms", "X-Ratelimit-Reset-Requests", "X-Ratelimit-Remaining-Requests", "X-Ratelimit-Reset",
			"Anthropic-Ratelimit-Tokens-Reset", "Ratelimit", "Content-Type", "Server", "X-Anything",
		}
		values := []string{"", "0", "-1", "7", "1e300", "NaN", "soon", "6m0s", "1795737600000", "2026-11-27T00:00:00Z", `"api";r=0;t=57`, "application/json"}
		header.Set(names[r.IntN(len(names))], values[r.IntN(len(values))])
	}
	return header
}

// A refusal with fields removed, renamed and added is never taken for something
// that does more harm to other clients.
func TestMutatedRefusals(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, c := range load(t) {
		var body any
		if json.Unmarshal(c.in.Body, &body) != nil || c.in.Status < 300 {
			continue
		}
		allowed := max(harm[Classify(c.in).Kind], harm[KindUnclear])
		if c.in.Status == http.StatusTooManyRequests {
			allowed = max(allowed, harm[KindRateLimit])
		}
		for range 30 {
			in := c.in
			in.Body, _ = json.Marshal(mutate(r, body))
			in.Header = randomHeader(r, c.in.Header)
			v := Classify(in)
			check(t, in, v)
			if harm[v.Kind] > allowed && !isKnownShift(c.in.Status, v) {
				t.Errorf("%s: %s (rule %s) from %s", c.name, describe(v), v.Rule, in.Body)
				break
			}
		}
	}
}

// isKnownShift reports whether a mutated refusal became one that is as sure:
// what is left names another, true fact by a field or by a status.
func isKnownShift(status int, v Verdict) bool {
	switch v.Rule {
	case "withdrawn model, by status", "withdrawn model, by field", "no credit, by field", "no credit, by status", "dead key, by status":
		return true
	}
	return status >= 500 && v.Scope() == ScopeChannel
}

// Any body with any status and any header has a verdict to act on.
func TestAnyStatus(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	cases := load(t)
	for status := 200; status <= 599; status++ {
		for range 5 {
			c := cases[r.IntN(len(cases))]
			in := c.in
			in.Status, in.Header = status, randomHeader(r, in.Header)
			in.InStream = status < 300 && r.IntN(2) == 0
			in.Body = in.Body[:r.IntN(len(in.Body)+1)]
			check(t, in, Classify(in))
		}
	}
}

// prompts are what a client could send in the hope that it is repeated: every
// text and every name that the table knows.
func prompts() []string {
	var all []string
	for i := range table {
		for _, text := range table[i].rule.texts {
			all = append(all, strings.NewReplacer("^", "", "$", "", "*", " ").Replace(text))
		}
		for _, name := range table[i].rule.fields {
			if !strings.Contains(name, ":") {
				all = append(all, strings.ReplaceAll(name, "*", ""), fmt.Sprintf(`{"error":{"code":%q}}`, strings.ReplaceAll(name, "*", "")))
			}
		}
	}
	return append(all, "limit: 0 quota", "Limit 5, Requested 1", "error code: 1015", "try again in 31d", "\"", "`", "'")
}

// What a client sends, repeated in the refusal of its request, never makes that
// the refusal of a key, a model or a channel.
func TestRepeatedPrompts(t *testing.T) {
	all := prompts()
	r := rand.New(rand.NewPCG(5, 6))
	n := 0
	for _, c := range load(t) {
		base := Classify(c.in).Kind
		var body map[string]any
		if json.Unmarshal(c.in.Body, &body) != nil || c.in.Status < 300 || harm[base] > harm[KindUnclear] ||
			base == KindUnclear && !repeatsPrompt(c.in.Status) {
			continue
		}
		n++
		for range 25 {
			prompt := all[r.IntN(len(all))]
			for how, echo := range echoed(body, prompt) {
				in := c.in
				in.Body, _ = json.Marshal(echo)
				if v := Classify(in); harm[v.Kind] > harm[KindUnclear] {
					t.Errorf("%s, %s: %s (rule %s) from %.300s", c.name, how, describe(v), v.Rule, in.Body)
				}
			}
		}
	}
	if n < 30 {
		t.Errorf("only %d refusals of requests", n)
	}
}

// echoed returns the bodies of errors that repeat a prompt.
func echoed(body map[string]any, prompt string) map[string]map[string]any {
	out := make(map[string]map[string]any)
	for how, change := range map[string]func(string) string{
		"behind a colon": func(m string) string { return m + ": " + prompt },
		"behind a space": func(m string) string { return m + " " + prompt },
		"in quotes":      func(m string) string { return m + ` "` + prompt + `"` },
		"in backticks":   func(m string) string { return "`" + prompt + "` " + m },
		"as a value":     func(m string) string { return "Invalid value: '" + prompt + "'. " + m },
	} {
		out[how] = withMessage(body, change)
	}
	beside := withMessage(body, func(m string) string { return m })
	object := map[string]any{"code": prompt, "type": prompt, "message": prompt, "error": map[string]any{"code": prompt, "message": prompt}}
	for _, name := range []string{"input", "prompt", "request", "body", "messages", "user"} {
		beside[name] = object
		if failure, ok := beside["error"].(map[string]any); ok {
			failure[name], failure["failed_generation"] = object, prompt
		}
	}
	out["in other fields"] = beside
	return out
}

// withMessage returns a copy of the body with its messages changed.
func withMessage(body map[string]any, change func(string) string) map[string]any {
	out := make(map[string]any)
	for name, member := range body {
		switch m := member.(type) {
		case map[string]any:
			out[name] = withMessage(m, change)
		case string:
			if name == "message" || name == "detail" || name == "error" {
				m = change(m)
			}
			out[name] = m
		default:
			out[name] = member
		}
	}
	return out
}

// Every rule has a case.
func TestEveryRuleHasACase(t *testing.T) {
	used := make(map[string]bool)
	for _, c := range load(t) {
		used[Classify(c.in).Rule] = true
	}
	for i := range table {
		if !used[table[i].name] {
			t.Errorf("no case for %s", table[i].name)
		}
	}
}

// What is cut off at any byte has a verdict, and one that does no more harm.
func TestCutOff(t *testing.T) {
	for _, c := range load(t) {
		if c.in.Status < 300 {
			continue
		}
		allowed := max(harm[Classify(c.in).Kind], harm[KindRateLimit])
		for i := range c.in.Body {
			in := c.in
			in.Body = in.Body[:i]
			v := Classify(in)
			check(t, in, v)
			if harm[v.Kind] > allowed && !isKnownShift(in.Status, v) {
				t.Errorf("%s, after %d bytes: %s (rule %s)", c.name, i, describe(v), v.Rule)
			}
		}
	}
}

func FuzzClassify(f *testing.F) {
	for _, c := range load(f) {
		f.Add(c.in.Status, c.in.Header.Get("Retry-After"), c.in.Body, c.in.InStream, uint8(c.in.Dialect))
	}
	f.Fuzz(func(t *testing.T, status int, retryAfter string, body []byte, inStream bool, dialect uint8) {
		in := Input{
			Status: 200 + int(uint(status)%400), Header: http.Header{"Retry-After": {retryAfter}}, Body: body,
			InStream: inStream, Dialect: Dialect(dialect % 5), Now: now,
			Rules: []UserRule{{Status: "418", Text: "Teapot", Action: "client"}},
		}
		v := Classify(in)
		check(t, in, v)
		check(t, in, Classify(in))
		w := Watch{Dialect: in.Dialect}
		if isEvents(trimStart(body)) {
			want := InspectBody(in.Dialect, body)
			got := Nothing
			body = trimStart(body)
			if len(body) > 2000 {
				return
			}
			for i := range len(body) + 1 {
				if got = w.Look(body[:i], i == len(body)); got != Nothing {
					break
				}
			}
			if got != want {
				t.Errorf("in pieces %d, at once %d", got, want)
			}
		}
	})
}

// The name of a model is the client's, and some messages begin with it.
func TestModelNames(t *testing.T) {
	for _, model := range append(prompts(), "API key not valid. Please pass a valid API key.", "m1") {
		for message, want := range map[string]Kind{
			"%s is not a valid model ID":                                     KindModel,
			"No endpoints found for %s.":                                     KindModel,
			"Model %s does not exist or you do not have access to it.":       KindModel,
			"The model `%s` does not exist or you do not have access to it.": KindModel,
			"%s: temperature must be at most 2":                              KindUnclear,
		} {
			body, _ := json.Marshal(map[string]any{"error": map[string]any{"code": 400, "message": fmt.Sprintf(message, model)}})
			in := Input{Status: 400, Body: body, Model: model, Now: now}
			if v := Classify(in); harm[v.Kind] > harm[want] {
				t.Errorf("%s: %s by %s", body, describe(v), v.Rule)
			}
		}
	}
}
