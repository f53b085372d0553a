package cooldownstore

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/caddy-freetier/caddy-freetier/internal/cooldown"
	"github.com/caddy-freetier/caddy-freetier/internal/safestore"
)

// format is that of a file. Its content is JSON.
var format = safestore.Format{Magic: "freetier-cooldowns", Version: 1}

const (
	// maxWritten and maxRead bound a file, in bytes. Of more cooldowns those are
	// left out that end first, those of names from requests before all others.
	maxWritten = 8 << 20
	maxRead    = 16 << 20
)

// Why a file is ignored.
var (
	errOther    = errors.New("it is the file of another process")
	errFolder   = errors.New("it is a folder")
	errTooLarge = fmt.Errorf("it is larger than %d MB", maxRead>>20)
)

// errCorrupt is why a file is quarantined.
var errCorrupt = safestore.ErrCorrupt

// file is what a process writes.
type file struct {
	// Process is the random name of the process, which is also the salt of the
	// hashes in its file.
	Process string `json:"process"`
	// Written is when.
	Written time.Time `json:"written"`
	// Ended says that the process has ended in order: whoever reads the file
	// takes its cooldowns over.
	Ended bool `json:"ended,omitempty"`
	// Cooldowns are the decisions that the process has made or taken over.
	Cooldowns []record `json:"cooldowns"`
}

// record is a decision about a name of an item.
type record struct {
	Item       string        `json:"item"` // its salted hash
	Model      string        `json:"model,omitempty"`
	Everything bool          `json:"everything,omitempty"`
	Until      time.Time     `json:"until"`
	DecidedAt  time.Time     `json:"decided_at"`
	Covers     time.Time     `json:"covers,omitzero"`
	Reason     string        `json:"reason,omitempty"`
	Guessed    bool          `json:"guessed,omitempty"`
	Length     time.Duration `json:"length,omitempty"`
	Requested  bool          `json:"requested,omitempty"`
}

func newRecord(item string, d cooldown.Decision) record {
	return record{
		Item: item, Model: d.Name, Everything: d.Everything,
		Until: d.Until.UTC(), DecidedAt: d.DecidedAt.UTC(), Covers: d.Covers.UTC(),
		Reason: d.Reason, Guessed: d.Guessed, Length: d.Length, Requested: d.Requested,
	}
}

func (r *record) decision() cooldown.Decision {
	return cooldown.Decision{
		Name: r.Model, Everything: r.Everything,
		Until: r.Until, DecidedAt: r.DecidedAt, Covers: r.Covers,
		Reason: r.Reason, Guessed: r.Guessed, Length: r.Length, Requested: r.Requested,
	}
}

// ends returns until when the record matters.
func (r *record) ends() time.Time {
	if r.Covers.After(r.Until) {
		return r.Covers
	}
	return r.Until
}

// rank orders records by how much is lost without them.
func (r *record) rank() int {
	switch {
	case r.Everything, r.Model == cooldown.All:
		return 0
	case !r.Requested:
		return 1
	}
	return 2
}

// order sorts records: those first that are left out last.
func order(records []record) {
	slices.SortFunc(records, func(a, b record) int {
		return cmp.Or(
			cmp.Compare(a.rank(), b.rank()),
			b.ends().Compare(a.ends()),
			cmp.Compare(a.Item, b.Item),
			cmp.Compare(a.Model, b.Model),
		)
	})
}

// encodeRecords returns the records as the lines of a JSON array, as many of
// them as a file may have.
func encodeRecords(records []record) ([]byte, error) {
	var lines bytes.Buffer
	for i := range records {
		line, err := json.Marshal(&records[i])
		if err != nil {
			return nil, err
		}
		if lines.Len()+len(line) > maxWritten {
			break
		}
		if lines.Len() > 0 {
			lines.WriteString(",\n")
		}
		lines.Write(line)
	}
	return lines.Bytes(), nil
}

// encode returns a file with records that are encoded already.
func encode(process string, written time.Time, ended bool, records []byte) []byte {
	body := fmt.Appendf(nil, "{\"process\":%q,\"written\":%q,\"ended\":%v,\"cooldowns\":[\n%s\n]}\n",
		process, written.UTC().Format(time.RFC3339), ended, records)
	return format.Encode(body)
}

// decodeAs decodes the file of a process.
func decodeAs(process string, raw []byte) (*file, error) {
	body, err := format.Decode(raw)
	if err != nil {
		return nil, err
	}
	f := new(file)
	if err := json.Unmarshal(body, f); err != nil {
		return nil, fmt.Errorf("%w: %w", errCorrupt, err)
	}
	if f.Process != process {
		return nil, errOther
	}
	return f, nil
}

// hash returns what stands for an item in the file of a process.
func hash(process string, id ID) string {
	sum := sha256.Sum256(append([]byte(process), id[:]...))
	return hex.EncodeToString(sum[:16])
}
