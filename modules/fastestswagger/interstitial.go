package fastestswagger

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"

	"github.com/caddy-freetier/caddy-freetier/internal/awake"
)

// What comes in place of a page, often with status 200. The platform is named
// behind it where it is known.
var (
	errWaking    = errors.New("the platform is waking it up")
	errStopped   = errors.New("the platform has stopped it")
	errAbsent    = errors.New("the platform has nothing running there")
	errChallenge = errors.New("answered with a check for browsers")
	errTunnel    = errors.New("answered with a page of its tunnel")
	errLogin     = errors.New("answered with a login page")
	errErrorPage = errors.New("answered with an error page")
	errParked    = errors.New("answered with the page of a parked domain")
	errWelcome   = errors.New("answered with the welcome page of a web server without content")
	errUpkeep    = errors.New("answered with a maintenance page")
)

// headerSign is a response header by which a platform says that the response
// is its own. Sources, read 2026-11: the platforms' documentation where an
// address is given, else responses quoted in public repositories.
type headerSign struct {
	name, value string // an empty value: any; otherwise the beginning of it
	platform    string
	err         error
}

var headerSigns = []headerSign{
	{"X-Render-Routing", "hibernate", "Render", errWaking},
	{"X-Render-Routing", "suspend", "Render", errStopped},
	{"X-Render-Routing", "no-server", "Render", errAbsent},
	{"X-Railway-Fallback", "true", "Railway", errAbsent}, // also of one that sleeps
	// https://vercel.com/docs/errors
	{"X-Vercel-Error", "", "Vercel", errAbsent},
	{"X-Vercel-Mitigated", "challenge", "Vercel", errChallenge},
	// https://developers.cloudflare.com/cloudflare-challenges/challenge-types/challenge-pages/detect-response/
	{"Cf-Mitigated", "challenge", "Cloudflare", errChallenge},
	// https://ngrok.com/docs/errors/
	{"Ngrok-Error-Code", "", "ngrok", errTunnel},
}

// textSign is a text that only a platform's own page has.
type textSign struct {
	text     string
	platform string
	err      error
}

var textSigns = []textSign{
	{"SERVICE WAKING UP", "Render", errWaking},
	{"APPLICATION LOADING", "Render", errWaking},
	{"This service has been suspended by its owner", "Render", errStopped},
	{"get this app back up", "Streamlit", errWaking},
	{"Space is sleeping due to inactivity", "Hugging Face", errWaking},
	{"This Space is paused", "Hugging Face", errStopped},
	{"This Space has been paused", "Hugging Face", errStopped},
	{"The train has not arrived at the station", "Railway", errAbsent},
	// A 404 of Koyeb's edge, also while the instance keeps crashing.
	{"No active service", "Koyeb", errAbsent},
	// https://github.com/zeabur/zeabur/issues/122
	{"errors occurred in this service", "Zeabur", errAbsent},
	{"Run this Repl to see the results here", "Replit", errWaking},
	{"This web app is stopped", "Azure", errStopped},
	{"Your web app is running and waiting for your content", "Azure", errWelcome},
	{"herokucdn.com/error-pages/", "Heroku", errErrorPage},
	{"herokucdn.com/error-pages/no-such-app", "Heroku", errAbsent},
	{"bypass-tunnel-reminder", "localtunnel", errTunnel},
	{"X-Tunnel-Skip-AntiPhishing-Page", "dev tunnels", errTunnel},
	{"Argo Tunnel error", "Cloudflare", errTunnel},
	{"Cloudflare Tunnel error", "Cloudflare", errTunnel},
	{"Vercel Security Checkpoint", "Vercel", errChallenge},
	{"challenges.cloudflare.com/turnstile", "Cloudflare", errChallenge},
	{"/cdn-cgi/challenge-platform/h/", "Cloudflare", errChallenge},
	// https://forum.infinityfree.com/t/84179
	{`src="/aes.js"`, "iFastNet", errChallenge},
	{"sedoparking.com", "Sedo", errParked},
	{"parkingcrew.net", "ParkingCrew", errParked},
	{"hugedomains.com/domain_profile", "HugeDomains", errParked},
	{"afternic.com/forsale", "Afternic", errParked},
}

