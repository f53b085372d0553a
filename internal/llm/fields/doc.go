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
//
// # The walk of a rule
//
// A rule comes from the option fields of a channel or from a provider's preset; Override
// joins the two lists, and Compile makes a tree of them by path. The Scanner follows the
// text down that tree only: a list of messages that no rule names costs a scan for
// brackets and quotes. At the end of each object that has rules they are applied to the
// fields that were found, and what has changed becomes a reqbody.Edit:
//
//	rules   drop logprobs          text   {"model":"m","logprobs":true,"seed":1}
//	        default max_tokens 9   edits  {"model":"m","seed":1,"max_tokens":9}
//
// The edits are made when the body is sent, together with that of the model, so the same
// body can be sent to several channels with different rules.
//
// A field that is named twice is changed in both places: parsers differ in which counts.
package fields
