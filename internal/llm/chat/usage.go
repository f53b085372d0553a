package chat

import (
	"github.com/caddy-freetier/caddy-freetier/internal/llm/neutral"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/rawjson"
)

// readUsage reads usage. The last one of a stream counts: providers send it in a chunk
// of its own, in the last one of a choice, or in each chunk, where it grows.
//
// prompt_tokens are all of the request, with what was read from a cache; messages counts
// that beside it, which neutral.Usage.Uncached sees to. Negative numbers are none.
func readUsage(u *neutral.Usage, v rawjson.Value) {
	if !v.Is('{') {
		return
	}
	*u = neutral.Usage{Known: true}
	for name, member := range v.Members {
		n, _ := member.Int()
		n = max(0, n)
		switch name {
		case "prompt_tokens":
			u.Input = n
		case "completion_tokens":
			u.Output = n
		case "prompt_cache_hit_tokens", "cached_tokens": // DeepSeek's, Kimi's
			u.CacheRead = max(u.CacheRead, n)
		case "prompt_tokens_details":
			read, _ := member.Get("cached_tokens").Int()
			u.CacheRead = max(u.CacheRead, read)
			u.CacheWrite, _ = member.Get("cache_write_tokens").Int()
		case "completion_tokens_details":
			u.Reasoning, _ = member.Get("reasoning_tokens").Int()
		}
	}
	// xAI counts thoughts beside the output, where OpenAI counts them in it. Both send the
	// total, which tells the one from the other.
	if total, ok := v.Get("total_tokens").Int(); ok && u.Output+u.Reasoning == total-u.Input {
		u.Output += u.Reasoning
	}
}

// writeUsage writes usage with the details that clients show: what was read from a cache
// and what was thought. cache_write_tokens is left out if it is zero: few providers have
// it, and a zero would say that the provider does.
func writeUsage(w *rawjson.Writer, u *neutral.Usage) {
	w.Open('{')
	w.KeyInt("prompt_tokens", u.Input)
	w.KeyInt("completion_tokens", u.Output)
	w.KeyInt("total_tokens", u.Total())
	w.Key("prompt_tokens_details")
	w.Open('{')
	w.KeyInt("cached_tokens", u.CacheRead)
	if u.CacheWrite > 0 {
		w.KeyInt("cache_write_tokens", u.CacheWrite)
	}
	w.Close('}')
	w.Key("completion_tokens_details")
	w.Open('{')
	w.KeyInt("reasoning_tokens", u.Reasoning)
	w.Close('}')
	w.Close('}')
}
