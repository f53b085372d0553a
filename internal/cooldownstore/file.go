package cooldownstore

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"time"

	"github.com/caddy-freetier/caddy-freetier/internal/cooldown"
	"github.com/caddy-freetier/caddy-freetier/internal/processfiles"
	"github.com/caddy-freetier/caddy-freetier/internal/safestore"
)

// kind is that of the files. They are JSON: see decisions.
var kind = &processfiles.Kind[*decisions]{
	Name:      "cooldowns",
	Folder:    "freetier/llm_gateway/cooldowns",
	Suffix:    ".cooldowns",
	Format:    safestore.Format{Magic: "freetier-cooldowns", Version: 1},
	Most:      16 << 20,
	SilentFor: processfiles.SilentFor,
	Decode:    decode,
}

// maxWritten bounds what is written, in bytes. Of more cooldowns those are left out
// that end first, those of names from requests before all others.
const maxWritten = 8 << 20

// decisions are what a file has: what its process has decided, or taken over from
// processes that have ended.
type decisions struct {
	Cooldowns []record `json:"cooldowns"`
}

// record is a decision about a name of an item.
type record struct {
	Item       string        `json:"item"` // its hash, of which the name of the process is the salt
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

// rank orders records by how much is lost without them: those of whole items first,
// then those of models that are configured. Clients can make up any number of other
// names, which must not push out the rest.
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

// encode returns as many of the records as a file may have, each in a line of its own.
func encode(records []record) []byte {
	object := []byte(`{"cooldowns":[`)
	for i := range records {
		line, err := json.Marshal(&records[i])
		if err != nil {
			continue // only for years beyond 9999
		}
		if len(object)+len(line) > maxWritten {
			break
		}
		if object[len(object)-1] != '[' {
			object = append(object, ',')
		}
		object = append(append(object, '\n'), line...)
	}
	return append(object, "\n]}"...)
}

func decode(body []byte) (processfiles.Header, *decisions, error) {
	var f struct {
		processfiles.Header
		decisions
	}
	err := json.Unmarshal(body, &f)
	return f.Header, &f.decisions, err
}

// hash returns what stands for an item in the file of a process.
func hash(process string, id ID) string {
	sum := sha256.Sum256(append([]byte(process), id[:]...))
	return hex.EncodeToString(sum[:16])
}
