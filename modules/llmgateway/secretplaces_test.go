package llmgateway

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

// places are where clients put their keys.
func places(key string) map[string][2]string {
	return map[string][2]string{
		"Authorization":  {"Bearer " + key, ""},
		"X-Api-Key":      {key, ""},
		"Api-Key":        {key, ""},
		"X-Goog-Api-Key": {key, ""},
		"":               {"", "?key=" + url.QueryEscape(key)},

		"Sec-Websocket-Protocol": {"realtime, openai-insecure-api-key." + key, ""},
	}
}

// echoSecrets is a handler of a channel that repeats all that it gets, wherever it
// can: in headers of all responses, in bodies of all kinds, in redirects, trailers
// and WebSockets.
func echoSecrets(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	dump, _ := httputil.DumpRequest(r, false)
	text := string(dump) + " " + r.URL.Query().Get("key") + " " + base64.StdEncoding.EncodeToString(dump)
	token := r.URL.Query().Get("key") + r.Header.Get("Authorization")
	w.Header().Set("Trailer", "X-Echo-Trailer")
	w.Header().Set("X-Echo", token)
	w.Header().Set("Set-Cookie", "token="+url.QueryEscape(token))
	w.Header().Set("X-Echo-Url", r.URL.String())
	w.Header().Set("Location", "https://internal.example"+r.URL.String()+"#"+url.QueryEscape(token))
	defer func() {
		w.Header().Set("X-Echo-Trailer", token)
		w.Header().Set(http.TrailerPrefix+"X-Echo-Late", token)
	}()
	quoted, _ := json.Marshal(text)
	switch {
	case r.Header.Get("Upgrade") != "":
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		fmt.Fprint(rw, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nX-Echo: "+token+"\r\n\r\n\x81\x7e\x01\x00"+text)
		rw.Flush()
	case strings.HasSuffix(r.URL.Path, "/embeddings"), strings.HasSuffix(r.URL.Path, "/content"):
		w.WriteHeader(http.StatusTemporaryRedirect)
	case strings.HasPrefix(r.URL.Path, "/upload/"):
		w.Header().Set("X-Goog-Upload-Url", "http://"+r.Host+r.URL.Path+"?upload_id=1&key="+url.QueryEscape(strings.TrimPrefix(token, "Bearer ")))
	case strings.Contains(string(body), `"stream":true`):
		caddytest.Events("data: {\"choices\":[{\"delta\":{\"content\":\"x\"}}]}\n\n", "data: {\"choices\":[{\"delta\":{\"content\":"+string(quoted)+"}}]}\n\n")(w, r)
	case strings.HasSuffix(r.URL.Path, "/speech"):
		caddytest.Answer(200, "audio/mpeg", "\xff\xfb"+text)(w, r)
	case strings.HasSuffix(r.URL.Path, "/moderations"):
		caddytest.Answer(403, "text/html", "<p>"+html.EscapeString(text)+"</p>")(w, r)
	default:
		caddytest.JSON(200, `{"object":"chat.completion","choices":[{"message":{"content":`+string(quoted)+`}}]}`)(w, r)
	}
}

// forms are the ways in which a key may be written.
func forms(key string) []string {
	return []string{
		key, url.QueryEscape(key), url.PathEscape(key), hex.EncodeToString([]byte(key)),
		base64.StdEncoding.EncodeToString([]byte(key)), base64.URLEncoding.EncodeToString([]byte(key)),
		strings.ReplaceAll(key, "/", `\/`),
	}
}
