// Package cooldownstore keeps cooldowns that last longer than a minute in Caddy's
// storage, so that they outlive a restart, and exchanges them among processes on
// one storage, as package processfiles says.
//
// A file has the decisions that a process has made. Of the decisions about one thing
// the latest counts, so the order of reading does not matter.
//
// Keys and URLs are no part of a file: it has salted hashes in their place.
package cooldownstore

import (
	"time"

	"github.com/caddy-freetier/caddy-freetier/internal/cooldown"
	"github.com/caddy-freetier/caddy-freetier/internal/processfiles"
)

// ID tells what a Breaker is about, such as a channel and a key. Storage has
// nothing but a salted hash of it.
type ID [32]byte

// Item is something with cooldowns.
type Item struct {
	// ID should be a hash, which no other Item has.
	ID      ID
	Breaker *cooldown.Breaker
}

// Store keeps the cooldowns of a process. It outlives reloads.
type Store struct {
	*processfiles.Exchange[*decisions]
	changed chan struct{} // by the Breakers: there is something to write
}

// New returns a Store that has read nothing yet. items returns what has cooldowns at
// the moment.
func New(items func() []Item) *Store {
	changed := make(chan struct{}, 1)
	content := func() processfiles.Content[*decisions] { return all(items()) }
	return &Store{processfiles.NewExchange(kind, content, changed), changed}
}

// NewBreaker returns a Breaker that tells the Store of its decisions.
func (s *Store) NewBreaker() *cooldown.Breaker { return cooldown.NewNotifying(s.changed) }

// all are the items that there are.
type all []Item

// Items implements [processfiles.Content].
func (items all) Items() (sum processfiles.Fingerprint) {
	for i := range items {
		sum.Add(items[i].ID)
	}
	return sum
}

// Merge implements [processfiles.Content].
func (items all) Merge(f *processfiles.File[*decisions], take bool, now time.Time) (changed int, unknown bool) {
	if len(f.Content.Cooldowns) == 0 {
		return 0, false
	}
	index := make(map[string]*cooldown.Breaker, len(items))
	for _, item := range items {
		index[hash(f.Process, item.ID)] = item.Breaker
	}
	for i := range f.Content.Cooldowns {
		r := &f.Content.Cooldowns[i]
		b := index[r.Item]
		switch {
		case b == nil:
			unknown = unknown || r.ends().After(now)
		case b.Apply(r.decision(), take, now):
			changed++
		}
	}
	return changed, unknown
}

// Own implements [processfiles.Content].
func (items all) Own(process string, now time.Time) []byte {
	var records []record
	for _, item := range items {
		decided := item.Breaker.Decisions(now)
		if len(decided) == 0 {
			continue
		}
		name := hash(process, item.ID)
		for _, d := range decided {
			records = append(records, newRecord(name, d))
		}
	}
	if len(records) == 0 {
		return nil
	}
	order(records)
	return encode(records)
}
