package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

// A day of a pool of free keys, on the real gateway and a clock that jumps from
// request to request: 20 keys, of which one is dead, give 20 requests a day and 10 a
// minute for each of three models, one of which is overloaded now and then. Clients
// have conversations of 20 turns, and one floods the pool with a prompt that the
// provider flags, and counts.
const (
	simKeys      = 20
	simADay      = 20
	simAMinute   = 10
	simTurns     = 20
	simFloods    = 5  // a day
	simFlood     = 12 // prompts in each
	simModels    = 3
	simBusyModel = "m1"
	simCapacity  = simKeys * simADay * simModels
)

// keyAccount is what the provider counts for a key and a model.
type keyAccount struct {
	day    int
	used   int         // on that day
	recent []time.Time // in the last minute
}

func dayOf(t time.Time) int { return int(t.Unix() / 86400) }

// takes reports whether the provider answers a request, which it counts then.
func (a *keyAccount) takes(now time.Time) bool {
	if d := dayOf(now); d != a.day {
		a.day, a.used = d, 0
	}
	a.recent = slices.DeleteFunc(a.recent, func(t time.Time) bool { return now.Sub(t) >= time.Minute })
	if a.used >= simADay || len(a.recent) >= simAMinute {
		return false
	}
	a.used++
	a.recent = append(a.recent, now)
	return true
}

// isOverloaded reports whether a model refuses everybody: ten minutes in every
// two hours.
func isOverloaded(model string, now time.Time) bool {
	return model == simBusyModel && now.Unix()%7200 < 600
}

// keyProvider is the provider.
type keyProvider struct {
	clock    clockwork.Clock
	accounts map[string]*keyAccount // by key and model
	calls    map[string]int         // by what was asked
	servedBy map[string]string      // the key, by conversation and turn
}

func (p *keyProvider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	var request struct {
		Model    string
		Messages []struct{ Content string }
	}
	_ = json.Unmarshal(body, &request)
	key, now := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "), p.clock.Now()
	last := request.Messages[len(request.Messages)-1].Content
	flagged := strings.Contains(last, "flagged")
	if !flagged {
		p.calls["clean"]++
	}
	account := p.accounts[key+" "+request.Model]
	if account == nil {
		account = new(keyAccount)
		p.accounts[key+" "+request.Model] = account
	}
	refuse := func(status int, body string) {
		p.calls[fmt.Sprint(status)]++
		caddytest.JSON(status, body)(w, r)
	}
	switch {
	case strings.HasSuffix(key, "-00"):
		refuse(401, `{"error":{"message":"Incorrect API key provided","type":"invalid_request_error","code":"invalid_api_key"}}`)
	case isOverloaded(request.Model, now):
		refuse(503, `{"error":{"message":"The model is overloaded. Please try again later.","code":503,"status":"UNAVAILABLE"}}`)
	case !account.takes(now):
		refuse(429, `{"error":{"message":"Rate limit reached","code":"rate_limit_exceeded"}}`)
	case flagged:
		refuse(403, `{"error":{"code":403,"message":"Your input was flagged","metadata":{"reasons":["violence/graphic"],"flagged_input":"x"}}}`)
	default:
		p.servedBy[last] = key
		caddytest.JSON(200, answer)(w, r)
	}
}

// simRequest is a request of the day.
type simRequest struct {
	at           time.Time
	client       string
	model        string
	conversation int // -1: a flagged prompt
	turn         int // from 1
}

func (r simRequest) prompt() string {
	if r.conversation < 0 {
		return "flagged"
	}
	return fmt.Sprintf("conversation %d turn %d", r.conversation, r.turn)
}

func (r simRequest) body() string {
	var messages []string
	say := func(role, text string) {
		messages = append(messages, fmt.Sprintf(`{"role":%q,"content":%q}`, role, text))
	}
	if r.conversation < 0 {
		say("user", r.prompt())
	}
	for turn := 1; turn <= r.turn; turn++ {
		r := r
		if r.turn = turn; turn > 1 {
			say("assistant", "It is a truth universally acknowledged.")
		}
		say("user", r.prompt())
	}
	return fmt.Sprintf(`{"model":%q,"messages":[%s]}`, r.model, strings.Join(messages, ","))
}

// simDay draws the requests of a day that ask for a part of all quotas.
func simDay(seed uint64, load float64, from time.Time) (day []simRequest) {
	random := rand.New(rand.NewPCG(seed, 1))
	for range simFloods {
		at := from.Add(time.Duration(random.Int64N(int64(22 * time.Hour))))
		for i := range simFlood {
			day = append(day, simRequest{at.Add(time.Duration(i) * 2 * time.Second), "eve", "m0", -1, 0})
		}
	}
	for c := range (int(load*simCapacity) - len(day)) / simTurns {
		at := from.Add(time.Duration(random.Int64N(int64(23 * time.Hour))))
		model := fmt.Sprint("m", c%simModels)
		for turn := 1; turn <= simTurns; turn++ {
			day = append(day, simRequest{at, "alice", model, c, turn})
			at = at.Add(20*time.Second + time.Duration(random.ExpFloat64()*float64(40*time.Second)))
		}
	}
	slices.SortStableFunc(day, func(a, b simRequest) int { return a.at.Compare(b.at) })
	return day
}

