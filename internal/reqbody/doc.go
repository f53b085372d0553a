// Package reqbody keeps a request body so that it can be sent more than once, finds one
// field in it while it is read, and replaces that field without touching any other
// byte. It depends on the standard library only.
//
// The scanners accept only what every parser reads alike: a body in which two parsers
// could find two values of the field is an error.
//
// # The walk of a body
//
// A handler has a [Budget], mostly a [Budget.Share] of the process's. [Budget.Read]
// takes the body from the client, writes each piece to a sink, and returns a [Body].
// The sink is a [Scanner] for JSON or a [Form] for multipart/form-data, so that the
// field is found in the one pass in which the body is received:
//
//	scanner := reqbody.NewScanner("model", "stream")
//	body, err := budget.Read(r.Body, r.ContentLength, limit, scanner)
//	model, err := scanner.Finish()          // {"gpt-4o", 9, 17}
//	edit := reqbody.Edit{Start: model.Start, End: model.End, With: []byte(`"other"`)}
//	content, length := body.Open(edit)      // once for each attempt
//	body.Release()                          // after the last attempt
//
// Offsets are those of the body as it was received, and each attempt makes its edits
// anew: what one attempt has sent has no influence on the next.
//
// # Why a scanner of its own
//
// encoding/json reads a text as a whole, folds the letter case of keys and takes the
// last of two equal ones. Other parsers take the first, drop a byte-order mark, a NUL
// or invalid UTF-8, or cut a name at a bracket. A gateway that checks whether a client
// may use "model":"a" while the provider reads "model":"b" has checked nothing. So a
// body is refused wherever two parsers may differ about the field, and passed on byte
// by byte elsewhere: decoding and encoding it again would also lose the order of keys,
// large numbers and the prefix that providers' prompt caches compare.
//
// # Where the bytes lie
//
// Bodies of up to 64 KB are one slice, larger ones chunks of 512 KB from a pool, those
// of more than 8 MB a temporary file, which has no name. Under memory pressure a body
// goes to its file once it has one full chunk. All of it is counted by the Budget
// before it is used.
package reqbody
