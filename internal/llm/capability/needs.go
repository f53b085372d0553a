package capability

import (
	"bytes"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/caddy-freetier/caddy-freetier/internal/reqbody"
)

// marked are fields of a body's top level. Their order is that of the three bounds below:
// NeedsOf tells by a field's index what it is for. Names that several dialects share,
// such as max_tokens of chat and messages, stand once; a body has the fields of its own
// dialect, so that no dialect need be known. functions is chat's, deprecated for tools.
var marked = []string{
	"tools", "functions",
	"max_tokens", "max_completion_tokens", "max_output_tokens",
	"generationConfig", "generation_config",
	"messages", "contents", "input",
}

const (
	toolFields   = 2 // of marked, those of tools end here
	outputFields = 5 // and here those that say how much output is asked for
	configFields = 7 // and here those of Gemini in which that stands
)

// mostConfirmed is how long messages may be that are read a second time, in bytes. In
// longer ones any collected word counts: as text alone they would have two million
// tokens, so that they hold media anyway.
const mostConfirmed = 8 << 20

// maxDepth is how deep parts are looked at that stand in each other. The deepest ones
// that an API has are those of a tool's result in a message.
const maxDepth = 8

// scanners are reused. They collect the words by which media are recognised wherever
// they stand, also in a tool's schema or arguments: none of them, as in almost all
// requests, says that there are no media. Else NeedsOf looks where they stand.
// "model" is there because a Scanner is for one field; its value is not used.
var scanners = sync.Pool{New: func() any {
	s := reqbody.NewScanner("model")
	s.Mark(marked...)
	s.Collect("type", "mimeType", "mime_type", "media_type")
	return s
}}

// NeedsOf returns what a request needs but for its input's tokens, of a body that was
// found to be valid JSON. It reads that once, and messages again that may have media in
// them. The input's tokens are an estimate that the caller makes, and only if a context
// is short enough to matter. It may be called from any goroutine, as long as the body is
// not released meanwhile.
func NeedsOf(body *reqbody.Body) (n Needs) {
	s := scanners.Get().(*reqbody.Scanner)
	defer scanners.Put(s)
	s.Reset()
	r, _ := body.Open()
	defer r.Close()
	if _, err := io.Copy(s, r); err != nil {
		return n
	}
	var seen []Medium
	for _, text := range s.Collected() {
		seen = addMedium(seen, mediumOf(text))
	}
	for i, span := range s.Marked() {
		switch {
		case span.End == 0:
		case i < configFields:
			body.Peek(span.Start, span.End, func(value []byte) { n.add(i, value) })
		case len(seen) == 0:
		case span.End-span.Start > mostConfirmed:
			n.Media = seen
		default:
			n.addParts(body.Slice(span.Start, span.End), 0)
		}
	}
	return n
}

// add adds what a marked field says. value may break off after 64 KB (Body.Peek): that
// a list of tools is not empty, and a number, stand before that.
func (n *Needs) add(field int, value []byte) {
	switch {
	case field < toolFields:
		reqbody.Elements(value, func([]byte) bool { n.Tools = true; return false })
	case field < outputFields:
		n.addOutput(value)
	default:
		reqbody.Fields(value, func(key, value []byte) bool {
			if k := string(key); k == "maxOutputTokens" || k == "max_output_tokens" {
				n.addOutput(value)
			}
			return true
		})
	}
}

// addOutput adds a limit of the output. A body with two of them, such as max_tokens
// beside max_completion_tokens, needs the larger one. What is no whole number is left to
// the provider to refuse.
func (n *Needs) addOutput(value []byte) {
	if tokens, err := strconv.ParseInt(string(bytes.TrimSpace(value)), 10, 64); err == nil {
		n.Output = max(n.Output, tokens)
	}
}

// addParts adds the media of messages and their parts. What a tool was called with is
// not looked at: it may have fields of any name.
func (n *Needs) addParts(list []byte, depth int) {
	reqbody.Elements(list, func(part []byte) bool {
		n.addPart(part, depth)
		return true
	})
}

// addPart adds the media of a part that stands in so many others. Each of these is
// walked through once more for what it holds.
func (n *Needs) addPart(part []byte, depth int) {
	if depth == maxDepth {
		return
	}
	reqbody.Fields(part, func(key, value []byte) bool {
		switch string(key) {
		case "type":
			n.Media = addMedium(n.Media, mediumOf(string(reqbody.Text(value))))
		case "content", "parts", "output":
			n.addParts(value, depth+1)
		case "functionResponse", "function_response":
			n.addPart(value, depth+1)
		case "inlineData", "inline_data", "fileData", "file_data":
			n.addData(value)
		}
		return true
	})
}

// addData adds the medium of data of Gemini's, {"mimeType":"image/png","data":"…"}. Its
// parts have no type: the MIME type alone says what they are.
func (n *Needs) addData(data []byte) {
	reqbody.Fields(data, func(key, value []byte) bool {
		if k := string(key); k == "mimeType" || k == "mime_type" {
			n.Media = addMedium(n.Media, mediumOf(string(reqbody.Text(value))))
		}
		return true
	})
}

func addMedium(media []Medium, m Medium) []Medium {
	if m == Text || slices.Contains(media, m) {
		return media
	}
	return append(media, m)
}

// mediumOf returns the medium of a part of a message with this type, or of data with
// this media type. Words that it does not know are text, so that a new kind of part is
// sent on. "image" and "document" are Anthropic's, "image_url", "input_audio" and "file"
// OpenAI's in chat, "input_image" and "input_file" those in Responses; "video_url" is
// what vLLM and Qwen's API have beside them. Of MIME types only PDF is a file: other
// documents, such as text/plain, are text to a model.
// Sources: https://platform.openai.com/docs/api-reference/chat/create and
// /responses/create, https://platform.claude.com/docs/en/api/messages and
// https://ai.google.dev/api/caching#Part
func mediumOf(text string) Medium {
	switch text {
	case "image", "image_url", "input_image":
		return Image
	case "audio", "input_audio":
		return Audio
	case "video", "video_url", "input_video":
		return Video
	case "file", "input_file", "document":
		return File
	}
	kind, _, ok := strings.Cut(text, "/")
	if !ok {
		return Text
	}
	switch kind {
	case "image":
		return Image
	case "audio":
		return Audio
	case "video":
		return Video
	}
	if text == "application/pdf" {
		return File
	}
	return Text
}
