package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

const answer = `{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,` +
	`"message":{"role":"assistant","content":"` + "It is a truth universally acknowledged." + `"},"finish_reason":"stop"}],` +
	`"usage":{"prompt_tokens":9,"completion_tokens":12,"total_tokens":21}}`

// chat is a chat completion request of about the given size, as one with an
// image in base64 is.
func chat(size int) []byte {
	const head, tail = `{"model":"gpt-4o","messages":[{"role":"user","content":"`, `"}],"temperature":0.5}`
	return []byte(head + strings.Repeat("QUJDRGVm0123+/xyz", max(0, size-len(head)-len(tail))/17) + tail)
}

// sdkHeader is what OpenAI's Go SDK sends with a chat.
var sdkHeader = http.Header{
	"Accept":                      {"application/json"},
	"Authorization":               {"Bearer client-key"},
	"Content-Type":                {"application/json"},
	"User-Agent":                  {"OpenAI/Go 3.0.0"},
	"X-Stainless-Arch":            {"x64"},
	"X-Stainless-Lang":            {"go"},
	"X-Stainless-Os":              {"Linux"},
	"X-Stainless-Package-Version": {"3.0.0"},
	"X-Stainless-Retry-Count":     {"0"},
	"X-Stainless-Runtime":         {"go"},
	"X-Stainless-Runtime-Version": {"go1.26"},
}

// events is the answer as a stream, a word an event.
var events = func() (events []string) {
	for word := range strings.SplitSeq(strings.Repeat("It is a truth universally acknowledged. ", 8), " ") {
		events = append(events, `data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,`+
			`"delta":{"content":" `+word+`"},"finish_reason":null}]}`+"\n\n")
	}
	return append(events, "data: [DONE]\n\n")
}()

// pause is the time between two events. It is shorter than that of a fast
// model, and long enough for each event to travel alone.
const pause = time.Millisecond

// answerWhole and answerStreamed are handlers of an upstream.
func answerWhole(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, answer)
}

func answerStreamed(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	w.Header().Set("Content-Type", "text/event-stream")
	for _, event := range events {
		_, _ = io.WriteString(w, event)
		_ = http.NewResponseController(w).Flush()
		time.Sleep(pause)
	}
}

// send sends a request and checks the length of the response, unless that is
// negative.
func send(b *testing.B, client *http.Client, url string, body []byte, answer int) {
	sendAs(b, client, url, sdkHeader, body, answer)
}

func sendAs(b *testing.B, client *http.Client, url string, header http.Header, body []byte, answer int) {
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		b.Error(err)
		return
	}
	req.Header = header
	resp, err := client.Do(req)
	if err != nil {
		b.Error(err)
		return
	}
	defer resp.Body.Close()
	if got, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != http.StatusOK || answer >= 0 && len(got) != answer {
		b.Errorf("status %d, %d bytes, %v", resp.StatusCode, len(got), err)
	}
}

// newUpstream starts an upstream over TLS and HTTP/2, as real providers are.
func newUpstream(b *testing.B, handler http.HandlerFunc) *httptest.Server {
	upstream := httptest.NewUnstartedServer(handler)
	upstream.EnableHTTP2 = true
	upstream.StartTLS()
	b.Cleanup(upstream.Close)
	return upstream
}

// compareChat sends the same chats through plain reverse_proxy and through
// llm_gateway.
func compareChat(b *testing.B, body []byte, upstreamAnswers http.HandlerFunc, length, workers, perRound int) {
	compareRequests(b, "/v1/chat/completions", body, upstreamAnswers, length, "/v1/chat/completions", body, "", length, workers, perRound)
}

// compareRequests sends one request through plain reverse_proxy and another
// through llm_gateway, whose channel has an option more.
func compareRequests(b *testing.B, plainPath string, plainBody []byte, upstreamAnswers http.HandlerFunc, plainLength int,
	path string, body []byte, option string, length, workers, perRound int,
) {
	upstream := newUpstream(b, upstreamAnswers)
	plain := newSide(b, "\treverse_proxy "+upstream.URL+" {\n\t\ttransport http {\n\t\t\ttls_insecure_skip_verify\n\t\t}\n\t}", plainPath, plainBody, plainLength, workers)
	compare(b, plain, newSide(b, gatewaySite(upstream.URL, option), path, body, length, workers), perRound)
}

