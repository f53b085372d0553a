// Package eventstream reads and writes event streams (text/event-stream): the form in
// which all four dialects send a response piece by piece.
//
//	event: content_block_delta          name, only in responses and messages
//	data: {"type":"content_block_delta"…}
//	                                    a blank line ends the event
//	: ping                              a comment, which keeps the connection alive
//
// There are two readers, because two jobs need different things of a stream:
//
//   - BlockEnd finds where an event ends and leaves its bytes alone, for a stream that
//     passes through unchanged but for one event that is taken out. An event must come
//     out as it came in, comments and unknown fields included.
//   - Decoder takes the events apart, for a stream that is translated to another
//     dialect. Nothing of its bytes survives, so it drops all but names and data.
//
// Providers differ in what the standard leaves open: CRLF instead of LF, data: without
// the space after it, no blank line after the last event. Decoder accepts all of these.
//
// Source: https://html.spec.whatwg.org/multipage/server-sent-events.html
package eventstream
