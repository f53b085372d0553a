// Package responses reads and writes OpenAI's Responses, the only dialect that
// Codex speaks.
//
//	           the client speaks responses      the channel speaks responses
//	request    ReadRequest                      WriteRequest
//	response   WriteResponse, StreamWriter      StreamReader, for JSON too
//	error      chat.WriteError                  neutral.ReadError
//
// # Requests
//
// The conversation is a list of items. What a model says in one turn is several of them,
// which become the parts of one neutral message:
//
//	input[]                                    neutral.Message
//	instructions                               System, before all others
//	message of system, developer               System, where the client has put it
//	message of user                            User
//	message of assistant                       Assistant: Text, Refusal
//	reasoning                                  Assistant: Thought with its signature
//	function_call, custom_tool_call            Assistant: Call of a Function, Freeform
//	tool_search_call                           Assistant: Call of ToolSearch
//	function_call_output and its like          ToolRole: Result
//	tool_search_output                         Result, and Tools
//	additional_tools                           Tools
//	compaction, item_reference                 Needs: only the provider can read them
//	web_search_call and other hosted items     Dropped: "input[](web_search_call)"
//
//	fields                                     neutral.Request
//	tools, tool_choice, parallel_tool_calls    Tools, Choice, Parallel
//	reasoning, text.format                     Reasoning, Format
//	max_output_tokens, temperature, …          Settings (see settings)
//	previous_response_id, conversation,        Needs: an error on a translated route,
//	  prompt, background                         which keeps nothing between requests
//	store, truncation                          Dropped, unless they ask for what is done
//	all others                                 Dropped, by name
//
// Codex declares tools in three places: in tools, in an item additional_tools (for newer
// models there are no others), and in the result of its search for tools. A reader that
// knows only the first gives it a model without tools.
//
// # Responses
//
// A client must get a call back as the kind of tool that it has declared. Otherwise
// Codex does not run it: a custom tool that is called as a function is "aborted", one
// of a namespace that is called by its flat name is an "unsupported call", and its
// search for tools answers to tool_search_call only.
//
// Strict readers, such as Open Responses' checker, demand every member of the response
// object, whatever was asked for; see object.
//
// # Streams
//
// Events are named, repeat their name as type, and are numbered from 0. A StreamWriter
// writes one item after the other; the event that opens one ends the one before it:
//
//	open item   neutral event    events written
//	(start)     any              response.created, response.in_progress
//	message     TextDelta,       output_item.added and content_part.added if new,
//	              RefusalDelta     output_text.delta or refusal.delta
//	            Cited            output_text.annotation.added
//	            (end)            output_text.done, content_part.done, output_item.done
//	reasoning   ThoughtDelta     output_item.added and reasoning_summary_part.added if
//	                               new, reasoning_summary_text.delta
//	            ThoughtBreak     reasoning_summary_text.done and _part.done
//	            ThoughtSig       the same, output_item.done with encrypted_content
//	call        CallStart        output_item.added
//	            CallDelta        function_call_arguments.delta or its like
//	            CallEnd          function_call_arguments.done, output_item.done;
//	                               nothing if the call was cut off
//	(none)      MediaPartOut     output_item.added, output_item.done
//	(end)       Finished         response.completed, .incomplete or .failed
//	            Failed           response.failed
//
// After the last event nothing is written. There is exactly one of them, with the whole
// response in it, and no [DONE]. Clients judge the stream differently: Codex needs only
// output_item.done and the last event, OpenAI's stream helper adds up the deltas and
// fails if an item or a part was not begun. Every event is written for all of them.
//
// # Ids
//
// Only call_id links a call to its result; it is the channel's (see neutral.CallID). Ids
// of the response and of items are made of the gateway's id for the response, the item's
// number, and the prefix that OpenAI gives to its kind:
//
//	resp_<id>  msg_<id>_0  rs_<id>_1  fc_<id>_2  ctc_<id>_3  tsc_<id>_4  ig_<id>_5
//
// The prefixes matter: when a client goes on with a channel of OpenAI's own, its items
// come back, and one with another prefix is refused ("Expected an ID that begins with
// 'fc'"). For the same reason WriteRequest gives items no ids at all.
//
// Sources: https://platform.openai.com/docs/api-reference/responses and, for what
// readers demand, https://github.com/openresponses/openresponses (November 2026). What
// is said of Codex was observed with version 0.169.
package responses
