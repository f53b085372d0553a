package llmgateway

import (
	"bytes"
	"fmt"
	"mime/multipart"
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

// form writes a form as an SDK does; a part whose name ends with @ is a file.
func form(t testing.TB, boundary string, parts ...string) string {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	if err := w.SetBoundary(boundary); err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(parts); i += 2 {
		name, isFile := strings.CutSuffix(parts[i], "@")
		if !isFile {
			_ = w.WriteField(name, parts[i+1])
			continue
		}
		part, err := w.CreateFormFile(name, "a.wav")
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(part, parts[i+1])
	}
	w.Close()
	return b.String()
}

// The model of a form is replaced before and after the file, on each try, and
// nothing else changes.
func TestForm(t *testing.T) {
	busy := caddytest.NewUpstream(t, caddytest.JSON(503, "{}"))
	up := caddytest.NewUpstream(t, caddytest.JSON(200, `{"text":"hello"}`))
	g := start(t, `
		client alice alice-key {
			models whisper
		}
		lb_policy first
		channel busy `+busy.URL+` {
			api_key k
			models  whisper as w
		}
		channel a `+up.URL+`/openai/v1 {
			api_key k
			models  whisper as whisper-large-v3-turbo
		}`)
	audio := strings.Repeat("\x00\xffRIFF\r\n--", 200_000)
	for _, with := range []func(model string) []string{
		func(m string) []string { return []string{"model", m, "file@", audio, "language", "de"} },
		func(m string) []string { return []string{"file@", audio, "language", "de", "model", m} },
		func(m string) []string { return []string{"image[]@", "x", "image[]@", "y", "model", m} },
	} {
		const boundary = "----formdata-123456"
		a := g.do(t, http.MethodPost, "/v1/audio/transcriptions", form(t, boundary, with("whisper")...),
			"Content-Type", "multipart/form-data; boundary="+boundary)
		a.wantStatus(t, 200)
		for up, model := range map[*caddytest.Upstream]string{busy: "w", up: "whisper-large-v3-turbo"} {
			got := up.Next(t)
			if want := form(t, boundary, with(model)...); string(got.Body) != want || got.ContentLength != int64(len(want)) {
				t.Errorf("%d bytes arrived, want %d with the model %s", len(got.Body), len(want), model)
			}
		}
	}
	for _, parts := range [][]string{
		{"model", "whisper", "model", "gpt-4o-transcribe"},
		{"model", "whisper", "Model", "gpt-4o-transcribe"},
		{"model@", "whisper"},
	} {
		g.do(t, http.MethodPost, "/v1/audio/transcriptions", form(t, "b", parts...), "Content-Type", "multipart/form-data; boundary=b").
			wantError(t, 400, "")
	}
	g.do(t, http.MethodPost, "/v1/audio/transcriptions", form(t, "b", "model", "gpt-4o"), "Content-Type", "multipart/form-data; boundary=b").
		wantError(t, 404, "model_not_found")
}
