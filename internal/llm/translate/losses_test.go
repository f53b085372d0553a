package translate_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/neutral"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/translate"
)

const lossesPage = "../../../docs/dialects.md"

// losses are what the translation of a dialect's requests leaves out, and what it
// refuses, by the other dialect.
type losses struct {
	dropped map[string]map[neutral.Dialect]bool
	refused map[string]map[neutral.Dialect]bool // by what is refused, and its field
}

// beside are fields of requests that the SDKs' types do not have: those of betas, of
// older versions and of providers, and values that the types do not show.
var beside = map[neutral.Dialect][]string{
	neutral.Chat: {
		`"top_k":1`, `"min_p":0.1`, `"repetition_penalty":1.1`, `"chat_template_kwargs":{}`, `"models":["b"]`, `"provider":{}`,
		`"reasoning":{"effort":"low","exclude":true}`, `"include_reasoning":false`, `"n":2`, `"stop":["1","2","3","4","5","6"]`, `"modalities":["audio"]`,
		`"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"https://a.example/b.png"}}]}]`,
		`"messages":[{"role":"user","content":[{"type":"video_url","video_url":{"url":"https://a.example/b.mp4"}}]}]`,
		`"messages":[{"role":"user","content":[{"type":"input_audio","input_audio":{"data":"AAAA","format":"wav"}}]}]`,
		`"messages":[{"role":"user","content":[{"type":"file","file":{"file_id":"file-1"}}]}]`,
		`"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b","reasoning_content":"c"}]`,
	},
	neutral.Responses: {
		`"background":true`, `"input":[{"type":"compaction","encrypted_content":"a"}]`, `"input":[{"type":"item_reference","id":"a"}]`,
		`"input":[{"role":"user","content":[{"type":"input_image","image_url":"https://a.example/b.png"}]}]`,
		`"input":[{"role":"user","content":[{"type":"input_image","file_id":"file-1"}]}]`, `"input":[{"role":"user","content":[{"type":"input_file","file_url":"https://a.example/b.pdf"}]}]`,
		`"input":[{"role":"user","content":"a"},{"type":"web_search_call","id":"ws_1","status":"completed"}]`, `"client_metadata":{"a":"b"}`, `"tools":[{"type":"web_search"}]`,
	},
	neutral.Messages: {
		`"context_management":{"edits":[]}`, `"mcp_servers":[]`, `"fallbacks":["b"]`, `"thread":{"id":"a"}`, `"compaction":{}`, `"output_format":{"type":"json_schema","schema":{"type":"object"}}`,
		`"temperature":0.5`, `"top_p":0.5`, `"top_k":5`, `"stop_sequences":["1","2","3","4","5","6"]`, `"thinking":{"type":"adaptive","display":"omitted"}`,
		`"messages":[{"role":"user","content":[{"type":"image","source":{"type":"file","file_id":"file_1"}}]}]`,
	},
	neutral.Gemini: {
		`"serviceTier":"flex"`, `"store":true`, `"generationConfig":{"candidateCount":2,"topK":5,"seed":1}`, `"generationConfig":{"stopSequences":["1","2","3","4","5"]}`,
		`"generationConfig":{"responseModalities":["IMAGE"]}`, `"generationConfig":{"speechConfig":{}}`, `"generationConfig":{"mediaResolution":"LOW"}`,
		`"contents":[{"role":"user","parts":[{"inlineData":{"mimeType":"audio/ogg","data":"AAAA"}}]}]`, `"contents":[{"role":"user","parts":[{"inlineData":{"mimeType":"video/mp4","data":"AAAA"}}]}]`,
		`"contents":[{"role":"user","parts":[{"fileData":{"mimeType":"image/png","fileUri":"https://generativelanguage.googleapis.com/v1beta/files/a"}}]}]`,
	},
}

// collectLosses translates requests with each field that a dialect has.
func collectLosses(t *testing.T, from neutral.Dialect) *losses {
	l := &losses{dropped: map[string]map[neutral.Dialect]bool{}, refused: map[string]map[neutral.Dialect]bool{}}
	eachFilled(t, from, func(body []byte, _ []leaf) { l.add(from, body) })
	for _, field := range beside[from] {
		var body, own map[string]any
		if err := errors.Join(json.Unmarshal([]byte(least[from]), &body), json.Unmarshal([]byte("{"+field+"}"), &own)); err != nil {
			t.Fatal(err)
		}
		for name, value := range own {
			body[name] = value
		}
		text, _ := json.Marshal(body)
		l.add(from, text)
	}
	return l
}

