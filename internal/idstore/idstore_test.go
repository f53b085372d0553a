package idstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/jonboulle/clockwork"
	"go.uber.org/zap"

	"github.com/caddy-freetier/caddy-freetier/internal/processfiles"
)

var start = time.Date(2026, 1, 2, 3, 4, 0, 0, time.UTC)

func owner(n byte) Owner { return Owner{n} }

// How package processfiles works.
const (
	interval      = 10 * time.Second
	rewriteAfter  = 5 * time.Minute
	silentFor     = processfiles.SilentFor
	silentLookups = 3
	passLimit     = time.Minute
)

// process is a Store at a storage that others share.
type process struct {
	*Store
	site    processfiles.Site
	owners  []Owner
	written atomic.Value // the name of the last file that it has written
}

// writer is the storage of a process.
type writer struct {
	certmagic.Storage
	process *process
}

func (w writer) Store(ctx context.Context, key string, value []byte) error {
	err := w.Storage.Store(ctx, key, value)
	if name := path.Base(key); err == nil && strings.HasSuffix(name, kind.Suffix) {
		w.process.written.Store(name)
	}
	return err
}

func newProcessAt(storage certmagic.Storage, clock clockwork.Clock, owners ...Owner) *process {
	p := &process{owners: owners}
	p.Store = New(func() []Owner { return p.owners })
	p.site = processfiles.Site{Storage: writer{storage, p}, Clock: clock, Logger: zap.NewNop()}
	return p
}

func (p *process) passes(ended bool) {
	if ended {
		p.End(context.Background(), p.site, true)
		return
	}
	p.Sync(context.Background(), p.site, passLimit)
}

func (p *process) want(t *testing.T, client, name string, want Owner) {
	t.Helper()
	got, ok := p.Find(client, name, p.site.Clock.Now())
	if want == (Owner{}) && ok {
		t.Errorf("%s of %s has owner %x, want none", name, client, got[:2])
	}
	if want != (Owner{}) && got != want {
		t.Errorf("%s of %s has owner %x, %v, want %x", name, client, got[:2], ok, want[:2])
	}
}

func files(t *testing.T, storage *certmagic.FileStorage) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(storage.Path, filepath.FromSlash(kind.Folder)))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// Ids are known to the client that has made them, and to nobody else.
func TestFind(t *testing.T) {
	p := newProcessAt(&certmagic.FileStorage{Path: t.TempDir()}, clockwork.NewFakeClockAt(start), owner(1))
	p.want(t, "alice", "file-1", Owner{})
	p.Learn("alice", "file-1", owner(1), start)
	p.want(t, "alice", "file-1", owner(1))
	p.want(t, "bob", "file-1", Owner{})
	p.Learn("alice", "file-1", owner(2), start.Add(time.Minute))
	p.want(t, "alice", "file-1", owner(2))
	if _, ok := p.Find("alice", "file-1", start.Add(keptFor+2*time.Minute)); ok {
		t.Error("it is known for ever")
	}
	if got, _ := p.Find("alice", "file-1", start.Add(keptFor)); got != owner(2) {
		t.Error("it is forgotten too early")
	}
}

// What is known is bounded, and no client can push out what others have made.
func TestBounds(t *testing.T) {
	b := newBook()
	b.learn("quiet", "file-1", owner(1), start)
	for client := range 6 {
		for i := range maxOfClient + 10 {
			b.learn(fmt.Sprint("busy", client), fmt.Sprint("file-", i), owner(2), start)
		}
	}
	if len(b.entries) > maxKnown {
		t.Errorf("%d ids are known, want at most %d", len(b.entries), maxKnown)
	}
	if _, ok := b.find("quiet", "file-1", start); !ok {
		t.Error("a busy client has pushed out another one's")
	}
	if _, ok := b.find("busy5", fmt.Sprint("file-", maxOfClient+9), start); !ok {
		t.Error("the last one is not known")
	}
	if _, ok := b.find("busy5", "file-0", start); ok {
		t.Error("a client has more than its part")
	}
	live := 0
	for _, q := range b.clients {
		live += q.live
	}
	if live != len(b.entries) {
		t.Errorf("the clients have %d ids, want %d", live, len(b.entries))
	}
	b.expire(start.Add(2 * keptFor))
	if len(b.entries) != 0 || len(b.clients) != 0 {
		t.Errorf("%d ids of %d clients are left of what has expired", len(b.entries), len(b.clients))
	}
}

