package main

import (
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

// realPace turns a minute into a second and 100 ms into 10 ms.
var realPace = pace{course: 60, answer: 10}

// listen serves the place on an address, which refuses connections when the
// script says so, until the test ends.
func (p *place) listen(t *testing.T, addr string) {
	t.Helper()
	end := make(chan struct{})
	var running sync.WaitGroup
	t.Cleanup(func() { close(end); running.Wait() })
	tick := time.NewTicker(5 * time.Millisecond)
	t.Cleanup(tick.Stop)
	// until waits for the place to refuse or to serve, and reports whether
	// the test goes on.
	until := func(refusing bool) bool {
		for (p.now() == refuses) != refusing {
			select {
			case <-tick.C:
			case <-end:
				return false
			}
		}
		return true
	}
	running.Go(func() {
		for until(false) {
			listener, err := net.Listen("tcp", addr)
			if err != nil {
				t.Error(err)
				return
			}
			server := &http.Server{Handler: p}
			running.Go(func() { _ = server.Serve(listener) })
			on := until(true)
			server.Close()
			if !on {
				return
			}
		}
	})
}

// realSide is a policy in a Caddy of its own, before places of its own, so
// that no policy suffers from the load of another.
type realSide struct {
	places []*place
	url    string
	client *http.Client
}

func newRealSide(t *testing.T, policy string, began time.Time) *realSide {
	t.Helper()
	s := &realSide{places: newPlaces(realPace, began)}
	var addrs []string
	for _, p := range s.places {
		addr := caddytest.Addr(t)
		p.listen(t, addr)
		addrs = append(addrs, addr)
	}
	addr := caddytest.Addr(t)
	config, err := caddytest.Adapt("{\n\tadmin off\n\tlog {\n\t\toutput discard\n\t}\n}\nhttp://" + addr + " {\n" +
		choiceProxy(policy, realPace, true, addrs) + "}\n")
	if err != nil {
		t.Fatal(err)
	}
	caddytest.StartProcess(t, t.TempDir(), string(config))
	transport := &http.Transport{MaxIdleConnsPerHost: 1000}
	t.Cleanup(transport.CloseIdleConnections)
	s.url, s.client = "http://"+addr+"/", &http.Client{Transport: transport, Timeout: 10 * time.Second}
	return s
}

// ask sends a request through Caddy.
func (s *realSide) ask() (place string, ok bool) {
	resp, err := s.client.Get(s.url)
	if err != nil {
		return "", false
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp.Header.Get(placeHeader), err == nil && string(body) == placeAnswer
}

// The same as TestChoiceSimulation through real Caddy processes and sockets, in
// real time and with all policies at once. It has few requests and a machine
// that does other things too, so that less is demanded. CHOICE_TIME in the
// environment makes it longer:
//
//	CHOICE_TIME=3m go test -run TestChoiceForReal -v ./internal/bench
func TestChoiceForReal(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 18 s")
	}
	length := 18 * time.Second
	if text := os.Getenv("CHOICE_TIME"); text != "" {
		var err error
		if length, err = time.ParseDuration(text); err != nil {
			t.Fatal(err)
		}
	}
	var (
		began    = time.Now()
		sides    = make(map[string]*realSide)
		verdicts = make(map[string]verdict)
		wg       sync.WaitGroup
		mu       sync.Mutex
	)
	for _, policy := range choicePolicies {
		sides[policy] = newRealSide(t, policy, began)
	}
	for policy, s := range sides {
		wg.Go(func() {
			v := judge(drive(s.places, realPace, time.Duration(float64(length)*realPace.course), s.ask))
			mu.Lock()
			defer mu.Unlock()
			verdicts[policy] = v
		})
	}
	wg.Wait()
	t.Log("\n" + choiceTable(verdicts))
	check(t, verdicts, demands(1.4, 0.5, 1, 1.5))
}
