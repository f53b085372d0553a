// Package apierror knows the errors of the APIs of language models: it writes them in
// the client's dialect, reads them as channels send them, and finds out which HTTP
// status an error stands for that comes with status 200.
//
// # The way of an error
//
//	the gateway's own ─▶ Error ─┬─▶ Envelope: the body of a response
//	                            ├─▶ Event:    the end of a stream that is under way
//	                            └─▶ Stream:   all of a stream that only heartbeats began
//	a channel's body ─▶ Parse ─▶ Error ─▶ Stream
//	a channel's 200 ─▶ StatusOfBody, StatusOfEvent ─▶ the classifier of refusals
//
// A refusal of a channel that speaks the client's dialect is not written anew: it goes
// to the client with its own bytes. Only when heartbeats have already begun a stream
// with status 200 is it parsed, to be repeated as an event. On translated routes the
// dialect's own package writes errors, from a neutral.Error (neutral.ReadError reads
// one), because their codes change with the dialect too.
//
// # The three forms
//
//	OpenAI     {"error":{"message","type","param","code"}}        type, code by meaning
//	Anthropic  {"type":"error","error":{"type","message"}}        type by the status
//	Gemini     {"error":{"code":429,"message","status":"…"}}      status by the status
//
// OpenAI's form serves chat, Responses and everything that is neither Anthropic's nor
// Google's, such as embeddings and lists of files.
//
// Sources: https://platform.openai.com/docs/guides/error-codes,
// https://docs.anthropic.com/en/api/errors and, for Gemini, https://google.aip.dev/193
package apierror
