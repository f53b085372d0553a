package refusal

import (
	"fmt"
	"strings"
	"time"
)

// Markdown returns docs/refusals.md: the kinds with their policies and the table of
// rules. A test compares it with the file, so that the page cannot be out of date.
func Markdown() string {
	var b strings.Builder
	b.WriteString(docIntro)
	writeKinds(&b)
	b.WriteString(docRules)
	last := -1
	for i := range table {
		if g := int(table[i].group); g != last {
			last = g
			fmt.Fprintf(&b, "\n### %d. %s\n\n| rule | matches | means | source |\n|---|---|---|---|\n", g, groupNames[g])
		}
		writeRule(&b, &table[i])
	}
	b.WriteString(docUser)
	b.WriteString(docTimes)
	return b.String()
}

const docIntro = `<!-- Made by internal/llm/refusal from its rules. To make it anew: UPDATE_GOLDEN=1 go test ./internal/llm/refusal -->

# How refusals are classified

A status alone is ambiguous: Google answers 400 to a dead key, Groq 413 to a request above a minute's tokens, OpenRouter 402 to a
` + "`max_tokens`" + ` that is too high and 403 to a flagged prompt. So the gateway reads the header and the first 32 KB of the body, and gives each
response a *scope*. It does so for every status from 300 on, and for errors inside a response with status 200, streamed or not. The
scope decides which candidate is tried next and what is put in cooldown.

## Scopes

| scope | meaning | another key of the channel | another channel | cooldown |
|---|---|---|---|---|
`

// kindDocs describe the kinds in docs/refusals.md.
var kindDocs = [numKinds]string{
	KindAnswered:    "a response with output",
	KindRequest:     "a malformed request, a flagged prompt, an invalid parameter",
	KindRequestHere: "too long, too large, `max_tokens` above the credit, a field or tool that this channel lacks",
	KindDead:        "a dead, leaked or restricted key",
	KindNoCredit:    "no credit",
	KindRateLimit:   "a rate limit",
	KindDayQuota:    "a quota of hours, a day or a month, until the later of the stated time and the reset in the provider's zone",
	KindPlan:        "the account's plan does not include the model",
	KindCapacity:    "overloaded for everybody",
	KindModel:       "an unknown or withdrawn model",
	KindDegraded:    "a degraded model",
	KindChannel:     "other 5xx, a timeout, a network error, a response without output; the same response from another key means *request here*",
	KindBlockPage:   "a web page, a redirect or a firewall's page, which may be about the request",
	KindRegion:      "the provider does not serve this server's region",
	KindPage:        "a challenge page, or this server's address is blocked",
	KindUnclear:     "no rule matches: another account is asked; if it gets the same response, nothing is put in cooldown (a 429: the model, 15 s); without another account",
	KindSuspect:     "no rule matches, and the other account was answered",
}

var nextDocs = map[Next]string{
	NextNo: "no", NextYes: "yes", NextOne: "one more", NextOneIfAsked: "one more if the text leaves open that only this account lacks it",
	NextOneOtherAccount: "one more, of another account", NextLast: "when no key is left", NextLarger: "yes, larger `context` first",
}

var targetDocs = map[Target]string{
	TargetKey: "the key", TargetKeyModel: "the key for this model", TargetChannelModel: "the model on this channel", TargetChannel: "the channel",
}

func writeKinds(b *strings.Builder) {
	for k := range numKinds {
		p := k.Policy()
		fmt.Fprintf(b, "| %s | %s | %s | %s | %s |\n", p.Scope, kindDocs[k], nextDocs[p.OtherKey], nextDocs[p.OtherChannel], p.Cooldown.describe())
	}
}

// describe returns a cooldown for the table, such as "the key: 10 min × 2 ≤ 24 h".
func (c Cooldown) describe() string {
	if c.Target == TargetNone {
		return "none"
	}
	start, longest := length(c.Start), length(c.Cap)
	text := targetDocs[c.Target] + ": " + start
	if c.Factor > 1 {
		text += fmt.Sprintf(" × %d ≤ %s", c.Factor, longest)
	}
	if c.After > 0 {
		text = fmt.Sprintf("%s, after %d failures in a row from at least %d conversations; in cooldown it is tried last instead of not at all", text, c.After, c.Conversations)
	}
	return text
}

// length returns a duration in one unit. Zero stands for the option `cooldown`.
func length(d time.Duration) string {
	switch {
	case d == 0:
		return "`cooldown`"
	case d%time.Hour == 0:
		return fmt.Sprintf("%d h", d/time.Hour)
	case d%time.Minute == 0:
		return fmt.Sprintf("%d min", d/time.Minute)
	}
	return fmt.Sprintf("%d s", d/time.Second)
}

