package llmgateway

import (
	"compress/gzip"
	"fmt"
	"io"
	"math"
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

// A response that is compressed although none was asked for is decoded: keys are
// masked in it and its usage is charged.
func TestEncodedResponses(t *testing.T) {
	const key = "sk-channel-key-1"
	text := strings.Replace(completion, "hello", strings.Repeat("hello ", 5)+key, 1)
	text = strings.TrimSuffix(text, "}") + `,"usage":{"prompt_tokens":9,"completion_tokens":12,"total_tokens":21}}`
	want := strings.Replace(text, key, strings.Repeat("*", len(key)), 1)
	for _, tc := range []struct {
		header  string
		codings []string
	}{
		{"gzip", []string{"gzip"}},
		{"X-Gzip", []string{"gzip"}},
		{"deflate", []string{"deflate"}},
		{"deflate", []string{"raw"}},
		{"br", []string{"br"}},
		{"zstd", []string{"zstd"}},
		{"gzip, br", []string{"gzip", "br"}},
		{"identity", nil},
	} {
		up := caddytest.NewUpstream(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", tc.header)
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Etag", `"1"`)
			_, _ = io.WriteString(w, encode(t, text, tc.codings...))
		})
		g := start(t, "client alice alice-key {\nlimit 100 tokens/day\n}\nchannel a "+up.URL+" {\napi_key "+key+"\nmodels m\n}")
		a := g.chat(t, "m")
		a.wantStatus(t, 200)
		if a.text != want {
			t.Errorf("%s: %d bytes, want %d: %.100q", tc.header, len(a.text), len(want), a.text)
		}
		if len(tc.codings) > 0 && (a.Header.Get("Content-Encoding") != "" || a.Header.Get("Etag") != `W/"1"`) {
			t.Errorf("%s: %v", tc.header, a.Header)
		}
		if a := g.chat(t, "m"); a.Header.Get("X-Ratelimit-Remaining-Tokens") != "79" {
			t.Errorf("%s: %s tokens remain, want 79", tc.header, a.Header.Get("X-Ratelimit-Remaining-Tokens"))
		}
		g.Stop()
	}
}

// What cannot be decoded passes as it is, and what is broken breaks off.
func TestOtherEncodedResponses(t *testing.T) {
	handler := func(status int, coding, text string, header ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", coding)
			w.Header().Set("Content-Type", "application/octet-stream")
			for i := 0; i < len(header); i += 2 {
				w.Header().Set(header[i], header[i+1])
			}
			w.WriteHeader(status)
			_, _ = io.WriteString(w, text)
		}
	}
	up := caddytest.NewUpstream(t, nil)
	g := start(t, "default_channel a\nchannel a "+up.URL+" {\napi_key sk-channel-key-1\nmodels m\n}")
	encoded := encode(t, completion, "gzip")
	for name, tc := range map[string]struct {
		handler http.HandlerFunc
		method  string
		text    string
		coding  string
	}{
		"an unknown coding": {handler(200, "aws-chunked", encoded), "GET", encoded, "aws-chunked"},
		"a part":            {handler(206, "gzip", encoded[3:9], "Content-Range", "bytes 3-8/100"), "GET", encoded[3:9], "gzip"},
		"HEAD":              {handler(200, "gzip", ""), "HEAD", "", "gzip"},
		"no body":           {handler(200, "gzip", ""), "GET", "", "gzip"},
		"not modified":      {handler(304, "gzip", ""), "GET", "", "gzip"},
		"broken":            {handler(200, "gzip", encoded[:20]), "GET", "cut off", ""},
		"not encoded":       {handler(200, "gzip", completion), "GET", "cut off", ""},
	} {
		up.Handle(tc.handler)
		a, err := g.try(t, tc.method, "/v1/files/file-1", "", "Accept-Encoding", "gzip")
		if tc.text == "cut off" {
			if err == nil {
				t.Errorf("%s: the response is complete: %q", name, a.text)
			}
			continue
		}
		if err != nil || a.text != tc.text || a.Header.Get("Content-Encoding") != tc.coding {
			t.Errorf("%s: %v, %q, %v", name, err, a.text, a.Header)
		}
	}
}

// Events of an encoded stream pass as they come.
func TestEncodedStream(t *testing.T) {
	events := make(chan string, 1)
	events <- chunk // the headers come with it
	up := caddytest.NewUpstream(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		w.Header().Set("Content-Type", "text/event-stream")
		encoder := gzip.NewWriter(w)
		for event := range events {
			fmt.Fprint(encoder, event)
			_ = encoder.Flush()
			_ = http.NewResponseController(w).Flush()
		}
		_ = encoder.Close()
	})
	g := start(t, "channel a "+up.URL+" {\napi_key sk-channel-key-1\nmodels m\n}")
	body := strings.Replace(chatBody("m"), "{", `{"stream":true,`, 1)
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, g.URL+"/v1/chat/completions", strings.NewReader(body))
	req.Header.Set("Authorization", "Bearer alice-key")
	res, err := g.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	for range 5 {
		got := make([]byte, len(chunk))
		if _, err := io.ReadFull(res.Body, got); err != nil || string(got) != chunk {
			t.Fatalf("got %q, %v", got, err)
		}
		events <- chunk
	}
	close(events)
	if rest, err := io.ReadAll(res.Body); err != nil || string(rest) != chunk {
		t.Errorf("behind the last event: %q, %v", rest, err)
	}
}

// stalledBody is a body that ends only when it is closed.
type stalledBody struct {
	io.Reader
	stalled, closed chan struct{}
	close           func() // called first
}

func (b *stalledBody) Read(p []byte) (int, error) {
	if n, _ := b.Reader.Read(p); n > 0 {
		return n, nil
	}
	close(b.stalled)
	<-b.closed
	return 0, http.ErrBodyReadAfterClose
}

func (b *stalledBody) Close() error {
	b.close()
	close(b.closed)
	return nil
}

// The beginning of a refusal is read in the background, and given up when it
// stalls. Its decoder does not get to another response while it is still in use.
func TestDecoderOfStalledResponse(t *testing.T) {
	for name, c := range map[string]coding{"gzip": gzipCoding, "deflate": deflateCoding, "br": brotliCoding, "zstd": zstdCoding} {
		text := strings.Repeat("hello ", 10_000)
		other, err := decoding(nil), error(nil)
		encoded := encode(t, text, name)
		stalled := &stalledBody{Reader: strings.NewReader(encoded[:len(encoded)-2]), stalled: make(chan struct{}), closed: make(chan struct{})}
		stalled.close = func() {
			other, err = newDecoding([]coding{c}, strings.NewReader(encoded), math.MaxInt64)
		}
		body, done := &decodedBody{encoded: stalled, codings: []coding{c}}, make(chan struct{})
		go func() {
			defer close(done)
			_, _ = io.Copy(io.Discard, body)
		}()
		<-stalled.stalled
		if err := body.Close(); err != nil {
			t.Error(err)
		}
		<-done
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got, err := io.ReadAll(other); string(got) != text || err != nil {
			t.Errorf("%s: another response has %d bytes, want %d (%v)", name, len(got), len(text), err)
		}
		other.Close()
		if _, err := body.Read(make([]byte, 1)); err == nil || err == io.EOF {
			t.Errorf("%s: after Close: %v", name, err)
		}
	}
}
