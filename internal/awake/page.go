package awake

import (
	"bytes"
	"net/http"
	"strings"
)

// MaxWakePage is how much of a body IsWakePage reads, in bytes.
const MaxWakePage = 64 << 10

// wakePages are texts of the pages that platforms serve in place of an instance
// that sleeps or is waking up, some of them with status 200.
var wakePages = [][]byte{
	[]byte("SERVICE WAKING UP"),                   // Render
	[]byte("APPLICATION LOADING"),                 // Render
	[]byte("get this app back up"),                // Streamlit
	[]byte("Space is sleeping due to inactivity"), // Hugging Face
}

// IsWakePage reports whether a response comes from a platform whose instance sleeps
// or is waking up. body must contain the first MaxWakePage bytes, or all if there
// are fewer.
func IsWakePage(header http.Header, body []byte) bool {
	// Render's router states what it has done, for example hibernate-wake-error.
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
