package refusal

import (
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// webPage is what a body says that is not the API's: an HTML page, or a plain text
// from a proxy. Of a page only the title counts, since debug pages repeat the
// request.
type webPage struct {
	title string // lower case

	// cloudflareError is Cloudflare's own error number, 1xxx, which is about
	// the request or this server's address and not the upstream. 0: none.
	cloudflareError int
}

// cloudflareCode finds the number in Cloudflare's own pages, such as "Error
// 1015". cloudflareText matches "error code: 1010", which is then the whole
// body.
//
// Source: developers.cloudflare.com/support/troubleshooting, 1xxx errors.
var (
	cloudflareCode = regexp.MustCompile(`\berror(?: code:?|:)?(?: |</?span>)+(1[0-2]\d\d)\b`)
	cloudflareText = regexp.MustCompile(`^error code:? (1[0-2]\d\d)$`)
)

// challenges are how titles of pages begin that test for a browser. The title
// of a firewall's block page is not among them: such a page may be about the
// content of the request.
var challenges = []string{
	"just a moment", "checking your browser", "verifying you are human", "verify you are human", "ddos-guard", "security check",
}

// readPage reads a page.
func readPage(body string, header http.Header) (p webPage) {
	lower := strings.ToLower(body)
	if _, after, ok := strings.Cut(lower, "<title"); ok {
		_, after, _ = strings.Cut(after, ">")
		title, _, _ := strings.Cut(after, "<")
		p.title = strings.TrimSpace(title)
	}
	if strings.Contains(p.title, "cloudflare") || strings.EqualFold(header.Get("Server"), "cloudflare") {
		p.cloudflareError = number(cloudflareCode, lower)
	}
	return p
}

// number returns the number that an expression captures, and 0 if it does not
// match.
func number(expr *regexp.Regexp, text string) int {
	m := expr.FindStringSubmatch(text)
	if m == nil {
		return 0
	}
	n, _ := strconv.Atoi(m[1])
	return n
}

// titleBegins reports whether the page's title begins with one of the texts,
// which are in lower case. A body that is no page has no title.
func (p *webPage) titleBegins(texts ...string) bool {
	return slices.ContainsFunc(texts, func(text string) bool { return strings.HasPrefix(p.title, text) })
}