// titleSigns are titles that say what a page is, whoever has made it.
var titleSigns = []struct {
	title *regexp.Regexp
	err   error
}{
	{title(`(?:error\s+)?[45]\d\d\b`), errErrorPage},
	{title(`(?:application error|internal server error|bad gateway|service unavailable|gateway time-?out|not found|` +
		`(?:page|site) not found|forbidden|unauthorized|service suspended|account suspended|web app - unavailable)\b`), errErrorPage},
	{title(`(?:just a moment\.\.\.|attention required! \| cloudflare)`), errChallenge},
	{title(`(?:waking up\b|starting (?:up|your)\b|your (?:app|service|space) is (?:starting|waking))`), errWaking},
	{title(`(?:(?:sign|log) ?in\s*(?:[-|·–—:<&]|to\b|with\b)|登录)`), errLogin},
	{title(`(?:welcome to (?:nginx|openresty|caddy)|apache2? .{0,20}default page|it works!|caddy works|iis windows)`), errWelcome},
	{title(`(?:(?:site |under |scheduled |down for )maintenance\b|maintenance\s*(?:[-|·–—:<!.]|mode\b)|we(?:'|’|&#39;)ll be (?:right )?back|网站维护|系统维护|维护中)`), errUpkeep},
	{title(`[^<]{0,100}(?:domain (?:name )?(?:is|may be) for sale|(?:this )?domain is parked|parked domain|域名出售)`), errParked},
}

// title returns an expression for HTML whose title begins with one.
func title(begins string) *regexp.Regexp {
	return regexp.MustCompile(`(?i)<title[^>]*>\s*` + begins)
}

// passwordField is what most login pages have. Swagger UI asks for
// credentials too, but makes its fields when it runs.
var passwordField = regexp.MustCompile(`(?i)<input[^>]+type\s*=\s*["']?password`)

// interstitialHeader finds out by the header of a response that it is not the
// upstream's own.
func interstitialHeader(header http.Header) error {
	for _, sign := range headerSigns {
		value := header.Get(sign.name)
		if value != "" && strings.HasPrefix(value, sign.value) {
			return of(sign.platform, sign.err)
		}
	}
	return nil
}

// platformPage finds out that a response is a platform's own, whatever its
// status and type.
func platformPage(header http.Header, beginning []byte) error {
	if err := interstitialHeader(header); err != nil {
		return err
	}
	contentType := header.Get("Content-Type")
	if !strings.HasPrefix(contentType, "text/") {
		return nil
	}
	var found error
	for _, sign := range textSigns {
		if bytes.Contains(beginning, []byte(sign.text)) {
			found = of(sign.platform, sign.err) // the last one is the most precise
		}
	}
	if found == nil && awake.IsWakePage(header, beginning) {
		return errWaking
	}
	return found
}

// interstitialPage finds out by the beginning of a page that it is not the
// upstream's own. A page with the text that the configuration asks for is,
// unless it says that the upstream is waking up.
func interstitialPage(header http.Header, beginning []byte, isWanted bool) error {
	if !strings.HasPrefix(header.Get("Content-Type"), "text/html") {
		return nil
	}
	found := platformPage(header, beginning)
	if errors.Is(found, errWaking) {
		return found
	}
	if isWanted {
		return nil
	}
	if found != nil {
		return found
	}
	if passwordField.Match(beginning) {
		return errLogin
	}
	for _, sign := range titleSigns {
		if sign.title.Match(beginning) {
			return sign.err
		}
	}
	return nil
}

// of names the platform behind what it has answered with.
func of(platform string, err error) error { return fmt.Errorf("%w (%s)", err, platform) }

// head keeps the beginning of what is written to it.
type head []byte

// Write implements io.Writer.
func (h *head) Write(p []byte) (int, error) {
	if left := awake.MaxWakePage - len(*h); left > 0 {
		*h = append(*h, p[:min(left, len(p))]...)
	}
	return len(p), nil
}
