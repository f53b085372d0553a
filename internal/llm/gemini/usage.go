package gemini

import (
	"github.com/caddy-freetier/caddy-freetier/internal/llm/neutral"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/rawjson"
)

// readUsage reads usage. In a stream it grows with each event; the last counts. The
// neutral form has thoughts inside of the output and cached tokens inside of the input,
// as OpenAI has; Google has the former beside the output (candidatesTokenCount) and the
// latter inside of the prompt. What tools of Google's have put into the prompt is counted
// by itself, and is input.
func readUsage(u *neutral.Usage, v rawjson.Value) {
	if !v.Is('{') {
		return
	}
	count := func(name string) int64 {
		n, _ := v.Get(name).Int()
		return max(0, n)
	}
	thoughts := count("thoughtsTokenCount")
	*u = neutral.Usage{
		Known:     true,
		Input:     count("promptTokenCount") + count("toolUsePromptTokenCount"),
		CacheRead: count("cachedContentTokenCount"),
		Output:    count("candidatesTokenCount") + thoughts,
		Reasoning: thoughts,
	}
}

// writeUsage writes usage. Thoughts are counted beside the output. totalTokenCount
// includes them, and the cached tokens as a part of the prompt.
func writeUsage(w *rawjson.Writer, u *neutral.Usage) {
	w.Open('{')
	w.KeyInt("promptTokenCount", u.Input)
	w.KeyInt("candidatesTokenCount", max(0, u.Output-u.Reasoning))
	w.KeyInt("totalTokenCount", u.Total())
	if u.CacheRead > 0 {
		w.KeyInt("cachedContentTokenCount", u.CacheRead)
	}
	if u.Reasoning > 0 {
		w.KeyInt("thoughtsTokenCount", u.Reasoning)
	}
	w.Close('}')
}
