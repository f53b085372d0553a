package translate_test

import (
	"strings"
	"testing"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/neutral"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/translate"
)

var dialects = []neutral.Dialect{neutral.Chat, neutral.Responses, neutral.Messages, neutral.Gemini}

// least is the shortest request of each dialect.
var least = map[neutral.Dialect]string{
	neutral.Chat:      `{"model":"m","stream":true,"stream_options":{"include_usage":true},"messages":[{"role":"user","content":"hi"}]}`,
	neutral.Responses: `{"model":"m","stream":true,"input":"hi"}`,
	neutral.Messages:  `{"model":"m","stream":true,"max_tokens":10,"messages":[{"role":"user","content":"hi"}]}`,
	neutral.Gemini:    `{"contents":[{"role":"user","parts":[{"text":"hi"}]}]}`,
}

func read(t *testing.T, dialect neutral.Dialect, body string) *neutral.Request {
	t.Helper()
	r, err := translate.Read(dialect, []byte(body))
	if err != nil {
		t.Fatalf("%s: %v", dialect, err)
	}
	if dialect == neutral.Gemini {
		r.Model, r.Stream = "m", true
	}
	return r
}

func write(t *testing.T, r *neutral.Request, dialect neutral.Dialect, model string) (body, dropped string) {
	t.Helper()
	sent, err := translate.Write(r, dialect, neutral.Target{Model: model, Vendor: "v"})
	if err != nil {
		t.Fatalf("%s to %s: %v", r.Dialect, dialect, err)
	}
	return string(sent.Body), sent.Dropped.Header()
}

func how(from neutral.Dialect) translate.Response {
	return translate.Response{From: from, Vendor: "v", ID: "ID", Now: 1}
}

// stream translates a response that comes in pieces.
func stream(r *neutral.Request, from neutral.Dialect, pieces ...string) string {
	s := translate.NewStream(r, how(from))
	var out []byte
	for _, piece := range pieces {
		out = s.Append(out, []byte(piece))
	}
	return string(s.End(out))
}

// data makes an event stream of the data of its events.
func data(events ...string) string {
	var b strings.Builder
	for _, event := range events {
		b.WriteString("data: " + event + "\n\n")
	}
	return b.String()
}

func contains(t *testing.T, what, got, want string) {
	t.Helper()
	if !strings.Contains(got, want) {
		t.Errorf("%s: want %s in\n%s", what, want, got)
	}
}

func containsNot(t *testing.T, what, got, unwanted string) {
	t.Helper()
	if strings.Contains(got, unwanted) {
		t.Errorf("%s: want no %s in\n%s", what, unwanted, got)
	}
}
