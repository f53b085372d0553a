package responses

import (
	"maps"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/neutral"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/rawjson"
)

// object writes response objects. Strict readers require every field, with what the
// client has asked for or its default: the schema of Open Responses requires 31 members,
// of which only a few say anything about the response.
//
// A stream has three of them, in created, in_progress and the last event. What they
// repeat of the request, tools and instructions above all, is made once.
type object struct {
	client  *neutral.Request
	id      string // with its prefix
	created int64  // in seconds since 1970
	echo    []byte // the members that repeat the request; made once, by write
}

// outcome is what a response object says of the response.
type outcome struct {
	status     string         // in_progress, completed, incomplete or failed
	reason     string         // of an incomplete response; "" is null
	completed  int64          // in seconds since 1970; 0 is null
	err        *neutral.Error // of a failed response; nil is null
	usage      *neutral.Usage // read if usageKnown
	usageKnown bool           // the response came to its end; else usage is null
}

// newObject returns a writer for the response to a request. id has no prefix yet.
func newObject(client *neutral.Request, id string, created int64) *object {
	return &object{client: client, id: "resp_" + id, created: created}
}

// write writes the object; output is its items, without brackets. The model is the one
// that the client has asked for.
func (o *object) write(w *rawjson.Writer, output []byte, result outcome) {
	w.Open('{')
	w.KeyString("id", o.id)
	w.KeyString("object", "response")
	w.KeyInt("created_at", o.created)
	w.Key("completed_at")
	if result.completed != 0 {
		w.Int(result.completed)
	} else {
		w.Null()
	}
	w.KeyString("status", result.status)
	w.Key("error")
	if result.err == nil {
		w.Null()
	} else {
		w.Open('{')
		w.KeyString("code", errorCode(result.err))
		w.KeyString("message", result.err.Message)
		w.Close('}')
	}
	w.Key("incomplete_details")
	if result.reason == "" {
		w.Null()
	} else {
		w.Open('{')
		w.KeyString("reason", result.reason)
		w.Close('}')
	}
	w.KeyString("model", o.client.Model)
	w.Key("output")
	w.Open('[')
	w.Bytes = append(w.Bytes, output...)
	w.Close(']')
	w.Key("usage")
	if result.usageKnown {
		writeUsage(w, result.usage)
	} else {
		w.Null()
	}
	if o.echo == nil {
		o.echo = echo(o.client)
	}
	w.Bytes = append(w.Bytes, ',')
	w.Bytes = append(w.Bytes, o.echo...)
	w.Close('}')
}

// echoed are the fields of the request that a response repeats as they are, and
// what they are if the request does not have them. They are what the client has sent,
// also where the channel has got less: SDKs only show them, and a list of what was
// dropped is in X-Gateway-Dropped.
var echoed = []struct{ name, without string }{
	{"instructions", "null"},
	{"max_output_tokens", "null"},
	{"max_tool_calls", "null"},
	{"temperature", "1"},
	{"top_p", "1"},
	{"presence_penalty", "0"},
	{"frequency_penalty", "0"},
	{"top_logprobs", "0"},
	{"parallel_tool_calls", "true"},
	{"previous_response_id", "null"},
	{"prompt_cache_key", "null"},
	{"safety_identifier", "null"},
	{"metadata", "{}"},
	{"truncation", `"disabled"`},
	{"tool_choice", `"auto"`},
}

// echo returns the members of a response that repeat the request. tools are those of the
// field of this name: Codex's tools in items are no part of it.
func echo(client *neutral.Request) []byte {
	w := &rawjson.Writer{}
	sent := maps.Collect(client.Source.Members)
	for _, field := range echoed {
		value := sent[field.name]
		if !value.IsSet() {
			value = rawjson.Value(field.without)
		}
		w.KeyRaw(field.name, value)
	}
	w.KeyBool("background", false)
	w.KeyBool("store", false) // nothing is kept on a translated route
	w.KeyString("service_tier", "default")
	echoReasoning(w, sent["reasoning"])
	echoText(w, sent["text"])
	w.Key("tools")
	w.Open('[')
	for tool := range sent["tools"].Elements {
		echoTool(w, tool)
	}
	w.Close(']')
	return w.Bytes
}

