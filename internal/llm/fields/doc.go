// Package fields edits the fields of a request's JSON body by rules, so that a
// provider gets what it accepts. The edits touch only what the rules name: every
// other byte stays as the client has written it, which keeps prompt caches
// valid and numbers exact.
//
//	rules, err := fields.Compile([]fields.Rule{…}) // at load
//	…
//	scanner := rules.NewScanner(true)
//	scanner.Write(part) // of a text that is known to be valid JSON
//	edits := scanner.Edits()
//
// The text may come in parts of any size: nothing is kept of it but names and
// short values.
package fields
