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

func (f formatter) tiles(s *status.Status) []tile {
	var all []tile
	if n := len(s.Targets); n > 0 {
		up, awake := 0, 0
		for _, t := range s.Targets {
			if t.State == status.StateUp {
				up++
			}
			if t.Awake != nil && *t.Awake {
				awake++
			}
		}
		all = append(all, tile{f.text("targets"), fmt.Sprint(up), fmt.Sprintf("/ %d", n), f.text("targets awake", awake)})
	}
	return all
}
