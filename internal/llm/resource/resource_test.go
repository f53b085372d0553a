package resource

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestPlain(t *testing.T) {
	for text, want := range map[string]string{
		"file-abc123":           "file-abc123",
		"resp_68af4030":         "resp_68af4030",
		"files/abc-123":         "abc-123",
		"cachedContents/xyz12":  "",
		"cachedContents/xyz123": "xyz123",
		"https://generativelanguage.googleapis.com/v1beta/files/abc-123":           "abc-123",
		"https://generativelanguage.googleapis.com/v1beta/files/abc-123?alt=media": "abc-123",
		"batches/123456:cancel":                    "123456",
		"models/gemini-x/operations/op-123":        "op-123",
		"https://www.youtube.com/watch?v=abcdefgh": "",
		"gs://bucket/object":                       "",
		"auto":                                     "",
		"":                                         "",
		strings.Repeat("x", maxPlain+1):            "",
	} {
		if got := Plain(text); got != want {
			t.Errorf("%.60q: %q, want %q", text, got, want)
		}
	}
}

func TestInPath(t *testing.T) {
	for _, tc := range []struct{ pattern, path, want string }{
		{"files/*", "/v1/files/file-abc123", "file-abc123"},
		{"files/*/content", "/v1/files/file-abc123/content", "file-abc123"},
		{"responses/*/cancel", "/v1/responses/resp_123/cancel", "resp_123"},
		{"messages/batches/*/results", "/v1/messages/batches/msgbatch_1/results", "msgbatch_1"},
		{"vector_stores/**", "/v1/vector_stores/vs_12345/files/file-9", "vs_12345"},
		{"uploads/**", "/v1/uploads/upload_1/parts", "upload_1"},
		{"files/*", "/v1beta/files/abc-123", "abc-123"},
		{"files/*", "/download/v1beta/files/abc-123:download", "abc-123"},
		{"models/*/operations/*", "/v1beta/models/m/operations/op-123", "op-123"},
		{"models/*", "/v1beta/models/gemini-x:generateContent", ""},
		{"files", "/v1/files", ""},
		{"", "/v1/files/file-abc123", ""},
	} {
		if got := InPath(tc.pattern, tc.path); got != tc.want {
			t.Errorf("%s in %s: %q, want %q", tc.pattern, tc.path, got, tc.want)
		}
	}
}

func TestFind(t *testing.T) {
	long := strings.Repeat("x", 5000)
	for _, tc := range []struct {
		text  string
		first bool
		want  []string
	}{
		{`{"id":"file-abc123","object":"file","filename":"id"}`, false, []string{"file-abc123"}},
		{`{"id":"batch_123","input_file_id":"file-in1","output_file_id":"file-out","error_file_id":null}`, false, []string{"batch_123", "file-in1", "file-out"}},
		{`{"object":"list","data":[{"id":"file-1a","x":1},{"id":"file-2a"}]}`, false, []string{"file-1a", "file-2a"}},
		{`{"file":{"name":"files/abc-123","uri":"https://g.com/v1beta/files/abc-123","displayName":"x"}}`, false, []string{"abc-123", "abc-123"}},
		{"\n" + `{"id":"resp_123","output":[{"id":"msg_1","content":[{"text":"` + long, true, []string{"resp_123"}},
		{`{"output":[{"id":"msg_12345"}],"id":"resp_123"}`, true, []string{"resp_123"}},
		{`{"output":[{"id":"msg_12345","text":"` + long, true, nil},
		{"event: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"id\":\"resp_123\",\"output\":[]}}\n\nevent: x\ndata: {\"item\":{\"id\":\"rs_123456\"}}\n\n", true, []string{"resp_123"}},
		{": ping\n\ndata: {\"response\":{\"id\":\"resp_123\"", true, []string{"resp_123"}},
		{"data: {\"type\":\"x\"}\n\ndata: {\"response\":{\"id\":\"resp_123\"}}\n\n", true, []string{"resp_123"}},
		{"data: [DONE]\n\n", true, nil},
		{"not JSON", true, nil},
		{"", true, nil},
	} {
		f := Finder{OnlyFirst: tc.first}
		for range 2 {
			if got := f.Find([]byte(tc.text)); !slices.Equal(got, tc.want) {
				t.Errorf("%.100s: %q, want %q", tc.text, got, tc.want)
			}
		}
	}
}

func FuzzFind(f *testing.F) {
	f.Add([]byte("event: a\ndata: {\"id\":\"resp_123\"}\n\ndata: {\"id\":\"\\u0061bcdef\"}\n"))
	f.Add([]byte(`{"id":"file-abc123","data":[{"id":"x"}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		finder := Finder{}
		for _, id := range finder.Find(text) {
			if Plain(id) != id {
				t.Errorf("%q is not in its plain form", id)
			}
			if fmt.Sprint(InPath("files/*", "/v1/files/"+id)) != id && !strings.ContainsAny(id, "/?:") {
				t.Errorf("%q is another id in a path", id)
			}
		}
	})
}
