package caddytest

import (
	"fmt"
	"net"
	"runtime"
	"syscall"
	"testing"
)

// emptyPorts takes all ports from the process until the test ends.
func emptyPorts(t *testing.T) {
	t.Helper()
	portsMu.Lock()
	defer portsMu.Unlock()
	hadLocks, hadPorts, hadGiven := locks, ports, given
	locks, ports, given = nil, nil, nil
	t.Cleanup(func() {
		portsMu.Lock()
		defer portsMu.Unlock()
		for _, lock := range locks {
			lock.Close()
		}
		locks, ports, given = hadLocks, hadPorts, hadGiven
	})
}

// Many test binaries that run at the same time get ports, and none gets another's.
func TestPortsOfManyProcesses(t *testing.T) {
	const processes = 20
	emptyPorts(t)
	others := make(map[int]bool)
	for block := 0; block < blocks && len(others) < processes; block++ {
		lock, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", firstLock+block))
		if err == nil { // as another process does
			defer lock.Close()
			others[block] = true
		}
	}
	if len(others) < processes {
		t.Fatalf("there are ports for %d other processes only", len(others))
	}
	if port := Port(t); others[(port-firstPort)/blockPorts] {
		t.Errorf("port %d is another process's", port)
	}
}

// A process that needs many ports leaves blocks to others: its ports come again, those
// that were returned longest ago first.
func TestPortsComeAgain(t *testing.T) {
	emptyPorts(t)
	seen := make(map[int]bool)
	first := Port(t)
	port := first
	for ; !seen[port]; port = Port(t) {
		if len(seen) > ownBlocks*blockPorts {
			t.Fatal("no port came again")
		}
		seen[port] = true
	}
	if port != first {
		t.Errorf("port %d came again first, want %d", port, first)
	}
	if len(locks) > ownBlocks || len(seen) < blockPorts/2 {
		t.Errorf("%d ports of %d blocks", len(seen), len(locks))
	}
	if next := Port(t); !seen[next] {
		t.Errorf("port %d is a new one", next)
	}
}

// Two sockets on one port are seen among many connections.
func TestShared(t *testing.T) {
	const reusePort = 0xf // SO_REUSEPORT of Linux
	if runtime.GOOS != "linux" {
		t.Skip("needs /proc")
	}
	config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) {
			if err := syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, reusePort, 1); err != nil {
				t.Error(err)
			}
		})
	}}
	address := Addr(t)
	_, port, _ := net.SplitHostPort(address)
	for _, want := range []bool{false, true} {
		listener, err := config.Listen(t.Context(), "tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close()
		for range 50 {
			conn, err := net.Dial("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
		}
		if got := shared([]string{port}); got != want {
			t.Errorf("shared is %t, want %t", got, want)
		}
	}
}
