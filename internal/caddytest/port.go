package caddytest

import (
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
)

// Ports are taken from below the range from which Linux gives ports to
// outgoing connections (32768 and up), so that none of these takes one between
// our look and Caddy's.
const (
	firstPort = 20000
	lastPort  = 32000
)

var (
	portsMu sync.Mutex
	taken   = make(map[int]bool)
)

// Port returns a TCP and UDP port on which nothing listens, another one at
// each call.
func Port(t testing.TB) int {
	t.Helper()
	portsMu.Lock()
	defer portsMu.Unlock()
	for range 1000 {
		port := firstPort + rand.IntN(lastPort-firstPort)
		if taken[port] || !free(port) {
			continue
		}
		taken[port] = true
		return port
	}
	t.Fatal("no free port")
	return 0
}

func free(port int) bool {
	// On all interfaces, since that is where Caddy listens by default.
	addr := fmt.Sprintf(":%d", port)
	tcp, err := net.Listen("tcp", addr)
	if err != nil {
		return false
	}
	defer tcp.Close()
	udp, err := net.ListenPacket("udp", addr)
	if err != nil {
		return false
	}
	udp.Close()
	return true
}
