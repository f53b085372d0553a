package translate_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/anthropics/anthropic-sdk-go/v2"
	anthropicoption "github.com/anthropics/anthropic-sdk-go/v2/option"
	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/responses"
	"google.golang.org/genai"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/neutral"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/translate"
)

// gateway answers requests of a dialect with a response of a channel's.
func gateway(t *testing.T, dialect, from neutral.Dialect, body string) string {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		client, err := translate.Read(dialect, text)
		if err != nil {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = w.Write(translate.WriteError(dialect, translate.ErrorOf(err)))
			return
		}
		if dialect == neutral.Gemini {
			client.Model, client.Stream = "m", strings.Contains(r.URL.Path, ":stream")
		}
		if client.Stream {
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = io.WriteString(w, stream(client, from, body))
			return
		}
		w.Header().Set("Content-Type", "application/json")
		whole, failure := translate.Whole(client, how(from), []byte(body))
		if failure != nil {
			w.WriteHeader(failure.StatusOr(http.StatusBadGateway))
			whole = translate.WriteError(dialect, failure)
		}
		_, _ = w.Write(whole)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// sdkClients ask with the official SDK of each dialect, and return what they were
// told: T:text H:thought C:name(arguments), and the tokens of input and output.
var sdkClients = map[neutral.Dialect]func(ctx context.Context, url string, streamed bool) (said []string, input, output int64, err error){
	neutral.Chat: askChat, neutral.Responses: askResponses, neutral.Messages: askMessages, neutral.Gemini: askGemini,
}

func askChat(ctx context.Context, url string, streamed bool) (said []string, input, output int64, err error) {
	client := openai.NewClient(option.WithBaseURL(url+"/v1"), option.WithAPIKey("k"), option.WithMaxRetries(0))
	params := openai.ChatCompletionNewParams{Model: "m", Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage("hi")}}
	var chat *openai.ChatCompletion
	if streamed {
		params.StreamOptions.IncludeUsage = openai.Bool(true)
		events := client.Chat.Completions.NewStreaming(ctx, params)
		var whole openai.ChatCompletionAccumulator
		for events.Next() {
			whole.AddChunk(events.Current())
		}
		chat, err = &whole.ChatCompletion, events.Err()
	} else {
		chat, err = client.Chat.Completions.New(ctx, params)
	}
	if err != nil {
		return nil, 0, 0, err
	}
	message := chat.Choices[0].Message
	said = append(said, "T:"+message.Content)
	for _, call := range message.ToolCalls {
		said = append(said, "C:"+call.Function.Name+"("+call.Function.Arguments+")")
	}
	return append(said, string(chat.Choices[0].FinishReason)), chat.Usage.PromptTokens, chat.Usage.CompletionTokens, nil
}

func askResponses(ctx context.Context, url string, streamed bool) (said []string, input, output int64, err error) {
	client := openai.NewClient(option.WithBaseURL(url+"/v1"), option.WithAPIKey("k"), option.WithMaxRetries(0))
	params := responses.ResponseNewParams{Model: "m", Input: responses.ResponseNewParamsInputUnion{OfString: openai.String("hi")}}
	var response *responses.Response
	if streamed {
		events := client.Responses.NewStreaming(ctx, params)
		for events.Next() {
			if event := events.Current(); strings.HasPrefix(event.Type, "response.completed") || event.Type == "response.failed" {
				whole := event.Response
				response = &whole
			}
		}
		err = events.Err()
	} else {
		response, err = client.Responses.New(ctx, params)
	}
	switch {
	case err != nil:
		return nil, 0, 0, err
	case response == nil:
		return nil, 0, 0, io.ErrUnexpectedEOF
	case response.Status == "failed":
		return nil, 0, 0, &neutral.Error{Message: response.Error.Message}
	}
	for _, item := range response.Output {
		switch item.Type {
		case "reasoning":
			for _, part := range item.Summary {
				said = append(said, "H:"+part.Text)
			}
		case "message":
			said = append(said, "T:"+item.Content[0].Text)
		case "function_call":
			said = append(said, "C:"+item.Name+"("+item.Arguments.OfString+")")
		}
	}
	return append(said, string(response.Status)), response.Usage.InputTokens, response.Usage.OutputTokens, nil
}

