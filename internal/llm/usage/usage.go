// Package usage finds out how many tokens a request to a language model has
// cost: by what the response says of itself, in the forms of OpenAI, Anthropic,
// Gemini, Cohere and Ollama, streamed or not, or, where it says nothing, by an
// estimate from the bytes in both directions.
//
//	m := usage.NewMeter(usage.Events, true)
//	m.Write(piece) // for each piece of the response
//	m.End()
//	m.Usage.Input()      // what the response says, 0 for nothing
//	m.EstimateOutput()   // what its text amounts to
//
// A response is read as it passes, in bounded memory, whatever its size. The numbers go
// against the clients' limits and the keys' quotas, so both sides are distrusted: a
// response is believed neither a number that no model can reach nor one far below its
// text, and a client cannot make the gateway count what it has put into a prompt.
//
//	OpenAI     "usage":{"prompt_tokens":9,"completion_tokens":3,"total_tokens":12}
//	Anthropic  "usage":{"input_tokens":9,"cache_read_input_tokens":4,"output_tokens":3}
//	Gemini     "usageMetadata":{"promptTokenCount":9,"candidatesTokenCount":3,"thoughtsTokenCount":2}
//	Cohere     "usage":{"billed_units":{…},"tokens":{"input_tokens":9,"output_tokens":3}}
//	Ollama     "prompt_eval_count":9,"eval_count":3
package usage

// MaxStated is the largest number of tokens that a response is believed. It is
// ten times the largest context of a model.
const MaxStated = 100_000_000

// Usage is what a response says that it has cost, in tokens, as it says it. The APIs do
// not add up alike: Anthropic's prompt is without what was read from or written to the
// cache, OpenAI's includes it (so CacheRead and CacheWrite have Anthropic's fields
// only), and Gemini's completion is without thoughts.
type Usage struct {
	Prompt, CacheWrite, CacheRead, Tools int64
	Completion, Thoughts                 int64

	// Total is the sum as the response has it. Some count thoughts here only,
	// some have nothing else.
	Total int64
}

// Input returns the tokens of the request.
func (u *Usage) Input() int64 {
	input := u.Prompt + u.CacheWrite + u.CacheRead + u.Tools
	if input == 0 && u.Completion+u.Thoughts == 0 {
		return u.Total // of embeddings
	}
	return input
}

// Output returns the tokens of the response.
//
// The difference to the total is taken where it is larger: Gemini's Chat endpoint
// counts thoughts in total_tokens only.
func (u *Usage) Output() int64 {
	output := u.Completion + u.Thoughts
	input := u.Input()
	if input == 0 {
		return max(output, u.Total)
	}
	return max(output, u.Total-input)
}

// Sum returns the tokens of both.
func (u *Usage) Sum() int64 { return u.Input() + u.Output() }

// Merge takes over what another part of the response has said. Numbers are
// repeated as they grow, so the largest counts.
func (u *Usage) Merge(other Usage) {
	u.Prompt = max(u.Prompt, other.Prompt)
	u.CacheWrite = max(u.CacheWrite, other.CacheWrite)
	u.CacheRead = max(u.CacheRead, other.CacheRead)
	u.Tools = max(u.Tools, other.Tools)
	u.Completion = max(u.Completion, other.Completion)
	u.Thoughts = max(u.Thoughts, other.Thoughts)
	u.Total = max(u.Total, other.Total)
}

// field returns where the number of a field belongs, nil for nowhere.
func (u *Usage) field(c class) *int64 {
	switch c {
	case classPrompt:
		return &u.Prompt
	case classCacheWrite:
		return &u.CacheWrite
	case classCacheRead:
		return &u.CacheRead
	case classTools:
		return &u.Tools
	case classCompletion:
		return &u.Completion
	case classThoughts:
		return &u.Thoughts
	case classTotal:
		return &u.Total
	}
	return nil
}
