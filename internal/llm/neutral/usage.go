package neutral

// Usage is what a response has cost, in tokens.
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
func (u *Usage) Uncached() int64 { return max(0, u.Input-u.CacheRead-u.CacheWrite) }
