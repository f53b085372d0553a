package safestore

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"syscall"
)

// Why a file is not read.
var (
	ErrForeign = errors.New("it is not a file of this kind")
	ErrNewer   = errors.New("it was written by a newer version")
	ErrCorrupt = errors.New("its content does not match its checksum")
)

// ErrFolder is how the file system's storage fails to load a folder. Stat cannot say
// so: for some storages all keys are folders.
const ErrFolder = syscall.EISDIR

// maxHeader is how many bytes of the first line are looked at.
const maxHeader = 200

// Format is a kind of file in the storage. A file is a line with a magic word,
// the version of the format and the SHA-256 of the rest. Storages neither
// rename nor tell half a file from a whole one; the checksum does.
type Format struct {
	Magic   string // a word that no other kind has
	Version int    // what is written; 1 and above up to it are read
}

// Encode puts the line before the content of a file.
func (f Format) Encode(body []byte) []byte {
	sum := sha256.Sum256(body)
	header := fmt.Appendf(nil, "%s %d %s\n", f.Magic, f.Version, hex.EncodeToString(sum[:]))
	return append(header, body...)
}

// Decode returns the content of a file: ErrForeign for a file of another kind,
// ErrNewer for one of a later version, ErrCorrupt for one that is not as it was
// written. Whoever can write to the storage can write a checksum, too: that
// the content is possible is for the caller to check.
func (f Format) Decode(raw []byte) ([]byte, error) {
	header, body, _ := bytes.Cut(raw, []byte("\n"))
	words := strings.Fields(string(header[:min(len(header), maxHeader)]))
	if len(words) < 2 || words[0] != f.Magic {
		return nil, ErrForeign
	}
	var version int
	if _, err := fmt.Sscanf(words[1], "%d", &version); err != nil || version < 1 {
		return nil, ErrCorrupt
	}
	if version > f.Version {
		return nil, ErrNewer
	}
	sum := sha256.Sum256(body)
	if len(words) != 3 || words[2] != hex.EncodeToString(sum[:]) {
		return nil, ErrCorrupt
	}
	return body, nil
}
