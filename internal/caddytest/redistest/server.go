// Package redistest runs a real Redis for tests, and has a storage module for Caddy
// that keeps everything there and behaves as the storage plugins do.
package redistest

import (
	"fmt"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

// Server is a Redis that writes each command to the disk before it answers.
type Server struct {
	Addr string

	program string
	dir     string
	cmd     *exec.Cmd
}

// Start runs a Redis until the test ends. Without the program redis-server the
// test is skipped, or fails where CI is set.
func Start(t testing.TB) *Server {
	t.Helper()
	s := &Server{Addr: caddytest.Addr(t), program: caddytest.Program(t, "redis-server"), dir: t.TempDir()}
	s.Restart(t)
	t.Cleanup(s.stop)
	return s
}

// Kill ends the server at once, as a power cut would.
func (s *Server) Kill() { s.stop() }

func (s *Server) stop() {
	if s.cmd != nil {
		_ = s.cmd.Process.Kill()
		_ = s.cmd.Wait()
		s.cmd = nil
	}
}

// Restart runs the server again after Kill, at the same address, with what it had.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	host, port, err := net.SplitHostPort(s.Addr)
	if err != nil {
		t.Fatal(err)
	}
	s.cmd = exec.Command(s.program, "--bind", host, "--port", port, "--dir", s.dir,
		"--appendonly", "yes", "--appendfsync", "always", "--save", "", "--loglevel", "warning")
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	client := &client{addr: s.Addr}
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if _, err = client.do(t.Context(), "PING"); err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("Redis did not start: %v", err)
		}
	}
}

// Load returns how many commands the server has processed so far, and how many bytes
// it has sent.
func (s *Server) Load(t testing.TB) (commands, sent int) {
	t.Helper()
	text, err := (&client{addr: s.Addr}).do(t.Context(), "INFO", "stats")
	if err != nil {
		t.Fatal(err)
	}
	number := func(name string) int {
		_, rest, _ := strings.Cut(fmt.Sprint(text), name+":")
		value, _, _ := strings.Cut(rest, "\r\n")
		n, err := strconv.Atoi(value)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	return number("total_commands_processed"), number("total_net_output_bytes")
}
