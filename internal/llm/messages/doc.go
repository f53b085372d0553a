// Package messages reads and writes Anthropic's Messages, which Claude Code speaks, and
// several providers beside Anthropic.
//
//	           the client speaks messages       the channel speaks messages
//	request    ReadRequest                      WriteRequest
//	response   WriteResponse, StreamWriter      StreamReader, for JSON too
//	error      WriteError                       neutral.ReadError
//
// # Requests
//
//	messages                                neutral.Request
//	system, a string or text blocks         System, the first message
//	messages[].role system                  System, where the client has put it
//	messages[].role user, tool_result       ToolRole, before the rest of the turn
//	  all else                              User: Text, Media
//	messages[].role assistant               Assistant, with the parts
//	  text                                    Text
//	  thinking, redacted_thinking             Thought, with its signature
//	  tool_use                                Call; its input keeps the client's bytes
//	  server_tool_use and its results         Dropped
//	tools[], without type or custom         Tools: Function
//	tools[] web_search_… and the like       Tools: WebSearch, WebFetch, CodeRun
//	tools[] bash_…, memory_… and others     Tools: Hosted, which no other dialect has
//	tool_choice                             Choice, and Parallel, which stands in it
//	thinking, output_config.effort          Reasoning
//	output_config.format, output_format     Format; the schema is always a strict one
//	max_tokens, temperature, …              Settings (see settings)
//	container, thread                       Needs: an error in each other dialect
//	cache_control and all others            Dropped, by name
//
// Some of what is dropped has no meaning elsewhere (cache_control, context_management,
// which Claude Code sends in each request). metadata.user_id would have a counterpart,
// but Claude Code's is a JSON text of 150 characters, which is no user's id elsewhere.
//
// # The way back, and prompt caches
//
// WriteRequest puts the fields in one order: model, stream, max_tokens, thinking,
// output_config, samplers, metadata, system, tools, tool_choice and, last, messages.
// Nothing in it depends on the time or on chance, and the turns that were sent before
// keep their bytes, since caches compare the prompt from its beginning.
//
// Unlike most providers, Anthropic caches only what a request marks. Three marks of the
// four that a request may have are set: on the last system block, on the last tool and
// on the last block of a user's turn at the end. The last one moves on with each turn;
// it is no part of the prompt, so that the turn before is still found. Clients of other
// dialects set no such marks, and would pay for their whole prompt each time.
//
// A system text in the middle of the conversation stays there, as a user's text in
// <system-reminder>: moved to the top, it would change what comes before all turns.
//
// # Streams
//
// Each event has its type as its name and again in its data. Blocks have indexes from 0
// and do not overlap. What each state of a StreamWriter permits:
//
//	state       neutral event           is written                        next state
//	begun       any but Failed          message_start, then as in closed  as there
//	closed      text, refusal, media    block start text, delta           text
//	            thought                 block start thinking, delta       thinking
//	            signature               thinking block with nothing else  closed
//	            redacted signature      redacted_thinking, whole          closed
//	            CallStart               block start tool_use, input {}    call
//	            Finished                message_delta, message_stop       done
//	text        text, refusal, media    delta                             text
//	            Cited                   citations_delta                   text
//	thinking    thought, ThoughtBreak   delta; a break is an empty line   thinking
//	            signature               signature_delta, block stop       closed
//	call        CallDelta               input_json_delta                  call
//	            CallEnd                 block stop                        closed
//	text, thinking, call                what begins another block, and Finished, writes
//	            block stop first, and goes on as in closed
//	any         Failed                  error                             done
//	done        nothing is written
//
// Claude Code and Anthropic's SDK are strict about it. Without message_start or the start
// of a block, Claude Code repeats the request without a stream; without the stop of a
// block it has an empty turn and asks again; without message_delta or message_stop it
// asks again. The SDK throws without usage in message_start or message_delta, and loses
// the text of a response whose first index is 1. Both ignore events of unknown types
// (tried with Claude Code 2.1 and @anthropic-ai/sdk 1.14).
//
// StreamReader asks for less: what it accepts is said there.
//
// # Thoughts
//
// A thinking block ends with a signature, which Anthropic checks when the block comes
// back: a foreign one is a 400. So signatures go to clients with a mark of their vendor
// (neutral.Sig), in whatever block the client will send back in place, and only the
// vendor's own channel gets them. Claude Code returns thinking blocks unchanged and in
// place, also those with an empty signature, but only to the model that the response
// has named, which is why that is the client's name for it.
//
// A signature of Gemini stands on a call. A client of messages gets it in a thinking
// block without text before the call, and sends it back there. Those on a text are not
// passed on: Gemini works without them.
//
// # Ids
//
// The id of a response is the gateway's, with the prefix msg_. Those of calls are the
// other side's if they fit the API's pattern ^[a-zA-Z0-9_-]+$; neutral.CallID makes the
// same one of an unfit id each time, so that call and result agree (Kimi's look like
// functions.Bash:0). Claude Code runs no call without an id and drops a repeated one:
// neutral.Sequencer makes one up then.
//
// Sources: https://platform.claude.com/docs/en/api/messages and, for the order of
// events, /docs/en/build-with-claude/streaming (November 2026); types in
// @anthropic-ai/sdk 1.14
package messages
