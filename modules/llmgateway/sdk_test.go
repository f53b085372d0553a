package llmgateway

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

// The official OpenAI SDK completes a chat, a streamed chat and a list of
// models, and raises its own errors for ours.
func TestOpenAISDK(t *testing.T) {
	up := caddytest.NewUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if !strings.Contains(string(body), `"stream":true`) {
			caddytest.JSON(200, completion)(w, r)
			return
		}
		chunk := func(content string) string {
			return `data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":"` + content + `"}}]}` + "\n\n"
		}
		caddytest.Events(chunk("Hel"), chunk("lo"), "data: [DONE]\n\n")(w, r)
	})
	g := start(t, "channel a "+up.URL+"/v1 {\napi_key k\nmodels gpt-4o as gpt-4o-2024\n}")
	newClient := func(key string) openai.Client {
		return openai.NewClient(option.WithBaseURL(g.URL+"/v1"), option.WithAPIKey(key), option.WithHTTPClient(g.client))
	}
	client := newClient("alice-key")
	params := openai.ChatCompletionNewParams{
		Model:    "gpt-4o",
		Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage("Hi")},
	}

	chat, err := client.Chat.Completions.New(t.Context(), params)
	if err != nil {
		t.Fatal(err)
	}
	if got := chat.Choices[0].Message.Content; got != "hello" {
		t.Errorf("chat: %q", got)
	}
	if body := string(up.Next(t).Body); !strings.Contains(body, `"model":"gpt-4o-2024"`) {
		t.Errorf("the channel got %s", body)
	}

	stream := client.Chat.Completions.NewStreaming(t.Context(), params)
	var text string
	for stream.Next() {
		text += stream.Current().Choices[0].Delta.Content
	}
	if stream.Err() != nil || text != "Hello" {
		t.Errorf("streamed chat: %q, %v", text, stream.Err())
	}

	models, err := client.Models.List(t.Context())
	if err != nil || len(models.Data) != 1 || models.Data[0].ID != "gpt-4o" || models.Data[0].OwnedBy != "a" {
		t.Errorf("models: %+v, %v", models, err)
	}
	if _, err := client.Models.Get(t.Context(), "gpt-4o"); err != nil {
		t.Errorf("one model: %v", err)
	}

	wantCode := func(err error, status int, code string) {
		t.Helper()
		var apiErr *openai.Error
		if !errors.As(err, &apiErr) || apiErr.StatusCode != status || apiErr.Code != code {
			t.Errorf("got %v, want status %d and code %s", err, status, code)
		}
	}
	before := len(up.Requests())
	params.Model = "gpt-5"
	_, err = client.Chat.Completions.New(t.Context(), params)
	wantCode(err, 404, "model_not_found")
	stranger := newClient("wrong")
	_, err = stranger.Models.List(t.Context())
	wantCode(err, 401, "invalid_api_key")
	if n := len(up.Requests()); n != before {
		t.Errorf("%d requests reached the channel that should not", n-before)
	}
}
