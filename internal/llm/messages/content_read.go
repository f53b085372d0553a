package messages

import (
	"strings"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/neutral"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/rawjson"
)

const contentPath = "messages[].content"

// maxDepth bounds how deep content stands in content. Of the blocks that the API has,
// a search result or document in the result of a tool is the deepest. Each level is
// read through once more by the one above it.
const maxDepth = 8

func readMessages(r *neutral.Request, value rawjson.Value) error {
	for message := range value.Elements {
		dropBeside(r, "messages", message, "role", "content")
		content := message.Get("content")
		switch role := message.Get("role").Text(); role {
		case "system":
			r.Messages = append(r.Messages, neutral.Message{Role: neutral.System, Parts: readSystem(r, contentPath, content)})
		case "user":
			if err := readUser(r, content); err != nil {
				return err
			}
		case "assistant":
			parts, err := readBlocks(r, contentPath, content, 0)
			if err != nil {
				return err
			}
			if err := neutral.OnlyIn(neutral.Assistant, parts, contentPath); err != nil {
				return err
			}
			r.Messages = append(r.Messages, neutral.Message{Role: neutral.Assistant, Parts: parts})
		default:
			return &neutral.InvalidError{Param: "messages[].role", Reason: "unknown role " + role}
		}
	}
	return nil
}

// readUser reads a user's turn: the results of calls, and what the user says.
func readUser(r *neutral.Request, content rawjson.Value) error {
	parts, err := readBlocks(r, contentPath, content, 0)
	if err != nil {
		return err
	}
	if err := neutral.OnlyIn(neutral.User, parts, contentPath); err != nil {
		return err
	}
	var results, said []neutral.Part
	for _, part := range parts {
		if part.Kind == neutral.Result {
			results = append(results, part)
		} else {
			said = append(said, part)
		}
	}
	if len(results) > 0 {
		r.Messages = append(r.Messages, neutral.Message{Role: neutral.ToolRole, Parts: results})
	}
	if len(said) > 0 {
		r.Messages = append(r.Messages, neutral.Message{Role: neutral.User, Parts: said})
	}
	return nil
}

// readBlocks reads content that stands in so many others.
func readBlocks(r *neutral.Request, path string, content rawjson.Value, depth int) ([]neutral.Part, error) {
	if depth > maxDepth {
		return nil, &neutral.InvalidError{Param: contentPath, Reason: "content stands too deep in other content"}
	}
	if content.Is('"') {
		return []neutral.Part{{Kind: neutral.Text, Text: content.Text()}}, nil
	}
	var parts []neutral.Part
	for block := range content.Elements {
		part, ok, err := readBlock(r, path, block, depth)
		if err != nil {
			return nil, err
		}
		if ok {
			parts = append(parts, part)
		}
	}
	return parts, nil
}

// readBlock reads a content block. ok is false for one that is left out.
func readBlock(r *neutral.Request, path string, block rawjson.Value, depth int) (part neutral.Part, ok bool, err error) {
	kind := block.Get("type").Text()
	switch kind {
	case "text":
		dropBeside(r, path, block, "type", "text")
		return neutral.Part{Kind: neutral.Text, Text: block.Get("text").Text()}, true, nil
	case "image", "document":
		return readMedia(r, path, kind, block, depth)
	case "search_result":
		dropBeside(r, path, block, "type", "source", "title", "content")
		inner, err := readBlocks(r, path+"[].content", block.Get("content"), depth+1)
		text := block.Get("title").Text() + "\n" + block.Get("source").Text() + "\n" + neutral.JoinText(inner)
		return neutral.Part{Kind: neutral.Text, Text: text}, true, err
	case "thinking":
		dropBeside(r, path, block, "type", "thinking", "signature")
		return neutral.Part{Kind: neutral.Thought, Text: block.Get("thinking").Text(), Sig: neutral.ReadSig(block.Get("signature").Text())}, true, nil
	case "redacted_thinking":
		return neutral.Part{Kind: neutral.Thought, Redacted: true, Sig: neutral.ReadSig(block.Get("data").Text())}, true, nil
	case "tool_use":
		dropBeside(r, path, block, "type", "id", "name", "input")
		call := &neutral.ToolCall{ID: block.Get("id").Text(), Input: string(block.Get("input"))}
		call.Name = block.Get("name").Text()
		return neutral.Part{Kind: neutral.Call, Call: call}, true, nil
	case "tool_result":
		return readResult(r, path, block, depth)
	case "tool_reference":
		return neutral.Part{Kind: neutral.Text, Text: "Loaded tools: " + block.Get("tool_name").Text()}, true, nil
	case "container_upload":
		r.Need(path, "a file in a provider's container", neutral.Messages)
		return part, false, nil
	}
	if kind == "server_tool_use" || strings.HasSuffix(kind, "_tool_result") || strings.HasPrefix(kind, "mcp_tool_") || kind == "compaction" {
		r.Dropped.Add(path, "[](", kind, ")")
		return part, false, nil
	}
	return part, false, &neutral.UnsupportedError{Param: path, What: "content of the type " + kind, Where: []neutral.Dialect{neutral.Messages}}
}

func readResult(r *neutral.Request, path string, block rawjson.Value, depth int) (neutral.Part, bool, error) {
	dropBeside(r, path, block, "type", "tool_use_id", "content", "is_error")
	inner, err := readBlocks(r, path+"[].content", block.Get("content"), depth+1)
	result := &neutral.ToolResult{CallID: block.Get("tool_use_id").Text(), Parts: inner, IsError: block.Get("is_error").Bool()}
	return neutral.Part{Kind: neutral.Result, Result: result}, true, err
}

func readMedia(r *neutral.Request, path, kind string, block rawjson.Value, depth int) (neutral.Part, bool, error) {
	dropBeside(r, path, block, "type", "source", "title", "context")
	media := &neutral.MediaPart{Type: neutral.Image}
	if kind == "document" {
		media.Type = neutral.File
		media.Name = block.Get("title").Text()
	}
	source := block.Get("source")
	media.MIME = source.Get("media_type").Text()
	switch source.Get("type").Text() {
	case "base64":
		media.Data = source.Get("data").Text()
	case "url":
		media.SetURL(source.Get("url").Text())
	case "file":
		media.FileID = source.Get("file_id").Text()
	case "text":
		return documentText(block, source.Get("data").Text()), true, nil
	case "content":
		inner, err := readBlocks(r, path, source.Get("content"), depth+1)
		return documentText(block, neutral.JoinText(inner)), true, err
	default:
		return neutral.Part{}, false, &neutral.InvalidError{Param: path, Reason: "unknown source of a " + kind}
	}
	if context := block.Get("context"); context.Is('"') {
		r.Dropped.Add(path, "[].context")
	}
	return neutral.Part{Kind: neutral.Media, Media: media}, true, nil
}

// documentText returns a document that is text as such, with its title.
func documentText(block rawjson.Value, text string) neutral.Part {
	for _, field := range []string{"context", "title"} {
		if line := block.Get(field).Text(); line != "" {
			text = line + "\n" + text
		}
	}
	return neutral.Part{Kind: neutral.Text, Text: text}
}
