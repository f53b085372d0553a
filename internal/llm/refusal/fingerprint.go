package refusal

import (
	"hash/fnv"
	"io"
	"slices"
	"strconv"
)

// fingerprintNoOutput stands for every response that ended without output.
const fingerprintNoOutput = 1

// fingerprint returns what two refusals have in common that say the same: the
// status, the form, the names of errors, and the messages without what differs
// each time.
func (f *facts) fingerprint() uint64 {
	h := fnv.New64a()
	io.WriteString(h, strconv.Itoa(f.status)+" "+strconv.Itoa(int(f.form)))
	words := slices.Clone(f.words)
	slices.Sort(words)
	for _, word := range slices.Compact(words) {
		io.WriteString(h, "\n"+word)
	}
	for _, message := range f.messages {
		io.WriteString(h, "\n:"+skeleton(message))
	}
	if f.form == formPage {
		io.WriteString(h, "\n<"+skeleton(f.title))
	}
	return max(h.Sum64(), fingerprintNoOutput+1)
}
