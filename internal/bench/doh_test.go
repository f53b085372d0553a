package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/miekg/dns"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

const dnsMessage = "application/dns-message"

// question is a query for the n-th name, as a browser sends it: padded to 128
// bytes.
func question(n int) []byte {
	query := new(dns.Msg).SetQuestion(fmt.Sprintf("%08d.example.org.", n), dns.TypeA)
	query.Id = 0
	query.SetEdns0(1232, false)
	opt := query.IsEdns0()
	opt.Option = append(opt.Option, &dns.EDNS0_PADDING{Padding: make([]byte, 128-query.Len()-4)})
	packed, err := query.Pack()
	if err != nil {
		panic(err)
	}
	return packed
}

// reply answers a query with two addresses.
func reply(query []byte) []byte {
	const name = 12
	end := name + len("\x0800000000\x07example\x03org\x00") + 4
	msg := append([]byte(nil), query[:end]...)
	copy(msg[2:], []byte{0x81, 0x80, 0, 1, 0, 2, 0, 0, 0, 1})
	for i := range 2 {
		msg = append(msg, 0xC0, name, 0, 1, 0, 1, 0, 0, 1, 0x2C, 0, 4, 192, 0, 2, byte(i))
	}
	return append(msg, 0, 0, 41, 0x04, 0xD0, 0, 0, 0, 0, 0, 0)
}

// dohClient sends queries by GET and POST over HTTP/2, over a connection for
// every eight workers.
type dohClient struct {
	clients []*http.Client
	url     string
	names   int // how many there are
	sent    atomic.Int64
}

func newDoHClient(b *testing.B, url string, ca []byte, names int) *dohClient {
	c := &dohClient{url: url, names: names}
	for range 4 {
		transport := &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{RootCAs: x509.NewCertPool()}}
		transport.TLSClientConfig.RootCAs.AppendCertsFromPEM(ca)
		b.Cleanup(transport.CloseIdleConnections)
		c.clients = append(c.clients, &http.Client{Transport: transport})
	}
	return c
}

func (c *dohClient) send(b *testing.B, worker int) {
	query := question(int(c.sent.Add(1)) % c.names)
	method, url, body := http.MethodPost, c.url, io.Reader(bytes.NewReader(query))
	if worker%2 == 0 {
		method, url, body = http.MethodGet, c.url+"?dns="+base64.RawURLEncoding.EncodeToString(query), nil
	}
	req, err := http.NewRequest(method, url, body)
	if err != nil {
		b.Error(err)
		return
	}
	req.Header.Set("Accept", dnsMessage)
	if body != nil {
		req.Header.Set("Content-Type", dnsMessage)
	}
	resp, err := c.clients[worker/8].Do(req)
	if err != nil {
		b.Error(err)
		return
	}
	defer resp.Body.Close()
	if got, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != http.StatusOK || resp.ProtoMajor != 2 || len(got) < 12 {
		b.Errorf("status %d, %d bytes, %v", resp.StatusCode, len(got), err)
	}
}

// dohServer answers queries over HTTP/2. It returns its URL and the file of
// its certificate authority.
func dohServer(b *testing.B) (url, ca string) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		query, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(r.URL.RawQuery, "dns="))
		if r.Method == http.MethodPost {
			query, err = io.ReadAll(r.Body)
		}
		if err != nil || len(query) < 40 {
			http.Error(w, "no query", http.StatusBadRequest)
			return
		}
		w.Header()["Content-Type"] = []string{dnsMessage}
		w.Header()["Cache-Control"] = []string{"max-age=300"}
		_, _ = w.Write(reply(query))
	}))
	server.EnableHTTP2 = true
	server.StartTLS()
	b.Cleanup(server.Close)
	ca = filepath.Join(b.TempDir(), "ca.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(ca, block, 0o600); err != nil {
		b.Fatal(err)
	}
	return server.URL, ca
}

// compareDoH sends queries for a number of names to both sites.
func compareDoH(b *testing.B, names int, plain, ours string) {
	cert, key := caddytest.Certificate(b)
	trusted, err := os.ReadFile(cert)
	if err != nil {
		b.Fatal(err)
	}
	side := func(site string) *load {
		addr := caddytest.Addr(b)
		client := newDoHClient(b, "https://"+addr+"/dns-query", trusted, names)
		return &load{
			process: run(b, addr, fmt.Sprintf("https://%s {\n\ttls %s %s\n%s\n}\n", addr, cert, key, site)),
			workers: 32,
			send:    client.send,
		}
	}
	compare(b, side(plain), side(ours), 6000)
}

// BenchmarkDoHMiss compares queries for ever new names with the same through
// plain reverse_proxy. The cache is on.
func BenchmarkDoHMiss(b *testing.B) {
	url, ca := dohServer(b)
	compareDoH(b, 1<<30,
		"\treverse_proxy "+url+" {\n\t\ttransport http {\n\t\t\ttls_trust_pool file "+ca+"\n\t\t}\n\t}",
		"\tdoh {\n\t\tupstream "+url+" {\n\t\t\ttls_ca "+ca+"\n\t\t}\n\t}")
}

// BenchmarkDoHHit compares answers from the cache, padded as browsers want
// them, with Caddy's static answer of the same size and as many header fields.
func BenchmarkDoHHit(b *testing.B) {
	url, ca := dohServer(b)
	const padded = 468
	compareDoH(b, 100,
		"\theader Content-Type "+dnsMessage+"\n\theader Cache-Control max-age=300\n\trespond "+strings.Repeat("x", padded),
		"\tdoh {\n\t\tupstream "+url+" {\n\t\t\ttls_ca "+ca+"\n\t\t}\n\t}")
}
