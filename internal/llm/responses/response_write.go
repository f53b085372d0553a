package responses

import (
	"net/http"
	"strconv"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/neutral"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/rawjson"
)

// WriteResponse returns the body of a response to the client that has sent a
// request. id has no prefix yet. created, in seconds since 1970, is used if the channel
// has not said when the response was made; it is the time of completion too, which no
// other dialect says. Of several choices the first counts: the dialect has one.
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

// outputWriter writes the items of a response, the same ones as a StreamWriter.
type outputWriter struct {
	base    string         // of ids
	items   rawjson.Writer // that are complete
	count   int            // their number
	content rawjson.Writer // of the message under way: texts and refusals in a row
}

// nextID returns the id of the item that is written next. Each item has one.
func (o *outputWriter) nextID(prefix string) string {
	o.count++
	return prefix + o.base + "_" + strconv.Itoa(o.count-1)
}

// part writes a part. Texts and refusals that follow each other are parts of one message;
// any other part ends it. The signature of a call, which gemini has and this dialect has
// not, becomes an item of reasoning before the call: the client sends both back in this
// order, and the signature is read as that of the thought before the call. A signature
// behind a text has no place that a client would send back, and is dropped.
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

// thought writes an item of reasoning. Without a text it has an empty summary, which is
// how OpenAI itself sends thoughts that it does not show.
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
// whether asking again may help: after context_length_exceeded, insufficient_quota,
// invalid_prompt and server_is_overloaded it gives up at once, after rate_limit_exceeded
// and all others it asks five more times.
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
