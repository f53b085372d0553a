package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

// describeMachine returns a sentence on when and where figures were measured.
func describeMachine(now time.Time, rounds int) string {
	return fmt.Sprintf("Measured on %s: %s, %d cores, %s/%s, %s, Caddy %s; medians of %d rounds.",
		now.Format(time.DateOnly), cpuModel(), runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, runtime.Version(), caddyVersion(), rounds)
}

// cpuModel returns the name of the processor as Linux has it.
func cpuModel() string {
	file, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return "unknown processor"
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if name, value, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "unknown processor"
}

// caddyVersion returns the version of Caddy that the benchmarks are built with.
func caddyVersion() string {
	version, err := exec.Command("go", "list", "-m", "-f", "{{.Version}}", "github.com/caddyserver/caddy/v2").Output()
	if err != nil {
		return "of an unknown version"
	}
	return strings.TrimSpace(string(version))
}
