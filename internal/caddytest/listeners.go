package caddytest

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
)

// waitForListeners returns when only the new configuration listens on its
// addresses. Caddy closes the old listeners in the background, and resets
// the connections that still wait to be accepted there, which is no matter of
// the tests. It does nothing on systems without /proc.
func waitForListeners(cfg []byte) error {
	var config struct {
		Apps struct {
			HTTP struct {
				Servers map[string]struct {
					Listen []string `json:"listen"`
				} `json:"servers"`
			} `json:"http"`
		} `json:"apps"`
	}
	if err := json.Unmarshal(cfg, &config); err != nil {
		return err
	}
	var ports []string
	for _, server := range config.Apps.HTTP.Servers {
		for _, address := range server.Listen {
			if _, port, err := net.SplitHostPort(address); err == nil {
				ports = append(ports, port)
			}
		}
	}
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if !shared(ports) {
			return nil
		}
	}
	return fmt.Errorf("the old configuration still listens on one of the ports %v", ports)
}

// shared tells whether more than one TCP socket listens on one of the ports.
func shared(ports []string) bool {
	const local, state, listening = 1, 3, "0A" // columns of proc_pid_net(5)
	count := make(map[string]int)
	for _, file := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		table, _ := os.ReadFile(file)
		for line := range strings.Lines(string(table)) {
			if columns := strings.Fields(line); len(columns) > state && columns[state] == listening {
				count[columns[local]]++
			}
		}
	}
	for address, n := range count {
		_, hex, _ := strings.Cut(address, ":")
		port, _ := strconv.ParseUint(hex, 16, 16)
		for _, p := range ports {
			if n > 1 && p == strconv.FormatUint(port, 10) {
				return true
			}
		}
	}
	return false
}
