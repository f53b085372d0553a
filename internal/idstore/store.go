package idstore

import (
	"time"

	"github.com/caddy-freetier/caddy-freetier/internal/processfiles"
)

// Store is what a process knows. It outlives reloads.
type Store struct {
	*processfiles.Exchange[*records]
	book *book
}

// New returns a Store that knows nothing yet. owners returns the keys that there are at
// the moment.
func New(owners func() []Owner) *Store {
	b := newBook()
	content := func() processfiles.Content[*records] { return &known{b, owners()} }
	return &Store{processfiles.NewExchange(kind, content, nil), b}
}

// Learn notes which key has made something for a client.
func (s *Store) Learn(client, name string, owner Owner, now time.Time) {
	s.book.learn(client, name, owner, now)
}

// Find returns the key that has made something for a client.
func (s *Store) Find(client, name string, now time.Time) (owner Owner, ok bool) {
	return s.book.find(client, name, now)
}
