// Package gemini reads and writes Google's generateContent and streamGenerateContent. The
// model, and whether the response is a stream, stand in the path, not in the body: who
// reads a request sets both.
//
//	           the client speaks gemini         the channel speaks gemini
//	request    ReadRequest                      WriteRequest
//	response   WriteResponse, StreamWriter      StreamReader, for JSON too
//	error      WriteError                       neutral.ReadError
//
// # Requests
//
//	gemini                                  neutral.Request
//	systemInstruction                       System, the first message
//	contents[].role user, function, none    User; ToolRole for its functionResponses
//	contents[].role model                   Assistant
//	contents[].role system                  System, where the client has put it
//	parts[].text                            Text; with thought, a Thought
//	parts[].inlineData, fileData            Media
//	parts[].functionCall                    Call
//	parts[].functionResponse                Result, before what else the turn says
//	parts[].thoughtSignature                the signature of the part that it stands on
//	tools[].functionDeclarations[]          Tools: Function
//	tools[].googleSearch, urlContext,       Tools: WebSearch, WebFetch, CodeRun
//	  codeExecution
//	tools[] others                          Tools: Hosted, which no other dialect has
//	toolConfig.functionCallingConfig        Choice
//	generationConfig.thinkingConfig         Reasoning
//	generationConfig.response…Schema,       Format
//	  responseMimeType
//	generationConfig, the rest              Settings (see settings)
//	cachedContent, output of images …       Needs: an error in each other dialect
//	safetySettings, labels and all others   Dropped, by name
//
// Everything may be spelled in camelCase or with underscores, since the API takes JSON of
// Protocol Buffers: get and camel see to that. The Gemini CLI and Google's SDKs write
// camelCase; snake_case comes from examples with curl and from tests of conformance.
//
// # The way back, and prompt caches
//
// WriteRequest puts the fields in one order: systemInstruction, tools, toolConfig,
// generationConfig and, last, contents. Nothing in it depends on the time or on chance:
// the cache that Gemini keeps by itself compares prompts from their beginning. The tools
// stay as declared when the choice among them changes, as the dialect has a list of
// allowed names beside them.
//
// Contents of one role that follow each other are one, but the results of a turn's calls
// begin a new one: Google counts them, and refuses more or fewer than the calls before
// ("the number of function response parts must be equal to …").
//
// # Streams
//
// Each event is a whole response with what is new since the last one: `data: {…}` and an
// empty line. There is no [DONE], at which Google's SDK fails to parse, no line with the
// event's name, before which it loses the event, and no comment, at which the Gemini CLI
// fails (tried with CLI 0.61 and @google/genai 2.32). So there are no heartbeats either.
//
//	neutral event             StreamWriter writes
//	text, refusal, thought    a part with the text, at once
//	signature                 nothing: it stands on the next text or call
//	CallStart, CallDelta      nothing: calls come whole
//	CallEnd                   the call, unless it was cut off
//	Cited                     nothing: sources stand in the last event
//	Finished                  finishReason, usageMetadata, sources, on an empty text
//	Failed                    {"error":{…}}; nothing may follow
//
// The end of the body is the end of the stream. One without a finishReason was cut off:
// the Gemini CLI asks four more times, and repeats the text that it has shown.
//
// # Signatures
//
// Gemini signs the first call of each step, and Gemini 3 refuses a call of the user's
// current turn that comes back without its signature. Signatures stand beside
// functionCall in its part, and on texts, there without being asked for. A client of this
// dialect gets signatures, marked with their vendor (neutral.Sig), on the next part that
// is no thought, since the Gemini CLI does not send thoughts back.
//
// Where a call was made by another model, or its signature was lost, Google has documented
// values that turn the check off (noSignature). The Gemini CLI sends the same one, to
// every model, so that it is no signature of anybody's when it is read.
//
// # Ids
//
// A call may have an id or not; results are matched by id, else by name and order. What is
// read gets an id by its place in the conversation, which is the same in the next turn,
// and not a random one that would change the prefix. What is written to Google has none.
// What is written to a client has one each, as the Gemini CLI runs two calls of one id
// once. The id of a response is the gateway's.
//
// Source: https://ai.google.dev/api/generate-content and
// https://ai.google.dev/gemini-api/docs/thought-signatures (November 2026); types in
// @google/genai 2.32
package gemini

import "strings"

// camel returns a field's name as JSON has it. Protocol Buffers take both that and
// the name with underscores. It is for names of fields only: the members of args,
// response and schemas are the client's own words, and stay as they are.
func camel(name string) string {
	if strings.IndexByte(name, '_') < 0 {
		return name
	}
	words := strings.Split(name, "_")
	for i, word := range words[1:] {
		if word != "" {
			words[i+1] = strings.ToUpper(word[:1]) + word[1:]
		}
	}
	return strings.Join(words, "")
}
