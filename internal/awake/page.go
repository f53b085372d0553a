package awake

import (
	"bytes"
	"net/http"
	"strings"
)

// MaxWakePage is how much of an answer is looked at by IsWakePage.
const MaxWakePage = 64 << 10

// wakePages are texts of the pages that platforms show in place of an
// instance that sleeps or is waking up, some of them with status 200.
var wakePages = [][]byte{
	[]byte("SERVICE WAKING UP"),                   // Render
	[]byte("APPLICATION LOADING"),                 // Render
	[]byte("get this app back up"),                // Streamlit
	[]byte("Space is sleeping due to inactivity"), // Hugging Face
}

// IsWakePage reports whether an answer, of which body is at least the
// beginning, comes from a platform whose instance sleeps or is waking up.
func IsWakePage(header http.Header, body []byte) bool {
	// Render names what its router did: hibernate-wake-error, for example.
	if strings.HasPrefix(header.Get("X-Render-Routing"), "hibernate") {
		return true
	}
	if !strings.HasPrefix(header.Get("Content-Type"), "text/html") {
		return false
	}
	body = body[:min(len(body), MaxWakePage)]
	for _, text := range wakePages {
		if bytes.Contains(body, text) {
			return true
		}
	}
	return false
}