// mark is a name that a test has made up.
var madeUp = regexp.MustCompile(`mark\d+x`)

func (l *losses) add(from neutral.Dialect, body []byte) {
	set := func(rows map[string]map[neutral.Dialect]bool, name string, to neutral.Dialect) {
		if rows[name] == nil {
			rows[name] = map[neutral.Dialect]bool{}
		}
		rows[name][to] = true
	}
	for _, to := range dialects {
		r, err := translate.Read(from, body)
		var sent *translate.Sent
		if to != from && err == nil {
			sent, err = translate.Write(r, to, neutral.Target{Model: models[to], Vendor: "v"})
		}
		var refused *neutral.UnsupportedError
		switch {
		case to == from:
		case errors.As(err, &refused) && refused.Param != "":
			set(l.refused, madeUp.ReplaceAllString(refused.What, "…"), to)
		case err == nil:
			for _, name := range sent.Dropped.Names() {
				if name = rowOf(name); name != "" {
					set(l.dropped, name, to)
				}
			}
		}
	}
}

var (
	version   = regexp.MustCompile(`_20\d{6}\)`)
	inSchema  = regexp.MustCompile(`(parameters|parametersJsonSchema|input_schema|[sS]chema)\(.*\)$`)
	inToolbox = regexp.MustCompile(`^(.*tools\[\])\.tools\[\]`)
)

// rowOf returns the row of a dropped field, "" for those that a test has made up or
// another row stands for.
func rowOf(name string) string {
	switch {
	case madeUp.MatchString(name), inSchema.MatchString(name), name == "…":
		return ""
	case strings.HasPrefix(name, "systemInstruction.parts[]."):
		return "systemInstruction.parts[] but for text"
	}
	name = inToolbox.ReplaceAllString(name, "$1")
	return version.ReplaceAllString(name, "_…)")
}

// table writes losses as a table of Markdown.
func (l *losses) table(from neutral.Dialect) string {
	var others []neutral.Dialect
	for _, to := range dialects {
		if to != from {
			others = append(others, to)
		}
	}
	var b strings.Builder
	row := func(cells ...string) { b.WriteString("| " + strings.Join(cells, " | ") + " |\n") }
	header, rule := []string{"field of " + string(from)}, []string{"---"}
	for _, to := range others {
		header, rule = append(header, "to "+string(to)), append(rule, "---")
	}
	row(header...)
	row(rule...)
	for _, part := range []struct {
		rows  map[string]map[neutral.Dialect]bool
		word  string
		quote string
	}{{l.dropped, "left out", "`"}, {l.refused, "400", ""}} {
		for _, name := range sorted(part.rows) {
			cells := []string{part.quote + name + part.quote}
			for _, to := range others {
				word := ""
				if part.rows[name][to] {
					word = part.word
				}
				cells = append(cells, word)
			}
			row(cells...)
		}
	}
	return b.String()
}

