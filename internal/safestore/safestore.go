// Package safestore guards the use of Caddy's storage by code that can go on
// without it. A storage is any module: it may be slow, ignore its context, fail for
// a while, or panic. None of that may delay a request or take down the server.
//
// [Within] limits one operation, [Guard] a series of them that must not overlap, and
// [Health] logs when the storage fails and recovers. [Format] is the header of all
// files that are read by other processes, and [List] lists a folder in the ways in
// which storages differ.
package safestore

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"
)

// Identity is equal for two configurations of one storage. Storages say what
// they are by their JSON, as all modules do, or by their String method.
func Identity(storage certmagic.Storage) any {
	config, err := json.Marshal(storage)
	name, named := storage.(fmt.Stringer)
	switch {
	case named:
		config = append(config, name.String()...)
	case err != nil:
		config = fmt.Appendf(nil, "%p", storage)
	}
	// The configuration may hold a password.
	return sha256.Sum256(fmt.Appendf(nil, "%T %s", storage, config))
}

// Recover calls f and returns a panic in it as an error.
func Recover(f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	return f()
}

// Within calls f in a goroutine of its own and waits for it, but no longer than
// limit, even if f ignores its context. The goroutine ends when f does; what f
// returns after the limit is discarded. A panic in f is returned as an error.
func Within[T any](ctx context.Context, limit time.Duration, f func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	type outcome struct {
		value T
		err   error
	}
	done := make(chan outcome, 1)
	go func() {
		defer cancel()
		var o outcome
		o.err = Recover(func() (err error) {
			o.value, err = f(ctx)
			return err
		})
		done <- o
	}()
	select {
	case o := <-done:
		return o.value, o.err
	case <-ctx.Done():
		select {
		case o := <-done: // f has ended, and canceled the context
			return o.value, o.err
		default:
			var none T
			return none, ctx.Err()
		}
	}
}

// Health remembers whether the storage is available, so that a change is
// logged once. Its zero value is an available storage. It is safe for
// concurrent use.
type Health struct {
	mu          sync.Mutex
	unavailable bool
}

// Report records the outcome of using the storage. It logs the messages when
// the storage becomes unavailable (warn) and when it has recovered (info).
func (h *Health) Report(logger *zap.Logger, err error, unavailable, recovered string, fields ...zap.Field) {
	h.mu.Lock()
	was := h.unavailable
	h.unavailable = err != nil
	h.mu.Unlock()
	switch {
	case err != nil && !was:
		logger.Warn(unavailable, append(fields, zap.Error(err))...)
	case err == nil && was:
		logger.Info(recovered, fields...)
	}
}

// Unavailable reports whether the last use of the storage failed.
func (h *Health) Unavailable() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.unavailable
}
