package cooldownstore

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"
	"go.uber.org/zap"

	"github.com/caddy-freetier/caddy-freetier/internal/cooldown"
)

func fileOf(body string) []byte { return kind.Format.Encode([]byte(body)) }

// encodeFile returns a file as it has always been.
func encodeFile(process string, records ...record) []byte {
	return fileOf(fmt.Sprintf(`{"process":%q,"written":"2026-03-01T12:00:00Z","ended":false,%s`, process, encode(records)[1:]))
}

func goodRecord(process string) record {
	return record{Item: hash(process, idOf("k")), Model: "m", Until: start.Add(time.Hour), DecidedAt: start}
}

// hostileFiles are what can be in the file of a process p.
var hostileFiles = map[string]struct {
	raw  func() []byte
	warn string // "" for no warning
	left bool   // the file stays
}{
	"good":    {func() []byte { return encodeFile("p", goodRecord("p")) }, "", true},
	"empty":   {func() []byte { return nil }, "ignored", true},
	"foreign": {func() []byte { return []byte("root:x:0:0\n") }, "ignored", true},
	"binary":  {func() []byte { return []byte("\x00\xff\xfe") }, "ignored", true},
	"cut off": {func() []byte { raw := encodeFile("p", goodRecord("p")); return raw[:len(raw)/2] }, "quarantined", false},
	"a bit has changed": {func() []byte {
		raw := encodeFile("p", goodRecord("p"))
		raw[len(raw)-20] ^= 1
		return raw
	}, "quarantined", false},
	"no JSON": {func() []byte { return kind.Format.Encode([]byte("{")) }, "quarantined", false},
	"a wrong type": {func() []byte {
		body := []byte(`{"process":"p","cooldowns":[{"item":7}]}`)
		return kind.Format.Encode(body)
	}, "quarantined", false},
	"a version below 1": {func() []byte { return []byte(kind.Format.Magic + " 0 x\n{}") }, "quarantined", false},
	"a newer version":   {func() []byte { return []byte(kind.Format.Magic + " 2 x\nanything") }, "ignored", true},
	"another process's": {func() []byte { return encodeFile("q", goodRecord("q")) }, "ignored", true},
	"too large":         {func() []byte { return make([]byte, kind.Most+1) }, "ignored", true},
	"a folder":          {func() []byte { return []byte("x/") }, "ignored", true},
	"impossible times": {func() []byte {
		far := time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)
		a, b, c := goodRecord("p"), goodRecord("p"), goodRecord("p")
		a.Until, b.DecidedAt = far, far
		c.Everything, c.DecidedAt, c.Covers = true, far, far
		return encodeFile("p", a, b, c)
	}, "", true},
	"long names": {func() []byte {
		r := goodRecord("p")
		r.Model = strings.Repeat("x", 1<<20)
		return encodeFile("p", r)
	}, "", true},
}

// Files that are broken, hostile, from the future or no files of ours change
// nothing but what they may say, and each is warned of once.
func TestHostileFiles(t *testing.T) {
	for name, test := range hostileFiles {
		t.Run(name, func(t *testing.T) {
			storage, clock := newMemory(), clockwork.NewFakeClockAt(start)
			storage.values[kind.Key("p")] = test.raw()
			storage.values[kind.Key("another")] = encodeFile("another", record{
				Item: hash("another", idOf("other")), Model: "m", Until: start.Add(time.Hour), DecidedAt: start,
			})
			p := newTestProcess(t, storage, clock, "k", "other")
			storage.fail(func(_ context.Context, op, key string) error {
				if op == "load" && key == kind.Key("p") && int64(len(storage.values[key])) > kind.Most {
					t.Error("a file that is too large is loaded")
				}
				return nil
			})
			for range 3 {
				p.sync()
			}
			p.want("the other file", "other", "m")
			if name == "good" {
				p.want("a good file", "k", "m")
			} else {
				p.want(name, "k")
			}
			if n := p.logs.FilterLevelExact(zap.WarnLevel).Len(); test.warn == "" && n != 0 || test.warn != "" && n != 1 {
				t.Errorf("%d warnings: %v", n, p.logs.All())
			}
			for _, entry := range p.logs.FilterLevelExact(zap.WarnLevel).All() {
				if !strings.Contains(entry.Message, test.warn) {
					t.Errorf("warned %q, want %q", entry.Message, test.warn)
				}
			}
			files := storage.files()
			if _, ok := files["p"+kind.Suffix]; ok != test.left {
				t.Errorf("the file is there: %v, want %v", ok, test.left)
			}
			if bad, ok := files["p"+kind.Suffix+".bad"]; ok == test.left || ok && bad != string(test.raw()) {
				t.Errorf("quarantined: %v", ok)
			}
		})
	}
}

