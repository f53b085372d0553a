package refusal

import (
	"fmt"
	"hash/fnv"
	"net/http"
	"slices"
	"strings"
)

// form is the syntax of a body. It is found out from the body itself: providers
// and the proxies in front of them send HTML as application/json and JSON as
// text/plain.
type form uint8

const (
	formEmpty form = iota
	formJSON
	formPage // HTML or XML
	formText
)

// facts are what a response states. They are read once and then compared with
// every rule, so they must not change after read.
type facts struct {
	in   *Input
	form form

	// status is the status that the response stands for: its own, or for an
	// error inside a 200 the one that the error gives or implies. 0: unknown.
	status int

	names    names    // codes, types and reasons
	messages messages // texts for people
	params   []string // the members `param`, folded
	quota    quotas
	amounts  amounts
	page     webPage

	// times are those in members of the body, such as `retry_after`. Headers
	// and messages are read when a hint is needed.
	times []statedTime

	flagged bool // the provider shows which part of the prompt it refused
	noRoute bool // a web framework's response to an unknown path
}

// quotas are the violations in Google's QuotaFailure (AIP-193):
//
//	{"quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier", "quotaValue": "50"}
type quotas struct {
	ids  []string
	zero bool // the account has no free tier for this model
}

// read reads a response, or the error inside one.
func read(in *Input) *facts {
	f := &facts{in: in, status: in.Status}
	if in.InStream || in.Status < 300 {
		f.status = 0
	}
	body := trimStart(in.Body[:min(len(in.Body), longestBody)])
	body = eventData(body)
	r := reader{facts: f}
	switch v := parse(body); {
	case len(body) == 0:
	case v != nil:
		f.form = formJSON
		r.readRoot(v.first())
	case body[0] == '<' || isHTML(in.Header):
		f.form = formPage
		f.page = readPage(string(body), in.Header)
	default:
		f.form = formText
		r.addMessage(string(body))
		f.page.cloudflareError = number(cloudflareText, plain(string(body)))
	}
	f.amounts = readAmounts(f.messages.plain)
	f.quota.zero = f.quota.zero || f.messages.stateZeroQuota()
	if f.status == 0 {
		f.status = f.names.status()
	}
	return f
}

// eventData returns the data of the first event if body is an event stream, and
// body otherwise. Some providers answer a streaming request with an error in
// the form of a stream.
func eventData(body []byte) []byte {
	if !isEvents(body) {
		return body
	}
	e, _ := NextEvent(body, true)
	return trimStart(e.Data)
}

func isHTML(header http.Header) bool {
	return strings.HasPrefix(strings.TrimSpace(strings.ToLower(header.Get("Content-Type"))), "text/html")
}

// fingerprintNoOutput stands for every response that ended without output.
// fingerprint never returns it, nor 0.
const fingerprintNoOutput = 1

// fingerprint is equal for two refusals that state the same: it covers the
// status, the form, the names of errors, and the messages without the parts that
// differ each time (ids, times, keys).
func (f *facts) fingerprint() uint64 {
	h := fnv.New64a() // writing to a hash never fails
	_, _ = fmt.Fprintf(h, "%d %d", f.status, f.form)
	sorted := slices.Clone(f.names)
	slices.Sort(sorted)
	for _, name := range slices.Compact(sorted) {
		_, _ = fmt.Fprint(h, "\n", name)
	}
	for _, message := range f.messages.raw {
		_, _ = fmt.Fprint(h, "\n:", skeleton(message))
	}
	if f.form == formPage {
		_, _ = fmt.Fprint(h, "\n<", skeleton(f.page.title))
	}
	return max(h.Sum64(), fingerprintNoOutput+1)
}
