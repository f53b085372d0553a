// Package gemini reads and writes Google's generateContent and
// streamGenerateContent. The model and whether a stream is wanted stand in the path,
// not in the body: who reads a request sets both.
//
// Source: https://ai.google.dev/api/generate-content (November 2026)
package gemini

import "strings"

// camel returns a field's name as JSON has it. Protocol Buffers take both that and
// the name with underscores.
func camel(name string) string {
	if strings.IndexByte(name, '_') < 0 {
		return name
	}
	words := strings.Split(name, "_")
	for i, word := range words[1:] {
		if word != "" {
			words[i+1] = strings.ToUpper(word[:1]) + word[1:]
		}
	}
	return strings.Join(words, "")
}
