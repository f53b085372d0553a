package llmgateway

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"reflect"

	"go.uber.org/zap"

	"github.com/caddy-freetier/caddy-freetier/internal/clientsfile"
	"github.com/caddy-freetier/caddy-freetier/internal/quota"
	"github.com/caddy-freetier/caddy-freetier/internal/runtime"
)

// listedLabel is what metrics call each client of a clients_file. Such clients
// come and go while Caddy runs, and a series of a metric never goes: labels with
// their names would grow without bound. Their names are in the access log, and
// what each has used in `GET /v1/usage`.
const listedLabel = "clients_file"

// fileEntry is a client as a clients_file has it.
type fileEntry struct {
	clientsfile.Client
	path string // of the file
}

// error says which entry of the file an error is about.
func (l *fileEntry) error(err error) error {
	return fmt.Errorf("clients_file %s: entry %s: %w", l.path, l.Name, err)
}

// clientsFile is the option clients_file. Only Provision and then its task use
// it; requests see the keyring that is made of it.
//
// After Provision only its task changes the fields, under gateway.reading.
type clientsFile struct {
	path    string // "" for none
	clients []*Client
	seen    os.FileInfo // as it was last read, nil if it was missing
	missing int         // times in a row that it was missing when it was looked at
}

// goneAfter is how many times in a row the file has to be missing before its
// clients are refused: programs that save it may remove it first.
const goneAfter = 3

// changed reports whether the file is another than when it was last read.
//
// A file that was replaced within the resolution of its time shows as another inode
// (SameFile) or size. Only the third miss in a row counts as a change, and no further
// one.
func (f *clientsFile) changed() bool {
	now, err := os.Stat(f.path)
	if err != nil {
		f.missing++
		return f.seen != nil && f.missing == goneAfter
	}
	f.missing = 0
	return f.seen == nil || !os.SameFile(f.seen, now) || !f.seen.ModTime().Equal(now.ModTime()) || f.seen.Size() != now.Size()
}

// provisionClientsFile reads the clients_file, if there is one, and keeps it up to
// date.
func (h *Handler) provisionClientsFile(l *loading, app *runtime.App) (err error) {
	if h.ClientsFile == "" {
		return nil
	}
	g := h.gateway
	if g.auth.file.path, err = l.repl.ReplaceOrErr(h.ClientsFile, true, true); err != nil {
		return fmt.Errorf("clients_file: %w", runtime.ExplainUnset(err))
	}
	if g.auth.file.clients, err = g.readClientsFile(l); err != nil {
		return err
	}
	return app.Go("clients_file of llm_gateway", func(ctx context.Context) {
		ticker := g.clock.NewTicker(keyFileInterval)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.Chan():
			}
			if g.auth.file.changed() {
				g.reading.Lock()
				g.readClientsFileAgain(l)
				g.reading.Unlock()
			}
		}
	})
}

// readClientsFile returns the clients that the file lists now. Those that are
// listed as before are the same ones.
func (g *gateway) readClientsFile(l *loading) ([]*Client, error) {
	f := g.auth.file
	f.seen, _ = os.Stat(f.path) // before it is read, so that no change is missed
	entries, err := clientsfile.Read(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		f.seen = nil
		g.logger.Warn("clients_file is missing; it is taken for an empty list", zap.String("file", f.path))
	} else if err != nil {
		return nil, fmt.Errorf("clients_file %w", err)
	}
	known := make(map[string]*Client, len(f.clients))
	for _, c := range f.clients {
		known[c.Name] = c
	}
	clients := make([]*Client, 0, len(entries))
	for _, entry := range entries {
		c, err := g.listedClient(fileEntry{entry, f.path}, known[entry.Name], l)
		if err != nil {
			return nil, err
		}
		clients = append(clients, c)
	}
	return clients, nil
}

// listedClient returns the client of an entry. before is what it was before, nil
// if it is new.
//
// An entry that has not changed keeps its Client, so that its memory for bodies and its
// requests under way are still counted together. A changed one takes both over; its
// limits are opened anew and find their counts in the ledger by the client's name.
func (g *gateway) listedClient(entry fileEntry, before *Client, l *loading) (*Client, error) {
	if before != nil && reflect.DeepEqual(*before.listed, entry) {
		return before, nil
	}
	if err := checkModelNames(entry.Models, nil); err != nil {
		return nil, entry.error(err)
	}
	c := &Client{Name: entry.Name, Models: entry.Models, Source: entry.path, listed: &entry}
	for _, limit := range entry.Limits {
		c.Limits = append(c.Limits, new(quota.Quota))
		*c.Limits[len(c.Limits)-1] = limit.Quota
	}
	if err := c.provision(l.book); err != nil {
		return nil, entry.error(err)
	}
	c.bodies = g.bodies.Budget.Share(2)
	if before != nil {
		c.bodies, c.auxiliary = before.bodies, before.auxiliary
	}
	return c, nil
}

// readClientsFileAgain takes over what the file lists now. What cannot be used
// leaves the old list in place.
//
// All or nothing: one bad entry must not lock the others out, nor be let in by half.
func (g *gateway) readClientsFileAgain(l *loading) {
	before := g.auth.file.clients
	clients, err := g.readClientsFile(l)
	if err == nil {
		g.auth.file.clients = clients
		err = g.replaceKeyring(l)
	}
	if err != nil {
		g.auth.file.clients = before
		g.logger.Warn("could not reload clients_file; keeping the previous list", zap.Error(err))
		return
	}
	g.logger.Info("clients_file reloaded", zap.Int("clients", len(clients)))
}

// replaceKeyring makes a new keyring of the clients as they are now.
//
// The key of a demo, which everybody knows, must not come in by a file while a channel
// has real keys (checkDemo).
func (g *gateway) replaceKeyring(l *loading) error {
	keys, err := readKeyring(g.auth.clients, g.auth.file.clients, l.repl, g.logger)
	if err != nil {
		return err
	}
	for _, c := range g.channels {
		if err := keys.checkDemo(c, c.keys()); err != nil {
			return err
		}
	}
	g.auth.keys.Store(keys)
	return nil
}
