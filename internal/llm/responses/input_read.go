package responses

import (
	"strings"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/neutral"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/rawjson"
)

// readInput reads the conversation: a string, or items. A string is what a user says.
func readInput(r *neutral.Request, input rawjson.Value) error {
	if input.Is('"') {
		r.Messages = append(r.Messages, neutral.Message{Role: neutral.User, Parts: []neutral.Part{{Kind: neutral.Text, Text: input.Text()}}})
		return nil
	}
	for item := range input.Elements {
		if err := readItem(r, item); err != nil {
			return err
		}
	}
	return nil
}

// readItem reads an item. Without a type it is a message, as the API has it.
//
//   - Compacted conversations are encrypted, and references point at what a provider
//     has stored: without them the model would not know what it is asked about. They go
//     to Needs, so that the error says which channel would do.
//   - Calls of the provider's own tools are dropped with their results. What came of them
//     stands in the model's text behind them.
//   - compaction_summary and context_compaction are Codex's names for such items.
func readItem(r *neutral.Request, item rawjson.Value) error {
	switch kind := item.Get("type").Text(); kind {
	case "message", "":
		return readMessage(r, item)
	case "reasoning":
		dropBeside(r, item, "summary", "content", "encrypted_content")
		add(r, neutral.Assistant, readThought(item))
	case "function_call", "custom_tool_call", "tool_search_call":
		dropBeside(r, item, "call_id", "name", "namespace", "arguments", "input", "execution")
		add(r, neutral.Assistant, readCall(kind, item))
	case "function_call_output", "custom_tool_call_output":
		dropBeside(r, item, "call_id", "output", "name")
		parts, err := readContent(r, "input[].output", item.Get("output"))
		if err != nil {
			return err
		}
		add(r, neutral.ToolRole, neutral.Part{Kind: neutral.Result, Result: &neutral.ToolResult{CallID: item.Get("call_id").Text(), Parts: parts}})
	case "additional_tools":
		for tool := range item.Get("tools").Elements {
			readTool(r, "input[].tools", "", tool)
		}
	case "tool_search_output":
		add(r, neutral.ToolRole, readFoundTools(r, item))
	case "compaction", "compaction_summary", "context_compaction":
		r.Need("input[].encrypted_content", "a compacted conversation", neutral.Responses)
	case "item_reference":
		r.Need("input[].id", "an item kept by the provider", neutral.Responses)
	default:
		r.Dropped.Add("input[](", kind, ")")
	}
	return nil
}

// dropBeside records the members of an item other than those that are read, and
// those that only say which item it is. Members that are null were not sent: Codex has
// content:null in each item of reasoning.
func dropBeside(r *neutral.Request, item rawjson.Value, read ...string) {
	for name, member := range item.Members {
		known := !member.IsSet() || name == "type" || name == "id" || name == "status"
		for _, field := range read {
			known = known || field == name
		}
		if !known {
			r.Dropped.Add("input[].", name)
		}
	}
}

// add adds a part to the turn of a role. What a model says in one turn are many
// items here. They must become one message: in chat, a turn of several messages makes
// models stop after the text, and parallel calls in separate messages are refused, since
// the results of each must follow it.
func add(r *neutral.Request, role neutral.Role, part neutral.Part) {
	last := len(r.Messages) - 1
	if last >= 0 && r.Messages[last].Role == role {
		r.Messages[last].Parts = append(r.Messages[last].Parts, part)
		return
	}
	r.Messages = append(r.Messages, neutral.Message{Role: role, Parts: []neutral.Part{part}})
}

// readMessage reads a message. Those of users and of the system stay as they are, one
// item each; those of the model join its turn. phase, by which OpenAI's models tell
// commentary from the answer, has no place elsewhere and is dropped.
func readMessage(r *neutral.Request, item rawjson.Value) error {
	dropBeside(r, item, "role", "content")
	parts, err := readContent(r, "input[].content", item.Get("content"))
	if err != nil {
		return err
	}
	m := neutral.Message{Parts: parts}
	switch role := item.Get("role").Text(); role {
	case "user", "":
		m.Role = neutral.User
	case "assistant":
		for _, part := range parts {
			add(r, neutral.Assistant, part)
		}
		return nil
	case "system", "developer":
		m.Role = neutral.System
	default:
		return &neutral.InvalidError{Param: "input[].role", Reason: "unknown role " + role}
	}
	r.Messages = append(r.Messages, m)
	return nil
}

// readContent reads a string or an array of parts: the content of messages, and the
// output of calls. path is what the client calls the field.
func readContent(r *neutral.Request, path string, value rawjson.Value) ([]neutral.Part, error) {
	if value.Is('"') {
		return []neutral.Part{{Kind: neutral.Text, Text: value.Text()}}, nil
	}
	var parts []neutral.Part
	for element := range value.Elements {
		part, err := readPart(r, path, element)
		if err != nil {
			return nil, err
		}
		parts = append(parts, part)
	}
	return parts, nil
}

// partFields are the members of a part that are read, by its type. Those of output_text
// that say nothing to another model, its citations and probabilities, are listed so that
// readPart can name them if they are not empty.
var partFields = map[string][]string{
	"input_text":  {"text"},
	"output_text": {"text", "annotations", "logprobs"},
	"text":        {"text"},
	"refusal":     {"refusal"},
	"input_image": {"image_url", "file_id", "detail"},
	"input_file":  {"file_id", "file_data", "filename", "file_url"},
	"input_audio": {"input_audio"},
}

