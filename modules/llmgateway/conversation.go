package llmgateway

import (
	"encoding/json"
	"hash/maphash"
	"io"
)

// conversationSeed makes identities of conversations differ between processes:
// they are compared, never kept.
var conversationSeed = maphash.MakeSeed()

// longestIdentity is how much of a body is read for the conversation's identity,
// in bytes.
const longestIdentity = 1 << 20

// conversation identifies the conversation that the request is a part of: by the
// id that the client gives it, else by the client, the system prompt and the
// first message of the user, which stay the same from turn to turn.
func (q *request) conversation() uint64 {
	var h maphash.Hash
	h.SetSeed(conversationSeed)
	h.WriteString(q.client.Name + "\x00")
	if !q.hasBody() {
		h.WriteString(q.location.path)
		return h.Sum64()
	}
	body, _ := q.body.Open()
	defer body.Close()
	text, _ := io.ReadAll(io.LimitReader(body, longestIdentity))
	var fields struct {
		Conversation json.RawMessage   `json:"conversation"`
		CacheKey     json.RawMessage   `json:"prompt_cache_key"`
		System       json.RawMessage   `json:"system"`
		Instructions json.RawMessage   `json:"instructions"`
		SystemPrompt json.RawMessage   `json:"systemInstruction"`
		Messages     []json.RawMessage `json:"messages"`
		Contents     []json.RawMessage `json:"contents"`
		Input        json.RawMessage   `json:"input"`
	}
	if json.Unmarshal(text, &fields) != nil {
		h.Write(text)
		return h.Sum64()
	}
	for _, id := range []json.RawMessage{fields.CacheKey, fields.Conversation} {
		if len(id) > 0 && string(id) != "null" {
			h.Write(id)
			return h.Sum64()
		}
	}
	for _, field := range []json.RawMessage{fields.System, fields.Instructions, fields.SystemPrompt} {
		h.Write(field)
	}
	var input []json.RawMessage
	if json.Unmarshal(fields.Input, &input) != nil {
		h.Write(fields.Input)
	}
	for _, messages := range [][]json.RawMessage{fields.Messages, fields.Contents, input} {
		for _, message := range messages {
			h.Write(message)
			if roleOf(message) == "user" {
				break
			}
		}
	}
	return h.Sum64()
}

// roleOf returns who says a message.
func roleOf(message json.RawMessage) string {
	var m struct {
		Role string `json:"role"`
	}
	_ = json.Unmarshal(message, &m)
	return m.Role
}