func sorted(rows map[string]map[neutral.Dialect]bool) (names []string) {
	for name := range rows {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// The tables of the documentation are what the code does. UPDATE_GOLDEN=1 writes them
// anew.
func TestLossesPage(t *testing.T) {
	content, err := os.ReadFile(lossesPage)
	if err != nil {
		t.Fatal(err)
	}
	want := string(content)
	replace := func(name, table string) {
		begin, end := "<!-- table: "+name+" -->\n", "<!-- end -->"
		before, rest, ok := strings.Cut(want, begin)
		_, after, closed := strings.Cut(rest, end)
		if !ok || !closed {
			t.Fatalf("the page has no place for the table %q", name)
		}
		want = before + begin + table + end + after
	}
	for _, from := range dialects {
		replace("requests in "+string(from), collectLosses(t, from).table(from))
		replace("responses in "+string(from), responseLosses(t, from))
	}
	replace("schemas", schemaLosses())
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(lossesPage, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if string(content) != want {
		t.Errorf("docs/dialects.md is not what the code does; run UPDATE_GOLDEN=1 go test ./internal/llm/translate")
	}
}

// everything is a response of each dialect with all that the dialect has.
var everything = map[neutral.Dialect]string{
	neutral.Chat: `{"id":"c1","object":"chat.completion","created":7,"model":"up","system_fingerprint":"fp","service_tier":"flex","moderation":{"a":1},"choices":[{"index":0,
		"logprobs":{"content":[{"token":"a","logprob":-1}]},"finish_reason":"tool_calls","message":{"role":"assistant","reasoning_content":"think","reasoning_details":[{"type":"reasoning.encrypted","data":"c2ln"}],
		"content":"hello","annotations":[{"type":"url_citation","url_citation":{"start_index":1,"end_index":3,"title":"T","url":"https://a.example"}}],"images":[{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}}],
		"audio":{"id":"au","data":"AAAA","transcript":"x"},"tool_calls":[{"id":"call_1","type":"function","function":{"name":"f","arguments":"{\"a\":1}"},"extra_content":{"google":{"thought_signature":"c2lnMg=="}}}]}}],
		"usage":{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15,"prompt_tokens_details":{"cached_tokens":4,"cache_write_tokens":2,"audio_tokens":1},"completion_tokens_details":{"reasoning_tokens":3,"audio_tokens":1,"accepted_prediction_tokens":1}}}`,
	neutral.Responses: `{"id":"resp_1","object":"response","created_at":7,"completed_at":8,"model":"up","status":"completed","service_tier":"flex","output":[
		{"type":"reasoning","id":"rs_1","summary":[{"type":"summary_text","text":"think"}],"encrypted_content":"c2ln"},
		{"type":"message","id":"msg_1","role":"assistant","status":"completed","phase":"commentary","content":[{"type":"output_text","text":"hello","logprobs":[{"token":"a"}],
		"annotations":[{"type":"url_citation","start_index":1,"end_index":3,"url":"https://a.example","title":"T"},{"type":"file_citation","file_id":"f","filename":"n","index":1}]},{"type":"refusal","refusal":"no"}]},
		{"type":"web_search_call","id":"ws_1","status":"completed","action":{"type":"search","query":"q"}},{"type":"image_generation_call","id":"ig_1","status":"completed","result":"AAAA","revised_prompt":"r"},
		{"type":"function_call","id":"fc_1","call_id":"call_1","name":"f","arguments":"{\"a\":1}","status":"completed"}],
		"usage":{"input_tokens":10,"input_tokens_details":{"cached_tokens":4,"cache_write_tokens":2},"output_tokens":5,"output_tokens_details":{"reasoning_tokens":3},"total_tokens":15}}`,
	neutral.Messages: `{"id":"msg_1","type":"message","role":"assistant","model":"up","container":{"id":"c"},"stop_reason":"max_tokens","stop_sequence":"END","stop_details":{"type":"refusal","category":"c"},"content":[
		{"type":"thinking","thinking":"think","signature":"c2ln"},{"type":"redacted_thinking","data":"c2lnMw=="},{"type":"text","text":"hello","citations":[{"type":"web_search_result_location","url":"https://a.example","title":"T","cited_text":"hell","encrypted_index":"e"}]},
		{"type":"server_tool_use","id":"srv_1","name":"web_search","input":{"query":"q"}},{"type":"web_search_tool_result","tool_use_id":"srv_1","content":[{"type":"web_search_result","url":"https://a.example","title":"T","encrypted_content":"e","page_age":"1"}]}],
		"usage":{"input_tokens":4,"cache_read_input_tokens":4,"cache_creation_input_tokens":2,"cache_creation":{"ephemeral_5m_input_tokens":2},"output_tokens":5,"output_tokens_details":{"thinking_tokens":3},"server_tool_use":{"web_search_requests":1},"service_tier":"standard"}}`,
	neutral.Gemini: `{"responseId":"r1","modelVersion":"up","candidates":[{"index":0,"finishReason":"STOP","finishMessage":"m","avgLogprobs":-1,"logprobsResult":{"topCandidates":[]},"safetyRatings":[{"category":"c","probability":"LOW"}],
		"citationMetadata":{"citations":[{"startIndex":1,"endIndex":3,"uri":"https://b.example","title":"B","license":"l"}]},
		"groundingMetadata":{"webSearchQueries":["q"],"searchEntryPoint":{"renderedContent":"h"},"groundingChunks":[{"web":{"uri":"https://a.example","title":"T","domain":"d"}}],"groundingSupports":[{"segment":{"startIndex":1,"endIndex":3,"text":"el"},"groundingChunkIndices":[0],"confidenceScores":[1]}]},
		"urlContextMetadata":{"urlMetadata":[]},"content":{"role":"model","parts":[{"text":"think","thought":true},{"text":"hello","thoughtSignature":"c2ln"},{"inlineData":{"mimeType":"image/png","data":"AAAA"}},
		{"executableCode":{"language":"PYTHON","code":"1"}},{"codeExecutionResult":{"outcome":"OUTCOME_OK","output":"1"}},{"functionCall":{"id":"call_1","name":"f","args":{"a":1}},"thoughtSignature":"c2lnMg=="}]}}],
		"usageMetadata":{"promptTokenCount":10,"cachedContentTokenCount":4,"candidatesTokenCount":2,"thoughtsTokenCount":3,"toolUsePromptTokenCount":1,"totalTokenCount":16,"promptTokensDetails":[{"modality":"TEXT","tokenCount":10}],"trafficType":"ON_DEMAND"}}`,
}

// ownOfClient are members of responses in whose place the client gets its own: the
// model that it has asked for, ids, words for the same.
var ownOfClient = []string{"id", "responseId", "model", "modelVersion", "object", "role", "type", "total_tokens", "totalTokenCount", "status", "index", "created", "created_at", "completed_at"}

// responseLosses is the table of what clients do not see of a channel's responses:
// taken out of a response, it makes no difference to them.
func responseLosses(t *testing.T, from neutral.Dialect) string {
	var body any
	if err := json.Unmarshal([]byte(everything[from]), &body); err != nil {
		t.Fatalf("%s: %v", from, err)
	}
	lost, kept := map[string]map[neutral.Dialect]bool{}, map[string]bool{}
	for _, client := range dialects {
		if client == from {
			continue
		}
		r := read(t, client, least[client])
		translated := func() string {
			text, err := json.Marshal(body)
			if err != nil {
				t.Fatal(err)
			}
			whole, failed := translate.Whole(r, how(from), text)
			return randomID.ReplaceAllString(fmt.Sprint(string(whole), failed), "")
		}
		whole := translated()
		eachMember(body, "", true, func(path string) {
			name := path[strings.LastIndexByte(path, '.')+1:]
			if slices.Contains(ownOfClient, name) {
				return
			}
			if translated() != whole {
				kept[path+" to "+string(client)] = true
				return
			}
			if lost[path] == nil {
				lost[path] = map[neutral.Dialect]bool{}
			}
			lost[path][client] = true
		})
	}
	shown := map[string]map[neutral.Dialect]bool{}
	for path, clients := range lost {
		for client := range clients {
			if kept[path+" to "+string(client)] || isInside(lost, path, client) {
				continue
			}
			if shown[path] == nil {
				shown[path] = map[neutral.Dialect]bool{}
			}
			shown[path][client] = true
		}
	}
	l := &losses{dropped: shown}
	return strings.Replace(l.table(from), "field of ", "field of responses in ", 1)
}

// isInside reports whether a member is a part of one that is lost.
func isInside(lost map[string]map[neutral.Dialect]bool, path string, client neutral.Dialect) bool {
	for i, c := range path {
		if (c == '.' || c == '[') && lost[path[:i]][client] {
			return true
		}
	}
	return false
}

// schemaLosses is the table of the keywords that schemas lose.
func schemaLosses() string {
	var b strings.Builder
	b.WriteString("| to | keywords that are left out |\n| --- | --- |\n")
	for _, form := range []struct {
		name string
		form neutral.SchemaForm
	}{
		{"chat, responses", neutral.SchemaAny}, {"messages", neutral.SchemaMessages}, {"messages, strict tools and structured output", neutral.SchemaStrict}, {"gemini", neutral.SchemaGemini},
	} {
		var lost []string
		for _, keyword := range strings.Fields(`$schema $id $anchor $comment title description default examples const enum format pattern
			minimum maximum exclusiveMinimum exclusiveMaximum multipleOf minLength maxLength minItems maxItems uniqueItems minProperties maxProperties
			additionalProperties propertyNames patternProperties unevaluatedProperties dependentRequired dependentSchemas prefixItems contains
			minContains maxContains unevaluatedItems not if then else anyOf oneOf deprecated readOnly writeOnly contentEncoding contentMediaType`) {
			value := map[string]string{"enum": `["a"]`, "anyOf": `[{}]`, "oneOf": `[{}]`, "prefixItems": "[{}]", "const": `"a"`}[keyword]
			if value == "" {
				value = "{}"
			}
			schema := `{"type":"object","properties":{"p":{"` + keyword + `":` + value + `}}}`
			if _, keywords := neutral.Schema([]byte(schema), form.form); slices.Contains(keywords, keyword) {
				lost = append(lost, "`"+keyword+"`")
			}
		}
		if form.form == neutral.SchemaMessages {
			lost = append(lost, "`anyOf`, `oneOf` and `allOf` at the top")
		}
		if len(lost) == 0 {
			lost = []string{"none"}
		}
		b.WriteString("| " + form.name + " | " + strings.Join(lost, ", ") + " |\n")
	}
	return b.String()
}
