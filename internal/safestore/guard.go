package safestore

import (
	"context"
	"errors"
	"time"
)

// errBusy is the trouble of a storage that has not returned from an earlier use.
var errBusy = errors.New("an earlier operation has not ended")

// Guard has a storage used by one at a time, and remembers whether it is available.
type Guard struct {
	Health
	busy chan struct{} // holds a token while the storage is used
}

// NewGuard returns the Guard of a storage that is available.
func NewGuard() *Guard { return &Guard{busy: make(chan struct{}, 1)} }

// Do calls f and waits for it, but no longer than limit. As [Within] says, f can go
// on after that; until it ends every later call fails. So f needs no lock for what
// only such functions touch. It should look at its context before it changes
// anything because of what a slow storage has returned.
func (g *Guard) Do(ctx context.Context, limit time.Duration, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	select {
	case g.busy <- struct{}{}:
	case <-ctx.Done():
		return errBusy
	}
	_, err := Within(ctx, limit, func(ctx context.Context) (struct{}, error) {
		defer func() { <-g.busy }()
		return struct{}{}, f(ctx)
	})
	return err
}

// Hangs reports whether an operation is under way that was given up before: another
// one would only wait for it.
func (g *Guard) Hangs() bool { return g.Unavailable() && len(g.busy) > 0 }
