package ledger

import (
	"bytes"
	"context"
	"io/fs"
	"maps"
	"path"
	"slices"
	"sync"

	"github.com/caddyserver/certmagic"
)

// memory is a storage whose operations a test can watch and let fail.
type memory struct {
	mu     sync.Mutex
	values map[string][]byte
	locks  map[string]bool

	lockless bool // its locks exclude nobody

	// before is called with each operation and its key, after once it has
	// taken effect; an error is that of the operation.
	before, after func(op, key string) error
}

func newMemory() *memory {
	return &memory{values: make(map[string][]byte), locks: make(map[string]bool)}
}

func (m *memory) do(op, key string, f func() error) error {
	if m.before != nil {
		if err := m.before(op, key); err != nil {
			return err
		}
	}
	m.mu.Lock()
	err := f()
	m.mu.Unlock()
	if err == nil && m.after != nil {
		return m.after(op, key)
	}
	return err
}

func (m *memory) Store(_ context.Context, key string, value []byte) error {
	return m.do("store", key, func() error {
		m.values[key] = bytes.Clone(value)
		return nil
	})
}

func (m *memory) Load(_ context.Context, key string) (value []byte, err error) {
	err = m.do("load", key, func() error {
		v, ok := m.values[key]
		if !ok {
			return fs.ErrNotExist
		}
		value = bytes.Clone(v)
		return nil
	})
	return value, err
}

func (m *memory) Delete(_ context.Context, key string) error {
	return m.do("delete", key, func() error {
		delete(m.values, key)
		return nil
	})
}

func (m *memory) Exists(_ context.Context, prefix string) bool {
	return len(m.keys(prefix)) > 0
}

func (m *memory) keys(prefix string) []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var keys []string
	for _, key := range slices.Sorted(maps.Keys(m.values)) {
		if path.Dir(key) == prefix {
			keys = append(keys, key)
		}
	}
	return keys
}

func (m *memory) List(_ context.Context, prefix string, _ bool) (keys []string, err error) {
	err = m.do("list", prefix, func() error { return nil })
	return m.keys(prefix), err
}

func (m *memory) Stat(context.Context, string) (certmagic.KeyInfo, error) {
	return certmagic.KeyInfo{IsTerminal: true}, nil
}

func (m *memory) Lock(ctx context.Context, name string) error {
	return m.do("lock", name, func() error {
		if m.locks[name] && !m.lockless {
			return context.DeadlineExceeded
		}
		m.locks[name] = true
		return nil
	})
}

func (m *memory) Unlock(_ context.Context, name string) error {
	return m.do("unlock", name, func() error {
		delete(m.locks, name)
		return nil
	})
}

// Interface guard
var _ certmagic.Storage = (*memory)(nil)
