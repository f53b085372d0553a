package bench

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
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

// load is one side's traffic.
type load struct {
	process *process
	client  *http.Client
	body    []byte
	workers int
}

// round sends n requests and returns how long each took.
func (l *load) round(b *testing.B, n int) []time.Duration {
	took := make([]time.Duration, n)
	var wg sync.WaitGroup
	for w := range l.workers {
		wg.Go(func() {
			for i := w; i < n; i += l.workers {
				start := time.Now()
				l.send(b)
				took[i] = time.Since(start)
			}
		})
	}
	wg.Wait()
	return took
}

func (l *load) send(b *testing.B) {
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost,
		"http://"+l.process.addr+"/v1/chat/completions", bytes.NewReader(l.body))
	if err != nil {
		b.Error(err)
		return
	}
	req.Header = sdkHeader
	resp, err := l.client.Do(req)
	if err != nil {
		b.Error(err)
		return
	}
	defer resp.Body.Close()
	if got, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != http.StatusOK || len(got) != len(answer) {
		b.Errorf("status %d, %d bytes, %v", resp.StatusCode, len(got), err)
	}
}

// compare sends the same traffic through plain reverse_proxy and through
// llm_gateway, in turn, and reports both sides' figures.
func compare(b *testing.B, size, workers, perRound int) {
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, answer)
	}))
	b.Cleanup(upstream.Close)
	side := func(site string) *load {
		addr := caddytest.Addr(b)
		l := &load{
			process: run(b, addr, fmt.Sprintf("http://%s {\n%s\n}\n", addr, site)),
			client:  &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: workers}},
			body:    chat(size),
			workers: workers,
		}
		b.Cleanup(l.client.CloseIdleConnections)
		return l
	}
	plain := side("\treverse_proxy " + upstream.URL)
	ours := side("\tllm_gateway {\n\t\tclient me client-key\n\t\tchannel a " + upstream.URL +
		" {\n\t\t\tapi_key sk-upstream\n\t\t\tmodels gpt-4o as gpt-4o-2024-08-06\n\t\t}\n\t}")

	sides := []*load{plain, ours}
	for _, l := range sides {
		l.round(b, perRound/2) // warm up
	}
	cpu := make([]time.Duration, 2)
	took := make([][]time.Duration, 2)
	b.ResetTimer()
	for b.Loop() {
		for i, l := range sides {
			before := l.process.cpu(b)
			took[i] = append(took[i], l.round(b, perRound)...)
			cpu[i] += l.process.cpu(b) - before
		}
	}
	requests := float64(len(took[0]))
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(cpu[0].Microseconds())/requests, "plain-µs")
	b.ReportMetric(float64(cpu[1].Microseconds())/requests, "ours-µs")
	b.ReportMetric(float64(cpu[1])/float64(cpu[0]), "cpu-ratio")
	b.ReportMetric(plain.process.peak(b), "plain-MB")
	b.ReportMetric(ours.process.peak(b), "ours-MB")
	b.ReportMetric(float64((median(took[1])-median(took[0])).Nanoseconds())/1000, "added-p50-µs")
}

func median(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}

func BenchmarkChat1KB(b *testing.B) { compare(b, 1<<10, 16, 4000) }

func BenchmarkChat5MB(b *testing.B) { compare(b, 5<<20, 8, 80) }