// Processes on one storage learn from each other, and what an ended one has
// learned stays, in the file of another one.
func TestProcesses(t *testing.T) {
	storage, clock := &certmagic.FileStorage{Path: t.TempDir()}, clockwork.NewFakeClockAt(start)
	a, b := newProcessAt(storage, clock, owner(1), owner(2)), newProcessAt(storage, clock, owner(2), owner(1))
	a.passes(false)
	if got := files(t, storage); len(got) != 0 {
		t.Errorf("a process that knows nothing has written %q", got)
	}
	a.Learn("alice", "file-1", owner(1), clock.Now())
	b.Learn("alice", "file-2", owner(2), clock.Now())
	for range 2 {
		a.passes(false)
		b.passes(false)
	}
	for _, p := range []*process{a, b} {
		p.want(t, "alice", "file-1", owner(1))
		p.want(t, "alice", "file-2", owner(2))
	}
	a.passes(true)
	clock.Advance(interval)
	b.passes(false)
	if got := files(t, storage); len(got) != 1 || got[0] != b.written.Load() {
		t.Errorf("the files are %q, want only that of the process that goes on", got)
	}
	b.passes(true)
	c := newProcessAt(storage, clock, owner(1), owner(2))
	c.passes(false)
	c.want(t, "alice", "file-1", owner(1))
	c.want(t, "alice", "file-2", owner(2))
}

// A process that has been killed leaves what it had written.
func TestKilled(t *testing.T) {
	storage, clock := &certmagic.FileStorage{Path: t.TempDir()}, clockwork.NewFakeClockAt(start)
	a := newProcessAt(storage, clock, owner(1))
	a.Learn("alice", "file-1", owner(1), clock.Now())
	a.passes(false)
	b := newProcessAt(storage, clock, owner(1))
	for range silentLookups + 2 {
		b.passes(false)
		b.want(t, "alice", "file-1", owner(1))
		clock.Advance(silentFor / silentLookups)
	}
	if got := files(t, storage); len(got) != 1 || got[0] != b.written.Load() {
		t.Errorf("the files are %q, want only that of the process that goes on", got)
	}
	clock.Advance(keptFor + time.Hour)
	b.passes(false)
	b.passes(false)
	if got := files(t, storage); len(got) != 0 {
		t.Errorf("%q is left of what has expired", got)
	}
}

// A living process keeps its file, also when nothing changes.
func TestSignOfLife(t *testing.T) {
	storage, clock := &certmagic.FileStorage{Path: t.TempDir()}, clockwork.NewFakeClockAt(start)
	a, b := newProcessAt(storage, clock, owner(1)), newProcessAt(storage, clock, owner(1))
	a.Learn("alice", "file-1", owner(1), clock.Now())
	for range 20 {
		a.passes(false)
		b.passes(false)
		clock.Advance(rewriteAfter)
	}
	if got := files(t, storage); len(got) != 1 || got[0] != a.written.Load() {
		t.Errorf("the files are %q, want that of the process that has made the id", got)
	}
}

// A file about keys that another configuration has is left to it.
func TestUnknownOwners(t *testing.T) {
	storage, clock := &certmagic.FileStorage{Path: t.TempDir()}, clockwork.NewFakeClockAt(start)
	a := newProcessAt(storage, clock, owner(1))
	a.Learn("alice", "file-1", owner(1), clock.Now())
	a.passes(false)
	a.passes(true)
	b := newProcessAt(storage, clock, owner(9))
	b.passes(false)
	b.want(t, "alice", "file-1", Owner{})
	if got := files(t, storage); len(got) != 1 {
		t.Errorf("the files are %q, want that of the ended process", got)
	}
	b.owners = []Owner{owner(1)} // after a reload
	b.passes(false)
	b.want(t, "alice", "file-1", owner(1))
}

// What is no file of ids is left alone or moved away, and warned of once.
func TestForeignFiles(t *testing.T) {
	storage, clock := &certmagic.FileStorage{Path: t.TempDir()}, clockwork.NewFakeClockAt(start)
	ctx := context.Background()
	a := newProcessAt(storage, clock, owner(1))
	a.Learn("alice", "file-1", owner(1), clock.Now())
	a.passes(false)
	raw, err := storage.Load(ctx, path.Join(kind.Folder, a.written.Load().(string)))
	if err != nil {
		t.Fatal(err)
	}
	broken := append([]byte(nil), raw...)
	broken[len(broken)-5] ^= 1
	for name, content := range map[string][]byte{"copied": raw, "broken": broken, "foreign": []byte("hello"), "cut": raw[:len(raw)/2]} {
		if err := storage.Store(ctx, kind.Key(name), content); err != nil {
			t.Fatal(err)
		}
	}
	b := newProcessAt(storage, clock, owner(1))
	b.passes(false)
	b.passes(false)
	b.want(t, "alice", "file-1", owner(1))
	left := make(map[string]bool)
	for _, name := range files(t, storage) {
		left[name] = true
	}
	for name, want := range map[string]bool{"copied.ids": true, "foreign.ids": true, "broken.ids": false, "cut.ids": false, "broken.ids.bad": true, "cut.ids.bad": true} {
		if left[name] != want {
			t.Errorf("%s is there: %v, want %v", name, left[name], want)
		}
	}
}

