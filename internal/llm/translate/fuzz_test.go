package translate_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/neutral"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/translate"
)

// FuzzRequest reads any body in any dialect and writes it in any other: no panic,
// and what is written is JSON, and the same each time.
func FuzzRequest(f *testing.F) {
	for _, request := range requests {
		for from := range dialects {
			f.Add(request.body, from, (from+1)%len(dialects))
		}
	}
	for _, body := range least {
		f.Add(body, 0, 1)
	}
	f.Fuzz(func(t *testing.T, body string, from, to int) {
		if from < 0 || to < 0 {
			return
		}
		r, err := translate.Read(dialects[from%len(dialects)], []byte(body))
		if err != nil {
			return
		}
		target := neutral.Target{Model: "gemini-3-pro", Vendor: "v"}
		sent, err := translate.Write(r, dialects[to%len(dialects)], target)
		if err != nil {
			return
		}
		if !json.Valid(sent.Body) {
			t.Fatalf("written as %s, which is no JSON", sent.Body)
		}
		if strings.ContainsAny(sent.Dropped.Header(), "\r\n") {
			t.Errorf("%q is no value of a header", sent.Dropped.Header())
		}
		again, err := translate.Write(r, dialects[to%len(dialects)], target)
		if err != nil || string(again.Body) != string(sent.Body) {
			t.Errorf("written the second time as %s, the first time as %s", again.Body, sent.Body)
		}
	})
}

// FuzzResponse reads any response in any dialect and writes it in any other, cut in
// two: no panic, all events are JSON, and the cut makes no difference.
func FuzzResponse(f *testing.F) {
	for _, c := range oddities {
		f.Add(c.stream, 0, 1, 7)
	}
	for from, body := range full {
		for i, dialect := range dialects {
			if dialect == from {
				for to := range dialects {
					f.Add(body, i, to, 99)
				}
			}
		}
	}
	for from, body := range native {
		for to := range dialects {
			f.Add(body, from, to, 5)
		}
	}
	f.Fuzz(func(t *testing.T, body string, from, to, cut int) {
		if from < 0 || to < 0 {
			return
		}
		source, client := dialects[from%len(dialects)], dialects[to%len(dialects)]
		r := read(t, client, least[client])
		cut = max(0, min(cut, len(body)))
		got := stream(r, source, body[:cut], body[cut:])
		if want := stream(r, source, body); withoutRandom(got) != withoutRandom(want) {
			t.Errorf("cut at %d: got\n%s\nwant\n%s", cut, got, want)
		}
		for _, line := range strings.Split(got, "\n") {
			if event, ok := strings.CutPrefix(line, "data: "); ok && event != "[DONE]" && !json.Valid([]byte(event)) {
				t.Fatalf("the event %s is no JSON", event)
			}
		}
		if whole, err := translate.Whole(r, how(source), []byte(body)); err == nil && !json.Valid(whole) {
			t.Fatalf("written as %s, which is no JSON", whole)
		}
	})
}

func FuzzError(f *testing.F) {
	f.Add(429, `[{"error":{"code":429,"message":"m"}}]`)
	f.Fuzz(func(t *testing.T, status int, body string) {
		for _, dialect := range dialects {
			if got := translate.WriteError(dialect, neutral.ReadError(status, []byte(body))); !json.Valid(got) {
				t.Errorf("%s to %s: got %s, which is no JSON", body, dialect, got)
			}
		}
	})
}