func askMessages(ctx context.Context, url string, streamed bool) (said []string, input, output int64, err error) {
	client := anthropic.NewClient(anthropicoption.WithBaseURL(url), anthropicoption.WithAPIKey("k"), anthropicoption.WithMaxRetries(0))
	params := anthropic.MessageNewParams{Model: "m", MaxTokens: 10, Messages: []anthropic.MessageParam{anthropic.NewUserMessage(anthropic.NewTextBlock("hi"))}}
	var message *anthropic.Message
	if streamed {
		events := client.Messages.NewStreaming(ctx, params)
		message = &anthropic.Message{}
		for events.Next() {
			if err := message.Accumulate(events.Current()); err != nil {
				return nil, 0, 0, err
			}
		}
		err = events.Err()
	} else {
		message, err = client.Messages.New(ctx, params)
	}
	if err != nil {
		return nil, 0, 0, err
	}
	for _, block := range message.Content {
		switch block.Type {
		case "text":
			said = append(said, "T:"+block.Text)
		case "thinking":
			if block.Thinking != "" {
				said = append(said, "H:"+block.Thinking)
			}
		case "tool_use":
			said = append(said, "C:"+block.Name+"("+string(block.Input)+")")
		}
	}
	input = message.Usage.InputTokens + message.Usage.CacheReadInputTokens + message.Usage.CacheCreationInputTokens
	return append(said, string(message.StopReason)), input, message.Usage.OutputTokens, nil
}

func askGemini(ctx context.Context, url string, streamed bool) (said []string, input, output int64, err error) {
	client, err := genai.NewClient(ctx, &genai.ClientConfig{APIKey: "k", Backend: genai.BackendGeminiAPI, HTTPOptions: genai.HTTPOptions{BaseURL: url}})
	if err != nil {
		return nil, 0, 0, err
	}
	contents := genai.Text("hi")
	var pieces []*genai.GenerateContentResponse
	if streamed {
		for piece, err := range client.Models.GenerateContentStream(ctx, "m", contents, nil) {
			if err != nil {
				return nil, 0, 0, err
			}
			pieces = append(pieces, piece)
		}
	} else {
		whole, err := client.Models.GenerateContent(ctx, "m", contents, nil)
		if err != nil {
			return nil, 0, 0, err
		}
		pieces = append(pieces, whole)
	}
	text, thought := "", ""
	end := ""
	for _, piece := range pieces {
		candidate := piece.Candidates[0]
		for _, part := range candidate.Content.Parts {
			switch {
			case part.FunctionCall != nil:
				args := "{}"
				if a, ok := part.FunctionCall.Args["a"].(string); ok {
					args = `{"a":"` + a + `"}`
				}
				said = append(said, "C:"+part.FunctionCall.Name+"("+args+")")
			case part.Thought:
				thought += part.Text
			default:
				text += part.Text
			}
		}
		if candidate.FinishReason != "" {
			end = string(candidate.FinishReason)
			input = int64(piece.UsageMetadata.PromptTokenCount)
			output = int64(piece.UsageMetadata.CandidatesTokenCount + piece.UsageMetadata.ThoughtsTokenCount)
		}
	}
	said = append([]string{"H:" + thought, "T:" + text}, said...)
	return append(said, end), input, output, nil
}

// TestSDKClients has each official SDK read responses of each kind of channel.
func TestSDKClients(t *testing.T) {
	const calls = `C:f({"a":"é"})|C:g({})|`
	want := map[neutral.Dialect]string{
		neutral.Chat:      "T:Héllo 😀|" + calls + "tool_calls", // the SDK does not know reasoning
		neutral.Responses: "H:hm é|T:Héllo 😀|" + calls + "completed",
		neutral.Messages:  "H:hm é|T:Héllo 😀|" + calls + "tool_use",
		neutral.Gemini:    "H:hm é|T:Héllo 😀|" + calls + "STOP",
	}
	for from, body := range full {
		for dialect, ask := range sdkClients {
			for _, streamed := range []bool{true, false} {
				url := gateway(t, dialect, from, body)
				said, input, output, err := ask(t.Context(), url, streamed)
				what := string(dialect) + " from " + string(from)
				if err != nil {
					t.Errorf("%s, streamed %t: %v", what, streamed, err)
					continue
				}
				if got := strings.Join(said, "|"); got != want[dialect] {
					t.Errorf("%s, streamed %t: got %s, want %s", what, streamed, got, want[dialect])
				}
				if input != 15305 || output != 7 {
					t.Errorf("%s, streamed %t: got %d and %d tokens, want 15305 and 7", what, streamed, input, output)
				}
			}
		}
	}
}

// TestSDKsThrow has a stream that fails in the middle, and one that is cut off: each
// SDK must say so.
func TestSDKsThrow(t *testing.T) {
	for name, body := range map[string]string{
		"failed":  data(role, chunk(`{"content":"a"}`), `{"error":{"message":"boom","code":503}}`),
		"cut off": data(role, chunk(`{"content":"a"}`)),
	} {
		for dialect, ask := range sdkClients {
			for _, streamed := range []bool{true, false} {
				url := gateway(t, dialect, neutral.Chat, body)
				if _, _, _, err := ask(t.Context(), url, streamed); err == nil {
					t.Errorf("%s, %s, streamed %t: no error", dialect, name, streamed)
				}
			}
		}
	}
}
