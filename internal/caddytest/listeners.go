package caddytest

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// used are the ports that configurations of this process have had.
var used = make(map[string]bool)

// reusedPorts returns the ports of a configuration that an earlier one has had too.
func reusedPorts(cfg []byte) (ports []string, err error) {
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
		return nil, err
	}
	for _, server := range config.Apps.HTTP.Servers {
		for _, address := range server.Listen {
			_, port, err := net.SplitHostPort(address)
			if err != nil {
				continue
			}
			if used[port] {
				ports = append(ports, port)
			}
			used[port] = true
		}
	}
	return ports, nil
}

// waitForListeners returns when only the new configuration listens on the ports.
// Caddy closes the old listeners in the background, and resets the connections that
// still wait to be accepted there, which is no matter of the tests. It does nothing
// on systems without /proc.
func waitForListeners(ports []string) error {
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if len(ports) == 0 || !shared(ports) {
			return nil
		}
	}
	return fmt.Errorf("the old configuration still listens on one of the ports %v", ports)
}

// shared reports whether more than one TCP socket listens on one of the ports.
func shared(ports []string) bool {
	count := make(map[string]int)
	countListeners("/proc/net/tcp", count)
	countListeners("/proc/net/tcp6", count)
	for address, n := range count {
		_, hex, _ := strings.Cut(address, ":")
		port, _ := strconv.ParseUint(hex, 16, 16)
		if n > 1 && slices.Contains(ports, strconv.FormatUint(port, 10)) {
			return true
		}
	}
	return false
}

// countListeners counts the listening sockets in a table of proc_pid_net(5) by
// address. Linux lists them before all others, of which there can be thousands, so
// it stops reading there.
func countListeners(file string, count map[string]int) {
	const local, state, listening = 1, 3, "0A" // columns
	table, err := os.Open(file)
	if err != nil {
		return
	}
	defer table.Close()
	lines := bufio.NewScanner(table)
	lines.Scan() // the header
	for lines.Scan() {
		columns := strings.Fields(lines.Text())
		if len(columns) <= state || columns[state] != listening {
			return
		}
		count[columns[local]]++
	}
}
