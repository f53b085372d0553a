// Package resource finds the ids of what a provider keeps for an account: files,
// batches, responses, conversations, cached contents. Only the account that has
// made one knows it, so a request that names one must go there.
//
// Ids have a plain form, in which requests and responses agree: of Gemini's names,
// such as files/abc, cachedContents/abc or the URI of a file, the last part.
package resource

import (
	"bytes"
	"strings"

	"github.com/caddy-freetier/caddy-freetier/internal/reqbody"
)

// RequestFields are the fields of requests whose texts are ids, at any depth.
// Sources: https://platform.openai.com/docs/api-reference,
// https://docs.anthropic.com/en/api and https://ai.google.dev/api, as of November
// 2026.
var RequestFields = []string{
	"previous_response_id", "conversation", // Responses
	"file_id", "file_ids", "vector_store_ids", "container", // parts and tools of Responses and Messages
	"input_file_id", "training_file", "validation_file", // batches and tuning
	"fileUri", "file_uri", "fileName", "cachedContent", "cached_content", // Gemini
}

// responseFields are the fields of responses whose texts are ids.
var responseFields = []string{"id", "name", "uri", "output_file_id", "error_file_id", "input_file_id", "file_id"}

// maxPlain bounds an id in its plain form, in bytes. The longest ones are those of
// responses, which a relay has encoded something in.
const maxPlain = 256

// Plain returns the plain form of an id, "" if the text is none: the URI of
// something that no account keeps, or what is too short to be told from a word.
func Plain(text string) string {
	if i := strings.Index(text, "://"); i >= 0 && !strings.Contains(text[i:], "/files/") {
		return ""
	}
	text, _, _ = strings.Cut(text, "?")
	text = text[strings.LastIndexByte(text, '/')+1:]
	text, _, _ = strings.Cut(text, ":") // Gemini's methods
	if len(text) < shortest || len(text) > maxPlain {
		return ""
	}
	return text
}

// shortest is how long an id is at least. Values such as auto are none.
const shortest = 6

// InPath returns the plain id in a path that fits a pattern, in which a star
// stands for a segment: the first one. It returns "" if there is none.
func InPath(pattern, path string) string {
	before, _, ok := strings.Cut(pattern, "*")
	if !ok || before == "" {
		return ""
	}
	_, rest, ok := strings.Cut(path, "/"+before)
	if !ok {
		return ""
	}
	if before == "models/" {
		_, rest, _ = strings.Cut(rest, "/operations/") // what stands before is a model
	}
	id, _, _ := strings.Cut(rest, "/")
	return Plain(id)
}

// Finder finds the ids in a response, of which the beginning is enough. It
// takes JSON, and event streams of JSON.
type Finder struct {
	scanner *reqbody.Scanner
	// OnlyFirst says that the response is one thing of the account's with parts
	// that it does not keep by themselves, such as a response with its output.
	OnlyFirst bool
}

// Find returns the plain ids in the beginning of a response.
func (f *Finder) Find(beginning []byte) (ids []string) {
	if f.scanner == nil {
		f.scanner = reqbody.NewScanner("")
		f.scanner.Collect(responseFields...)
	}
	text := bytes.TrimLeft(beginning, " \t\r\n")
	for len(text) > 0 && len(ids) == 0 {
		if text[0] != '{' {
			// An event stream: the data of its first events.
			_, data, ok := bytes.Cut(text, []byte("data:"))
			if !ok {
				return nil
			}
			text = bytes.TrimLeft(data, " ")
		}
		var rest []byte
		f.scanner.Reset()
		if line, more, ok := bytes.Cut(text, []byte("\n")); ok && isWhole(f.scanner, line) {
			rest = more
		} else {
			f.scanner.Reset()
			_, _ = f.scanner.Write(text) // where it breaks off does not matter
		}
		ids = f.plain(ids)
		text = bytes.TrimLeft(rest, " \t\r\n")
	}
	return ids
}

// isWhole reports whether a line is a whole JSON text, as events have them.
func isWhole(s *reqbody.Scanner, line []byte) bool {
	_, err := s.Write(line)
	if err == nil {
		_, err = s.Finish()
	}
	return err == nil || err == reqbody.ErrMissing //nolint:errorlint // it is returned bare
}

// plain adds what the scanner has collected.
func (f *Finder) plain(ids []string) []string {
	for _, text := range f.scanner.Collected() {
		if isPart(text) {
			continue
		}
		if id := Plain(text); id != "" {
			ids = append(ids, id)
		}
		if f.OnlyFirst && len(ids) > 0 {
			break
		}
	}
	return ids
}

// isPart reports whether an id is one of a part of a response.
func isPart(id string) bool {
	prefix, _, ok := strings.Cut(id, "_")
	if !ok {
		return false
	}
	switch prefix {
	case "msg", "rs", "fc", "ctc", "call", "ws", "fs", "ci", "ig", "mcp", "at", "lsh", "toolu", "srvtoolu":
		return true
	}
	return false
}

// Names reports whether the text of a refusal names an id: it says that the id is
// unknown.
func Names(refusal []byte, id string) bool { return bytes.Contains(refusal, []byte(id)) }
