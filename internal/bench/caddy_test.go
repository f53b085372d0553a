package main

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime/pprof"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
	_ "github.com/caddy-freetier/caddy-freetier/modules/doh"
	_ "github.com/caddy-freetier/caddy-freetier/modules/llmgateway"
)

const (
	// caddyfileVar makes the test binary be a Caddy with this Caddyfile.
	caddyfileVar = "FREETIER_BENCH_CADDYFILE"
	// profileVar names a folder into which each Caddy writes a profile of its CPU
	// time and one of its allocations.
	profileVar = "FREETIER_BENCH_PROFILE"
)

func TestMain(m *testing.M) {
	if caddytest.IsProcess() {
		caddytest.Main(m)
		return
	}
	if file := os.Getenv(caddyfileVar); file != "" {
		if err := serve(file); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// serve runs Caddy until the process is told to end.
func serve(file string) error {
	caddyfile, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	cfg, _, err := caddyconfig.GetAdapter("caddyfile").Adapt(caddyfile, map[string]any{"filename": file})
	if err != nil {
		return err
	}
	if err := caddy.Load(cfg, true); err != nil {
		return err
	}
	if dir := os.Getenv(profileVar); dir != "" {
		profile, err := os.Create(filepath.Join(dir, fmt.Sprintf("caddy-%d.prof", os.Getpid())))
		if err != nil {
			return err
		}
		defer profile.Close()
		if err := pprof.StartCPUProfile(profile); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
		allocs, err := os.Create(filepath.Join(dir, fmt.Sprintf("caddy-%d.allocs", os.Getpid())))
		if err != nil {
			return err
		}
		defer allocs.Close()
		defer func() { _ = pprof.Lookup("allocs").WriteTo(allocs, 0) }()
	}
	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGTERM, syscall.SIGINT)
	<-end
	return caddy.Stop()
}

// unknown is the pid of a process that runs somewhere else.
const unknown = 0

// process is a Caddy, or another server, in a process of its own.
type process struct {
	pid  int
	addr string
}

// run starts a Caddy with one site, whose body is given, on a free port.
func run(b *testing.B, addr, caddyfile string) *process {
	b.Helper()
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		b.Skip("CPU time of another process is read from /proc")
	}
	dir := b.TempDir()
	file := filepath.Join(dir, "Caddyfile")
	global := fmt.Sprintf("{\n\tadmin off\n\tpersist_config off\n\tstorage file_system %s\n\tlog {\n\t\tlevel ERROR\n\t}\n}\n", dir)
	if err := os.WriteFile(file, []byte(global+caddyfile), 0o600); err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), caddyfileVar+"="+file)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	})
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			conn.Close()
			break
		}
		if time.Now().After(deadline) {
			b.Fatalf("Caddy does not listen on %s", addr)
		}
	}
	return &process{pid: cmd.Process.Pid, addr: addr}
}

// cpu returns the CPU time that the process has used, in steps of 10 ms.
// Source: proc_pid_stat(5), fields 14 and 15; Linux counts 100 ticks a second.
// It is 0 of one that runs somewhere else.
func (p *process) cpu(b *testing.B) time.Duration {
	if p.pid == unknown {
		return 0
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.pid))
	if err != nil {
		b.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest)
	var ticks int
	for _, field := range fields[11:13] {
		n, err := strconv.Atoi(field)
		if err != nil {
			b.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// peak returns the largest resident memory so far, in megabytes.
func (p *process) peak(b *testing.B) float64 {
	status, err := os.Open(fmt.Sprintf("/proc/%d/status", p.pid))
	if err != nil {
		b.Fatal(err)
	}
	defer status.Close()
	for scanner := bufio.NewScanner(status); scanner.Scan(); {
		if rest, ok := strings.CutPrefix(scanner.Text(), "VmHWM:"); ok {
			kb, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			if err != nil {
				b.Fatal(err)
			}
			return kb / 1000
		}
	}
	b.Fatal("no VmHWM")
	return 0
}
