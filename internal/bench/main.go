package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path"
	"path/filepath"
	"time"
)

// module is the import path of the repository.
const module = "github.com/caddy-freetier/caddy-freetier"

// suites are the packages whose benchmarks are run.
var suites = []suite{
	{folder: "internal/bench", pattern: "."},
	{folder: "modules/fastestswagger", pattern: "Select|LeastConn", benchtime: "1s"},
}

// suite is the benchmarks of a package.
type suite struct {
	folder    string
	pattern   string // of those that are run, unless a flag says another one
	benchtime string // "": as a flag says
}

// options are the command's flags.
type options struct {
	rounds    int
	pattern   string
	benchtime string
	peers     bool
	gateway   gatewayPeer
}

func main() {
	var o options
	flag.IntVar(&o.rounds, "rounds", 5, "how often all benchmarks are run; the table has the medians")
	flag.StringVar(&o.pattern, "bench", "", "a regular expression for the benchmarks to run (default: all)")
	flag.StringVar(&o.benchtime, "benchtime", "2x", "how often the sides of a benchmark alternate in a round")
	flag.BoolVar(&o.peers, "peers", true, "also measure other DNS servers that are installed: "+peerNames())
	flag.StringVar(&o.gateway.URL, "gateway", "", "also measure a gateway at this `URL` that speaks OpenAI's API, such as http://127.0.0.1:3000")
	flag.StringVar(&o.gateway.Key, "gateway-key", "", "the API key for it")
	flag.StringVar(&o.gateway.Model, "gateway-model", "gpt-4o", "the model to ask it for")
	flag.StringVar(&o.gateway.PID, "gateway-pid", "", "its process id, for its CPU time and memory (without: only latency)")
	flag.StringVar(&o.gateway.Upstream, "gateway-upstream", "127.0.0.1:18080", "where the upstream listens that it must forward to, over HTTP")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := measure(ctx, o, os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// measure runs the benchmarks and prints the table. What goes on meanwhile is written
// to progress.
func measure(ctx context.Context, o options, table, progress io.Writer) error {
	if o.rounds < 1 {
		return fmt.Errorf("-rounds %d: at least one is needed", o.rounds)
	}
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	var programs []program
	for _, s := range suites {
		p, err := s.build(ctx, dir)
		if err != nil {
			return err
		}
		programs = append(programs, p)
	}
	results := make(results)
	for round := range o.rounds {
		for _, p := range programs {
			fmt.Fprintf(progress, "round %d of %d: %s\n", round+1, o.rounds, p.folder)
			if err := p.run(ctx, o, results, progress); err != nil {
				return err
			}
		}
	}
	fmt.Fprintf(table, "%s\n\n", describeMachine(time.Now(), o.rounds))
	return results.write(table)
}

// program is a suite that was compiled.
type program struct {
	suite
	source string // the package's folder, in which its tests run
	binary string
}

func (s suite) build(ctx context.Context, dir string) (program, error) {
	p := program{suite: s, binary: filepath.Join(dir, path.Base(s.folder)+".test")}
	list := exec.CommandContext(ctx, "go", "list", "-f", "{{.Dir}}", module+"/"+s.folder)
	list.Stderr = os.Stderr
	source, err := list.Output()
	if err != nil {
		return p, fmt.Errorf("finding %s: %w", s.folder, err)
	}
	p.source = string(bytes.TrimSpace(source))
	compile := exec.CommandContext(ctx, "go", "test", "-c", "-o", p.binary, module+"/"+s.folder)
	compile.Stderr = os.Stderr
	if err := compile.Run(); err != nil {
		return p, fmt.Errorf("compiling the benchmarks of %s: %w", s.folder, err)
	}
	return p, nil
}

// run runs the benchmarks once and adds what they measure.
func (p program) run(ctx context.Context, o options, results results, progress io.Writer) error {
	pattern, benchtime := p.pattern, o.benchtime
	if o.pattern != "" {
		pattern = o.pattern
	}
	if p.benchtime != "" {
		benchtime = p.benchtime
	}
	cmd := exec.CommandContext(ctx, p.binary, "-test.run", "^$", "-test.bench", pattern, "-test.benchtime", benchtime, "-test.benchmem", "-test.timeout", "1h")
	cmd.Dir = p.source
	cmd.Env = append(os.Environ(), o.gateway.environment()...)
	if !o.peers {
		cmd.Env = append(cmd.Env, peersVar+"=off")
	}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = io.MultiWriter(&out, progress), progress
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("the benchmarks of %s: %w", p.folder, err)
	}
	return results.add(&out)
}
