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
//
// Tests of several packages run at the same time, and two Caddys can listen on one
// port without an error. So each process has blocks of ports of its own: it listens
// on the block's lock port as long as it runs. Blocks are small, since there can be
// more packages under test at the same time than the machine has cores.
const (
	firstPort  = 20000
	blockPorts = 100
	blocks     = 120
	firstLock  = firstPort - blocks
)

var (
	portsMu sync.Mutex
	locks   []net.Listener // of the blocks that this process has
	ports   []int          // of these blocks, those that were not returned yet
)

// Port returns a TCP and UDP port on which nothing listens, another one at
// each call.
func Port(t testing.TB) int {
	t.Helper()
	portsMu.Lock()
	defer portsMu.Unlock()
	for {
		if len(ports) == 0 && !lockBlock() {
			t.Fatal("no free port")
		}
		port := ports[len(ports)-1]
		ports = ports[:len(ports)-1]
		if free(port) {
			return port
		}
	}
}

// lockBlock takes a block of ports that no other process has, and reports whether
// there is one.
func lockBlock() bool {
	for _, block := range rand.Perm(blocks) {
		lock, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", firstLock+block))
		if err != nil {
			continue
		}
		locks = append(locks, lock)
		for _, i := range rand.Perm(blockPorts) {
			ports = append(ports, firstPort+block*blockPorts+i)
		}
		return true
	}
	return false
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