// A storage that fails, hangs or panics delays nobody, is warned of once, and
// gets everything when it is back.
func TestTrouble(t *testing.T) {
	release := make(chan struct{})
	for name, trouble := range map[string]func(ctx context.Context, op, key string) error{
		"fails": func(context.Context, string, string) error { return errors.New("down") },
		"is full": func(_ context.Context, op, _ string) error {
			if op == "store" {
				return errors.New("no space left")
			}
			return nil
		},
		"panics": func(context.Context, string, string) error { panic("driver") },
		"hangs": func(context.Context, string, string) error {
			<-release
			return errors.New("hung")
		},
		"is slow": func(ctx context.Context, _, _ string) error {
			<-ctx.Done()
			return ctx.Err()
		},
	} {
		t.Run(name, func(t *testing.T) {
			storage, clock := newMemory(), clockwork.NewFakeClockAt(start)
			other := newTestProcess(t, storage, clock, "k")
			other.cool("k", "n", time.Hour)
			other.sync()
			storage.fail(trouble)
			p := newTestProcess(t, storage, clock, "k")
			pass := func() { p.Sync(t.Context(), p.site, 20*time.Millisecond) }
			pass()
			p.cool("k", "m", time.Hour)
			for range 3 {
				pass()
			}
			if n := p.logs.FilterMessage("storage unavailable; keeping cooldowns in memory").Len(); n != 1 {
				t.Errorf("%d warnings, want 1: %v", n, p.logs.All())
			}
			storage.fail(nil)
			if name == "hangs" {
				close(release)
			}
			deadline := time.Now().Add(time.Minute)
			for p.Unavailable() && time.Now().Before(deadline) {
				p.sync()
				time.Sleep(time.Millisecond)
			}
			if n := p.logs.FilterMessage("storage recovered; all cooldowns saved").Len(); n != 1 {
				t.Errorf("recovered %d times, want 1: %v", n, p.logs.All())
			}
			p.want("after the recovery", "k", "m", "n")
			other.sync()
			other.want("after the recovery", "k", "m", "n")
		})
	}
}

// One file that cannot be read keeps the others from nothing.
func TestOneUnreadable(t *testing.T) {
	storage, clock := newMemory(), clockwork.NewFakeClockAt(start)
	a, b := newTestProcess(t, storage, clock, "k"), newTestProcess(t, storage, clock, "k")
	a.cool("k", "a", time.Hour)
	b.cool("k", "b", time.Hour)
	a.sync()
	b.sync()
	storage.fail(func(_ context.Context, op, key string) error {
		if op == "load" && key == path.Join(kind.Folder, a.file()) {
			return errors.New("input/output error")
		}
		return nil
	})
	c := newTestProcess(t, storage, clock, "k")
	c.cool("k", "c", time.Hour)
	c.sync()
	c.want("of the readable ones", "k", "b", "c")
	if !c.Unavailable() {
		t.Error("nothing says that a file cannot be read")
	}
	for range 2 * silentLookups {
		clock.Advance(silentFor / silentLookups)
		b.sync()
	}
	if _, ok := storage.files()[a.file()]; !ok {
		t.Error("a file that cannot be read is removed")
	}
	c.sync()
	storage.fail(nil)
	b.sync()
	b.want("of all", "k", "a", "b", "c")
	c.sync()
	c.want("of all", "k", "a", "b", "c")
}

// Whatever stands in a file, reading it ends without a panic and cools down
// nothing for longer than is believed.
func FuzzFile(f *testing.F) {
	good := record{Item: hash("p", idOf("k")), Model: "m", Until: start.Add(time.Hour), DecidedAt: start}
	f.Add(encodeFile("p", good)[len(kind.Format.Magic)+3+64+1:])
	f.Add([]byte(`{"process":"p","cooldowns":[{"item":"` + good.Item + `","everything":true,"until":"9999-12-31T23:59:59Z","decided_at":"0001-01-01T00:00:00Z"}]}`))
	f.Add([]byte(`{"process":"p","cooldowns":null}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		raw := kind.Format.Encode(body)
		for _, raw := range [][]byte{raw, body} {
			file, err := kind.Parse("p", raw)
			if err != nil {
				continue
			}
			b := cooldown.New()
			all{{idOf("k"), b}}.Merge(file, len(body)%2 == 0, start)
			for _, state := range b.List(start) {
				if state.Until.After(start.Add(cooldown.Longest)) || len(state.Name) > cooldown.MaxNameLength {
					t.Errorf("in cooldown: %+v", state)
				}
			}
			b.LiftEverything(start)
			if n := len(b.List(start)); n != 0 {
				t.Errorf("%d cooldowns are left after a lift", n)
			}
		}
	})
}
