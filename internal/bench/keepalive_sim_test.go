package main

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// outcome is what came of a month.
type outcome struct {
	cold, refused, pings int
	hours                time.Duration
}

func (o outcome) bad() int { return o.cold + o.refused }

// months simulates some accounts with some services each, and returns what
// came of each month.
func months(way string, accounts, services int, draw func(seed uint64) []time.Time, from, end time.Time) []outcome {
	var all []outcome
	for account := range accounts {
		w := new(workspace)
		for i := range services {
			w.services = append(w.services, &service{requests: draw(uint64(account*10 + i + 1))})
		}
		clock := new(time.Time)
		var k keeper = none{}
		switch way {
		case "3-minute cron":
			k = &cron{at: from}
		case "ours":
			k = newOurs(w, from, clock)
		}
		month := 0
		simulate(w, k, clock, from, end, func() {
			if month == len(all) {
				all = append(all, outcome{})
			}
			o := &all[month]
			o.hours += w.used
			for _, s := range w.services {
				o.cold, o.refused, o.pings = o.cold+s.met, o.refused+s.refused, o.pings+s.pings
				s.met, s.refused, s.pings = 0, 0, 0
			}
			month++
		})
	}
	return all
}

// Two months of requests on a platform that gives 750 hours a month, with no
// keepalive, with a plain cron, and with the app's planning. In the first month
// ours knows nothing yet. A user whose request is refused because the account
// is suspended is as badly off as one who meets a cold start; of requests in
// quick succession the first counts.
func TestKeepaliveSimulation(t *testing.T) {
	from := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	end := from.AddDate(0, 2, 0)
	var table strings.Builder
	fmt.Fprintf(&table, "%-16s %-27s %-6s %-14s %5s %8s %6s %6s\n", "traffic", "plan", "month", "keepalive", "cold", "refused", "hours", "pings")
	for _, shape := range []struct {
		name   string
		spread bool // over all hours of the day
		draw   func(seed uint64) []time.Time
	}{
		{"office hours", false, func(seed uint64) []time.Time { return arrivals(seed, from, end, office) }},
		{"night owl", false, func(seed uint64) []time.Time { return arrivals(seed, from, end, nightOwl) }},
		{"NASA, thinned", true, func(seed uint64) []time.Time { return arrivals(seed, from, end, nasa(from)) }},
		{"bot, 20 minutes", true, func(seed uint64) []time.Time { return bot(seed, from, end) }},
	} {
		if raceDetector && shape.name != "office hours" {
			continue // one goroutine: there is nothing to detect
		}
		for _, plan := range []struct {
			name               string
			accounts, services int
		}{{"1 account, 1 service", 1, 1}, {"1 account, 2 services", 1, 2}, {"3 accounts, 1 service each", 3, 1}} {
			results := make(map[string][]outcome)
			for _, way := range []string{"none", "3-minute cron", "ours"} {
				results[way] = months(way, plan.accounts, plan.services, shape.draw, from, end)
				for i, o := range results[way] {
					fmt.Fprintf(&table, "%-16s %-27s %-6s %-14s %5d %8d %6.0f %6d\n", shape.name, plan.name,
						from.AddDate(0, i, 0).Format("Jan"), way, o.cold, o.refused, o.hours.Hours(), o.pings)
				}
			}
			for i, o := range results["ours"] {
				none, cron := results["none"][i], results["3-minute cron"][i]
				where := fmt.Sprintf("%s, %s, month %d", shape.name, plan.name, i+1)
				if o.pings > cron.pings/2 {
					t.Errorf("%s: %d pings, want at most half of %d", where, o.pings, cron.pings)
				}
				switch {
				case plan.services == 1 && o.bad() > 0:
					t.Errorf("%s: %d users were badly off, want none: the hours are enough", where, o.bad())
				case none.refused > 0:
					// Traffic alone takes more hours than there are, and an hour awake
					// costs hardly more than one with cold starts: nobody can do better
					// than to serve well until the hours are gone.
					if o.bad() > cron.bad()*102/100 {
						t.Errorf("%s: %d users were badly off, with the cron %d", where, o.bad(), cron.bad())
					}
				case shape.spread:
					// Requests come in each hour of the day, so that no hours are left in
					// which sleep is free. The cron serves half of the month and none of
					// the rest; ours is never suspended, and spares what there are hours for.
					if o.cold > none.cold*2/3 {
						t.Errorf("%s: %d cold starts, want at most two thirds of %d", where, o.cold, none.cold)
					}
				case o.bad() > cron.bad()/3:
					t.Errorf("%s: %d users were badly off, want at most a third of the cron's %d", where, o.bad(), cron.bad())
				}
				if none.refused == 0 && o.refused > 0 {
					t.Errorf("%s: the account was suspended", where)
				}
			}
		}
	}
	t.Log("\n" + table.String())
}
