package ledger

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Stored adds up the counts in the ledger's files of a storage folder, and
// fails if one is not readable.
func Stored(root string) (total int64, err error) {
	paths, err := filepath.Glob(filepath.Join(root, folder, "*"+suffix))
	if err != nil {
		return 0, err
	}
	whole, left := new(file), make(map[string]*file)
	for _, path := range paths {
		raw, err := os.ReadFile(path)
		if os.IsNotExist(err) {
			continue // compacted meanwhile
		}
		if err != nil {
			return 0, err
		}
		f, err := decode(raw)
		if errors.Is(err, errForeign) {
			continue
		}
		if err != nil {
			return 0, fmt.Errorf("%s: %w", path, err)
		}
		switch name := strings.TrimSuffix(filepath.Base(path), suffix); name {
		case common:
			whole = f
		default:
			left[name] = f
		}
	}
	all := make(counts)
	all.addBeyond(whole.Counts, nil)
	for name, f := range left {
		all.addBeyond(f.Counts, whole.Compacted[name].Counts)
	}
	for _, periods := range all {
		for _, n := range periods {
			total += n
		}
	}
	return total, nil
}

// OwnCounts adds up the counts in a file of a process, if it is one.
func OwnCounts(raw []byte) (total int64, ok bool) {
	f, err := decode(raw)
	if err != nil || f.Process == "" {
		return 0, false
	}
	for _, periods := range f.Counts {
		for _, n := range periods {
			total += n
		}
	}
	return total, true
}

// Pooled is how many ledgers the process has, and by how many configurations
// they are used.
func Pooled() (ledgers_, uses int) {
	ledgers.Range(func(key, _ any) bool {
		ledgers_++
		return true
	})
	ledgers.Range(func(key, _ any) bool {
		n, _ := ledgers.References(key)
		uses += n
		return true
	})
	return ledgers_, uses
}