// echoReasoning repeats effort and summary, the two members that readers require; KeyRaw
// writes null for one that was not sent.
func echoReasoning(w *rawjson.Writer, value rawjson.Value) {
	w.Key("reasoning")
	if !value.Is('{') {
		w.Null()
		return
	}
	w.Open('{')
	w.KeyRaw("effort", value.Get("effort"))
	w.KeyRaw("summary", value.Get("summary"))
	w.Close('}')
}

// echoText repeats the format of the text, with all members that readers require of a
// schema's, and its verbosity.
func echoText(w *rawjson.Writer, value rawjson.Value) {
	format := value.Get("format")
	w.Key("text")
	w.Open('{')
	w.Key("format")
	if format.Get("type").Text() == "json_schema" {
		w.Open('{')
		w.KeyString("type", "json_schema")
		w.KeyRaw("name", format.Get("name"))
		w.KeyRaw("description", format.Get("description"))
		w.KeyRaw("schema", format.Get("schema"))
		w.KeyBool("strict", format.Get("strict").Bool())
		w.Close('}')
	} else if format.Is('{') {
		w.Raw(format)
	} else {
		w.Raw(rawjson.Value(`{"type":"text"}`))
	}
	if verbosity := value.Get("verbosity"); verbosity.Is('"') {
		w.KeyRaw("verbosity", verbosity)
	}
	w.Close('}')
}

// echoTool repeats a tool, a function with all of the fields that readers demand.
func echoTool(w *rawjson.Writer, tool rawjson.Value) {
	if tool.Get("type").Text() != "function" {
		w.Raw(tool)
		return
	}
	w.Open('{')
	for name, member := range tool.Members {
		w.Name(name)
		w.Raw(member)
	}
	for _, name := range []string{"description", "parameters", "strict"} {
		if tool.Get(name) == nil {
			w.KeyRaw(name, nil)
		}
	}
	w.Close('}')
}

// writeUsage writes usage with both objects of details and with the total: Codex rejects
// a whole completion if a number is missing in them.
func writeUsage(w *rawjson.Writer, u *neutral.Usage) {
	w.Open('{')
	w.KeyInt("input_tokens", u.Input)
	w.Key("input_tokens_details")
	w.Open('{')
	w.KeyInt("cached_tokens", u.CacheRead)
	if u.CacheWrite > 0 {
		w.KeyInt("cache_write_tokens", u.CacheWrite)
	}
	w.Close('}')
	w.KeyInt("output_tokens", u.Output)
	w.Key("output_tokens_details")
	w.Open('{')
	w.KeyInt("reasoning_tokens", u.Reasoning)
	w.Close('}')
	w.KeyInt("total_tokens", u.Total())
	w.Close('}')
}

// result returns what the end of a response is called here. A response that has ended
// with a stop sequence, a call or a paused tool is completed; its items say which. A
// context that has become full while the model spoke is a failure, by whose code agents
// know to shorten the conversation.
func result(finish neutral.Finish, usage *neutral.Usage) outcome {
	o := outcome{status: "completed", usage: usage, usageKnown: true}
	switch finish {
	case neutral.FinishLength:
		o.status, o.reason = "incomplete", "max_output_tokens"
	case neutral.FinishFilter:
		o.status, o.reason = "incomplete", "content_filter"
	case neutral.FinishContext:
		o.status = "failed"
		o.err = &neutral.Error{Status: 400, Code: neutral.ContextExceeded, Message: "The context of the model is full"}
	case neutral.FinishBroken:
		o.status = "failed"
		o.err = &neutral.Error{Status: 502, Code: "server_error", Message: "The model has made a call that cannot be read"}
	}
	return o
}
