package llmgateway

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

const (
	wav  = "RIFF$\x00\x00\x00WAVEfmt "
	chat = "/v1/chat/completions"
)

type contentTypeCase struct {
	path, contentType, body string
	status                  int
	sent                    string // on to the channel
}

// contentTypes are types of bodies, and what becomes of them.
func contentTypes() []contentTypeCase {
	const object = `{"model":"m"}`
	text := formPart("m", `name="model"`) + "--b--\r\n"
	quoted := strings.ReplaceAll(text, "--b", "--b=1.B")
	return []contentTypeCase{
		{chat, "application/json", object, 200, "application/json"},
		{chat, "", object, 200, "application/json"},
		{chat, "application/json; charset=utf-8", object, 200, "application/json"},
		{chat, `application/json; x="; charset=utf-16"`, object, 200, "application/json"},
		{chat, "APPLICATION/JSON;charset=UTF-8", object, 200, "application/json"},
		{chat, "text/plain;charset=iso-8859-1", object, 200, "application/json"},
		{chat, "application/x-www-form-urlencoded", object, 200, "application/json"},
		{chat, "application/x-www-form-urlencoded", `{"model":"m","x":"&model=other&"}`, 200, "application/json"},
		{chat, "application/x-www-form-urlencoded", "model=m", 400, ""},
		{chat, "application/vnd.api+json; version=1", object, 200, "application/json"},
		{chat, "application/javascript", object, 200, "application/json"},
		{chat, "*/*", object, 200, "application/json"},
		{chat, "application/json; charset=utf-16", object, 415, ""},
		{chat, "application/json; charset=utf-7", object, 415, ""},
		{chat, "application/json, multipart/form-data; boundary=b", object, 400, ""},
		{chat, "multipart/form-data", object, 400, ""},
		{chat, "audio/wav", wav, 415, ""},
		{chat, "application/octet-stream", object, 415, ""},
		{chat, "multipart/mixed; boundary=b", text, 415, ""},

		{"/v1/audio/transcriptions", "multipart/form-data; boundary=b", text, 200, "multipart/form-data; boundary=b"},
		{"/v1/audio/transcriptions", `Multipart/Form-Data; charset=utf-8; x="boundry=c"; boundary="b"`, text, 200, "multipart/form-data; boundary=b"},
		{"/v1/audio/transcriptions", `multipart/form-data; boundary="b=1.B"`, quoted, 200, `multipart/form-data; boundary="b=1.B"`},
		{"/v1/audio/transcriptions", "multipart/form-data; boundary=b; charset=utf-16", text, 415, ""},
		{"/v1/audio/transcriptions", "audio/wav", wav, 200, "audio/wav"},
		{"/v1/audio/transcriptions", "audio/L16;rate=16000; x=\"application/json\"; codecs=opus", wav, 200, "audio/l16; codecs=opus; rate=16000"},
		{"/v1/audio/transcriptions", `audio/wav; codecs="application/json"`, wav, 200, "audio/wav"},
		{"/v1/audio/transcriptions", "application/octet-stream", object, 400, ""},
		{"/v1/audio/transcriptions", "audio/wav", "\xef\xbb\xbf \r\n[" + object + "]", 400, ""},
		{"/v1/audio/transcriptions", "audio/wav", "\xff\xfe{\x00}\x00", 400, ""},
		{"/v1/audio/transcriptions", "audio/wav", "\x00\x00\x00{\x00\x00\x00}", 400, ""},
		{"/v1/audio/transcriptions", "audio/L16", strings.Repeat("\x00", 50) + "{", 200, "audio/l16"},
		{"/v1/audio/transcriptions", "multipart/mixed; boundary=b", text, 415, ""},
		{"/v1/audio/transcriptions", "text/plain", wav, 400, ""},
		{"/v1/audio/transcriptions", "*/*", wav, 400, ""},
		{"/v1/audio/transcriptions", "audio", wav, 415, ""},
		{"/v1/realtime/calls", "application/sdp", "v=0\r\n", 200, "application/sdp"},
		{"/upload/v1beta/files", "multipart/related; boundary=b", text, 200, "multipart/related; boundary=b"},
		{"/upload/v1beta/files", "image/png", "\x89PNG", 200, "image/png"},
		{"/upload/v1beta/files", "application/octet-stream", object, 400, ""},
		{"/ai/listen", "audio/wav", wav, 200, "audio/wav"},
		{"/ai/listen", "audio/wav", object, 400, ""},
		{"/ai/listen", "multipart/mixed; boundary=b", text, 415, ""},
	}
}

// What a body is read as is what the channel is told that it is, whatever the
// client says; and what no reader of the gateway understands passes only where
// the API takes such bodies.
func TestContentTypes(t *testing.T) {
	up := caddytest.NewUpstream(t, caddytest.JSON(200, completion))
	g := start(t, "default_channel a\nallow_path /ai/listen\nchannel a "+up.URL+" {\napi_key k\nmodels m\n}")
	for _, tc := range contentTypes() {
		name := fmt.Sprintf("%s %s %.20q", tc.path, tc.contentType, tc.body)
		// A header that the client says ends here keeps its type all the same.
		a := g.do(t, http.MethodPost, tc.path, tc.body, "Content-Type", tc.contentType, "Connection", "Content-Type, Content-Encoding",
			"Content-Transfer-Encoding", "base64", "Digest", "sha-256=x", "Content-Language", "de")
		if a.StatusCode != tc.status {
			t.Errorf("%s: status %d, want %d: %s", name, a.StatusCode, tc.status, a.text)
			continue
		}
		if tc.status != 200 {
			if !strings.Contains(a.text, `"type":"invalid_request_error"`) && !strings.Contains(a.text, `"status":"INVALID_ARGUMENT"`) {
				t.Errorf("%s: %s", name, a.text)
			}
			continue
		}
		got := up.Next(t)
		if sent := got.Header["Content-Type"]; len(sent) != 1 || sent[0] != tc.sent {
			t.Errorf("%s: sent on as %q, want %q", name, sent, tc.sent)
		}
		if string(got.Body) != tc.body {
			t.Errorf("%s: sent on with %q", name, got.Body)
		}
		if got.Header["Content-Transfer-Encoding"] != nil || got.Header["Digest"] != nil || got.Header["Content-Language"] == nil {
			t.Errorf("%s: sent on with %v", name, got.Header)
		}
	}
}

// A piece of a file is no request, whatever is in it, and curl says that it is
// a form.
func TestUploadedPieces(t *testing.T) {
	up := caddytest.NewUpstream(t, caddytest.Echo)
	g := start(t, "default_channel a\nchannel a "+up.URL+" {\napi_key k\nmodels m\n}")
	lines := `{"model":"other"}` + "\n" + `{"model":"other"}` + "\n"
	for contentType, sent := range map[string]string{
		"": "application/octet-stream", "application/x-www-form-urlencoded": "application/octet-stream",
		"application/json": "application/octet-stream", "application/jsonl": "application/octet-stream", "image/png": "image/png",
	} {
		a := g.do(t, http.MethodPost, "/upload/v1beta/files?upload_id=x", lines, "Content-Type", contentType, "X-Goog-Upload-Command", "upload, finalize")
		a.wantStatus(t, 200)
		if got := up.Next(t); a.text != lines || got.Header.Get("Content-Type") != sent {
			t.Errorf("%s: sent on as %s, %q", contentType, got.Header.Get("Content-Type"), a.text)
		}
	}
	g.do(t, http.MethodPost, chat, lines, "Content-Type", "", "X-Goog-Upload-Command", "upload").wantError(t, 400, "")
}
