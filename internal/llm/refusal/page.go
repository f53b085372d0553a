package refusal

import (
	"regexp"
	"strconv"
	"strings"
)

// cloudflareCode finds the number in Cloudflare's own pages, `Error 1015`, and
// cloudflareText that of `error code: 1010`, which is the whole body.
var (
	cloudflareCode = regexp.MustCompile(`\berror(?: code:?|:)?(?: |</?span>)+(1[0-2]\d\d)\b`)
	cloudflareText = regexp.MustCompile(`^error code:? (1[0-2]\d\d)$`)
)

// challenges begin the titles of pages for browsers. A firewall's block
// page is none of them: it may be about the request.
var challenges = []string{
	"just a moment", "checking your browser", "verifying you are human", "verify you are human", "ddos-guard", "security check",
}

func compileAll(texts ...string) []pattern {
	patterns := make([]pattern, len(texts))
	for i, text := range texts {
		patterns[i] = compile(text)
	}
	return patterns
}

// readPage reads what is no JSON: a page, or a plain text. Of a page only the
// title counts: debug pages repeat the request.
func (f *facts) readPage(body string) {
	if f.form != formPage {
		f.cloudflareError = number(cloudflareText, plain(body))
		return
	}
	page := strings.ToLower(body)
	if _, after, ok := strings.Cut(page, "<title"); ok {
		_, after, _ = strings.Cut(after, ">")
		title, _, _ := strings.Cut(after, "<")
		f.title = strings.TrimSpace(title)
	}
	if strings.Contains(f.title, "cloudflare") || strings.EqualFold(f.in.Header.Get("Server"), "cloudflare") {
		f.cloudflareError = number(cloudflareCode, page)
	}
}

// number returns the number that an expression finds, and 0 if it finds none.
func number(expr *regexp.Regexp, text string) int {
	m := expr.FindStringSubmatch(text)
	if m == nil {
		return 0
	}
	n, _ := strconv.Atoi(m[1])
	return n
}

// isChallenge reports whether the response is for a browser.
func (f *facts) isChallenge() bool {
	return f.in.Header.Get("Cf-Mitigated") == "challenge" || f.hasTitle(challenges...)
}

// hasTitle reports whether the body is a page whose title begins so.
func (f *facts) hasTitle(starts ...string) bool {
	for _, start := range starts {
		if f.form == formPage && strings.HasPrefix(f.title, start) {
			return true
		}
	}
	return false
}

func (f *facts) hasText(patterns []pattern) bool {
	for i := range patterns {
		for _, text := range f.texts {
			if patterns[i].match(text) {
				return true
			}
		}
	}
	return false
}

// sizes finds `Limit 6000, Requested 9012`, with or without Used between.
var (
	limitNumber     = regexp.MustCompile(`\blimit:? (\d{1,15})\b`)
	requestedNumber = regexp.MustCompile(`\brequested:? (?:up to |about )?(\d{1,15})\b`)
	zeroLimit       = regexp.MustCompile(`\blimit: 0(?:[,.]? |[,.]?$|, )`)
	affordNumber    = regexp.MustCompile(`\bcan only afford (-?\d{1,15})\b`)
)

// readSizes finds numbers in messages that decide what a refusal means.
func (f *facts) readSizes() {
	for _, text := range f.texts {
		if m := limitNumber.FindStringSubmatch(text); m != nil {
			f.limit, _ = strconv.ParseInt(m[1], 10, 64)
		}
		if m := requestedNumber.FindStringSubmatch(text); m != nil {
			f.requested, _ = strconv.ParseInt(m[1], 10, 64)
		}
		if zeroLimit.MatchString(text) && strings.Contains(text, "quota") {
			f.zeroQuota = true
		}
	}
}

// affords returns how many tokens OpenRouter says that the credit is enough
// for.
func (f *facts) affords() (n int64, ok bool) {
	for _, text := range f.texts {
		if m := affordNumber.FindStringSubmatch(text); m != nil {
			n, err := strconv.ParseInt(m[1], 10, 64)
			return n, err == nil
		}
	}
	return 0, false
}

// statusWords say which status the name of an error stands for when it comes
// without one, in a stream.
var statusWords = []struct {
	glob   glob
	status int
}{
	{compileGlob("*rate_limit*"), 429},
	{compileGlob("*quota*"), 429},
	{compileGlob("*exhausted*"), 429},
	{compileGlob("too_many*"), 429},
	{compileGlob("*overloaded*"), 503},
	{compileGlob("unavailable"), 503},
	{compileGlob("authentication*"), 401},
	{compileGlob("*api_key*"), 401},
	{compileGlob("unauthenticated"), 401},
	{compileGlob("billing*"), 402},
	{compileGlob("payment_required"), 402},
	{compileGlob("permission*"), 403},
	{compileGlob("*not_found*"), 404},
	{compileGlob("invalid*"), 400},
	{compileGlob("context_length*"), 400},
	{compileGlob("content_*"), 400},
	{compileGlob("timeout*"), 504},
	{compileGlob("deadline_exceeded"), 504},
}

func (f *facts) statusOfWords() int {
	for i := range statusWords {
		for _, word := range f.words {
			if statusWords[i].glob.match(word) {
				return statusWords[i].status
			}
		}
	}
	return 0
}
