package apierror

import (
	"testing"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/eventstream"
)

func TestStatusOfBody(t *testing.T) {
	for text, want := range map[string]int{
		`{"error":{"message":"slow down","type":"rate_limit_error","code":"rate_limit_exceeded"}}`: 429,
		`{"error":{"code":429}}`:                                 429,
		`{"error":{"code":"503"}}`:                               503,
		`{"error":{"type":"overloaded_error"}}`:                  500,
		`{"error":{"type":"authentication_error"}}`:              401,
		`{"error":{"code":"insufficient_quota","type":"x"}}`:     429,
		`{"error":{"status":"RESOURCE_EXHAUSTED"}}`:              429,
		`[{"error":{"code":403,"status":"PERMISSION_DENIED"}}]`:  403,
		`{"error":{"code":"context_length_exceeded"}}`:           400,
		`{"error":{"code":null,"type":"invalid_request_error"}}`: 400,
		`{"error":"Rate limit reached"}`:                         429,
		`{"error":"boom"}`:                                       500,
		`{"error":{"code":200}}`:                                 500,
		`{"type":"error","message":"x"}`:                         500,
		`{"error":""}`:                                           200,
		`{"error":null}`:                                         200,
		`{"error":false}`:                                        200,
		`{"choices":[],"error":{"code":500}}`:                    200,
		`not JSON "error"`:                                       200,
		``:                                                       200,
	} {
		if got := StatusOfBody([]byte(text)); got != want {
			t.Errorf("%s: %d, want %d", text, got, want)
		}
	}
}

func TestStatusOfEvent(t *testing.T) {
	for _, tc := range []struct {
		name, data string
		want       int
	}{
		{"", `{"choices":[{"delta":{"content":"error"}}]}`, 200},
		{"", `{"error":{"code":502},"choices":[{"delta":{},"finish_reason":"error"}]}`, 502}, // a body with output would be none
		{"", `{"error":null,"choices":[]}`, 200},
		{"", `[DONE]`, 200},
		{"error", `{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}`, 500},
		{"error", `{"type":"error","code":"rate_limit_exceeded","message":"x"}`, 429},
		{"error", `not JSON`, 200},
		{"message_start", `{"type":"message_start"}`, 200},
	} {
		if got := StatusOfEvent(eventstream.Event{Name: tc.name, Data: []byte(tc.data)}); got != tc.want {
			t.Errorf("event %q with %s: %d, want %d", tc.name, tc.data, got, tc.want)
		}
	}
}

func TestMayContain(t *testing.T) {
	for text, want := range map[string]bool{
		`{"error" : null}`:                     false,
		`{"error": null,"x":{"error":1}}`:      true,
		`{"type":"error"}`:                     true,
		`{"errors":[]}`:                        false,
		`{"error"`:                             true, // more may follow
		`{"choices":[{"delta":{}}],"usage":1}`: false,
		``:                                     false,
	} {
		if got := MayContain([]byte(text)); got != want {
			t.Errorf("%s: %v, want %v", text, got, want)
		}
	}
}
