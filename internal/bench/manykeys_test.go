package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

// These compare a gateway of one key with one of many: a request must not become
// dearer with their number.

// conversations returns chats of different conversations, 1 KB each.
func conversations() func() []byte {
	var n atomic.Int64
	return func() []byte {
		head := fmt.Sprintf(`{"model":"gpt-4o","messages":[{"role":"user","content":"%08d `, n.Add(1))
		return []byte(head + strings.Repeat("QUJDRGVm0123+/xyz", 58) + `"}],"temperature":0.5}`)
	}
}

// gatewaySide is a gateway with these channels.
func gatewaySide(b *testing.B, options string, workers int) *load {
	addr := caddytest.Addr(b)
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: workers}}
	b.Cleanup(client.CloseIdleConnections)
	next := conversations()
	return &load{
		process: run(b, addr, fmt.Sprintf("http://%s {\n\tllm_gateway {\n\t\tclient me client-key\n%s\n\t}\n}\n", addr, options)),
		workers: workers,
		send: func(b *testing.B, _ int) {
			send(b, client, "http://"+addr+"/v1/chat/completions", next(), len(answer))
		},
	}
}

// channelWith is a channel of the upstream with these keys.
func channelWith(name, url, keys, options string) string {
	return fmt.Sprintf("channel %s %s {\napi_key %s\nmodels gpt-4o as gpt-4o-2024-08-06\n%s\ntransport {\ntls_insecure_skip_verify\n}\n}\n", name, url, keys, options)
}

// keyFile is a file with n keys, the first of which is good.
func keyFile(b *testing.B, n int) string {
	file := filepath.Join(b.TempDir(), "keys")
	var text strings.Builder
	for i := range n {
		fmt.Fprintf(&text, "sk-upstream-%040d\n", i)
	}
	if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
		b.Fatal(err)
	}
	return "{file." + file + "}"
}

func BenchmarkKeys(b *testing.B) {
	for _, options := range []string{"", "key_policy round_robin", "key_policy quota"} {
		for _, quotas := range []string{"", "quota 100000000/day\nquota 1000000000/minute per model"} {
			b.Run(fmt.Sprintf("%s,quotas=%v", strings.TrimPrefix(options, "key_policy "), quotas != ""), func(b *testing.B) {
				upstream := newUpstream(b, answerWhole)
				one := gatewaySide(b, options+"\n"+channelWith("a", upstream.URL, keyFile(b, 1), quotas), 16)
				many := gatewaySide(b, options+"\n"+channelWith("a", upstream.URL, keyFile(b, 10_000), quotas), 16)
				compare(b, one, many, 3000)
			})
		}
	}
}

// All keys but one are in cooldown.
func BenchmarkKeysInCooldown(b *testing.B) {
	upstream := newUpstream(b, func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(r.Header.Get("Authorization"), "00") {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprint(w, `{"error":{"message":"Incorrect API key provided.","type":"invalid_request_error","code":"invalid_api_key"}}`)
			return
		}
		answerWhole(w, r)
	})
	one := gatewaySide(b, channelWith("a", upstream.URL, keyFile(b, 1), ""), 16)
	many := gatewaySide(b, "retries 10000\ntry_duration 5m\n"+channelWith("a", upstream.URL, keyFile(b, 10_000), ""), 16)
	for start := time.Now(); time.Since(start) < 8*time.Second; {
		many.round(b, 200) // until nearly all are known to be dead
	}
	compare(b, one, many, 3000)
}

func BenchmarkChannels(b *testing.B) {
	upstream := newUpstream(b, answerWhole)
	one := gatewaySide(b, channelWith("a", upstream.URL, "sk-upstream-0", ""), 16)
	var channels strings.Builder
	for i := range 1000 {
		channels.WriteString(channelWith(fmt.Sprint("c", i), upstream.URL, fmt.Sprint("sk-upstream-", i), ""))
	}
	many := gatewaySide(b, channels.String(), 16)
	compare(b, one, many, 3000)
}

// Ten thousand clients in a file.
func BenchmarkClients(b *testing.B) {
	upstream := newUpstream(b, answerWhole)
	clients := make([]map[string]string, 10_000)
	for i := range clients {
		hash := sha256.Sum256(fmt.Appendf(nil, "key-of-person-%d", i))
		clients[i] = map[string]string{"name": fmt.Sprint("person-", i), "key_sha256": hex.EncodeToString(hash[:])}
	}
	content, err := json.Marshal(clients)
	if err != nil {
		b.Fatal(err)
	}
	file := filepath.Join(b.TempDir(), "clients.json")
	if err := os.WriteFile(file, content, 0o600); err != nil {
		b.Fatal(err)
	}
	channel := channelWith("a", upstream.URL, "sk-upstream-0", "")
	compare(b, gatewaySide(b, channel, 16), gatewaySide(b, "clients_file "+file+"\n"+channel, 16), 3000)
}

// A DoH server with a thousand upstreams, against one with one.
func BenchmarkDoHUpstreams(b *testing.B) {
	url, ca := dohServer(b)
	site := func(n int) string {
		var upstreams strings.Builder
		for i := range n {
			fmt.Fprintf(&upstreams, "\t\tupstream %s/account-%d {\n\t\t\ttls_ca %s\n\t\t}\n", url, i, ca)
		}
		return "\tdoh {\n" + upstreams.String() + "\t}"
	}
	compareDoH(b, 1<<30, site(1), site(1000))
}

// BenchmarkStart measures the time from the start of the process to the first response.
func BenchmarkStart(b *testing.B) {
	upstream := newUpstream(b, answerWhole)
	var took time.Duration
	n := 0
	for b.Loop() {
		start := time.Now()
		side := newSide(b, gatewaySite(upstream.URL, ""), "/v1/chat/completions", chat(1<<10), len(answer), 1)
		side.send(b, 0)
		took += time.Since(start)
		n++
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(took.Milliseconds())/float64(n), "ms")
}
