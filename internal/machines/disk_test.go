package machines

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

// A disk that is full keeps nothing from being served, and when there is space again
// all counts are stored.
func TestFullDisk(t *testing.T) {
	disk := t.TempDir()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", disk).CombinedOutput(); err != nil {
		t.Skipf("no small disk can be mounted: %v: %s", err, out)
	}
	t.Cleanup(func() { _ = exec.Command("umount", "-l", disk).Run() })
	f := &fleet{
		t:    t,
		dns:  caddytest.NewDNSServer(t, "udp", caddytest.Records(t, "@ 60 IN A 192.0.2.1")),
		app:  caddytest.NewUpstream(t, caddytest.JSON(http.StatusOK, `"ok"`)),
		chat: caddytest.NewUpstream(t, caddytest.JSON(http.StatusOK, completion)),
	}
	w := startWhole(t, f, disk)
	w.serve(t, "with an empty disk")
	fill := filepath.Join(disk, "fill")
	// The last bytes, too: what is written block by block leaves none.
	err := os.WriteFile(fill, bytes.Repeat([]byte("x"), 1<<20), 0o600)
	if err == nil {
		t.Fatal("the disk is not full")
	}
	w.serve(t, "with a full disk")
	w.Logs.Wait(t, "storage unavailable; keeping counts in memory", "no space left")
	w.serve(t, "with a disk that stays full")
	if err := os.Remove(fill); err != nil {
		t.Fatal(err)
	}
	w.Logs.Wait(t, "storage recovered; all counts saved")
	w.Stop()

	w = startWhole(t, f, disk)
	w.serve(t, "after all")
	var upstreams []struct{ Quota struct{ Used int } }
	_, text := w.Admin(http.MethodGet, "/doh/upstreams")
	if err := json.Unmarshal(text, &upstreams); err != nil || len(upstreams) != 1 {
		t.Fatalf("%v: %s", err, text)
	}
	if used := upstreams[0].Quota.Used; used != f.queries() {
		t.Errorf("%d queries are counted, want the %d that were sent", used, f.queries())
	}
}
