// Package cooldownstore keeps cooldowns that last longer than a minute in Caddy's
// storage, so that they outlive a restart, and exchanges them among processes on
// one storage, as package processfiles says.
//
// A file has the decisions that its process has made: a cooldown, a success that ended
// one, or a lift by hand. Of the decisions about a name of an item the latest counts
// ([cooldown.Breaker.Apply]), so files can be read in any order and several times.
// A shorter cooldown is over before another process would have read it.
//
// A file has no keys or URLs, only hashes of them. They are salted with the name of the
// process, so that they differ from file to file. Decisions about items that this
// configuration does not have stay in their file until another one has them or they
// are over.
package cooldownstore

import (
	"time"

	"github.com/caddy-freetier/caddy-freetier/internal/cooldown"
	"github.com/caddy-freetier/caddy-freetier/internal/processfiles"
)

// ID identifies what a Breaker is about, such as a key of a channel. Only a salted hash
// of it is stored.
type ID [32]byte

// Item is something with cooldowns.
type Item struct {
	// ID must be a hash. No other Item may have it.
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

// NewBreaker returns a Breaker whose decisions are written soon after they are made.
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