const docRules = `
## Rules

The first rule that matches decides. Names of errors are compared without regard to case, ` + "`_`, `-` and `.`" + `; ` + "`*`" + ` stands for anything.
A number after a name, such as ` + "`zai:1302`" + `, counts only in the form in which this provider sends it. In texts, quoted parts are removed; ` + "`^`" + `
means the beginning of the message and ` + "`$`" + ` its end. Where a provider could repeat the prompt (400, 403, 404, 422), a text that puts something in
cooldown must begin the message. An error inside a stream has no status of its own; the status that its code stands for is used.
`

// writeRule writes the row of a rule: its name, its conditions, its verdict and
// its source.
func writeRule(b *strings.Builder, m *matcher) {
	var parts []string
	if len(m.only) > 0 {
		names := make([]string, len(m.only))
		for i, p := range m.only {
			names[i] = string(p)
		}
		parts = append(parts, "only "+strings.Join(names, ", "))
	}
	if m.status != "" {
		parts = append(parts, "status "+m.status)
	}
	if m.whenWords != "" {
		parts = append(parts, "when "+m.whenWords)
	}
	var either []string
	if len(m.rule.fields) > 0 {
		either = append(either, "`"+strings.Join(m.rule.fields, "`, `")+"`")
	}
	if len(m.rule.texts) > 0 {
		either = append(either, "“"+strings.Join(m.rule.texts, "”, “")+"”")
	}
	if len(either) > 0 {
		parts = append(parts, strings.Join(either, " or "))
	}
	if len(m.rule.except) > 0 {
		parts = append(parts, "not “"+strings.Join(m.rule.except, "”, “")+"”")
	}
	if len(parts) == 0 {
		parts = append(parts, "everything else")
	}
	fmt.Fprintf(b, "| %s | %s | %s | %s |\n", m.name, cell(strings.Join(parts, "; ")), m.meaning(), cell(m.source))
}

// cell escapes a text for a cell of a table.
func cell(text string) string { return strings.ReplaceAll(text, "|", "\\|") }

// meaning returns the column "means" of a rule.
func (m *matcher) meaning() string {
	text := fmt.Sprintf("**%s**: %s", m.kind.Scope(), m.reason)
	switch {
	case m.models == "*":
		text += ", for all models"
	case m.models != "":
		text += ", for `" + m.models + "`"
	}
	switch m.window {
	case windowDay:
		text += "; until the day's end"
	case windowMonth:
		text += "; until the month's end"
	}
	if m.zone != "" {
		text += " (" + m.zone + ")"
	}
	if m.ask {
		text += "; one more key"
	}
	return text
}

const docUser = `
## Rules of your own

In a channel, or for the whole gateway:

` + "```" + `
refusal <status|4xx|*> [<text>] client|next_channel|key|key_model|model|capacity|channel [<duration>]
` + "```" + `

They come before the built-in rules; the first that matches decides. The text may stand anywhere in the response except in parts that repeat
the prompt; case does not matter. ` + "`client`" + ` returns the response to the client, ` + "`next_channel`" + ` tries the next channel, and the others name
what is put in cooldown: for the duration, or as in the table above. With a duration, ` + "`channel`" + ` takes effect at the first response.
`

const docTimes = `
## Times

A time that the provider states is used up to ` + "`max_cooldown`" + ` (1 h), and up to 31 days for credit and for quotas of a day or longer. The first source
that states one decides:

1. ` + "`retry-after-ms` and `Retry-After`" + ` (seconds or a date);
2. the body: ` + "`retryDelay`, `retry_after`, `retry_after_ms`, `resets_at`, `resets_in_seconds`, `estimated_time`" + `, headers that OpenRouter repeats in ` + "`metadata.headers`" + `;
3. headers of exhausted limits: ` + "`x-ratelimit-reset*`, `ratelimit-reset`, `ratelimitbysize-reset`, `anthropic-ratelimit-*-reset`, `RateLimit`" + `, as a duration, a date, a Unix
   time in seconds or milliseconds, or seconds;
4. the message: "try again in 7m12.5s", "retry after 20 seconds", "will reset at 2026-11-27 08:00:00", "请在 30 秒后重试".

The day of a quota ends at midnight in the provider's zone, where that is known: America/Los_Angeles for Gemini, UTC for OpenRouter and Cloudflare,
Asia/Shanghai for Z.ai, Zhipu and ModelScope.
`
