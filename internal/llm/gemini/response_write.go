package gemini

import (
	"net/http"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/neutral"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/rawjson"
)

// WriteResponse returns the body of a response to the client that has sent a
// request. This dialect and chat have several choices, which are candidates here. The
// model is the client's name for it; the path has said it, so modelVersion repeats that.
func WriteResponse(client *neutral.Request, response *neutral.Response, id string) []byte {
	w := &rawjson.Writer{}
	w.Open('{')
	w.Key("candidates")
	w.Open('[')
	for i := range response.Choices {
		writeCandidate(w, i, &response.Choices[i])
	}
	w.Close(']')
	w.Key("usageMetadata")
	writeUsage(w, &response.Usage)
	w.KeyString("modelVersion", client.Model)
	w.KeyString("responseId", id)
	w.Close('}')
	return w.Bytes
}

// writeCandidate writes a choice. A signature stands on the part that it belongs to, or,
// if that is a thought, on the next one that is none: clients do not send thoughts back.
// What is left over stands on an empty text at the end, as Gemini itself does it. The
// same part stands for an answer without any, since clients look for parts. Sources are
// of the candidate, not of its texts.
func writeCandidate(w *rawjson.Writer, index int, choice *neutral.Choice) {
	var citations []neutral.Citation
	var text textOffsets
	sig := ""
	w.Open('{')
	w.Key("content")
	w.Open('{')
	w.Key("parts")
	w.Open('[')
	written := len(w.Bytes)
	for i := range choice.Parts {
		part := &choice.Parts[i]
		if part.Sig.Value != "" && part.Sig.Value != neutral.TextOnly {
			sig = part.Sig.Mark()
		}
		switch part.Kind {
		case neutral.Text, neutral.Refusal:
			citations = append(citations, part.Citations...)
			text.add(part.Text)
			writeText(w, part.Text, false, &sig)
		case neutral.Thought:
			if part.Text != "" {
				writeText(w, part.Text, true, &sig)
			}
		case neutral.Call:
			writeCall(w, part.Call, part.Call.Input, &sig)
		case neutral.Media:
			writeMedia(w, part.Media)
		}
	}
	if sig != "" || len(w.Bytes) == written {
		writeText(w, "", false, &sig)
	}
	w.Close(']')
	w.KeyString("role", "model")
	w.Close('}')
	w.KeyString("finishReason", finishReason(choice.Finish))
	w.KeyInt("index", int64(index))
	writeGrounding(w, citations, &text)
	w.Close('}')
}

// WriteError returns the body of an error, which is also its event in a stream.
//
// Source: https://ai.google.dev/gemini-api/docs/troubleshooting (November 2026)
func WriteError(e *neutral.Error) []byte {
	status := e.StatusOr(http.StatusInternalServerError)
	w := &rawjson.Writer{}
	w.Open('{')
	w.Key("error")
	w.Open('{')
	w.KeyInt("code", int64(status))
	w.KeyString("message", e.Message)
	w.KeyString("status", statusName(status))
	w.Close('}')
	w.Close('}')
	return w.Bytes
}

// statusName returns the name of the google.rpc.Code that goes with a status. An exhausted
// credit, which Google's API has no status for, is PERMISSION_DENIED: it is not retried.
// Clients retry by the number; the CLI reads "Please retry in Xs" in messages of 429.
func statusName(status int) string {
	switch status {
	case http.StatusUnauthorized:
		return "UNAUTHENTICATED"
	case http.StatusPaymentRequired, http.StatusForbidden:
		return "PERMISSION_DENIED"
	case http.StatusNotFound:
		return "NOT_FOUND"
	case http.StatusTooManyRequests:
		return "RESOURCE_EXHAUSTED"
	case http.StatusRequestTimeout, http.StatusGatewayTimeout:
		return "DEADLINE_EXCEEDED"
	case http.StatusBadGateway, http.StatusServiceUnavailable, 529:
		return "UNAVAILABLE"
	}
	if status >= 500 {
		return "INTERNAL"
	}
	return "INVALID_ARGUMENT"
}
