// Package refusal classifies what an LLM provider's response means for a pool
// of keys and channels. It is pure: no network, no clock, no state. It depends
// on the standard library only.
//
// A status alone is ambiguous. Google answers 400 to a dead key, Groq 413 to a
// request above a minute's tokens, OpenRouter 402 to a max_tokens that is too
// high and 403 to a flagged prompt. So [Classify] reads the response and applies
// a table of rules in a fixed order:
//
//	overrides, most of them of one provider
//	 1 not the API        a redirect, a web page, a firewall
//	 2 content            the prompt was flagged
//	 3 size               context length, body, max_tokens
//	 4 model              unknown, withdrawn, degraded
//	 5 plan               the model is not part of the account's plan
//	 6 region             the provider does not serve this address
//	 7 key                dead, leaked, restricted
//	 8 money              no credit
//	 9 capacity           the model is overloaded for everybody
//	10 long window        a quota of hours, a day, a month
//	11 short window       a rate limit
//	12 failures           other 5xx, timeouts
//	13 parameters         invalid or unsupported ones
//	14 unclear            everything else
//
// The first rule that matches decides. The order keeps one client's request from
// emptying a pool: content and size come before keys, models before keys, money
// and capacity before rate limits, long windows before short ones. The rules of
// the user ([ParseRule]) come before all of them.
//
// The result is a [Verdict]. Its [Kind] decides which other candidates are tried,
// what is put in cooldown and for how long ([Kind.Policy]). Some kinds need a
// second opinion from another account, which [Settle] evaluates:
//
//	response ─▶ Classify ─▶ Verdict ─▶ Policy: next candidate, cooldown
//	                           │
//	                           └─ unclear, failing, or perhaps this account only:
//	                              one more key ─▶ Settle(first, second)
//
// Three guards protect the pool from what a client sends:
//
//   - Only known fields are read. Fields that repeat the request (input,
//     flagged_input, failed_generation) are not.
//   - Where a provider could quote the prompt (400, 403, 404, 422), a text that
//     puts a key, a model or a channel in cooldown must begin the message. Quoted
//     parts are removed first.
//   - A response that no rule matches is [KindUnclear], never a dead key.
//
// For streams and responses with status 200, [InspectEvent] and [InspectBody]
// find out whether there is output, and [Watch] finds the first output of a
// stream.
//
// The files: body.go, page.go and messages.go read a response into facts;
// rules_*.go hold the table and rule.go matches it; hint.go and limits.go read
// times and limits; scope.go holds the policies; output*.go and watch.go look for
// output; markdown.go writes docs/refusals.md from the table.
package refusal
