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

// saved is a page's score in the storage.
type saved struct {
	Sum       float64   `json:"sum"`
	Weight    float64   `json:"weight"`
	SampledAt time.Time `json:"sampled_at"`
	Samples   int       `json:"samples"`
	WonAt     time.Time `json:"won_at"`
}

// file is the name of a page's score.
func (k pageKey) file() string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%q", []any{
		k.network, k.address, k.transport, k.host, k.path, k.contains, k.expect, k.maxSize, k.interval, k.timeout,
	}))
	return storeFolder + hex.EncodeToString(sum[:16]) + ".json"
}

// restore takes over the score from before a restart, if there is one.
func (s *Selection) restore(ctx context.Context, m *member) {
	if known := m.page.look(); known.measured() {
		return // it has outlived a reload
	}
	text, err := safestore.Within(ctx, storageLimit, func(ctx context.Context) ([]byte, error) {
		return s.storage.Load(ctx, m.key.file())
	})
	if err != nil {
		return // most often there is none
	}
	var score saved
	if err := json.Unmarshal(text, &score); err != nil {
		s.logger.Warn("stored score of upstream is unreadable; starting fresh", zap.String("upstream", m.name), zap.Error(err))
		return
	}
	if m.page.restore(score, s.clock.Now()) {
		m.page.tell()
	}
}

// save stores the score, unless that was done a moment ago or there is
// nothing new.
func (s *Selection) save(ctx context.Context, m *member, atLast bool) {
	now := s.clock.Now()
	score, ok := m.page.toSave(now, atLast)
	if !ok {
		return
	}
	text, err := json.Marshal(score)
	if err == nil {
		_, err = safestore.Within(context.WithoutCancel(ctx), storageLimit, func(ctx context.Context) (any, error) {
			return nil, s.storage.Store(ctx, m.key.file(), text)
		})
	}
	s.storageHealth.Report(s.logger, err, "storage unavailable; keeping scores in memory", "storage recovered; scores are saved again")
}

// restore takes over a score that is not too old, unless there is one by now.
func (p *page) restore(score saved, now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	age := now.Sub(score.SampledAt)
	if p.record.measured() || score.Samples < 1 || !(score.Weight > 0) || !(score.Sum >= 0) || age < 0 || age > tooOld {
		return false
	}
	p.sum, p.weight, p.sampledAt = score.Sum, score.Weight, score.SampledAt
	p.record.score, p.record.samples = score.Sum/score.Weight, score.Samples
	p.record.wonAt = score.WonAt
	p.savedAt, p.savedSample = now, score.SampledAt
	return true
}

// toSave returns the score if it is time to store it.
func (p *page) toSave(now time.Time, atLast bool) (saved, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.record.measured() || p.savedSample.Equal(p.sampledAt) || !atLast && now.Sub(p.savedAt) < saveAfter {
		return saved{}, false
	}
	p.savedAt, p.savedSample = now, p.sampledAt
	return saved{p.sum, p.weight, p.sampledAt, p.record.samples, p.record.wonAt}, true
}
