package doh_test

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

func TestMain(m *testing.M) { caddytest.Main(m) }

// account is a DNS server over TCP that answers everything with NOERROR, as fast as
// the test needs it, and counts.
type account struct {
	net.Listener
	asked atomic.Int64
}

func newAccount(t *testing.T) *account {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	a := &account{Listener: listener}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go a.serve(conn)
		}
	}()
	return a
}

func (a *account) serve(conn net.Conn) {
	defer conn.Close()
	r := bufio.NewReader(conn)
	for {
		head, err := r.Peek(2)
		if err != nil {
			return
		}
		frame := make([]byte, 2+int(binary.BigEndian.Uint16(head)))
		if _, err := io.ReadFull(r, frame); err != nil {
			return
		}
		a.asked.Add(1)
		frame[4] |= 0x80 // QR
		if _, err := conn.Write(frame); err != nil {
			return
		}
	}
}

// Ten accounts of 30,000 queries share 100,000 evenly, over restarts in order
// and kills. Then they are used up: none is asked more than its quota allows,
// but for what a kill makes the ledger forget, the counts of one write interval.
//
// With the race detector, or FREETIER_SHORT set, it is a tenth of all.
func TestAccounts(t *testing.T) {
	const scale = 10
	queries, each := 100_000, 30_000
	if raceDetector || os.Getenv("FREETIER_SHORT") != "" {
		queries, each = queries/scale, each/scale
	}
	var (
		accounts [10]*account
		lines    strings.Builder
	)
	for i := range accounts {
		accounts[i] = newAccount(t)
		fmt.Fprintf(&lines, "upstream tcp://%s {\nquota %d/month\n}\n", accounts[i].Addr(), each)
	}
	addr, home := caddytest.Addr(t), t.TempDir()
	config, err := caddytest.Adapt("{\nadmin off\npersist_config off\nlog {\nlevel ERROR\n}\n}\n" +
		"http://" + caddytest.Addr(t) + " {\ndoh {\ncache off\nlisten tcp/" + addr + "\n" + lines.String() + "}\n}\n")
	if err != nil {
		t.Fatal(err)
	}
	lost := int64(0)
	const runs = 10
	run := func(n int, kill bool) (answered int64) {
		t.Helper()
		p := caddytest.StartProcess(t, home, string(config))
		began := time.Now()
		answered = askAll(t, addr, n)
		if !kill {
			p.End()
			return answered
		}
		p.Kill()
		// At most what was counted in the last interval, five seconds, and
		// while it was written.
		lost += min(int64(n), int64(float64(n)*7/max(time.Since(began).Seconds(), 1e-9)))
		return answered
	}
	for i := range runs {
		if n := run(queries/runs, i%5 == 4); n != int64(queries/runs) {
			t.Errorf("run %d: %d of %d queries were answered", i+1, n, queries/runs)
		}
	}
	total, fair := int64(0), float64(queries)/float64(len(accounts))
	for i, a := range accounts {
		n := a.asked.Load()
		total += n
		if d := float64(n)/fair - 1; d < -0.02 || d > 0.02 {
			t.Errorf("account %d was asked %d times, want %.0f within 2 %%", i, n, fair)
		}
	}
	if total < int64(queries) || total > int64(queries)+100 {
		t.Errorf("%d queries were sent for %d", total, queries)
	}
	// All that is left, and a little more.
	run(len(accounts)*each-queries+each/10, false)
	for i, a := range accounts {
		if n := a.asked.Load(); n > int64(each)+lost/int64(len(accounts))+int64(each)/50 || n < int64(each) {
			t.Errorf("account %d was asked %d times, its quota is %d and kills lost up to %d of all", i, n, each, lost)
		}
	}
	files, err := filepath.Glob(filepath.Join(home, ".local/share/caddy/freetier/ledger/*.bad"))
	if err != nil || len(files) > 0 {
		t.Errorf("quarantined files: %v, %v", files, err)
	}
}

// askAll sends n queries to a listener over TCP, 32 at a time, and returns how many
// were answered with NOERROR.
func askAll(t *testing.T, addr string, n int) (answered int64) {
	t.Helper()
	const clients = 32
	var (
		wg sync.WaitGroup
		ok atomic.Int64
	)
	for i := range clients {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		own := n / clients
		if i < n%clients {
			own++
		}
		wg.Go(func() {
			r := bufio.NewReader(conn)
			msg := pack(t, question("00-00000.example.", dns.TypeA))
			frame := append(binary.BigEndian.AppendUint16(nil, uint16(len(msg))), msg...)
			reply := make([]byte, 1<<16)
			for k := range own {
				// A name of its own for each query, since identical ones share a response.
				const nameAt = 2 + 12 + 1 // after the frame's length, the header and the label's length
				copy(frame[nameAt:], fmt.Sprintf("%02d-%05d", i, k))
				binary.BigEndian.PutUint16(frame[2:], uint16(k))
				if _, err := conn.Write(frame); err != nil {
					t.Errorf("a query was not sent: %v", err)
					return
				}
				if _, err := io.ReadFull(r, reply[:2]); err != nil {
					t.Errorf("a query was lost: %v", err)
					return
				}
				length := binary.BigEndian.Uint16(reply)
				if _, err := io.ReadFull(r, reply[:length]); err != nil || length < 12 || binary.BigEndian.Uint16(reply) != uint16(k) {
					t.Errorf("the response is %x, %v", reply[:length], err)
					return
				}
				if reply[3]&0x0F == dns.RcodeSuccess {
					ok.Add(1)
				}
			}
		})
	}
	wg.Wait()
	return ok.Load()
}
