package bench

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
	"testing"

	"github.com/miekg/dns"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

const dnsMessage = "application/dns-message"

// question is a query as a browser sends it, padded to 128 bytes.
func question(b *testing.B) []byte {
	query := new(dns.Msg).SetQuestion("www.example.org.", dns.TypeA)
	query.Id = 0
	query.SetEdns0(1232, false)
	opt := query.IsEdns0()
	opt.Option = append(opt.Option, &dns.EDNS0_PADDING{Padding: make([]byte, 128-query.Len()-4)})
	packed, err := query.Pack()
	if err != nil {
		b.Fatal(err)
	}
	return packed
}

// dohClient sends a query by GET or POST over HTTP/2, over a connection for
// every eight workers.
type dohClient struct {
	clients []*http.Client
	url     string
	query   []byte
}

func newDoHClient(b *testing.B, url string, ca []byte, query []byte) *dohClient {
	c := &dohClient{url: url, query: query}
	for range 4 {
		transport := &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{RootCAs: x509.NewCertPool()}}
		transport.TLSClientConfig.RootCAs.AppendCertsFromPEM(ca)
		b.Cleanup(transport.CloseIdleConnections)
		c.clients = append(c.clients, &http.Client{Transport: transport})
	}
	return c
}

func (c *dohClient) send(b *testing.B, worker int) {
	method, url, body := http.MethodPost, c.url, io.Reader(bytes.NewReader(c.query))
	if worker%2 == 0 {
		method, url, body = http.MethodGet, c.url+"?dns="+base64.RawURLEncoding.EncodeToString(c.query), nil
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

// dohServer answers every query over HTTP/2 with the same records. It returns
// its URL, the file of its certificate authority and the answer.
func dohServer(b *testing.B, query []byte) (url, ca string, reply []byte) {
	msg := new(dns.Msg)
	if err := msg.Unpack(query); err != nil {
		b.Fatal(err)
	}
	reply, err := caddytest.Records(b, "@ 300 IN A 192.0.2.7", "@ 300 IN A 192.0.2.8")(msg).Pack()
	if err != nil {
		b.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header()["Content-Type"] = []string{dnsMessage}
		w.Header()["Cache-Control"] = []string{"max-age=300"}
		_, _ = w.Write(reply)
	}))
	server.EnableHTTP2 = true
	server.StartTLS()
	b.Cleanup(server.Close)
	ca = filepath.Join(b.TempDir(), "ca.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(ca, block, 0o600); err != nil {
		b.Fatal(err)
	}
	return server.URL, ca, reply
}

// compareDoH sends the same queries to both sites.
func compareDoH(b *testing.B, query []byte, plain, ours string) {
	cert, key := caddytest.Certificate(b)
	trusted, err := os.ReadFile(cert)
	if err != nil {
		b.Fatal(err)
	}
	side := func(site string) *load {
		addr := caddytest.Addr(b)
		client := newDoHClient(b, "https://"+addr+"/dns-query", trusted, query)
		return &load{
			process: run(b, addr, fmt.Sprintf("https://%s {\n\ttls %s %s\n%s\n}\n", addr, cert, key, site)),
			workers: 32,
			send:    client.send,
		}
	}
	compare(b, side(plain), side(ours), 6000)
}

// BenchmarkDoHMiss compares queries that an upstream answers with the same
// through plain reverse_proxy.
func BenchmarkDoHMiss(b *testing.B) {
	query := question(b)
	url, ca, _ := dohServer(b, query)
	compareDoH(b, query,
		"\treverse_proxy "+url+" {\n\t\ttransport http {\n\t\t\ttls_trust_pool file "+ca+"\n\t\t}\n\t}",
		"\tdoh {\n\t\t\tupstream "+url+"/ {\n\t\t\ttls_ca "+ca+"\n\t\t}\n\t}")
}

// BenchmarkDoHHit compares answers from the cache with Caddy's static answer
// of the same size, with as many header fields.
func BenchmarkDoHHit(b *testing.B) {
	query := question(b)
	url, ca, reply := dohServer(b, query)
	compareDoH(b, query,
		"\theader Content-Type "+dnsMessage+"\n\theader Cache-Control max-age=300\n\trespond "+strings.Repeat("x", len(reply)),
		"\tdoh {\n\t\tupstream "+url+"/ {\n\t\t\ttls_ca "+ca+"\n\t\t}\n\t}")
}
