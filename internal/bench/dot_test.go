package bench

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

// dnsproxyVar is the environment variable with the path of the program
// dnsproxy (github.com/AdguardTeam/dnsproxy), if it is not in PATH.
const dnsproxyVar = "FREETIER_BENCH_DNSPROXY"

// dotClient asks over DNS over TLS, over a connection for each worker.
type dotClient struct {
	conns []net.Conn
	next  []int
}

func newDoTClient(b *testing.B, addr string, roots *x509.CertPool, workers int) *dotClient {
	c := &dotClient{next: make([]int, workers)}
	for range workers {
		conn, err := tls.Dial("tcp", addr, &tls.Config{RootCAs: roots, ServerName: "localhost"})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { conn.Close() })
		c.conns = append(c.conns, conn)
	}
	return c
}

// send asks for one of a hundred names.
func (c *dotClient) send(b *testing.B, worker int) {
	const names = 100
	c.next[worker]++
	query := question(c.next[worker] % names)
	frame := binary.BigEndian.AppendUint16(nil, uint16(len(query)))
	conn := c.conns[worker]
	if _, err := conn.Write(append(frame, query...)); err != nil {
		b.Error(err)
		return
	}
	if _, err := io.ReadFull(conn, frame); err != nil {
		b.Error(err)
		return
	}
	if n, err := io.CopyN(io.Discard, conn, int64(binary.BigEndian.Uint16(frame))); err != nil || n < 40 {
		b.Errorf("%d bytes, %v", n, err)
	}
}

// BenchmarkDoTHit compares answers from the cache over DNS over TLS with those
// of dnsproxy.
func BenchmarkDoTHit(b *testing.B) {
	program := os.Getenv(dnsproxyVar)
	if program == "" {
		var err error
		if program, err = exec.LookPath("dnsproxy"); err != nil {
			b.Skip("dnsproxy is not installed")
		}
	}
	url, ca := dohServer(b)
	cert, key := caddytest.Certificate(b)
	pem, err := os.ReadFile(cert)
	if err != nil {
		b.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	const workers = 32
	side := func(p *process) *load {
		return &load{process: p, workers: workers, send: newDoTClient(b, p.addr, roots, workers).send}
	}
	addr := caddytest.Addr(b)
	ours := run(b, addr, fmt.Sprintf(
		"https://%s {\n\ttls %s %s\n\tdoh {\n\t\tupstream %s {\n\t\t\ttls_ca %s\n\t\t}\n\t\tlisten tls/%s localhost\n\t}\n}\n",
		caddytest.Addr(b), cert, key, url, ca, addr))
	other := runProgram(b, caddytest.Addr(b), func(port string) *exec.Cmd {
		return exec.Command(program, "--listen=127.0.0.1", "--port=0", "--tls-port="+port, "--tls-crt="+cert, "--tls-key="+key,
			"--cache", "--cache-size=4000000", "--insecure", "--upstream="+url+"/dns-query")
	})
	compare(b, side(other), side(ours), 20000)
}

// runProgram starts another server, and returns when it listens.
func runProgram(b *testing.B, addr string, command func(port string) *exec.Cmd) *process {
	b.Helper()
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		b.Fatal(err)
	}
	cmd := command(port)
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	})
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			conn.Close()
			return &process{pid: cmd.Process.Pid, addr: addr}
		}
		if time.Now().After(deadline) {
			b.Fatalf("%s does not listen on %s", cmd.Path, addr)
		}
	}
}
