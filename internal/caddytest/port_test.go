package caddytest

import (
	"fmt"
	"net"
	"runtime"
	"syscall"
	"testing"
)

// Many test binaries that run at the same time get ports, and none gets another's.
func TestPortsOfManyProcesses(t *testing.T) {
	const processes = 20
	portsMu.Lock()
	before := ports
	ports = nil
	portsMu.Unlock()
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
	portsMu.Lock()
	defer portsMu.Unlock()
	ports = append(ports, before...)
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
