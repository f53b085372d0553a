package cooldownstore

import (
	"bytes"
	"context"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/caddyserver/certmagic"
)

// memory is a storage whose operations a test can watch and let fail.
type memory struct {
	mu     sync.Mutex
	values map[string][]byte
	// before is called with each operation and its key; an error is that of the
	// operation.
	before func(ctx context.Context, op, key string) error
}

func newMemory() *memory { return &memory{values: make(map[string][]byte)} }

func (m *memory) do(ctx context.Context, op, key string, f func() error) error {
	m.mu.Lock()
	before := m.before
	m.mu.Unlock()
	if before != nil {
		if err := before(ctx, op, key); err != nil {
			return err
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return f()
}

func (m *memory) fail(before func(ctx context.Context, op, key string) error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.before = before
}

func (m *memory) Store(ctx context.Context, key string, value []byte) error {
	return m.do(ctx, "store", key, func() error {
		m.values[key] = bytes.Clone(value)
		return nil
	})
}

func (m *memory) Load(ctx context.Context, key string) (value []byte, err error) {
	err = m.do(ctx, "load", key, func() error {
		v, ok := m.values[key]
		if !ok {
			return fs.ErrNotExist
		}
		value = bytes.Clone(v)
		return nil
	})
	return value, err
}

func (m *memory) Delete(ctx context.Context, key string) error {
	return m.do(ctx, "delete", key, func() error {
		delete(m.values, key)
		return nil
	})
}

func (m *memory) keys(prefix string) []string {
	var keys []string
	for _, key := range slices.Sorted(maps.Keys(m.values)) {
		if path.Dir(key) == prefix {
			keys = append(keys, key)
		}
	}
	return keys
}

func (m *memory) Exists(_ context.Context, prefix string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.keys(prefix)) > 0
}

func (m *memory) List(ctx context.Context, prefix string, _ bool) (keys []string, err error) {
	err = m.do(ctx, "list", prefix, func() error {
		keys = m.keys(prefix)
		return nil
	})
	return keys, err
}

func (m *memory) Stat(ctx context.Context, key string) (info certmagic.KeyInfo, err error) {
	err = m.do(ctx, "stat", key, func() error {
		v, ok := m.values[key]
		if !ok {
			return fs.ErrNotExist
		}
		info = certmagic.KeyInfo{Key: key, Size: int64(len(v)), IsTerminal: !strings.HasSuffix(string(v), "/")}
		return nil
	})
	return info, err
}

func (m *memory) Lock(context.Context, string) error   { return nil }
func (m *memory) Unlock(context.Context, string) error { return nil }

// files returns the names and contents of the files.
func (m *memory) files() map[string]string {
	m.mu.Lock()
	defer m.mu.Unlock()
	files := make(map[string]string)
	for key, value := range m.values {
		files[path.Base(key)] = string(value)
	}
	return files
}

// Interface guard
var _ certmagic.Storage = (*memory)(nil)
