package fastestswagger

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-freetier/caddy-freetier/internal/safestore"
)

const (
	// storeFolder is where scores are in Caddy's storage. A file's name is a
	// hash, since a page's query may be a secret.
	storeFolder = "freetier/fastest-swagger/"
	// saveAfter is how often a score is saved, besides at the end.
	saveAfter = time.Minute
	// storageLimit is how long the storage may take, also when Caddy stops.
	storageLimit = 2 * time.Second
	// tooOld is when a score says nothing any more.
	tooOld = 24 * time.Hour
)

// saved is a score in the storage.
type saved struct {
	Sum       float64   `json:"sum"`
	Weight    float64   `json:"weight"`
	SampledAt time.Time `json:"sampled_at"`
	Samples   int       `json:"samples"`
	WonAt     time.Time `json:"won_at"`
}

// file is the name of a score.
func (k scoreKey) file() string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%q", []any{
		k.network, k.address, k.transport, k.host, k.path, k.contains, k.expect, k.maxSize, k.interval, k.timeout,
	}))
	if k.header != "" { // without headers the name is that of earlier versions
		sum = sha256.Sum256(fmt.Appendf(sum[:], "%q", k.header))
	}
	return storeFolder + hex.EncodeToString(sum[:16]) + ".json"
}

// restore takes over the score from before a restart, if there is one.
func (p *prober) restore(ctx context.Context, u *upstream) {
	if known := u.score.snapshot(); known.measured() {
		return // it has outlived a reload
	}
	text, err := safestore.Within(ctx, storageLimit, func(ctx context.Context) ([]byte, error) {
		return p.storage.Load(ctx, u.key.file())
	})
	if err != nil {
		return // most often there is none
	}
	var stored saved
	if err := json.Unmarshal(text, &stored); err != nil {
		p.logger.Warn("stored score of upstream is unreadable; starting fresh", zap.String("upstream", u.name), zap.Error(err))
		return
	}
	if u.score.restore(stored, p.clock.Now()) {
		u.score.publish()
	}
}

// save stores the score, unless that was done a moment ago or there is
// nothing new.
func (p *prober) save(ctx context.Context, u *upstream, atLast bool) {
	now := p.clock.Now()
	stored, ok := u.score.toSave(now, atLast)
	if !ok {
		return
	}
	text, err := json.Marshal(stored)
	if err == nil {
		_, err = safestore.Within(context.WithoutCancel(ctx), storageLimit, func(ctx context.Context) (any, error) {
			return nil, p.storage.Store(ctx, u.key.file(), text)
		})
	}
	p.health.Report(p.logger, err, "storage unavailable; keeping scores in memory", "storage recovered; scores are saved again")
}

// restore takes over a score that is not too old, unless there is one by now.
func (sc *score) restore(stored saved, now time.Time) bool {
	sc.mu.Lock()
	defer sc.mu.Unlock()
	age := now.Sub(stored.SampledAt)
	if sc.record.measured() || stored.Samples < 1 || !(stored.Weight > 0) || !(stored.Sum >= 0) || age < 0 || age > tooOld {
		return false
	}
	sc.sum, sc.weight, sc.sampledAt = stored.Sum, stored.Weight, stored.SampledAt
	sc.record.mean, sc.record.samples = stored.Sum/stored.Weight, stored.Samples
	sc.record.wonAt = stored.WonAt
	sc.savedAt, sc.savedSample = now, stored.SampledAt
	return true
}

// toSave returns the score if it is time to store it.
func (sc *score) toSave(now time.Time, atLast bool) (saved, bool) {
	sc.mu.Lock()
	defer sc.mu.Unlock()
	if !sc.record.measured() || sc.savedSample.Equal(sc.sampledAt) || !atLast && now.Sub(sc.savedAt) < saveAfter {
		return saved{}, false
	}
	sc.savedAt, sc.savedSample = now, sc.sampledAt
	return saved{sc.sum, sc.weight, sc.sampledAt, sc.record.samples, sc.record.wonAt}, true
}