// Neither ids nor the names of clients nor keys can be read in a file.
func TestFileShowsNothing(t *testing.T) {
	b := newBook()
	b.learn("alice", "file-secret", owner('k'), start)
	content := b.encode("process", start)
	if string(content) == "" {
		t.Fatal("no file")
	}
	for _, secret := range []string{"alice", "file-secret", fmt.Sprintf("%x", owner('k'))} {
		if bytes.Contains(content, []byte(secret)) {
			t.Errorf("the file shows %q", secret)
		}
	}
}

func FuzzDecode(f *testing.F) {
	b := newBook()
	b.learn("alice", "file-1", owner(1), start)
	f.Add(append([]byte(`{"process":"p",`), b.encode("p", start)[1:]...))
	f.Add([]byte(`{"process":"p","owners":["a"],"records":"AAAA"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, raw := range [][]byte{body, kind.Format.Encode(body)} {
			if file, err := kind.Parse("p", raw); err == nil {
				(&known{newBook(), []Owner{owner(1)}}).Merge(file, true, start)
			}
		}
	})
}

// A file of the first version is read.
func TestFirstVersion(t *testing.T) {
	const name = "0123456789abcdef0123456789abcdef"
	raw, err := os.ReadFile(filepath.Join("testdata", name+kind.Suffix))
	if err != nil {
		t.Fatal(err)
	}
	storage, clock := &certmagic.FileStorage{Path: t.TempDir()}, clockwork.NewFakeClockAt(start.Add(time.Hour))
	if err := storage.Store(t.Context(), kind.Key(name), raw); err != nil {
		t.Fatal(err)
	}
	p := newProcessAt(storage, clock, owner(1), owner(2))
	p.passes(false)
	p.want(t, "alice", "file-1", owner(1))
	p.want(t, "bob", "resp_2", owner(2))
	p.want(t, "alice", "batch_3", owner(1))
	if got := files(t, storage); len(got) != 1 || got[0] != p.written.Load() {
		t.Errorf("the files are %q, want only that of the process that has taken over", got)
	}
}

// Of two keys that are said to have made an id in the same minute, the same one counts
// in all processes, in whatever order they read the files.
func TestSameMinute(t *testing.T) {
	var found [2]Owner
	for i, order := range [][]byte{{1, 2}, {2, 1}} {
		k := &known{newBook(), []Owner{owner(1), owner(2)}}
		for _, n := range order {
			b := newBook()
			b.learn("alice", "file-1", owner(n), start)
			body := append(fmt.Appendf(nil, `{"process":"p%d",`, n), b.encode(fmt.Sprint("p", n), start)[1:]...)
			file, err := kind.Parse(fmt.Sprint("p", n), kind.Format.Encode(body))
			if err != nil {
				t.Fatal(err)
			}
			k.Merge(file, true, start)
		}
		found[i], _ = k.find("alice", "file-1", start)
	}
	if found[0] != found[1] || found[0] == (Owner{}) {
		t.Errorf("found %x and %x", found[0][:1], found[1][:1])
	}
}

// What has expired takes no room, however long a client goes on.
func TestExpiredQueue(t *testing.T) {
	b, now := newBook(), start
	for i := range 200 {
		now = now.Add(24 * time.Hour)
		b.learn("alice", fmt.Sprint("file-", i), owner(1), now)
		b.encode("p", now)
	}
	if n := len(b.clients[hashOfClient("alice")].ids); n > 40 {
		t.Errorf("%d ids are in the queue of a client with %d", n, len(b.entries))
	}
}

// An id that a clock far ahead has made is not taken over: it would never expire.
func TestClockAhead(t *testing.T) {
	for ahead, want := range map[time.Duration]Owner{
		longestSkew:               owner(1),
		longestSkew + time.Minute: {},
		50 * 365 * 24 * time.Hour: {},
	} {
		storage := &certmagic.FileStorage{Path: t.TempDir()}
		p := newProcessAt(storage, clockwork.NewFakeClockAt(start.Add(ahead)), owner(1))
		p.Learn("alice", "file-1", owner(1), p.site.Clock.Now())
		p.passes(false)
		q := newProcessAt(storage, clockwork.NewFakeClockAt(start), owner(1))
		q.passes(false)
		q.want(t, "alice", "file-1", want)
	}
}
