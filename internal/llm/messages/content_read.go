package messages

import (
	"strings"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/neutral"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/rawjson"
)

// contentPath is what a client gets named in X-Gateway-Dropped and in errors.
const contentPath = "messages[].content"

// maxDepth bounds how deep content stands in content. Of the blocks that the API has,
// a search result or document in the result of a tool is the deepest. Each level is
// read through once more by the one above it.
const maxDepth = 8

// readMessages reads the conversation. Anthropic's server merges neighbours of one role;
// here they stay apart, and are merged where a channel's dialect needs it.
//
// The role system is Claude Code's: it sends reminders so, after the first user's turn,
// as text blocks in its first request and as a string in later ones, with newer models
// also with an output_config of the message, which is dropped. The text keeps its place.
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

// readUser reads a user's turn: the results of calls, and what the user says. The neutral
// form has results in messages of their own, because chat and responses do. They come
// first, as the API demands. Their order among themselves is free: Claude Code sends the
// result first of the call that was done first.
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

// readBlocks reads content that stands in so many others. A string is the short form of
// one text block, everywhere where content stands; an empty one is not left out here,
// since other dialects allow an empty text. Writers skip it where it is an error.
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
//
// Of the blocks, some become another kind of part:
//
//	search_result        its title, source and texts, as one text
//	tool_reference       "Loaded tools: …": the answer to Claude Code's ToolSearch. The
//	                     tools that it has found are among those of the next request.
//	redacted_thinking    a Thought that is a signature only
//
// Calls of the provider's own tools and their results (server_tool_use,
// web_search_tool_result, mcp_tool_use) are left out: another provider could not have
// made them, and what the model took from them stands in its text. compaction is the
// server's summary of the turns before it, which it then ignores.
//
// container_upload names a file that only this provider has, without which the question
// has no answer, so that it is an error on other dialects. So is a type that is not
// known, since the question may be about it.
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

// readResult reads the result of a call. Its content may be missing or "", both of which
// the API takes here, unlike an empty text elsewhere. The name of the tool is not in it;
// neutral.Request.Turns fills it in from the call, for Gemini.
func readResult(r *neutral.Request, path string, block rawjson.Value, depth int) (neutral.Part, bool, error) {
	dropBeside(r, path, block, "type", "tool_use_id", "content", "is_error")
	inner, err := readBlocks(r, path+"[].content", block.Get("content"), depth+1)
	result := &neutral.ToolResult{CallID: block.Get("tool_use_id").Text(), Parts: inner, IsError: block.Get("is_error").Bool()}
	return neutral.Part{Kind: neutral.Result, Result: result}, true, err
}

// readMedia reads an image or a document, by its source:
//
//	base64     Data, with MIME from media_type: jpeg, png, gif, webp or pdf
//	url        URL, which Gemini cannot fetch
//	file       FileID, an error on each other dialect (neutral.MediaPart.Portable)
//	text       a document that is plain text: a text
//	content    a document of text blocks: their texts
//
// title becomes the name that chat and responses require of a file. context has no place
// beside a file elsewhere; before a text it has.
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

// documentText returns a document that is text as such, with its title and its context
// before it, each on a line.
func documentText(block rawjson.Value, text string) neutral.Part {
	for _, field := range []string{"context", "title"} {
		if line := block.Get(field).Text(); line != "" {
			text = line + "\n" + text
		}
	}
	return neutral.Part{Kind: neutral.Text, Text: text}
}