// oracle answers as many of the clean requests as anybody could: it knows all
// quotas, and which key is dead.
func oracle(day []simRequest) (answered int) {
	accounts := make(map[string][]*keyAccount)
	for _, r := range day {
		if accounts[r.model] == nil {
			for range simKeys - 1 {
				accounts[r.model] = append(accounts[r.model], new(keyAccount))
			}
		}
		if isOverloaded(r.model, r.at) {
			continue
		}
		// The key of which most is left.
		slices.SortStableFunc(accounts[r.model], func(a, b *keyAccount) int { return a.used - b.used })
		taken := slices.ContainsFunc(accounts[r.model], func(a *keyAccount) bool { return a.takes(r.at) })
		if taken && r.conversation >= 0 {
			answered++
		}
	}
	return answered
}

// simOutcome is what came of a day.
type simOutcome struct {
	clean, answered, oracle int
	calls                   map[string]int
	callsForAnswers         int // the calls of those that were answered
	stayed, turns           int // turns 2 to 20 on the key of the first one, of those that were answered
}

func (o simOutcome) String() string {
	return fmt.Sprintf("%4d clean requests, %4d answered: %5.1f %% of the oracle's; %.3f calls for each; %5.1f %% of turns 2-20 with the key of turn 1; refusals %v",
		o.clean, o.answered, o.ofOracle(), o.callsAnAnswer(), o.onFirstKey(), o.calls)
}

func (o simOutcome) ofOracle() float64      { return 100 * float64(o.answered) / float64(o.oracle) }
func (o simOutcome) callsAnAnswer() float64 { return float64(o.callsForAnswers) / float64(o.answered) }
func (o simOutcome) onFirstKey() float64    { return 100 * float64(o.stayed) / float64(o.turns) }

// simulateKeys runs a day on the gateway.
func simulateKeys(t testing.TB, seed uint64, load float64) (o simOutcome) {
	t.Helper()
	from := time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)
	clock := clockwork.NewFakeClockAt(from)
	p := &keyProvider{clock: clock, accounts: make(map[string]*keyAccount), calls: make(map[string]int), servedBy: make(map[string]string)}
	up := httptest.NewServer(p)
	defer up.Close()
	var keys []string
	for i := range simKeys {
		keys = append(keys, fmt.Sprintf("sk-simulated-key-%02d", i))
	}
	addr := caddytest.Addr(t)
	c := caddytest.Start(t, fmt.Sprintf(`http://%s {
		llm_gateway {
			client alice alice-key
			client eve eve-key
			wait off
			channel pool http://pool.example {
				proxy   %s
				api_key %s
				models  m0 m1 m2
				quota   %d/day per model
				quota   %d/minute per model
			}
		}
	}`, addr, up.URL, strings.Join(keys, " "), simADay, simAMinute), caddytest.WithFakeClock(clock))
	defer c.Stop()
	client := c.Client()
	day, before := simDay(seed, load, from), 0
	first := make(map[int]string)
	for _, r := range day {
		clock.Advance(r.at.Sub(clock.Now()))
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+addr+"/v1/chat/completions", strings.NewReader(r.body()))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+r.client+"-key")
		req.Header.Set("Content-Type", "application/json")
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if r.conversation < 0 {
			continue
		}
		o.clean++
		calls := p.calls["clean"] - before
		if before += calls; resp.StatusCode != http.StatusOK {
			continue
		}
		o.answered++
		o.callsForAnswers += calls
		switch key := p.servedBy[r.prompt()]; {
		case r.turn == 1:
			first[r.conversation] = key
		case first[r.conversation] != "":
			o.turns++
			if key == first[r.conversation] {
				o.stayed++
			}
		}
	}
	o.calls, o.oracle = p.calls, oracle(day)
	return o
}

// add adds the outcome of another day.
func (o *simOutcome) add(other simOutcome) {
	o.clean, o.answered, o.oracle = o.clean+other.clean, o.answered+other.answered, o.oracle+other.oracle
	o.callsForAnswers += other.callsForAnswers
	o.stayed, o.turns = o.stayed+other.stayed, o.turns+other.turns
	if o.calls == nil {
		o.calls = make(map[string]int)
	}
	for what, n := range other.calls {
		o.calls[what] += n
	}
}

// simulateDays adds up some days, each with another gateway.
func simulateDays(t testing.TB, days int, load float64) (all simOutcome) {
	t.Helper()
	for seed := range days {
		all.add(simulateKeys(t, uint64(seed), load))
	}
	return all
}

// Up to four fifths of all quotas, next to all clean requests are answered that could
// be, with hardly a call in vain, and conversations stay with their keys.
func TestKeysSimulation(t *testing.T) {
	for _, load := range []float64{0.5, 0.8} {
		o := simulateDays(t, 2, load)
		if t.Logf("%3.0f %%: %v", 100*load, o); o.ofOracle() < 98 {
			t.Errorf("at %.0f %% of the quotas %.1f %% are answered of what could be, want 98 %%", 100*load, o.ofOracle())
		}
		if o.callsAnAnswer() > 1.05 {
			t.Errorf("at %.0f %% of the quotas an answer takes %.3f calls, want at most 1.05", 100*load, o.callsAnAnswer())
		}
		if o.onFirstKey() < 90 {
			t.Errorf("at %.0f %% of the quotas %.1f %% of the turns stay with the first one's key, want 90 %%", 100*load, o.onFirstKey())
		}
	}
}

// BenchmarkKeysSimulation reports the same of more days, and beyond the quotas.
func BenchmarkKeysSimulation(b *testing.B) {
	for _, load := range []float64{0.5, 0.8, 1.2} {
		b.Run(fmt.Sprintf("%.0f%%", 100*load), func(b *testing.B) {
			for b.Loop() {
				o := simulateDays(b, 8, load)
				b.ReportMetric(o.ofOracle(), "%-of-oracle")
				b.ReportMetric(o.callsAnAnswer(), "calls/answer")
				b.ReportMetric(o.onFirstKey(), "%-on-first-key")
			}
		})
	}
}
