package statuspage

import (
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

const (
	// maxViewers is how many pages can be live at once, maxViewersOf how many of one
	// client address, so that no client keeps the others out. An IPv6 address counts
	// as its /48 network, which is what a site gets (RFC 6177).
	maxViewers   = 1000
	maxViewersOf = 200

	// comeBack is after which time a browser asks again when its events have
	// ended, in milliseconds: after a reload, for the new configuration.
	comeBack = 1000

	// aliveEvery keeps proxies from ending events that are silent, as nginx does
	// after 60 seconds by default.
	aliveEvery = 20 * time.Second

	// writeLimit is how long a viewer may take to read.
	writeLimit = 5 * time.Second
)

// serveEvents sends the parts of a page that have changed, until the viewer leaves
// or the configuration ends.
func (h *Handler) serveEvents(w http.ResponseWriter, r *http.Request) error {
	lang, address := languageOf(r), addressOf(r)
	if !h.board.enter(lang, address) {
		w.Header().Set("Retry-After", "10")
		return caddyhttp.Error(http.StatusServiceUnavailable, nil)
	}
	defer h.board.leave(lang, address)
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no")
	if r.Method == http.MethodHead {
		return nil
	}
	v := viewer{response: w, control: http.NewResponseController(w)}
	return v.follow(r, h.board, lang)
}

// addressOf returns the client's address, or its network.
func addressOf(r *http.Request) string {
	text, _ := caddyhttp.GetVar(r.Context(), caddyhttp.ClientIPVarKey).(string)
	if ip, err := netip.ParseAddr(text); err == nil && ip.Is6() && !ip.Is4In6() {
		if network, err := ip.WithZone("").Prefix(48); err == nil {
			return network.String()
		}
	}
	return text
}

// viewer is somebody who looks at a page.
type viewer struct {
	response http.ResponseWriter
	control  *http.ResponseController
}

func (v *viewer) follow(r *http.Request, b *board, lang language) error {
	alive := b.clock.NewTicker(aliveEvery)
	defer alive.Stop()
	// A page of another build is loaded anew.
	first := []byte("retry: " + strconv.Itoa(comeBack) + "\nevent: build\ndata: " + build + "\n\n")
	if err := v.send(first); err != nil {
		return nil
	}
	var seen *rendering
	for {
		page, changed := b.view(lang)
		if news := page.since(seen); len(news) > 0 {
			if err := v.send(news); err != nil {
				return nil // the viewer has left
			}
		}
		seen = page
		select {
		case <-changed:
		case <-alive.Chan():
			if err := v.send([]byte(":\n\n")); err != nil {
				return nil
			}
		case <-b.closing:
			return nil
		case <-r.Context().Done():
			return nil
		}
	}
}

// send sends events. It does not wait for a viewer who reads nothing, which would
// keep Caddy from stopping: a write that blocks does not see the end of the request.
func (v *viewer) send(events []byte) error {
	_ = v.control.SetWriteDeadline(time.Now().Add(writeLimit)) // where it is supported
	// Over HTTP/2, net/http ends a stream whose deadline passes even if nothing is being
	// written, so there is none between two events.
	defer func() { _ = v.control.SetWriteDeadline(time.Time{}) }()
	if _, err := v.response.Write(events); err != nil {
		return err
	}
	return v.control.Flush()
}

// dataLines begins each line of an event's data as such. A line of an event also
// ends with a carriage return, which names and errors can have.
var dataLines = strings.NewReplacer("\r\n", "\ndata: ", "\r", "\ndata: ", "\n", "\ndata: ")

// event returns a part of the page as an event.
func event(name string, html []byte) []byte {
	return []byte("event: " + name + "\ndata: " + dataLines.Replace(string(html)) + "\n\n")
}
