package caddytest

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"

	"github.com/caddyserver/caddy/v2"
)

// processEnv holds the configuration of a test binary that is to be a Caddy.
const processEnv = "CADDYTEST_CONFIG"

// Main is the TestMain of packages that use StartProcess.
func Main(m *testing.M) {
	if config := os.Getenv(processEnv); config != "" {
		beCaddy(config)
		return
	}
	os.Exit(m.Run())
}

// IsProcess reports whether StartProcess has started the test binary, for
// packages whose TestMain does more than Main.
func IsProcess() bool { return os.Getenv(processEnv) != "" }

// beCaddy serves until the process is told to end.
func beCaddy(config string) {
	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGTERM)
	if err := caddy.Load([]byte(config), true); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println("started")
	<-end
	if err := caddy.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// Process is a Caddy in a process of its own, which can be killed.
type Process struct {
	*exec.Cmd
	// Lines is what it prints.
	Lines *bufio.Scanner

	t   testing.TB
	log strings.Builder
}

// StartProcess runs Caddy with a configuration in JSON in a process of its own,
// with the given folder as home, until the test ends. The configuration should
// turn the admin API off. The package's TestMain must be Main.
func StartProcess(t testing.TB, home, config string) *Process {
	t.Helper()
	var root map[string]any
	if err := json.Unmarshal([]byte(config), &root); err != nil {
		t.Fatal(err)
	}
	setClock(root, nil)
	withClock, err := json.Marshal(root)
	if err != nil {
		t.Fatal(err)
	}
	p := &Process{Cmd: exec.Command(os.Args[0]), t: t}
	p.Env = append(os.Environ(), processEnv+"="+string(withClock), "HOME="+home, "XDG_DATA_HOME=", "XDG_CONFIG_HOME=")
	p.Stderr = &p.log
	out, err := p.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.Process.Kill()
		_ = p.Wait()
	})
	p.Lines = bufio.NewScanner(out)
	for p.Lines.Scan() {
		if p.Lines.Text() == "started" {
			return p
		}
	}
	_ = p.Wait()
	t.Fatalf("Caddy did not start: %s", p.log.String())
	return nil
}

// End stops the process in order.
func (p *Process) End() {
	p.t.Helper()
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Fatal(err)
	}
	if err := p.Wait(); err != nil {
		p.t.Errorf("Caddy ended with %v: %s", err, p.log.String())
	}
}

// Kill ends the process at once, as a power cut would.
func (p *Process) Kill() {
	p.t.Helper()
	if err := p.Process.Kill(); err != nil {
		p.t.Fatal(err)
	}
	_ = p.Wait()
}
