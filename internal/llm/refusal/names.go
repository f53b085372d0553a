package refusal

import "slices"

import "strings"

// longestName is the longest error name, in bytes. Anything longer is prose.
const longestName = 80

// names are the names of errors in a response: codes, types and reasons, each
// folded. A number that means something at one provider only is written
// `owner:number`, such as `zai:1302`, so that no other provider's number
// matches a rule by accident.
type names []string

// add adds the name of an error. A text with spaces in it is a sentence and is
// left out.
func (n *names) add(name string) {
	if strings.Contains(name, " ") {
		return
	}
	if name = fold(name); name != "" && len(name) <= longestName {
		*n = append(*n, name)
	}
}

// addNumber adds a number that means something at its owner only.
func (n *names) addNumber(owner, number string) { *n = append(*n, owner+":"+number) }

// match reports whether any name matches any of the globs.
func (n names) match(globs []glob) bool {
	for i := range globs {
		if slices.ContainsFunc(n, globs[i].match) {
			return true
		}
	}
	return false
}

// implied are the statuses that names of errors stand for, when an error comes
// without a status inside a stream. The first match decides.
var implied = []struct {
	glob   glob
	status int
}{
	{compileGlob("*rate_limit*"), 429},
	{compileGlob("*quota*"), 429},
	{compileGlob("*exhausted*"), 429},
	{compileGlob("too_many*"), 429},
	{compileGlob("*overloaded*"), 503},
	{compileGlob("unavailable"), 503},
	{compileGlob("authentication*"), 401},
	{compileGlob("*api_key*"), 401},
	{compileGlob("unauthenticated"), 401},
	{compileGlob("billing*"), 402},
	{compileGlob("payment_required"), 402},
	{compileGlob("permission*"), 403},
	{compileGlob("*not_found*"), 404},
	{compileGlob("invalid*"), 400},
	{compileGlob("context_length*"), 400},
	{compileGlob("content_*"), 400},
	{compileGlob("timeout*"), 504},
	{compileGlob("deadline_exceeded"), 504},
}

// status returns the status that the names imply, and 0 if they imply none.
func (n names) status() int {
	for i := range implied {
		if slices.ContainsFunc(n, implied[i].glob.match) {
			return implied[i].status
		}
	}
	return 0
}
