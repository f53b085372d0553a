package statuspage

import (
	"fmt"
	"strings"

	"github.com/caddy-freetier/caddy-freetier/internal/status"
)

// overall is one sentence about everything.
type overall struct{ Level, Text string }

func (f formatter) overall(s *status.Status) overall {
	down, failing, keyless := 0, 0, 0
	for _, t := range s.Targets {
		switch t.State {
		case status.StateDown:
			down++
		case status.StateFailing:
			failing++
		}
	}
	for _, c := range s.Channels {
		if c.Keys.Total > 0 && c.Keys.Usable == 0 {
			keyless++
		}
	}
	var said []string
	say := func(n int, one, many string) {
		switch {
		case n == 1:
			said = append(said, f.text(one))
		case n > 1:
			said = append(said, f.text(many, n))
		}
	}
	say(down, "one down", "many down")
	say(keyless, "one keyless", "many keyless")
	say(failing, "one failing", "many failing")
	switch {
	case len(s.Targets)+len(s.Upstreams)+len(s.Channels)+len(s.DNS.Upstreams) == 0:
		return overall{"ok", f.text("nothing")}
	case len(said) == 0:
		return overall{"ok", f.text("all well")}
	}
	level := "warn"
	if down+keyless > 0 {
		level = "bad"
	}
	return overall{level, strings.Join(said, f.text("separator"))}
}

// tile is a figure at the top of the page.
type tile struct{ Label, Value, Of, Note string }

// tiles are those for which there is something to count.
func (f formatter) tiles(s *status.Status) []tile {
	var all []tile
	for _, of := range []func(*status.Status) (tile, bool){f.targetsTile, f.fastestTile, f.keysTile, f.requestsTile, f.dnsTile} {
		if t, ok := of(s); ok {
			all = append(all, t)
		}
	}
	return all
}

func (f formatter) targetsTile(s *status.Status) (tile, bool) {
	up, awake := 0, 0
	for _, t := range s.Targets {
		if t.State == status.StateUp {
			up++
		}
		if t.Awake != nil && *t.Awake {
			awake++
		}
	}
	return tile{f.text("targets"), fmt.Sprint(up), fmt.Sprintf("/ %d", len(s.Targets)), f.text("targets awake", awake)}, len(s.Targets) > 0
}

// fastestTile shows the winner of the first pool.
func (f formatter) fastestTile(s *status.Status) (tile, bool) {
	for _, u := range s.Upstreams {
		if u.Winner {
			return tile{f.text("fastest upstream"), milliseconds(u.ScoreMS), "", u.Name}, true
		}
	}
	return tile{f.text("fastest upstream"), "–", "", f.text("unknown")}, len(s.Upstreams) > 0
}

func (f formatter) keysTile(s *status.Status) (tile, bool) {
	usable, total := 0, 0
	for _, c := range s.Channels {
		usable += c.Keys.Usable
		total += c.Keys.Total
	}
	return tile{f.text("usable keys"), number(usable), "/ " + number(total), f.text("of channels", len(s.Channels))}, total > 0
}

func (f formatter) requestsTile(s *status.Status) (tile, bool) {
	requests, tokens := int64(0), int64(0)
	for _, c := range s.Clients {
		requests += c.Requests
		tokens += c.Tokens
	}
	return tile{f.text("requests today"), number(requests), "", f.text("tokens of", number(tokens))}, len(s.Clients) > 0
}

func (f formatter) dnsTile(s *status.Status) (tile, bool) {
	hits, queries := int64(0), sumOf(s.DNS.Responses)
	for _, c := range s.DNS.Cache {
		if c.Name != "miss" {
			hits += c.Count
		}
	}
	asked := sumOf(s.DNS.Cache)
	t := tile{f.text("dns queries"), number(queries), "", ""}
	if asked > 0 {
		part := float64(hits) / float64(asked)
		t.Note = f.text("from cache", share(&part))
	}
	return t, len(s.DNS.Upstreams) > 0
}
