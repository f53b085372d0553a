package caddytest

import (
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
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
// more packages under test at the same time than the machine has cores, and a process
// has few of them, so that a test that runs a thousand times leaves some to others.
const (
	firstPort  = 20000
	blockPorts = 100
	blocks     = 120
	firstLock  = firstPort - blocks
	ownBlocks  = 6
)

var (
	portsMu sync.Mutex
	locks   []net.Listener // of the blocks that this process has
	ports   []int          // of these blocks, those that were not returned yet
	given   []int          // those that were, the oldest first
)

// Port returns a TCP and UDP port on which nothing listens. It is another one at
// each call, until a process has used up its blocks: then it is the one that was
// returned longest ago.
func Port(t testing.TB) int {
	t.Helper()
	portsMu.Lock()
	defer portsMu.Unlock()
	for {
		if len(ports) == 0 && (len(locks) == ownBlocks || !lockBlock()) {
			ports, given = given, nil
			slices.Reverse(ports)
		}
		if len(ports) == 0 {
			t.Fatal("no free port")
		}
		port := ports[len(ports)-1]
		ports = ports[:len(ports)-1]
		if free(port) {
			given = append(given, port)
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
