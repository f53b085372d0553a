package redistest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/certmagic"
)

// Manner is how a storage behaves where the plugins differ.
type Manner string

const (
	// Redis has locks that expire and are waited for, and an index for List.
	Redis Manner = "redis"

	// Consul reports that a lock was obtained when it has waited for it in vain.
	// For it all keys are folders, and what is not there cannot be deleted.
	Consul Manner = "consul"

	// Postgres does not wait for a lock, deletes any lock, and cannot list
	// folders within folders; it lists all keys with the prefix.
	Postgres Manner = "postgres"

	// S3 has no locks, lists a folder itself in place of what is in it, and calls
	// what it cannot load missing.
	S3 Manner = "s3"
)

// Manners are all of them.
var Manners = []Manner{Redis, Consul, Postgres, S3}

const (
	prefix = "caddy/"

	lockTime    = 5 * time.Second // after which a lock expires
	lockRefresh = 3 * time.Second
	lockPoll    = time.Second
	slowList    = 20 * time.Millisecond
)

// Storage keeps everything in a Redis. Nothing is renamed, and a write is seen as a
// whole or not at all.
type Storage struct {
	Addr   string `json:"address"`
	Manner Manner `json:"manner"`

	client *client
	mu     *sync.Mutex
	locks  map[string]func() // by name: how to release it
}

func init() { caddy.RegisterModule((*Storage)(nil)) }

// CaddyModule returns the Caddy module information.
func (*Storage) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "caddy.storage.redistest", New: func() caddy.Module { return new(Storage) }}
}

// UnmarshalCaddyfile reads `storage redistest <address> [<manner>]`.
func (s *Storage) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	if !d.Args(&s.Addr) {
		return d.ArgErr()
	}
	if s.Manner = Redis; d.NextArg() {
		s.Manner = Manner(d.Val())
	}
	return nil
}

// CertMagicStorage returns the storage. As the plugins do, it needs the server to
// be there at first.
func (s *Storage) CertMagicStorage() (certmagic.Storage, error) {
	s.client, s.mu, s.locks = &client{addr: s.Addr}, new(sync.Mutex), make(map[string]func())
	_, err := s.client.do(context.Background(), "PING")
	return s, err
}

// Store writes a value and then its place in the index.
func (s *Storage) Store(ctx context.Context, key string, value []byte) error {
	if _, err := s.client.do(ctx, "SADD", prefix+"index", key); err != nil {
		return err
	}
	_, err := s.client.do(ctx, "SET", prefix+key, string(value))
	return err
}

// Load reads a value.
func (s *Storage) Load(ctx context.Context, key string) ([]byte, error) {
	reply, err := s.client.do(ctx, "GET", prefix+key)
	if errors.Is(err, errNil) || err != nil && s.Manner == S3 {
		return nil, fs.ErrNotExist
	}
	text, _ := reply.(string)
	return []byte(text), err
}

// Delete removes a value.
func (s *Storage) Delete(ctx context.Context, key string) error {
	if _, err := s.client.do(ctx, "SREM", prefix+"index", key); err != nil {
		return err
	}
	n, err := s.client.do(ctx, "DEL", prefix+key)
	if err == nil && n == int64(0) && s.Manner == Consul {
		return fs.ErrNotExist
	}
	return err
}

// Exists reports whether there is a value.
func (s *Storage) Exists(ctx context.Context, key string) bool {
	n, err := s.client.do(ctx, "EXISTS", prefix+key)
	return err == nil && n == int64(1)
}

// List returns the keys in a folder.
func (s *Storage) List(ctx context.Context, folder string, recursive bool) (keys []string, err error) {
	time.Sleep(slowList)
	reply, err := s.client.do(ctx, "SMEMBERS", prefix+"index")
	if err != nil {
		return nil, err
	}
	switch {
	case s.Manner == Postgres && recursive:
		return nil, errors.New("recursive not supported")
	case s.Manner == S3 && !recursive:
		return []string{"", folder + "/"}, nil
	}
	members, _ := reply.([]any)
	for _, member := range members {
		key, _ := member.(string)
		switch {
		case s.Manner == Postgres && strings.HasPrefix(key, folder),
			recursive && strings.HasPrefix(key, folder+"/"),
			path.Dir(key) == folder:
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 && s.Manner == Consul {
		return nil, fs.ErrNotExist
	}
	return keys, nil
}

// Stat returns what is known of a value.
func (s *Storage) Stat(ctx context.Context, key string) (certmagic.KeyInfo, error) {
	value, err := s.Load(ctx, key)
	if err != nil && s.Manner == S3 {
		return certmagic.KeyInfo{}, nil
	}
	return certmagic.KeyInfo{Key: key, Size: int64(len(value)), IsTerminal: s.Manner != Consul}, err
}

// Lock obtains a lock, which expires unless it is refreshed.
func (s *Storage) Lock(ctx context.Context, name string) error {
	if s.Manner == S3 {
		return nil
	}
	token := rand.Text()
	for {
		_, err := s.client.do(ctx, "SET", prefix+"locks/"+name, token, "NX", "PX", fmt.Sprint(lockTime.Milliseconds()))
		switch {
		case err == nil:
			s.keep(name, token)
			return nil
		case !errors.Is(err, errNil):
			return err
		case s.Manner == Postgres:
			return errors.New("key is locked: " + name)
		}
		select {
		case <-time.After(lockPoll):
		case <-ctx.Done():
			if s.Manner == Consul {
				return nil
			}
			return ctx.Err()
		}
	}
}

// keep refreshes a lock until it is released.
func (s *Storage) keep(name, token string) {
	ctx, cancel := context.WithCancel(context.Background())
	s.mu.Lock()
	s.locks[name] = cancel
	s.mu.Unlock()
	go func() {
		ticker := time.NewTicker(lockRefresh)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				_, _ = s.client.do(ctx, "PEXPIRE", prefix+"locks/"+name, fmt.Sprint(lockTime.Milliseconds()))
			case <-ctx.Done():
				return
			}
		}
	}()
}

// Unlock releases a lock.
func (s *Storage) Unlock(ctx context.Context, name string) error {
	s.mu.Lock()
	release, held := s.locks[name]
	delete(s.locks, name)
	s.mu.Unlock()
	if held {
		release()
	} else if s.Manner != Postgres {
		return nil
	}
	_, err := s.client.do(ctx, "DEL", prefix+"locks/"+name)
	return err
}

// Interface guards
var (
	_ caddy.StorageConverter = (*Storage)(nil)
	_ caddyfile.Unmarshaler  = (*Storage)(nil)
)