// readPart reads a part of a message or of a result:
//
//	{"type":"input_image","image_url":"data:image/png;base64,…","detail":"high"}
//	{"type":"input_file","filename":"a.pdf","file_data":"data:application/pdf;base64,…"}
//	{"type":"output_text","text":"…","annotations":[]}      of the model's own turns
//
// file_data without data: is taken for the PDF that the API's documentation shows. A file
// by its id reads as such; a writer refuses it (neutral.MediaPart.Portable). A part of an
// unknown type is an error, since the model would be asked about what it cannot see.
func readPart(r *neutral.Request, path string, value rawjson.Value) (neutral.Part, error) {
	kind := value.Get("type").Text()
	for name, member := range value.Members {
		known := !member.IsSet() || name == "type" || (member.Is('[') && member.Len() == 0)
		for _, field := range partFields[kind] {
			known = known || (field == name && name != "annotations" && name != "logprobs")
		}
		if !known {
			r.Dropped.Add(path, "[].", name)
		}
	}
	switch kind {
	case "input_text", "output_text", "text":
		return neutral.Part{Kind: neutral.Text, Text: value.Get("text").Text()}, nil
	case "refusal":
		return neutral.Part{Kind: neutral.Refusal, Text: value.Get("refusal").Text()}, nil
	case "input_image":
		media := &neutral.MediaPart{Type: neutral.Image, Detail: value.Get("detail").Text(), FileID: value.Get("file_id").Text()}
		media.SetURL(value.Get("image_url").Text())
		return neutral.Part{Kind: neutral.Media, Media: media}, nil
	case "input_file":
		media := &neutral.MediaPart{Type: neutral.File, Name: value.Get("filename").Text(), FileID: value.Get("file_id").Text()}
		media.SetURL(value.Get("file_url").Text())
		if data := value.Get("file_data").Text(); data != "" {
			if media.SetURL(data); media.Data == "" {
				media.Data, media.URL, media.MIME = data, "", "application/pdf"
			}
		}
		return neutral.Part{Kind: neutral.Media, Media: media}, nil
	case "input_audio":
		audio := value.Get("input_audio")
		media := &neutral.MediaPart{Type: neutral.Audio, Data: audio.Get("data").Text(), MIME: "audio/" + audio.Get("format").Text()}
		return neutral.Part{Kind: neutral.Media, Media: media}, nil
	}
	return neutral.Part{}, &neutral.UnsupportedError{Param: path, What: "content of the type " + kind, Where: []neutral.Dialect{neutral.Responses}}
}

// readThought reads an item of reasoning: the summary, which OpenAI gives, or else the
// content, which open models give. encrypted_content is the signature, wherever it is
// from: the gateway's mark in it says whose it is. Parts of a summary are joined with a
// blank line, as the other dialects have one text.
func readThought(item rawjson.Value) neutral.Part {
	var texts []string
	for _, field := range []string{"summary", "content"} {
		for part := range item.Get(field).Elements {
			if text := part.Get("text").Text(); text != "" {
				texts = append(texts, text)
			}
		}
		if len(texts) > 0 {
			break
		}
	}
	part := neutral.Part{Kind: neutral.Thought, Text: strings.Join(texts, "\n\n")}
	part.Sig = neutral.ReadSig(item.Get("encrypted_content").Text())
	part.Redacted = part.Text == ""
	return part
}

// readCall reads a call of an earlier turn. The arguments of a function are a string,
// which keeps the model's bytes; those of the search for tools are an object. An object
// is also accepted for a function.
func readCall(kind string, item rawjson.Value) neutral.Part {
	call := &neutral.ToolCall{ID: item.Get("call_id").Text()}
	call.Name, call.Namespace = item.Get("name").Text(), item.Get("namespace").Text()
	arguments := item.Get("arguments")
	switch {
	case kind == "custom_tool_call":
		call.Kind, call.Input = neutral.Freeform, item.Get("input").Text()
	case kind == "tool_search_call":
		call.Kind, call.Name = neutral.ToolSearch, "tool_search"
		call.Input = string(arguments)
	case arguments.Is('"'):
		call.Input = arguments.Text()
	default:
		call.Input = string(arguments)
	}
	return neutral.Part{Kind: neutral.Call, Call: call}
}

// readFoundTools reads the result of a search for tools. The tools are declared; the
// result that the model gets is their names, as it must call them: those in a namespace
// are flat towards the channel. Not all tools are known at this point, so that of two
// whose names become the same, both have the first one's in the text.
func readFoundTools(r *neutral.Request, item rawjson.Value) neutral.Part {
	for tool := range item.Get("tools").Elements {
		readTool(r, "input[].tools", "", tool)
	}
	var names []string
	sent := neutral.NewNames(nil)
	for tool := range item.Get("tools").Elements {
		namespace := tool.Get("name").Text()
		if tool.Get("type").Text() != "namespace" {
			names = append(names, namespace)
		}
		for inner := range tool.Get("tools").Elements {
			names = append(names, sent.Sent(neutral.ToolRef{Namespace: namespace, Name: inner.Get("name").Text()}))
		}
	}
	text := "Loaded tools: " + strings.Join(names, ", ")
	if len(names) == 0 {
		text = "No tools were found."
	}
	result := &neutral.ToolResult{CallID: item.Get("call_id").Text(), Parts: []neutral.Part{{Kind: neutral.Text, Text: text}}}
	return neutral.Part{Kind: neutral.Result, Result: result}
}
