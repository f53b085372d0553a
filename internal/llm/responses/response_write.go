package responses

import (
	"net/http"
	"strconv"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/neutral"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/rawjson"
)

// WriteResponse returns the body of a response to the client that has sent a
// request.
func WriteResponse(client *neutral.Request, response *neutral.Response, id string, created int64) []byte {
	if response.Created != 0 {
		created = response.Created
	}
	choice := &response.Choices[0]
	o := outputWriter{base: id}
	for i := range choice.Parts {
		o.part(&choice.Parts[i])
	}
	o.endMessage()
	result := result(choice.Finish, &response.Usage)
	if result.status == "completed" {
		result.completed = created
	}
	var w rawjson.Writer
	newObject(client, id, created).write(&w, o.items.Bytes, result)
	return w.Bytes
}

// outputWriter writes the items of a response.
type outputWriter struct {
	base    string
	items   rawjson.Writer
	count   int
	content rawjson.Writer // of the message under way
}

func (o *outputWriter) nextID(prefix string) string {
	o.count++
	return prefix + o.base + "_" + strconv.Itoa(o.count-1)
}

func (o *outputWriter) part(part *neutral.Part) {
	switch part.Kind {
	case neutral.Text, neutral.Refusal:
		writeTextPart(&o.content, part.Kind, part.Text, part.Citations)
		return
	case neutral.Signature:
		return
	}
	o.endMessage()
	switch part.Kind {
	case neutral.Thought:
		o.thought(part.Text, part.Sig)
	case neutral.Call:
		if part.Sig.Value != "" {
			o.thought("", part.Sig)
		}
		writeCallItem(&o.items, o.nextID(itemPrefix(part.Call.Kind)), "completed", part.Call)
	case neutral.Media:
		writeImageItem(&o.items, o.nextID("ig_"), part.Media)
	}
}

func (o *outputWriter) thought(text string, sig neutral.Sig) {
	var summaries []string
	if text != "" {
		summaries = []string{text}
	}
	writeReasoningItem(&o.items, o.nextID("rs_"), summaries, sig.Mark())
}

// endMessage writes the message under way.
func (o *outputWriter) endMessage() {
	if len(o.content.Bytes) > 0 {
		writeMessageItem(&o.items, o.nextID("msg_"), "completed", o.content.Bytes)
		o.content.Bytes = nil
	}
}

// errorCode returns the code of a response that has failed. Codex tells by it
// whether asking again may help.
func errorCode(e *neutral.Error) string {
	if e.Code == neutral.ContextExceeded {
		return e.Code
	}
	switch status := e.StatusOr(http.StatusInternalServerError); {
	case status == http.StatusPaymentRequired:
		return "insufficient_quota"
	case status == http.StatusTooManyRequests:
		return "rate_limit_exceeded"
	case status == http.StatusServiceUnavailable, status == 529:
		return "server_is_overloaded"
	case status < 500:
		return "invalid_prompt"
	}
	return "server_error"
}
