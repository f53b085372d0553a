package llmgateway

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"testing"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

// parsers is a program that reads requests, one a line, and says for each what
// its language's parsers take for the model.
type parsers struct {
	name string
	in   io.WriteCloser
	out  *bufio.Reader
}

// startParsers runs the program until the test ends. Without its interpreter
// the test is skipped, and fails where CI is set.
func startParsers(t testing.TB, interpreter, script string) *parsers {
	t.Helper()
	cmd := exec.Command(caddytest.Program(t, interpreter), script)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		_ = cmd.Wait()
	})
	return &parsers{interpreter, in, bufio.NewReader(out)}
}

// begin writes a request. Each needs a call of found.
func (p *parsers) begin(t testing.TB, r reading) {
	t.Helper()
	line, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.in.Write(append(line, '\n')); err != nil {
		t.Fatalf("%s: %v", p.name, err)
	}
}

// found returns what the parsers have read.
func (p *parsers) found(t testing.TB) (all []found) {
	t.Helper()
	line, err := p.out.ReadBytes('\n')
	if err != nil {
		t.Fatalf("%s has ended: %v", p.name, err)
	}
	var pairs [][2]any
	if err := json.Unmarshal(line, &pairs); err != nil {
		t.Fatalf("%s: %v: %s", p.name, err, line)
	}
	for _, pair := range pairs {
		all = append(all, found{p.name + " " + pair[0].(string), pair[1]})
	}
	return all
}
