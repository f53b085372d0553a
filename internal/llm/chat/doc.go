// Package chat reads and writes OpenAI's Chat Completions, the dialect that most
// providers have taken over, with what they have added to it and how they differ.
//
//	           the client speaks chat           the channel speaks chat
//	request    ReadRequest                      WriteRequest
//	response   WriteResponse, StreamWriter      StreamReader, for JSON too
//	error      WriteError                       neutral.ReadError
//
// What is read is accepted in every form that a client or provider is known to send.
// What is written has one form, the one that the strictest reader takes.
//
// # Requests
//
//	chat                                    neutral.Request
//	messages[].role system, developer       System, where the client has put it
//	messages[].role user                    User
//	messages[].role assistant               Assistant, with the parts
//	  reasoning_content, reasoning,           Thought; the last has the signature
//	  reasoning_details[]
//	  content, refusal                        Text, Media, Refusal
//	  tool_calls[]                            Call; its input keeps the model's bytes
//	  tool_calls[].extra_content.google       the signature of the Call
//	messages[].role tool                    ToolRole; neighbours become one message
//	tools[].function, tools[].custom        Tools: Function, Freeform
//	web_search_options                      a Tool of the kind WebSearch
//	tool_choice, parallel_tool_calls        Choice, Parallel
//	response_format                         Format
//	reasoning_effort and vendors' fields    Reasoning (see readVendorReasoning)
//	stream, stream_options.include_usage    Stream, StreamUsage
//	max_tokens, temperature, stop, …        Settings (see settings)
//	role function, functions, function_call Needs: an error in each other dialect
//	modalities other than text              Needs
//	all others                              Dropped, by name
//
// The deprecated function calls have no ids, so that a call and its result could not be
// joined in the other dialects; they are refused instead of guessed at.
//
// # The same bytes in each turn
//
// Prompt caches of providers compare prefixes, so a body has its fields in one order:
// model, stream, settings, effort, format, tools, tool_choice, and the messages last.
// Nothing in it depends on the time or on chance. A system text in the middle of the
// conversation keeps its place, as a user's message: at the top, it would change the
// beginning of the body. DeepSeek was seen to find 97 % of the prompt in its cache with
// the text in a user's message and nothing with a system message.
//
// # Streams
//
// Events have no names. Chunks of one response repeat id, created and model. For each
// choice the order is that of OpenAI's servers, which its SDK's stream helper checks:
//
//	delta {role}   with the first content, as most providers do
//	delta {reasoning_content | content | refusal | tool_calls | annotations | images}*
//	delta {}       with finish_reason
//
// After the last choice comes, if the client has asked for it, a chunk with usage and
// without choices, and then [DONE]. What each state of a StreamWriter permits:
//
//	state      permitted events            next state
//	begun      Started                     begun; nothing is written
//	           deltas, calls, citations    open, with the role in the first chunk
//	           Finished                    done, after an empty delta with the role
//	open       deltas, calls, citations    open
//	           Finished                    done
//	done       Finished of other choices   ended after the last one, with [DONE]
//	any        Failed                      failed: data: {"error":…}, without [DONE]
//	failed     none; what comes is ignored
//
// A failed stream has no finish_reason and no [DONE]: OpenAI's SDKs throw the error, and
// no client takes what came before for a whole answer.
//
// What providers do otherwise when they stream is read by StreamReader; package
// translate has a test with each of these habits.
//
// # Ids
//
// The id of a response is the gateway's, with the prefix chatcmpl-. Those of calls are
// the channel's; neutral.Sequencer makes one up where it is missing or was given twice.
//
// Sources: https://platform.openai.com/docs/api-reference/chat (November 2026), for
// reasoning_details https://openrouter.ai/docs/use-cases/reasoning-tokens, for
// extra_content https://ai.google.dev/gemini-api/docs/thought-signatures, for
// reasoning_content https://api-docs.deepseek.com/guides/thinking_mode
package chat
