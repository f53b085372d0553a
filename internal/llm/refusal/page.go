package refusal

import (
	"regexp"
	"strconv"
	"strings"
)

// cloudflareCode finds the number in Cloudflare's own pages: `error code: 1010`
// as text, `Error 1015` in HTML.
var cloudflareCode = regexp.MustCompile(`(?i)\berror(?: code:?|:)?(?: |<span>)+(1[0-2]\d\d)\b`)

// challenges are texts of pages that want a browser. A firewall's block page is
// none: it may be about the request.
var challenges = compileAll(
	"just a moment", "checking your browser", "enable javascript and cookies to continue",
	"verifying you are human", "verify you are human", "challenge-platform", "ddos protection by",
	"please complete the captcha", "访问验证",
)

// sorry are texts of Google's block pages.
var sorry = compileAll("unusual traffic from your computer network", "automated queries")

func compileAll(texts ...string) []pattern {
	patterns := make([]pattern, len(texts))
	for i, text := range texts {
		patterns[i] = compile(text)
	}
	return patterns
}

// readPage reads what is no JSON: a page, or a plain text.
func (f *facts) readPage(page string) {
	page = page[:min(len(page), 16<<10)]
	if m := cloudflareCode.FindStringSubmatch(page); m != nil {
		f.cloudflareError, _ = strconv.Atoi(m[1])
	}
	if f.form == formPage {
		// Its quotes are those of attributes.
		f.texts = append(f.texts, strings.ToLower(page))
	}
}

// isChallenge reports whether the response wants a browser.
func (f *facts) isChallenge() bool {
	return f.in.Header.Get("Cf-Mitigated") == "challenge" || f.isPageWith(challenges)
}

func (f *facts) isPageWith(patterns []pattern) bool {
	return f.form != formJSON && f.hasText(patterns)
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
		if f.form == formPage {
			return
		}
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
