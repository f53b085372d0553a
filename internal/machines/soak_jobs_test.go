package machines

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/coder/websocket"
	"github.com/miekg/dns"
	quichttp "github.com/quic-go/quic-go/http3"
)

// The versions of HTTP.
const (
	http1 = "HTTP/1.1"
	http2 = "HTTP/2.0"
	http3 = "HTTP/3.0"
)

// httpClients returns a client for each version of HTTP.
func (s *soak) httpClients(roots *x509.CertPool) map[string]*http.Client {
	h1 := s.Client()
	transport := h1.Transport.(*http.Transport)
	// A reload closes idle connections, and what is sent at that moment is lost.
	transport.DisableKeepAlives = true
	transport.ForceAttemptHTTP2, transport.TLSNextProto = false, map[string]func(string, *tls.Conn) http.RoundTripper{}
	h3 := &quichttp.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
	s.t.Cleanup(func() { h3.Close() })
	return map[string]*http.Client{http1: h1, http2: s.Client(), http3: {Transport: h3, Timeout: 30 * time.Second}}
}

// socket has a message echoed over a WebSocket.
func (s *soak) socket() error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, "wss://"+s.site+"/v1/realtime?model=live", &websocket.DialOptions{
		HTTPClient: s.clients[http1], HTTPHeader: http.Header{"Authorization": {"Bearer alice-key"}},
	})
	if err != nil {
		return err
	}
	defer conn.CloseNow()
	if err := conn.Write(ctx, websocket.MessageText, []byte("hi")); err != nil {
		return err
	}
	if _, message, err := conn.Read(ctx); err != nil || string(message) != "hi" {
		return fmt.Errorf("%w: %q came back", err, message)
	}
	return conn.Close(websocket.StatusNormalClosure, "")
}

// view opens a status page's events and leaves after the first one.
func (s *soak) view() error {
	resp, err := s.clients[http2].Get("https://" + s.site + "/status/events?lang=en")
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if line, err := bufio.NewReader(resp.Body).ReadString('\n'); err != nil || resp.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d, %q: %w", resp.StatusCode, line, err)
	}
	return nil
}

// request sends an HTTP request by a version of HTTP and returns what is wrong with the response, which
// should contain a text.
func (s *soak) request(version, method, path, contentType, body, want string) error {
	req, err := http.NewRequest(method, "https://"+s.site+path, strings.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer alice-key")
	req.Header.Set("Accept", "*/*")
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	resp, err := s.clients[version].Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && (resp.StatusCode != http.StatusOK || !strings.Contains(string(text), want)) {
		err = fmt.Errorf("status %d: %.300q", resp.StatusCode, text)
	}
	return err
}

func (s *soak) query() *dns.Msg {
	return new(dns.Msg).SetQuestion(fmt.Sprintf("www%d.example.", s.next.Add(1)), dns.TypeA)
}

func (s *soak) doh(version string, get bool) error {
	raw, err := s.query().Pack()
	if err != nil {
		return err
	}
	if get {
		return s.request(version, http.MethodGet, "/dns-query?dns="+base64.RawURLEncoding.EncodeToString(raw), "", "", "\xc0\x00\x02\x01")
	}
	return s.request(version, http.MethodPost, "/dns-query", "application/dns-message", string(raw), "\xc0\x00\x02\x01")
}

func (s *soak) listener(network, addr string, config *tls.Config) error {
	c := &dns.Client{Net: network, Timeout: 20 * time.Second, TLSConfig: config}
	resp, _, err := c.Exchange(s.query(), addr)
	if err == nil && (resp.Rcode != dns.RcodeSuccess || len(resp.Answer) != 1) {
		err = fmt.Errorf("%v", resp)
	}
	return err
}

// jobs are what clients do, with the upstreams of which one is enough.
func (s *soak) jobs(roots *x509.CertPool) map[string]func() error {
	chat := func(version, path, extra, want string) func() error {
		return func() error {
			return s.request(version, http.MethodPost, path, "application/json",
				fmt.Sprintf(`{"model":"m","max_tokens":9%s,"messages":[{"role":"user","content":"hi %d"}]}`, extra, s.next.Add(1)), want)
		}
	}
	config := &tls.Config{RootCAs: roots, ServerName: "127.0.0.1"}
	return map[string]func() error{
		"chat":              chat(http2, "/v1/chat/completions", "", "hi"),
		"stream":            chat(http2, "/v1/chat/completions", `,"stream":true`, "[DONE]"),
		"translated":        chat(http2, "/v1/messages", "", `"end_turn"`),
		"translated stream": chat(http2, "/v1/messages", `,"stream":true`, "message_stop"),
		"chat, HTTP/3":      chat(http3, "/v1/chat/completions", "", "hi"),
		"chat, HTTP/1.1":    chat(http1, "/v1/chat/completions", "", "hi"),
		"WebSocket":         s.socket,
		"viewer":            s.view,
		"DoH, HTTP/1.1":     func() error { return s.doh(http1, false) },
		"DoH, HTTP/3":       func() error { return s.doh(http3, true) },
		"DoH GET":           func() error { return s.doh(http2, true) },
		"DoH POST":          func() error { return s.doh(http2, false) },
		"DNS JSON": func() error {
			return s.request(http2, http.MethodGet, fmt.Sprintf("/dns-query?name=www%d.example&type=A", s.next.Add(1)), "", "", "192.0.2.1")
		},
		"DNS over TLS": func() error { return s.listener("tcp-tls", s.dot, config) },
		"DNS over UDP": func() error { return s.listener("udp", s.udp, nil) },
		"DNS over TCP": func() error { return s.listener("tcp", s.udp, nil) },
		"status page":  func() error { return s.request(http2, http.MethodGet, "/status/", "", "", "<html") },
	}
}
