package neutral

// Usage is what a response has cost, in tokens. The dialects count differently; here
// cached tokens are a part of the input, as in Chat, Responses and Gemini, and thoughts
// a part of the output, as everywhere but in Gemini (candidatesTokenCount is without
// thoughtsTokenCount). Messages' input_tokens is without cache_read_input_tokens and
// cache_creation_input_tokens.
type Usage struct {
	Known bool // whether the response has said it

	Input      int64 // all of the request, with what was read from or written to a cache
	CacheRead  int64 // of Input
	CacheWrite int64 // of Input
	Output     int64 // all of the response, with thoughts
	Reasoning  int64 // of Output
}

// Total returns the tokens of both.
func (u *Usage) Total() int64 { return u.Input + u.Output }

// Uncached returns the tokens of the request that were neither read from a cache
// nor written to one, which is what Messages calls input_tokens.
//
// With the whole input there Claude Code believes its context to be full too early and
// compacts the conversation.
func (u *Usage) Uncached() int64 { return max(0, u.Input-u.CacheRead-u.CacheWrite) }