// newSide runs a Caddy with a site that gets the same request again and again.
func newSide(b *testing.B, site, path string, body []byte, length, workers int) *load {
	addr := caddytest.Addr(b)
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: workers}}
	b.Cleanup(client.CloseIdleConnections)
	return &load{
		process: run(b, addr, fmt.Sprintf("http://%s {\n%s\n}\n", addr, site)),
		workers: workers,
		send: func(b *testing.B, _ int) {
			send(b, client, "http://"+addr+path, body, length)
		},
	}
}

// gatewaySite is a gateway with one channel, which has an option more.
func gatewaySite(upstream, option string) string {
	return "\tllm_gateway {\n\t\tclient me client-key\n\t\tchannel a " + upstream + " {\n\t\t\tapi_key sk-upstream\n\t\t\tmodels gpt-4o as gpt-4o-2024-08-06\n" +
		option + "\n\t\t\ttransport {\n\t\t\t\ttls_insecure_skip_verify\n\t\t\t}\n\t\t}\n\t}"
}

func BenchmarkChat1KB(b *testing.B) {
	compareChat(b, chat(1<<10), answerWhole, len(answer), 16, 4000)
}

func BenchmarkChatStreamed(b *testing.B) {
	body := bytes.Replace(chat(1<<10), []byte(`{`), []byte(`{"stream":true,`), 1)
	compareChat(b, body, answerStreamed, len(strings.Join(events, "")), 16, 500)
}

func BenchmarkChat5MB(b *testing.B) {
	compareChat(b, chat(5<<20), answerWhole, len(answer), 8, 80)
}

// messages is a request of Anthropic's SDK, of about the given size.
func messages(size int) []byte {
	const head, tail = `{"model":"gpt-4o","max_tokens":1024,"messages":[{"role":"user","content":[{"type":"text","text":"`, `"}]}],"temperature":0.5}`
	return []byte(head + strings.Repeat("QUJDRGVm0123+/xyz", max(0, size-len(head)-len(tail))/17) + tail)
}

// A request of Messages that is translated to Chat Completions, against a chat
// that plain reverse_proxy passes on.
func BenchmarkTranslated1KB(b *testing.B) {
	compareRequests(b, "/v1/chat/completions", chat(1<<10), answerWhole, len(answer), "/v1/messages", messages(1<<10), "speaks chat", -1, 16, 4000)
}

func BenchmarkTranslatedStreamed(b *testing.B) {
	streamed := func(body []byte) []byte { return bytes.Replace(body, []byte(`{`), []byte(`{"stream":true,`), 1) }
	compareRequests(b, "/v1/chat/completions", streamed(chat(1<<10)), answerStreamed, len(strings.Join(events, "")), "/v1/messages", streamed(messages(1<<10)), "speaks chat", -1, 16, 500)
}

// compareSpoken sends the same chats through a gateway whose channel says that it
// speaks chat, and through one whose channel says nothing.
func compareSpoken(b *testing.B, body []byte, upstreamAnswers http.HandlerFunc, length, workers, perRound int) {
	upstream := newUpstream(b, upstreamAnswers)
	side := func(option string) *load {
		return newSide(b, gatewaySite(upstream.URL, option), "/v1/chat/completions", body, length, workers)
	}
	compare(b, side(""), side("speaks chat responses"), perRound)
}

// What a channel speaks itself is passed on: to say so must cost nothing.
func BenchmarkSpoken1KB(b *testing.B) {
	compareSpoken(b, chat(1<<10), answerWhole, len(answer), 16, 4000)
}

func BenchmarkSpokenStreamed(b *testing.B) {
	body := bytes.Replace(chat(1<<10), []byte(`{`), []byte(`{"stream":true,`), 1)
	compareSpoken(b, body, answerStreamed, len(strings.Join(events, "")), 16, 500)
}

func BenchmarkSpoken5MB(b *testing.B) {
	compareSpoken(b, chat(5<<20), answerWhole, len(answer), 8, 80)
}
