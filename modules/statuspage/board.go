package statuspage

import (
	"bytes"
	"context"
	"encoding/json"
	"sync"
	"time"

	"github.com/jonboulle/clockwork"

	"github.com/caddy-freetier/caddy-freetier/internal/status"
)

// refreshEvery is how old a status may be that is shown. However many viewers
// there are, the modules are asked once in that time.
const refreshEvery = time.Second

// board has the latest status, as it is shown to all viewers.
type board struct {
	registry *status.Registry
	clock    clockwork.Clock

	closing   chan struct{}
	closeOnce sync.Once
	arrived   chan struct{} // holds a token when there may be a first viewer

	mu      sync.Mutex
	latest  *snapshot
	viewers map[language]int
	changed chan struct{} // closed when a page has changed
	pages   map[language]*rendering
}

// snapshot is a status with its JSON. It never changes.
type snapshot struct {
	*status.Status
	json []byte
}

func newBoard(registry *status.Registry, clock clockwork.Clock) *board {
	return &board{
		registry: registry,
		clock:    clock,
		closing:  make(chan struct{}),
		arrived:  make(chan struct{}, 1),
		changed:  make(chan struct{}),
		viewers:  make(map[language]int),
		pages:    make(map[language]*rendering),
	}
}

// close ends the requests of all viewers.
func (b *board) close() { b.closeOnce.Do(func() { close(b.closing) }) }

// run renews the pages while somebody looks at them.
func (b *board) run(ctx context.Context) {
	for {
		select {
		case <-b.arrived:
			b.watch(ctx)
		case <-ctx.Done():
			return
		}
	}
}

// watch renews the pages until nobody looks at them any more.
func (b *board) watch(ctx context.Context) {
	ticker := b.clock.NewTicker(refreshEvery)
	defer ticker.Stop()
	for b.renew() {
		select {
		case <-ticker.Chan():
		case <-ctx.Done():
			return
		}
	}
}

// renew renews the pages that somebody looks at, and reports whether there are
// any.
func (b *board) renew() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	watched, changed := false, false
	for lang, viewers := range b.viewers {
		if viewers > 0 {
			watched = true
			changed = b.render(lang) || changed
		}
	}
	if changed {
		close(b.changed)
		b.changed = make(chan struct{})
	}
	return watched
}

// render renders the page of a language if there is a newer status, and reports
// whether it differs from the one before. It is called with the lock held.
func (b *board) render(lang language) (changed bool) {
	current := b.current()
	page := b.pages[lang]
	if page != nil && page.of == current {
		return false
	}
	page, changed = renderParts(lang, current, page)
	b.pages[lang] = page
	return changed
}

// current returns the latest status. It is called with the lock held.
func (b *board) current() *snapshot {
	now := b.clock.Now()
	if b.latest != nil && now.Sub(b.latest.Generated) < refreshEvery && !now.Before(b.latest.Generated) {
		return b.latest
	}
	b.latest = newSnapshot(b.registry.Collect(now))
	return b.latest
}

func newSnapshot(s *status.Status) *snapshot {
	var encoded bytes.Buffer
	encoder := json.NewEncoder(&encoded)
	encoder.SetEscapeHTML(true)
	_ = encoder.Encode(s) // it has nothing that JSON cannot have
	return &snapshot{s, encoded.Bytes()}
}

// status returns the latest status.
func (b *board) status() *snapshot {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.current()
}

// page returns the page of a language as it is now.
func (b *board) page(lang language) *rendering {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.render(lang)
	return b.pages[lang]
}

// view returns the page of a language as it was rendered last, and a channel that
// is closed when a page has changed.
func (b *board) view(lang language) (*rendering, <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.pages[lang], b.changed
}

// enter counts a viewer, unless there are too many.
func (b *board) enter(lang language) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	total := 0
	for _, viewers := range b.viewers {
		total += viewers
	}
	if total >= maxViewers {
		return false
	}
	b.viewers[lang]++
	b.render(lang)
	select {
	case b.arrived <- struct{}{}:
	default:
	}
	return true
}

// leave undoes enter.
func (b *board) leave(lang language) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.viewers[lang]--
}
