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

// settle is how long a change may wait for others, which often come together, until
// it is shown. It bounds how often the modules are asked while much changes.
const settle = 200 * time.Millisecond

// board has the latest status, as it is shown to all viewers. Rendering happens with
// its lock held, so that a page is rendered once for all who ask at the same time;
// writing to viewers does not, so that a slow one delays nobody.
type board struct {
	registry *status.Registry
	clock    clockwork.Clock

	closing   chan struct{}
	closeOnce sync.Once
	arrived   chan struct{} // holds a token when there may be a first viewer
	news      chan struct{} // holds a token when a module has reported a change

	mu        sync.Mutex
	latest    *snapshot // nil before the first, and when it is known to be outdated
	fresh     time.Time // until when the latest may be shown
	viewers   map[language]int
	addresses map[string]int // viewers by their address; none has 0
	changed   chan struct{}  // closed when a page has changed
	pages     map[language]*rendering
}

// snapshot is a status with its JSON. It never changes, and is read without a lock.
type snapshot struct {
	*status.Status
	json []byte
}

func newBoard(registry *status.Registry, clock clockwork.Clock) *board {
	return &board{
		registry:  registry,
		clock:     clock,
		closing:   make(chan struct{}),
		arrived:   make(chan struct{}, 1),
		news:      make(chan struct{}, 1),
		changed:   make(chan struct{}),
		viewers:   make(map[language]int),
		addresses: make(map[string]int),
		pages:     make(map[language]*rendering),
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

// watch renews the pages until nobody looks at them any more: when the status is
// too old to be shown, and soon after a module has reported a change. A ticker would
// not do. The status can be younger than a tick, because a request has asked for it,
// and then a change would wait for the next one.
func (b *board) watch(ctx context.Context) {
	for b.renew() {
		due := b.clock.NewTimer(b.freshFor())
		// A fake clock can have moved since, past the time of the timer.
		if b.freshFor() > 0 {
			select {
			case <-due.Chan():
			case <-b.news:
				b.settle(ctx)
			case <-ctx.Done():
			}
		}
		due.Stop()
		if ctx.Err() != nil {
			return
		}
	}
}

// freshFor returns for how long the latest status may still be shown.
func (b *board) freshFor() time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.fresh.Sub(b.clock.Now())
}

// report says that something has changed, which viewers see soon.
func (b *board) report() {
	select {
	case b.news <- struct{}{}:
	default:
	}
}

// settle waits for what changes at the same time, and drops the latest status.
func (b *board) settle(ctx context.Context) {
	timer := b.clock.NewTimer(settle)
	defer timer.Stop()
	select {
	case <-timer.Chan():
	case <-ctx.Done():
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.latest = nil
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
	if b.latest != nil && now.Before(b.fresh) && !now.Before(b.latest.Generated) {
		return b.latest
	}
	b.latest = newSnapshot(b.registry.Collect(now))
	b.fresh = b.clock.Now().Add(refreshEvery)
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

// enter counts a viewer at an address, unless there are too many.
func (b *board) enter(lang language, address string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	total := 0
	for _, viewers := range b.viewers {
		total += viewers
	}
	if total >= maxViewers || b.addresses[address] >= maxViewersOf {
		return false
	}
	b.viewers[lang]++
	b.addresses[address]++
	b.render(lang)
	select {
	case b.arrived <- struct{}{}:
	default:
	}
	return true
}

// leave undoes enter.
func (b *board) leave(lang language, address string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.viewers[lang]--
	b.addresses[address]--
	if b.addresses[address] == 0 {
		delete(b.addresses, address)
	}
}
