package llmgateway

import (
	"sync"

	"github.com/caddy-freetier/caddy-freetier/internal/idstore"
	"github.com/caddy-freetier/caddy-freetier/internal/ring"
)

// keySet is a snapshot of a channel's keys, and the orders in which they are asked.
// It lasts until the keys are read again.
type keySet struct {
	keys []*key

	// circle has the keys in the order of the configuration, for taking turns.
	circle *ring.Ring
	// ring has them where conversations find them again, whatever their order, after
	// a restart and in every process. It is made when it is needed first.
	ring func() *ring.Ring
	// owned has the indexes of the keys by what the ids that they have made go by. It is
	// made when it is needed first.
	owned func() map[idstore.Owner]int
}

// newKeySet returns the keys of a channel. One without keys has one member, of which
// the key is unset.
func newKeySet(channel string, keys []*key) *keySet {
	s := &keySet{keys: keys, circle: ring.NewCircle(max(1, len(keys)))}
	s.ring = func() *ring.Ring { return s.circle }
	s.owned = sync.OnceValue(func() map[idstore.Owner]int {
		owned := make(map[idstore.Owner]int, len(keys))
		for i, k := range keys {
			owned[idstore.Owner(k.id)] = i
		}
		return owned
	})
	if len(keys) > 1 {
		s.ring = sync.OnceValue(func() *ring.Ring { return ring.New(membersOf(channel, keys)) })
	}
	return s
}

// membersOf returns the keys as members of a ring, which keeps no more than hashes of
// their names. Their weights are the same, since all of them have the channel's quotas.
func membersOf(channel string, keys []*key) []ring.Member {
	members := make([]ring.Member, len(keys))
	for i, k := range keys {
		members[i] = ring.Member{Name: channel + "\x00" + k.text(), Weight: 1}
	}
	return members
}

// len returns the number of members.
func (s *keySet) len() int { return s.circle.Len() }

// at returns a key by its index, unset for a channel without keys.
func (s *keySet) at(i int) *key {
	if len(s.keys) == 0 {
		return nil
	}
	return s.keys[i]
}
