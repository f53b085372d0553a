// Package ledger counts what has been used: requests, tokens, queries, awake
// seconds, in calendar periods from a second to a month.
//
// Counting is in memory and takes no lock. Periods of an hour and more outlive
// restarts: every few seconds, and at stop, they are written to Caddy's
// configured storage, one file for each process. Each process reads the files
// of the others and adds them, so that processes on one storage agree after a
// moment. Of many processes one does that for all. Nothing on a request's path
// ever waits for storage.
//
// Storages cannot compare and swap, and the locks of some exclude nobody. So each
// file but two has one writer, and a count is removed from a file only when it has
// been elsewhere for a while.
//
// # The files
//
//	freetier/ledger/<process>.ledger  the counts of one process, which alone writes it
//	freetier/ledger/common.ledger     those of processes that have ended
//	freetier/ledger/merged            a sum of all, for more than 8 processes; a copy
//	freetier/ledger/….bad             what was quarantined
//
// It is a G-Counter: a count is the sum of what each process has counted, which only grows.
// What one process knows of the others is raised and never lowered, so that a file that is
// read late, twice or not at all gives no count back.
//
// # The invariants
//
//   - Each unit of a count is in exactly one place: own minus compacted of one process, or
//     the common file. Where a file and the common file both have it (between compaction and
//     removal), Compacted says how much, and that part is subtracted.
//   - A process file is removed only removeAfter seconds after the common file has had all
//     of it.
//   - Whoever was compacted while alive finds itself in Compacted, gives that part away and
//     goes on under a new name.
//   - A crash loses what was counted since the last pass: half an interval.
//   - A reload loses nothing: the Ledger belongs to the process.
//
// # How it is used
//
//	l, err := ledger.FromContext(ctx) // in Provision; there is nothing to release
//	if err != nil {
//		return err
//	}
//	h.sent = l.Counter("doh https://dns.example/abc", ledger.Requests, ledger.Month, time.UTC)
//
//	h.sent.Add(1) // while serving
package ledger

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jonboulle/clockwork"

	"github.com/caddy-freetier/caddy-freetier/internal/safestore"
)

// Ledger holds the counts of one storage. It belongs to the process and
// outlives reloads.
//
// mu guards counters and others. Requests take it to look a counter up and at the
// beginning of a period; nobody has it while the storage is used.
type Ledger struct {
	clock atomic.Pointer[clockwork.Clock]

	mu       sync.RWMutex
	counters map[string]*Counter
	others   counts // what all other processes have counted; it only grows
	health   safestore.Health
	pace     safestore.Pace

	// busy holds a token while a pass over the storage is under way; whoever
	// put it there may use the fields of files.
	busy  chan struct{}
	files files
}

func newLedger() *Ledger {
	return &Ledger{
		counters: make(map[string]*Counter),
		others:   make(counts),
		pace:     safestore.Pace{Files: crowdAt, Longest: maxInterval},
		busy:     make(chan struct{}, 1),
		files:    newFiles(),
	}
}

// Counter returns the counter of a name. The name says what is counted, for
// example which URL or API key; equal names with equal unit, period and zone
// are one counter, also over reloads, restarts and processes. Only a hash of
// the name is stored. Names come from the configuration, or a few of them from
// requests: a counter is not forgotten while the process runs.
func (l *Ledger) Counter(name string, unit Unit, period Period, zone *time.Location) *Counter {
	key := counterKey(name, unit, period, zone)
	l.mu.Lock()
	defer l.mu.Unlock()
	c, ok := l.counters[key]
	if !ok {
		c = &Counter{ledger: l, key: key, period: period, zone: zone, cells: make(map[instant]*cell)}
		l.counters[key] = c
	}
	return c
}

// History returns what a counter has counted in each period of which that is
// known, by the first moment of the period: what this process and, as last read
// from the storage, all others have counted. Periods of a minute and less are not
// kept. It makes no counter where there is none.
func (l *Ledger) History(name string, unit Unit, period Period, zone *time.Location) map[time.Time]int64 {
	key := counterKey(name, unit, period, zone)
	history := make(map[time.Time]int64)
	l.mu.RLock()
	counter := l.counters[key]
	for from, n := range l.others[key] {
		history[from.time().In(zone)] = n
	}
	l.mu.RUnlock()
	if counter != nil {
		counter.mu.Lock()
		defer counter.mu.Unlock()
		for from, cell := range counter.cells {
			if n := cell.sum(); n > 0 {
				history[from.time().In(zone)] = n
			}
		}
	}
	return history
}

func counterKey(name string, unit Unit, period Period, zone *time.Location) string {
	return strings.Join([]string{hash(name), string(unit), string(period), zone.String()}, " ")
}

// periodOf returns the period of a counter's key, the longest if it has none.
func periodOf(key string) Period {
	if words := strings.Fields(key); len(words) > 2 {
		return Period(words[2])
	}
	return Month
}

// hash is half a SHA-256, which is plenty to keep names apart.
func hash(name string) string {
	sum := sha256.Sum256([]byte("caddy-freetier ledger\x00" + name))
	return hex.EncodeToString(sum[:16])
}

func (l *Ledger) now() instant { return instant((*l.clock.Load()).Now().Unix()) }

func (l *Ledger) othersOf(key string, from instant) int64 {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.others[key][from]
}

// lasting returns the counters that are written.
func (l *Ledger) lasting() []*Counter {
	l.mu.RLock()
	defer l.mu.RUnlock()
	var lasting []*Counter
	for _, c := range l.counters {
		if !c.period.short() {
			lasting = append(lasting, c)
		}
	}
	return lasting
}
