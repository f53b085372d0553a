package refusal

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// UserRule is a rule of the user:
//
//	refusal <status|4xx|*> [<text>] client|next_channel|key|key_model|model|capacity|channel [<duration>]
//
// The first one that matches decides, before all built-in rules. It applies to
// responses with status 300 or more, and to errors inside a response with status
// 200, by the status that the error gives.
type UserRule struct {
	// Status is a status, such as 429, a class of them, such as 4xx, or "*".
	Status string `json:"status,omitempty"`

	// Text must be contained in the response, in any case. Parts of the response
	// that repeat the prompt are ignored. Default: any response matches.
	Text string `json:"text,omitempty"`

	// Action is what the response means: `client` (the request is at fault; no
	// other candidate is tried), `next_channel` (this channel cannot serve the
	// request), `key` (the key is refused for all models), `key_model` (the key
	// is refused for this model), `model` (the channel does not have the model),
	// `capacity` (the model is overloaded), `channel` (the channel fails).
	Action string `json:"action,omitempty"`

	// Duration is the cooldown of what the action names. Default: as for
	// built-in rules of this kind. With a duration, `channel` takes effect at
	// the first response.
	Duration time.Duration `json:"duration,omitempty"`
}

// actions are the values of [UserRule.Action], with the kind that each stands for.
var actions = []struct {
	name string
	kind Kind
}{
	{"client", KindRequest},
	{"next_channel", KindRequestHere},
	{"key", KindDead},
	{"key_model", KindRateLimit},
	{"model", KindModel},
	{"capacity", KindCapacity},
	{"channel", KindChannel},
}

const ruleUsage = "refusal <status|4xx|*> [<text>] client|next_channel|key|key_model|model|capacity|channel [<duration>]"

// ParseRule reads the arguments of the Caddyfile's `refusal`.
func ParseRule(args []string) (UserRule, error) {
	if len(args) < 2 || len(args) > 4 {
		return UserRule{}, fmt.Errorf("refusal needs two to four arguments: %s", ruleUsage)
	}
	r := UserRule{Status: args[0]}
	if err := checkStatus(r.Status); err != nil {
		return UserRule{}, err
	}
	rest := args[1:]
	if len(rest) > 1 && isAction(rest[1]) {
		if r.Text = rest[0]; strings.TrimSpace(r.Text) == "" {
			return UserRule{}, errors.New("the text of a refusal rule is empty; leave it out to match any response")
		}
		rest = rest[1:]
	}
	if r.Action = rest[0]; !isAction(r.Action) {
		return UserRule{}, fmt.Errorf("%q is not an action of a refusal rule: use client, next_channel, key, key_model, model, capacity or channel, as in: %s", r.Action, ruleUsage)
	}
	if len(rest) == 1 {
		return r, nil
	}
	if len(rest) > 2 {
		return UserRule{}, fmt.Errorf("too many arguments after %s: only a duration may follow, as in: %s", r.Action, ruleUsage)
	}
	var err error
	r.Duration, err = ruleDuration(r.Action, rest[1])
	return r, err
}

// Check returns an error if a rule from JSON is invalid.
func (r *UserRule) Check() error {
	if err := checkStatus(r.Status); err != nil {
		return err
	}
	if !isAction(r.Action) {
		return fmt.Errorf("%q is not an action of a refusal rule: use client, next_channel, key, key_model, model, capacity or channel", r.Action)
	}
	if r.Duration == 0 {
		return nil
	}
	_, err := ruleDuration(r.Action, r.Duration.String())
	return err
}

func checkStatus(status string) error {
	if status == "*" {
		return nil
	}
	if len(status) == 3 && status[1:] == "xx" && status[0] >= '3' && status[0] <= '5' {
		return nil
	}
	if n, err := strconv.Atoi(status); err == nil && n >= http.StatusMultipleChoices && n <= 599 && len(status) == 3 {
		return nil
	}
	return fmt.Errorf("%q is not a status of a refusal: use one from 300 to 599, 3xx, 4xx, 5xx, or * for all", status)
}

// ruleDuration reads the cooldown of an action.
func ruleDuration(action, text string) (time.Duration, error) {
	length, ok := duration(text)
	switch {
	case !ok:
		return 0, fmt.Errorf("%q is not a duration: write it like 30s, 10m, 2h or 1d", text)
	case action == "client" || action == "next_channel":
		return 0, fmt.Errorf("%s puts nothing in cooldown: leave out the duration %s", action, text)
	case length < time.Second || length > longestQuota:
		return 0, fmt.Errorf("a cooldown of %s is out of range: use 1s to 31d", text)
	}
	return length, nil
}

func isAction(name string) bool {
	for _, a := range actions {
		if a.name == name {
			return true
		}
	}
	return false
}

// userVerdict returns the verdict of the first of the user's rules that matches,
// and false if none does.
func userVerdict(rules []UserRule, f *facts) (Verdict, bool) {
	if len(rules) == 0 {
		return Verdict{}, false // most often; the texts are not needed
	}
	texts := strings.ToLower(leaves(f.in.Body, f.messages.raw))
	for i := range rules {
		r := &rules[i]
		if !r.match(f.status, texts) {
			continue
		}
		m := matcher{rule: &rule{name: "refusal " + r.String(), kind: r.kind(), reason: ReasonConfigured}}
		v := m.verdict(f, false)
		v.Length = r.Duration
		return v, true
	}
	return Verdict{}, false
}

// match reports whether the rule matches a response with a status and texts,
// which are in lower case.
func (r *UserRule) match(status int, texts string) bool {
	if s := parseStatuses(r.Status); r.Status != "*" && (status < s.first || status > s.last) {
		return false
	}
	return strings.Contains(texts, strings.ToLower(r.Text))
}

func (r *UserRule) kind() Kind {
	for _, a := range actions {
		if a.name == r.Action {
			return a.kind
		}
	}
	return KindUnclear
}

// String returns the rule as it is written in a Caddyfile.
func (r *UserRule) String() string {
	parts := []string{r.Status}
	if r.Text != "" {
		parts = append(parts, strconv.Quote(r.Text))
	}
	parts = append(parts, r.Action)
	if r.Duration > 0 {
		parts = append(parts, r.Duration.String())
	}
	return strings.Join(parts, " ")
}

// echoes are members in which providers repeat the request, folded.
var echoes = []string{
	"flaggedinput", "input", "inputs", "prompt", "prompts", "messages", "contents", "content", "failedgeneration", "request", "body", "query",
}

// leaves returns the strings, numbers and literals of a body, each on a line of its
// own, without members that repeat the request. messages are added, since one
// of them may be JSON text with texts of its own. A body that is no JSON is
// returned as it is.
func leaves(body []byte, messages []string) string {
	body = trimStart(body[:min(len(body), longestBody)])
	v := parse(eventData(body))
	if v == nil {
		return string(body)
	}
	var b strings.Builder
	addLeaves(&b, v, 8)
	for _, message := range messages {
		b.WriteString(message + "\n")
	}
	return b.String()
}

func addLeaves(b *strings.Builder, v value, depth int) {
	if depth == 0 {
		return
	}
	for name, member := range v.fields {
		if !slices.Contains(echoes, fold(string(name))) {
			addLeaves(b, member, depth-1)
		}
	}
	for element := range v.items {
		addLeaves(b, element, depth-1)
	}
	if text := v.text(); text != "" {
		b.WriteString(text + "\n")
	}
}
