//go:build unix

package llmgateway

import (
	"os"
	"syscall"
	"testing"
	"time"
)

// A pipe in the place of the clients_file, to which nobody writes, holds up neither
// the gateway nor what comes after it.
func TestClientsFileIsPipe(t *testing.T) {
	g, clock, write := withClientsFile(t, listedIn("bob"))
	until := func(texts ...string) {
		t.Helper()
		for range 500 {
			clock.Advance(keyFileInterval)
			if g.Logs.Count(texts...) > 0 {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
		t.Fatalf("never logged: %q", texts)
	}
	path := loadedGateways()[0].auth.file.path
	if err := syscall.Mkfifo(path+".pipe", 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".pipe", path); err != nil {
		t.Fatal(err)
	}
	until("could not reload clients_file; keeping the previous list", "is not a file")
	g.chat(t, "m", keyOf("bob")...).wantStatus(t, 200)
	write(listedIn("dave"))
	until("clients_file reloaded", `"clients":1`)
	g.chat(t, "m", keyOf("dave")...).wantStatus(t, 200)
}
