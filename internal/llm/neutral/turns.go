package neutral

import (
	"slices"
	"strings"
)

// noResult stands for the result of a call that the client does not have. All
// dialects but Responses' refuse a call without one.
const noResult = "No result was recorded for this call."

// Turns returns the conversation in the order that all dialects take: what the
// model said in one turn is one message, and the results of its calls follow it at
// once, one for each call, in the order of the calls. A result that came later,
// or belongs to no call, becomes a user's text.
//
// What is sent for the first turns does not depend on later ones: results are
// looked for only up to the model's next message.
//
// Chat refuses a call that its results do not follow at once ("must be followed by tool
// messages"), Gemini a turn with more or fewer results than calls, Messages a tool_use
// without its tool_result in the next message. Claude Code sends results in the order
// in which they came, not in that of the calls.
func (r *Request) Turns() []Message {
	turns := make([]Message, 0, len(r.Messages)+1)
	for at := 0; at < len(r.Messages); {
		if r.Messages[at].Role != Assistant {
			turns = appendWithResults(turns, nil, r.Messages[at:at+1])
			at++
			continue
		}
		said := r.Messages[at]
		said.Parts = slices.Clip(said.Parts) // appending copies them, once
		for at++; at < len(r.Messages) && r.Messages[at].Role == Assistant; at++ {
			said.Parts = append(said.Parts, r.Messages[at].Parts...)
		}
		next := at
		for next < len(r.Messages) && r.Messages[next].Role != Assistant {
			next++
		}
		turns = append(turns, said)
		turns = appendWithResults(turns, &said, r.Messages[at:next])
		at = next
	}
	return turns
}

// appendWithResults appends what follows a turn of the model, the results of its
// calls first.
func appendWithResults(turns []Message, said *Message, following []Message) []Message {
	waiting := resultsOf(following)
	results := Message{Role: ToolRole}
	if said != nil {
		for i := range said.Parts {
			if said.Parts[i].Kind == Call {
				results.Parts = append(results.Parts, waiting.take(said.Parts[i].Call))
			}
		}
	}
	if len(results.Parts) > 0 {
		turns = append(turns, results)
	}
	for _, message := range following {
		if message.Role != ToolRole {
			turns = append(turns, message)
			continue
		}
		for i := range message.Parts {
			if result := message.Parts[i].Result; result != nil && !waiting.taken[result] {
				turns = append(turns, asText(result))
			}
		}
	}
	return turns
}

// waitingResults are the results that stand between two messages of the model, in the
// order of the conversation. Two calls of one function in Gemini have one name: the
// first result of the name is that of the first call.
type waitingResults struct {
	byID   map[string][]*ToolResult
	byName map[string][]*ToolResult // Gemini's have a name only
	taken  map[*ToolResult]bool
}

func resultsOf(messages []Message) *waitingResults {
	w := &waitingResults{}
	for _, message := range messages {
		for i := range message.Parts {
			result := message.Parts[i].Result
			switch {
			case message.Parts[i].Kind != Result:
				continue
			case w.taken == nil:
				w.byID, w.byName = make(map[string][]*ToolResult), make(map[string][]*ToolResult)
				w.taken = make(map[*ToolResult]bool)
			}
			if result.CallID != "" {
				w.byID[result.CallID] = append(w.byID[result.CallID], result)
			} else {
				w.byName[result.Tool.Name] = append(w.byName[result.Tool.Name], result)
			}
		}
	}
	return w
}

// take returns the result of a call as a part of its own, with the id and the name of
// the call, or noResult. The client's result is copied, not changed: the next channel
// gets the same Request.
func (w *waitingResults) take(call *ToolCall) Part {
	own := ToolResult{Parts: []Part{{Kind: Text, Text: noResult}}}
	if found := first(w.byID, call.ID); found != nil {
		w.taken[found] = true
		own = *found
	} else if found := first(w.byName, call.Name); found != nil {
		w.taken[found] = true
		own = *found
	}
	own.CallID, own.Tool = call.ID, call.ToolRef
	return Part{Kind: Result, Result: &own}
}

// first returns the first result of a key and removes it from the others.
func first(results map[string][]*ToolResult, key string) *ToolResult {
	list := results[key]
	if len(list) == 0 {
		return nil
	}
	results[key] = list[1:]
	return list[0]
}

// asText returns a result without a call as what a user says.
//
// It is not dropped: the model should know what the command that it has called has
// done.
func asText(result *ToolResult) Message {
	intro := "Late result of a tool call:"
	if result.Tool.Name != "" {
		intro = "Late result of a call of " + result.Tool.Name + ":"
	}
	parts := []Part{{Kind: Text, Text: intro}}
	return Message{Role: User, Parts: append(parts, result.Parts...)}
}

// ResultText returns the texts of a result, one below the other.
//
// Messages has a flag for a failed call and Gemini a field; Chat and Responses have
// nothing. There the text has to say so, unless it does in its first 200 bytes.
func ResultText(result *ToolResult) string {
	var text strings.Builder
	for i := range result.Parts {
		part := &result.Parts[i]
		if part.Kind != Text || part.Text == "" {
			continue
		}
		if text.Len() > 0 {
			text.WriteByte('\n')
		}
		text.WriteString(part.Text)
	}
	said := text.String()
	if result.IsError && !strings.Contains(strings.ToLower(said[:min(len(said), 200)]), "error") {
		return "Error: " + said
	}
	return said
}

// Reminder returns a system text for a place where the dialect has no system
// messages, or models that do not take them there. Moving it to the top would
// change the beginning of the body, and with it what prompt caches compare.
//
// Claude Code sends messages of role system after the first user's turn, in each
// session. The tag is the one that it uses itself in texts of the user.
func Reminder(text string) string {
	if strings.HasPrefix(text, "<system-reminder>") {
		return text
	}
	return "<system-reminder>\n" + text + "\n</system-reminder>"
}

// JoinText returns the texts of a message's parts, one below the other.
func JoinText(parts []Part) string {
	if len(parts) == 1 {
		return parts[0].Text
	}
	var texts []string
	for i := range parts {
		if parts[i].Text != "" {
			texts = append(texts, parts[i].Text)
		}
	}
	return strings.Join(texts, "\n\n")
}
