package llmgateway

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/strictprovider"
)

// recordedDir is where the tests of the translation find what agents send.
const recordedDir = "../../internal/llm/translate/testdata/agents"

// record writes the requests of an agent's task for the tests of the translation, if
// RECORD_AGENTS is set: a line each, with their fields, tools and calls, but long texts
// cut, and nothing in them of who has recorded them, where and when.
func record(t *testing.T, task agentTask, p *strictprovider.Provider, home string) {
	if os.Getenv("RECORD_AGENTS") == "" {
		return
	}
	var lines bytes.Buffer
	r := recorder{home: home, ids: make(map[string]string)}
	for _, seen := range p.Seen() {
		if seen.Tools == 0 {
			continue
		}
		d := json.NewDecoder(bytes.NewReader(seen.Body))
		d.UseNumber()
		if err := r.value(d, &lines, ""); err != nil {
			t.Fatal(err)
		}
		lines.WriteByte('\n')
	}
	if err := os.MkdirAll(recordedDir, 0o755); err != nil {
		t.Fatal(err)
	}
	name := strings.ReplaceAll(strings.ToLower(task.agent), " ", "-") + "-" + task.model + ".jsonl"
	if err := os.WriteFile(filepath.Join(recordedDir, name), lines.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}

// recorder writes JSON anew, in the same order.
type recorder struct {
	home string
	ids  map[string]string
}

func (r *recorder) value(d *json.Decoder, w *bytes.Buffer, field string) error {
	token, err := d.Token()
	if err != nil {
		return err
	}
	bracket, ok := token.(json.Delim)
	if !ok {
		if s, isText := token.(string); isText {
			token = r.text(s, field)
		}
		return encodeTo(w, token)
	}
	w.WriteString(bracket.String())
	for i := 0; d.More(); i++ {
		if i > 0 {
			w.WriteByte(',')
		}
		name := field
		if bracket == '{' {
			key, err := d.Token()
			if err != nil {
				return err
			}
			name = fmt.Sprint(key)
			if err := encodeTo(w, name); err != nil {
				return err
			}
			w.WriteByte(':')
		}
		if err := r.value(d, w, name); err != nil {
			return err
		}
	}
	closing, err := d.Token()
	if err != nil {
		return err
	}
	_, err = w.WriteString(closing.(json.Delim).String())
	return err
}

func encodeTo(w *bytes.Buffer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	w.Truncate(w.Len() - 1)
	return err
}

var (
	randomID = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|\b[0-9a-f]{32,64}\b`)
	aDate    = regexp.MustCompile(`\b20\d\d-\d\d-\d\d\b`)
)

// text replaces what is of this machine and day, and cuts what is long but for
// images, signatures and the arguments of calls.
func (r *recorder) text(s, field string) string {
	s = strings.ReplaceAll(s, r.home, "/home/user/project")
	s = randomID.ReplaceAllStringFunc(s, func(id string) string {
		if r.ids[id] == "" {
			r.ids[id] = fmt.Sprintf("00000000-0000-7000-8000-%012d", len(r.ids)+1)
		}
		return r.ids[id]
	})
	s = aDate.ReplaceAllString(s, "2026-01-02")
	whole := map[string]bool{"data": true, "image_url": true, "signature": true, "encrypted_content": true, "thoughtSignature": true, "arguments": true, "input": true}
	if whole[field] {
		return s
	}
	if strings.HasPrefix(s, "{") && json.Valid([]byte(s)) {
		return `{"recorded":true}`
	}
	const longest = 40
	if runes := []rune(s); len(runes) > longest {
		s = string(runes[:longest]) + "…"
	}
	return s
}
