package neutral

import (
	"crypto/sha256"
	"encoding/hex"
)

// CallID returns the id of a call in a form that all dialects take: letters,
// digits, _ and -, 64 at most. The same id always gives the same one, so that a
// call and its result agree.
//
// Kimi's ids are like functions.Bash:0, which Anthropic refuses in a history that was
// begun with Kimi and goes on there (^[a-zA-Z0-9_-]+$). It is a hash and no counter,
// since the result may come in another request and on another instance.
func CallID(id string) string {
	const longest = 64
	valid := id != "" && len(id) <= longest
	for _, r := range id {
		valid = valid && isNameChar(r)
	}
	if valid {
		return id
	}
	sum := sha256.Sum256([]byte(id))
	return "call_" + hex.EncodeToString(sum[:12])
}
