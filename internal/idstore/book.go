// Package idstore remembers which account has made what a provider keeps: files,
// batches, responses. Only that account can be asked for it again.
//
// A client can only ask for what it has made itself: an id is stored as the hash of
// the client's name and the id. The number of ids is bounded, in all and for each
// client, so no client can push out what another one has made.
//
// They are in memory and in Caddy's storage, where processes exchange them as
// package processfiles describes: of two records about an id the later one counts. A
// crash loses what was learned in the last few seconds: accounts are asked for such an
// id one after the other, as for any that is unknown.
//
// A file has no ids, keys or names of clients, only hashes of them. Those of keys are
// salted with the name of the process, so that they differ from file to file.
package idstore

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"sync"
	"time"
)

// Owner tells an account's key from all others. It should be a hash.
type Owner [sha256.Size]byte

const (
	// maxKnown bounds what is known, and maxOfClient what of it is of one client:
	// no client can push out what others have made.
	maxKnown    = 50_000
	maxOfClient = 10_000

	// keptFor is how long an id is kept after it was learned. Providers keep
	// responses for 30 days.
	keptFor = 31 * 24 * time.Hour

	// longestSkew is how far ahead the clock of another process may be. It is as
	// long as wrong time zones and dates by a day require.
	longestSkew = 24 * time.Hour
)

// id is the hash of something that a client has made.
type id [16]byte

func idOf(client, name string) id {
	h := sha256.Sum256([]byte(client + "\x00" + name))
	return id(h[:16])
}

// clientHash identifies a client for maxOfClient. Two clients with the same hash
// share that bound, and nothing else.
type clientHash uint32

func hashOfClient(client string) clientHash {
	h := sha256.Sum256([]byte(client))
	return clientHash(binary.BigEndian.Uint32(h[:]))
}

// entry is what is known of an id. It is kept small, since there can be 50,000.
type entry struct {
	owner  uint32 // index in book.owners
	minute uint32 // when it was made, since 1970
	client clientHash
	own    bool // this process keeps it in its file
}

func minuteOf(t time.Time) uint32 { return uint32(t.Unix() / 60) }

func (e entry) expired(now time.Time) bool {
	return now.Sub(time.Unix(int64(e.minute)*60, 0)) > keptFor
}

// impossible reports whether the entry was made by a clock that was far ahead. It would
// never expire, and count before all later entries of the id.
func (e entry) impossible(now time.Time) bool {
	return time.Unix(int64(e.minute)*60, 0).Sub(now) > longestSkew
}

// book is what is known. It is safe for concurrent use. Requests wait for its lock, so
// nothing slow is done with it.
type book struct {
	mu      sync.Mutex
	entries map[id]entry
	clients map[clientHash]*queue
	owners  []Owner // is only appended to: see entry.owner
	indexes map[Owner]uint32
	version int // changes with what this process keeps in its file

	encoded encoded // belongs to the pass
}

// queue has the ids of a client in the order in which they were made. Some may be
// forgotten already, until expire removes them.
type queue struct {
	ids  []id
	live int
}

func newBook() *book {
	return &book{entries: make(map[id]entry), clients: make(map[clientHash]*queue), indexes: make(map[Owner]uint32)}
}

// learn notes the owner of an id.
//
// A known id is written anew only after half of its time, so that a client that polls a
// batch does not make the file change with each request.
func (b *book) learn(client, name string, owner Owner, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	i := b.index(owner)
	known, ok := b.entries[idOf(client, name)]
	if ok && known.owner == i && !known.expired(now.Add(keptFor/2)) {
		return
	}
	b.add(idOf(client, name), entry{owner: i, minute: minuteOf(now), client: hashOfClient(client), own: true})
}

// find returns the owner of an id.
func (b *book) find(client, name string, now time.Time) (owner Owner, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	e, ok := b.entries[idOf(client, name)]
	if !ok || e.expired(now) {
		return owner, false
	}
	return b.owners[e.owner], true
}

// index returns the index of an owner. Their number is that of the keys which
// have ever made anything.
func (b *book) index(owner Owner) uint32 {
	i, ok := b.indexes[owner]
	if !ok {
		i = uint32(len(b.owners))
		b.owners = append(b.owners, owner)
		b.indexes[owner] = i
	}
	return i
}

// add puts an entry in. Beyond a bound it forgets the oldest id of the client, or of
// the client that has most.
func (b *book) add(i id, e entry) {
	old, known := b.entries[i]
	if e.own || known && old.own {
		b.version++
	}
	q := b.clients[e.client]
	if q == nil {
		q = new(queue)
		b.clients[e.client] = q
	}
	b.entries[i] = e
	if known && old.client == e.client {
		return
	}
	q.ids = append(q.ids, i)
	q.live++
	if q.live > maxOfClient {
		b.forgetFirst(e.client)
	}
	if len(b.entries) > maxKnown {
		b.forgetFirst(b.largest())
	}
}

// forgetFirst forgets the oldest id of a client.
func (b *book) forgetFirst(client clientHash) {
	q := b.clients[client]
	for q.live > 0 && len(q.ids) > 0 {
		i := q.ids[0]
		q.ids = q.ids[1:]
		if e, ok := b.entries[i]; ok && e.client == client {
			b.forget(i, e)
			return
		}
	}
}

func (b *book) forget(i id, e entry) {
	delete(b.entries, i)
	if e.own {
		b.version++
	}
	q := b.clients[e.client]
	if q.live--; q.live == 0 {
		delete(b.clients, e.client)
	}
}

// largest returns the client with most ids.
func (b *book) largest() (client clientHash) {
	most := 0
	for c, q := range b.clients {
		if q.live > most || q.live == most && c < client {
			client, most = c, q.live
		}
	}
	return client
}

// expire forgets what is too old.
func (b *book) expire(now time.Time) {
	for i, e := range b.entries {
		if e.expired(now) {
			b.forget(i, e)
		}
	}
	for _, q := range b.clients {
		q.ids = slices.DeleteFunc(q.ids, func(i id) bool { _, known := b.entries[i]; return !known })
	}
}
