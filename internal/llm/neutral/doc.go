// Package neutral is what the four dialects of language models have in common:
// a request, a response, the events of a stream and an error. A request is read
// from the client's dialect into a Request and written from it in the channel's;
// a response comes back as Events, whether it is streamed or not, and is written
// in the client's dialect from them.
//
//	client's body ─▶ Request ─▶ channel's body
//	client's body ◀─ Event…  ◀─ channel's body
//
// The packages chat, responses, messages and gemini beside it read and write one
// dialect each, all with the same functions; package translate joins them.
//
// # What is kept and what is not
//
// Opaque parts (arguments, schemas, signatures) keep their bytes where the other
// side takes them. What the other dialect has no place for is left out and named
// in Request.Dropped. What would change the meaning of the request is an error
// (*UnsupportedError) which says what kind of channel would do.
//
// # The same bytes each time
//
// Prompt caches of providers compare prefixes. The body that a request is
// translated to depends on nothing but the request: no time, no random number,
// no order of a map. The body of a conversation's next turn begins with the same
// bytes, up to the last message.
package neutral
