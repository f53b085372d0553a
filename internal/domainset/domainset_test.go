package domainset

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

func wire(t testing.TB, name string) []byte {
	t.Helper()
	w, err := Wire(name)
	if err != nil {
		t.Fatal(err)
	}
	return []byte(w)
}

func set(t testing.TB, names ...string) *Set {
	t.Helper()
	s := new(Set)
	for _, name := range names {
		if err := s.Add(name); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func TestMatch(t *testing.T) {
	s := set(t, "lan", "*.corp", "10.in-addr.arpa", "192.168.0.0/16", "fd00::/8", "Bücher.example", "_x.example.")
	for name, want := range map[string]bool{
		"lan": true, "pc.lan": true, "a.b.lan": true, "plan": false, "x.plan": false, "lan.example": false,
		"corp": false, "x.corp": true, "a.x.corp": true, "xcorp": false,
		"1.2.3.10.in-addr.arpa": true, "10.in-addr.arpa": true, "110.in-addr.arpa": false,
		"1.0.168.192.in-addr.arpa": true, "168.192.in-addr.arpa": true, "192.in-addr.arpa": false,
		"d.f.ip6.arpa": true, "1.d.f.ip6.arpa": true, "c.f.ip6.arpa": false,
		"www.xn--bcher-kva.example": true, "www.bücher.example": true, "b._x.example": true, "example": false, ".": false,
	} {
		if got := s.Match(wire(t, name)) > 0; got != want {
			t.Errorf("%s: matched %v, want %v", name, got, want)
		}
	}
	if got := set(t, ".").Match(wire(t, "any.name")); got == 0 {
		t.Error("the root does not match all names")
	}
}

// The longest match of several sets is the greatest number.
func TestLongestMatch(t *testing.T) {
	for _, tc := range []struct{ longer, shorter, name string }{
		{"a.lan", "lan", "x.a.lan"},
		{"a.lan", "*.lan", "a.lan"},
		{"*.a.lan", "lan", "x.a.lan"},
		{"*.lan", "lan", "x.lan"},
		{"*.lan", "lan", "y.x.lan"},
		{"lan", ".", "lan"},
	} {
		longer, shorter := set(t, tc.longer).Match(wire(t, tc.name)), set(t, tc.shorter).Match(wire(t, tc.name))
		if longer <= shorter {
			t.Errorf("%s: %s matches by %d and %s by %d", tc.name, tc.longer, longer, tc.shorter, shorter)
		}
	}
}

func TestBadNames(t *testing.T) {
	long := strings.Repeat("a", 63) + "."
	for _, name := range []string{
		"", "..", "a..b", ".a", "*", "**.a", "*.*.a", "a.*.b", "a b", strings.Repeat("a", 64) + ".a", strings.Repeat(long, 4),
		"http://a.example", "a:53", "192.168.0.0/15", "fd00::/7", "1.2.3.4/x", "a|b", "a^",
	} {
		if err := new(Set).Add(name); err == nil {
			t.Errorf("%q is taken for a name", name)
		}
	}
}

// A table is as a map is, whatever its size.
func TestTable(t *testing.T) {
	var table Table
	want := make(map[string]uint32)
	for i := range uint32(50_000) {
		name := string(wire(t, fmt.Sprintf("n%d.example%d.org", i%40_000, i%7)))
		want[name] = i
		if err := table.Set([]byte(name), i); err != nil {
			t.Fatal(err)
		}
	}
	if table.Len() != len(want) {
		t.Errorf("there are %d names, want %d", table.Len(), len(want))
	}
	for name, value := range want {
		if got, ok := table.Get([]byte(name)); !ok || got != value {
			t.Fatalf("%q: got %d, %v, want %d", name, got, ok, value)
		}
	}
	if _, ok := table.Get(wire(t, "n40001.example0.org")); ok {
		t.Error("a name is there that was not set")
	}
}

func TestSetFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "list.txt")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		long := time.Now().Add(-time.Minute)
		if err := os.Chtimes(path, long, long); err != nil {
			t.Fatal(err)
		}
	}
	write("\xEF\xBB\xBF# a comment\r\na.example\r\n  b.example  # another\n\n*.c.example\n" +
		"server=/d.example/e.example/192.0.2.1#5353\nserver=/.f.example/\nserver=/g.example\nserver=//192.0.2.1\nnot a line\nbad..name\n")
	f, err := OpenSet(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for name, want := range map[string]bool{
		"a.example": true, "x.b.example": true, "c.example": false, "x.c.example": true, "d.example": true, "x.e.example": true,
		"f.example": true, "g.example": false, "192.0.2.1": false,
	} {
		if got := f.Content().Match(wire(t, name)) > 0; got != want {
			t.Errorf("%s: matched %v, want %v", name, got, want)
		}
	}
	if bad := f.Bad(); bad.Count != 4 || bad.Line != 8 {
		t.Errorf("bad lines %+v, want 4 from line 8 on", bad)
	}

	if changed, err := f.Refresh(); changed || err != nil {
		t.Errorf("an unchanged file: %v, %v", changed, err)
	}
	write("h.example\n")
	if changed, err := f.Refresh(); !changed || err != nil {
		t.Errorf("a changed file: %v, %v", changed, err)
	}
	if f.Content().Match(wire(t, "a.example")) > 0 || f.Content().Match(wire(t, "h.example")) == 0 {
		t.Error("the content is the old one")
	}
	again, err := OpenSet(path)
	if err != nil {
		t.Fatal(err)
	}
	if again != f {
		t.Error("the file was read again")
	}
	if err := again.Close(); err != nil {
		t.Error(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Refresh(); err == nil || f.Content().Len() != 1 {
		t.Errorf("a missing file: %v, %d names", err, f.Content().Len())
	}
	if _, err := OpenSet(t.TempDir()); err == nil {
		t.Error("a folder is taken for a list")
	}
}

func TestHosts(t *testing.T) {
	h, bad, err := readHosts(strings.NewReader(`# hosts
127.0.0.1 localhost
192.168.1.10 NAS.lan nas storage.lan
192.168.1.10 again.lan
192.168.1.11 nas.lan
fd00::1 nas.lan
0.0.0.0 ads.example
0.0.0.0 more.ads.example
fe80::1%lo0 zone.lan
::ffff:192.168.1.12 mapped.lan
192.168.1.13
x y
`))
	if err != nil || bad.Count != 2 || bad.Line != 11 {
		t.Fatalf("%v, bad lines %+v, want 2 from line 11 on", err, bad)
	}
	for name, want := range map[string]string{
		"nas.lan": "[192.168.1.10 192.168.1.11 fd00::1]", "nas": "[192.168.1.10]", "storage.lan": "[192.168.1.10]",
		"ads.example": "[0.0.0.0]", "more.ads.example": "[0.0.0.0]", "mapped.lan": "[192.168.1.12]",
		"zone.lan": "[]", "x.nas.lan": "[]",
	} {
		if got, _ := h.Addrs(wire(t, name)); fmt.Sprint(got) != want {
			t.Errorf("%s: %v, want %s", name, got, want)
		}
	}
	for ip, want := range map[string]string{
		"192.168.1.10": "nas.lan", "192.168.1.11": "nas.lan", "fd00::1": "nas.lan", "127.0.0.1": "localhost", "0.0.0.0": "", "192.168.1.99": "",
	} {
		addr := netip.MustParseAddr(ip)
		reverse, err := Reverse(netip.PrefixFrom(addr, addr.BitLen()))
		if err != nil {
			t.Fatal(err)
		}
		var wantWire []byte
		if want != "" {
			wantWire = wire(t, want)
		}
		if got, ok := h.Pointer(wire(t, reverse)); !bytes.Equal([]byte(got), wantWire) || ok != (want != "") {
			t.Errorf("PTR of %s: %q, %v, want %s", ip, got, ok, want)
		}
	}
	if len(h.lists) != 6 {
		t.Errorf("there are %d lists of addresses: %v", len(h.lists), h.lists)
	}
}

// A file with ever more addresses of one name takes memory for a few of them only.
func TestHostsOfManyAddresses(t *testing.T) {
	const lines = 1000
	var text strings.Builder
	for i := range lines {
		fmt.Fprintf(&text, "10.0.%d.%d many.lan\n", i/256, i%256)
	}
	text.WriteString("10.0.0.0 many.lan other.lan\n") // which many.lan has already
	h, bad, err := readHosts(strings.NewReader(text.String()))
	if err != nil || bad.Count != lines-maxAddresses || bad.Line != maxAddresses+1 {
		t.Fatalf("%v, bad lines %+v, want those from line %d on", err, bad, maxAddresses+1)
	}
	if want := `"many.lan": a name has at most 32 addresses`; bad.Err.Error() != want {
		t.Errorf("the error is %q, want %q", bad.Err, want)
	}
	for name, want := range map[string]int{"many.lan": maxAddresses, "other.lan": 1} {
		if ips, _ := h.Addrs(wire(t, name)); len(ips) != want {
			t.Errorf("%s has %d addresses, want %d", name, len(ips), want)
		}
	}
	if len(h.lists) != maxAddresses {
		t.Errorf("there are %d lists of addresses", len(h.lists))
	}
}

// million writes a list of a million names as long as real ones are.
func million(t testing.TB) string {
	path := filepath.Join(t.TempDir(), "million.txt")
	var text bytes.Buffer
	for i := range 1_000_000 {
		fmt.Fprintf(&text, "host-%d.domain%d.example.com\n", i, i%9973)
	}
	if err := os.WriteFile(path, text.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// A million names take less than 64 MB, also while they are read.
func TestMemory(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector takes memory and time of its own")
	}
	path := million(t)
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f, err := OpenSet(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	runtime.GC()
	runtime.ReadMemStats(&after)
	const most = 64 << 20
	if size := f.Content().Size(); size > most {
		t.Errorf("the set takes %d MB", size>>20)
	}
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > most {
		t.Errorf("the heap has grown by %d MB", grown>>20)
	}
	t.Logf("%d names in %.1f MB", f.Content().Len(), float64(f.Content().Size())/(1<<20))
}

func BenchmarkMatch(b *testing.B) {
	f, err := OpenSet(million(b))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	for _, bench := range []struct{ name, domain string }{
		{"hit", "host-77777.domain7959.example.com"},
		{"below", "a.b.c.host-77777.domain7959.example.com"},
		{"miss", "www.some-other-name.example.org"},
		{"deep", strings.Repeat("a.", 100) + "example.org"},
	} {
		name := wire(b, bench.domain)
		b.Run(bench.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				f.Content().Match(name)
			}
		})
	}
}

func TestNoAllocation(t *testing.T) {
	s, name := set(t, "lan", "*.corp", "example.com"), wire(t, "a.b.example.com")
	if n := testing.AllocsPerRun(100, func() { s.Match(name) }); n != 0 {
		t.Errorf("%v allocations a look-up", n)
	}
}
