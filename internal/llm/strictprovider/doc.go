// Package strictprovider is, for tests, a provider of each dialect that is as strict
// as the real ones: it refuses what they refuse, calls a tool only as it finds it
// declared, and takes back no signature but its own.
//
// The real agents (Codex, Claude Code, the Gemini CLI) work with it through a gateway
// that translates. What goes wrong on the way is a refusal, a call that the agent does
// not understand, or a step of the conversation that does not come back; a lenient
// server would hide all three. Recorded requests of the agents are checked with Check
// alone, without the agents.
//
//	p := &strictprovider.Provider{Dialect: neutral.Messages, Vendor: "v", Text: "Done.",
//		Steps: []strictprovider.Step{{Calls: []strictprovider.Call{{Tool: "Read", Arguments: `{…}`}}}}}
//	server := httptest.NewServer(p) // a channel's URL
//	… the agent runs, and its tool reads the file …
//	p.Refusals()                    // none
//	p.Seen()                        // what came back: results, images, signatures
//
// # The way of a request
//
//	ServeHTTP ─▶ path ─▶ check ──refused──▶ 400, recorded in Refusals
//	                       │
//	                       ▼
//	                     read ─▶ conversation, recorded in Seen
//	                       │
//	                       ▼
//	                     answer ─▶ turn ─▶ whole or stream
//
// There is no state of a conversation but the one in the request: how many turns with
// calls it has says which step comes next. So an agent may send a request twice, ask for
// a title in between, or begin anew, and each gets the answer that fits.
//
// # Who refuses what
//
// What the providers refuse was read in their documentation, SDKs and users' reports,
// up to November 2026, and is said at the function that checks it. In short:
//
//	all          unknown fields of the body, calls without one result each
//	chat         OpenAI: max_tokens, samplers and stop of reasoning models, effort beside
//	             tools, tool_choice without tools, parameters without type object;
//	             DeepSeek, Kimi: calls without their reasoning_content;
//	             llama.cpp and others: tools that are no functions
//	responses    OpenAI: item ids with another kind's prefix, loose schemas without
//	             strict false, foreign encrypted_content, less than 16 output tokens
//	messages     Anthropic: no max_tokens, empty texts, foreign signatures, ids with odd
//	             characters, forced tools beside thinking, samplers or a budget of newer
//	             models, calls without thoughts of older ones
//	gemini       Google: unknown keywords of schemas, results that are more or fewer than
//	             calls, calls of Gemini 3 without a signature, URLs that are not its own
//
// It is stricter than each of them alone: fields that one vendor has added to a dialect
// (top_k in chat) are refused, since another vendor of the dialect refuses them. Unless a
// model's name says otherwise, a rule holds for all models. Where a real provider is known
// to accept what the gateway does not send, that is not tested here.
package strictprovider
