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
// The walk of a request: a dialect's reader fills in a Request, with system texts and
// results where the client has put them. Its writer calls [Request.Check] for what the
// dialect lacks, [Request.Usable] for the tools, [Request.Turns] for the messages in an
// order that all take, and [Settings.Write] for the plain fields.
//
// The walk of a response: a dialect's StreamReader takes tool calls apart with a
// [Sequencer] and <think> tags with [ThinkTags], and emits Events. A StreamWriter writes
// them for a streamed request; for one that is not streamed a [Collector] makes a Response
// of them. Both are made of the same events.
//
// The shape of four dialects is behind each type here. Where a comment says what a client
// does, it was captured from Claude Code 2.1.328, Codex 0.169.0 or Gemini CLI 0.61.0, or
// tried with them (November 2026).
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
