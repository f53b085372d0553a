package chat

import (
	"github.com/caddy-freetier/caddy-freetier/internal/llm/neutral"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/rawjson"
)

// readMessages reads the conversation. A message without a role is a user's, as it is
// in gemini. An unknown role is an error, since nobody can say whose words they are.
func readMessages(r *neutral.Request, value rawjson.Value) error {
	for message := range value.Elements {
		m := neutral.Message{}
		var err error
		switch role := message.Get("role").Text(); role {
		case "system", "developer":
			m.Role = neutral.System
			err = readPlain(r, &m, message)
		case "user", "":
			m.Role = neutral.User
			err = readPlain(r, &m, message)
		case "assistant":
			m.Role = neutral.Assistant
			err = readAssistant(r, &m, message)
		case "tool":
			m.Role = neutral.ToolRole
			err = readResult(r, &m, message)
		case "function":
			r.Need("messages[].role", "the deprecated role function", neutral.Chat)
		default:
			err = &neutral.InvalidError{Param: "messages[].role", Reason: "unknown role " + role}
		}
		if err != nil {
			return err
		}
		appendMessage(r, m)
	}
	return nil
}

// appendMessage appends a message. Results that follow each other are those of one
// turn: here each is a message, while messages and gemini refuse results of parallel
// calls that are spread over several. Messages of other roles stay apart;
// neutral.Request.Turns joins those of the model.
func appendMessage(r *neutral.Request, m neutral.Message) {
	last := len(r.Messages) - 1
	if m.Role == neutral.ToolRole && last >= 0 && r.Messages[last].Role == neutral.ToolRole {
		r.Messages[last].Parts = append(r.Messages[last].Parts, m.Parts...)
		return
	}
	r.Messages = append(r.Messages, m)
}

// readPlain reads a message of a system or a user. Its name, which tells several users
// apart, has no place in the other dialects and is dropped.
func readPlain(r *neutral.Request, m *neutral.Message, message rawjson.Value) (err error) {
	for name, member := range message.Members {
		switch name {
		case "role":
		case "content":
			m.Parts, err = readContent(r, "messages[].content", member)
			if err != nil {
				return err
			}
		default:
			r.Dropped.Add("messages[].", name)
		}
	}
	return nil
}

// readResult reads the result of a call. Its name is that of the function, which older
// clients send; where it is missing, Turns takes it from the call.
func readResult(r *neutral.Request, m *neutral.Message, message rawjson.Value) (err error) {
	result := &neutral.ToolResult{}
	for name, member := range message.Members {
		switch name {
		case "role":
		case "tool_call_id":
			result.CallID = member.Text()
		case "name":
			result.Tool.Name = member.Text()
		case "content":
			if result.Parts, err = readContent(r, "messages[].content", member); err != nil {
				return err
			}
		default:
			r.Dropped.Add("messages[].", name)
		}
	}
	m.Parts = []neutral.Part{{Kind: neutral.Result, Result: result}}
	return nil
}

// readAssistant reads a turn of the model. Its reasoning stands before the text,
// its calls after it, whatever the order of the fields is: the dialect has no order
// between them, and the model's own is this one.
//
// Reasoning under two names is the same text twice, so that the first one counts.
// Chat clients mostly drop it; what comes back goes to the vendor that it is of (see
// messagesWriter.thought). audio refers to one that the provider keeps.
func readAssistant(r *neutral.Request, m *neutral.Message, message rawjson.Value) error {
	var thought, said, calls []neutral.Part
	for name, member := range message.Members {
		switch name {
		case "role":
		case "content":
			parts, err := readContent(r, "messages[].content", member)
			if err != nil {
				return err
			}
			said = append(parts, said...)
		case "refusal":
			if text := member.Text(); text != "" {
				said = append(said, neutral.Part{Kind: neutral.Refusal, Text: text})
			}
		case "tool_calls":
			for call := range member.Elements {
				calls = append(calls, readCall(r, call))
			}
		case "reasoning_content", "reasoning":
			if text := member.Text(); text != "" && len(thought) == 0 {
				thought = append(thought, neutral.Part{Kind: neutral.Thought, Text: text})
			}
		case "reasoning_details":
			thought = addDetails(thought, member)
		case "function_call", "audio":
			if member.IsSet() {
				r.Need("messages[]."+name, "messages with "+name, neutral.Chat)
			}
		default:
			r.Dropped.Add("messages[].", name)
		}
	}
	m.Parts = append(append(thought, said...), calls...)
	return nil
}

// addDetails adds the signatures of reasoning_details to a thought. All details of a
// message are one thought here, with the last signature: that is how WriteResponse and
// StreamWriter have sent them, one detail for each signature.
func addDetails(thought []neutral.Part, details rawjson.Value) []neutral.Part {
	for detail := range details.Elements {
		value := detail.Get("signature").Text()
		if value == "" {
			value = detail.Get("data").Text()
		}
		text := detail.Get("text").Text()
		if value == "" && (text == "" || len(thought) > 0) {
			continue
		}
		if len(thought) == 0 {
			thought = append(thought, neutral.Part{Kind: neutral.Thought, Text: text})
		}
		thought[0].Sig = neutral.ReadSig(value)
	}
	return thought
}

// readCall reads a call of an earlier turn. extra_content.google.thought_signature is
// Google's form for the signature of a call, in which this gateway also sends those of
// other vendors to chat clients.
func readCall(r *neutral.Request, value rawjson.Value) neutral.Part {
	call := &neutral.ToolCall{}
	part := neutral.Part{Kind: neutral.Call, Call: call}
	for name, member := range value.Members {
		switch name {
		case "type", "index":
		case "id":
			call.ID = member.Text()
		case "function":
			call.Name = member.Get("name").Text()
			call.Input = argumentsText(member.Get("arguments"))
		case "custom":
			call.Kind = neutral.Freeform
			call.Name = member.Get("name").Text()
			call.Input = member.Get("input").Text()
		case "extra_content":
			part.Sig = neutral.ReadSig(member.Get("google").Get("thought_signature").Text())
		default:
			r.Dropped.Add("messages[].tool_calls[].", name)
		}
	}
	return part
}

// argumentsText returns the text of arguments, which some write as an object: local
// servers in responses, and clients that have parsed them in requests. Null is none.
func argumentsText(v rawjson.Value) string {
	switch {
	case v.Is('"'):
		return v.Text()
	case v.Is('{'):
		return string(v)
	}
	return ""
}
