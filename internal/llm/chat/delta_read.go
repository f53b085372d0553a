package chat

import (
	"strings"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/neutral"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/rawjson"
)

// delta reads what a chunk adds to a choice, or, if whole, all of its message. Its
// reasoning comes before the text, and the calls come last: some providers put the end
// of the one and the beginning of the other into one chunk, in any order of the members,
// and a model thinks before it speaks and speaks before it calls.
//
// Who sends what, besides OpenAI's content, refusal, tool_calls and annotations:
//
//	reasoning_content    DeepSeek, Kimi, GLM, Qwen, vLLM and SGLang
//	reasoning            OpenRouter and those who follow it
//	reasoning_details    the same, with signatures
//	thinking             the name in Ollama's own API
//	content as an array  Mistral's reasoning models
//	images               OpenRouter, for models that draw
//	function_call        old servers; it has no id and no index, so there is only one
//
// OpenAI itself returns no reasoning here, but counts it in usage.
func (c *choiceReader) delta(v rawjson.Value, whole bool) {
	var content, calls, annotations, images, details rawjson.Value
	thought, refusal := "", ""
	for name, member := range v.Members {
		switch name {
		case "content":
			content = member
		case "reasoning_content", "reasoning", "thinking":
			if thought == "" {
				thought = member.Text() // some send the same under two names
			}
		case "reasoning_details":
			details = member
		case "tool_calls":
			calls = member
		case "annotations":
			annotations = member
		case "images":
			images = member
		case "refusal":
			refusal = member.Text()
		case "function_call":
			if member.Is('{') {
				c.call(rawjson.Value(`{"function":`+string(member)+`}`), 0, whole)
			}
		}
	}
	if thought == "" {
		thought = detailsText(details)
	}
	c.say(neutral.ThoughtDelta, thought)
	c.signatures(details)
	c.content(content)
	c.say(neutral.RefusalDelta, refusal)
	for image := range images.Elements {
		c.image(image)
	}
	for annotation := range annotations.Elements {
		c.annotation(annotation)
	}
	position := 0
	for call := range calls.Elements {
		c.call(call, position, whole)
		position++
	}
}

// detailsText returns the reasoning that only reasoning_details have. OpenRouter repeats
// it in reasoning, which is then the one that counts.
func detailsText(details rawjson.Value) string {
	var text strings.Builder
	for detail := range details.Elements {
		text.WriteString(detail.Get("text").Text())
		text.WriteString(detail.Get("summary").Text())
	}
	return text.String()
}

// signatures reads the opaque parts of reasoning_details:
//
//	{"type":"reasoning.text","text":"…","signature":"…"}   a signature of visible thoughts
//	{"type":"reasoning.encrypted","data":"…"}              thoughts without a text
//
// An encrypted detail behind visible thoughts is their signature, as OpenAI's encrypted
// reasoning is that of its summary. Without visible thoughts it is redacted thinking.
func (c *choiceReader) signatures(details rawjson.Value) {
	for detail := range details.Elements {
		value, redacted := detail.Get("signature").Text(), false
		if value == "" {
			value, redacted = detail.Get("data").Text(), true
		}
		if value != "" {
			c.emit(&neutral.Event{Kind: neutral.ThoughtSig, Sig: neutral.Sig{Vendor: c.calls.Vendor, Value: value}, Redacted: redacted && !c.thoughts})
			c.signed = true
			c.thoughts = false
		}
	}
}

// content reads text, or an array of parts, as Mistral's reasoning models send it:
//
//	[{"type":"thinking","thinking":[{"type":"text","text":"…"}]},{"type":"text","text":"…"}]
//
// thinking may be a string too. A part of an unknown type counts by its text.
// Source: https://docs.mistral.ai/inference/conversations/reasoning (November 2026)
func (c *choiceReader) content(v rawjson.Value) {
	if v.Is('"') {
		c.text(v.Text())
		return
	}
	for part := range v.Elements {
		switch part.Get("type").Text() {
		case "thinking", "reasoning":
			thought := part.Get("thinking")
			c.say(neutral.ThoughtDelta, thought.Text()+part.Get("text").Text())
			for piece := range thought.Elements {
				c.say(neutral.ThoughtDelta, piece.Get("text").Text())
			}
		case "image_url":
			c.image(part)
		case "refusal":
			c.say(neutral.RefusalDelta, part.Get("refusal").Text())
		default:
			c.text(part.Get("text").Text())
		}
	}
}

// image reads an image that the model has made, in the form in which requests have
// images. It ends the thoughts before it, as every part that is no thought does.
func (c *choiceReader) image(v rawjson.Value) {
	media := &neutral.MediaPart{Type: neutral.Image}
	media.SetURL(v.Get("image_url").Get("url").Text())
	if media.URL != "" || media.Data != "" {
		c.endThought()
		c.emit(&neutral.Event{Kind: neutral.MediaPartOut, Media: media})
	}
}

// maxAnnotations bounds the citations of a response: the writer for responses keeps all
// of a text's until the text ends.
const maxAnnotations = 1000

// annotation reads a citation of a web page, the only kind that the dialect has. Start
// and end count the characters of the whole text, not of the chunk.
func (c *choiceReader) annotation(v rawjson.Value) {
	body := v.Get("url_citation")
	url := body.Get("url").Text()
	if c.annotated++; url == "" || c.annotated > maxAnnotations {
		return
	}
	citation := &neutral.Citation{URL: url, Title: body.Get("title").Text(), Quote: body.Get("content").Text()}
	citation.Start, _ = body.Get("start_index").Int()
	citation.End, _ = body.Get("end_index").Int()
	c.emit(&neutral.Event{Kind: neutral.Cited, Citation: citation})
}

// call reads a piece of a call, or, if whole, all of it. position is its place in the
// array, by which calls are told apart that have neither index nor id.
//
// A piece is OpenAI's form in most cases: the first one with index, id, type and name,
// the others with index and arguments. Also accepted are a call in one piece, arguments
// as an object or null, an id or a name that is repeated, empty or late, and a name in
// pieces. Sequencer puts calls in a row whose pieces are mixed. The same call again at
// another index, as LocalAI has sent it (https://github.com/mudler/LocalAI/issues/9722),
// would run a tool twice.
func (c *choiceReader) call(v rawjson.Value, position int, whole bool) {
	function := v.Get("function")
	id, name := v.Get("id").Text(), function.Get("name").Text()
	input := argumentsText(function.Get("arguments"))
	if custom := v.Get("custom"); custom.Is('{') {
		name, input = custom.Get("name").Text(), neutral.FreeformArguments(custom.Get("input").Text())
	}
	if name != "" && input != "" && c.calls.Repeats(id, name, input) {
		return // some send a call again, at another index
	}
	sig := neutral.Sig{Vendor: c.calls.Vendor, Value: v.Get("extra_content").Get("google").Get("thought_signature").Text()}
	c.endThought()
	c.calls.Piece(neutral.Piece{
		Key:   c.key(v.Get("index"), id, name, position, whole),
		ID:    id,
		Name:  name,
		Input: input,
		Sig:   sig,
	}, c.emit)
}

// key returns the call that a piece belongs to. Indexes may be missing, begin at
// 1, or be the same for all calls; ids may come once or with each piece. In order:
//
//	"i" + index         an index counts, unless another id and either a name or a
//	"i" + index # id    complete call before it say that a new call has begun there
//	"m" + position      a whole message: calls stand one after the other in it
//	"d" + id            no index, but an id
//	"n" + number        neither: the last call goes on, unless it is complete or the
//	                    piece has another name
func (c *choiceReader) key(index rawjson.Value, id, name string, position int, whole bool) string {
	if n, ok := index.Int(); ok && !whole {
		place := placeKey("i", int(n))
		current, known := c.keyOf[place]
		if !known {
			current = place
		}
		state := c.calls.State(current)
		if state.Known && id != "" && state.ID != "" && id != state.ID && (name != "" || state.Complete) {
			current = place + "#" + id
		}
		c.keyOf[place] = current
		return current
	}
	if whole {
		return placeKey("m", position)
	}
	if id != "" {
		return "d" + id
	}
	last, ok := c.calls.LastKey()
	if !ok || (name != "" && (c.calls.State(last).Complete || c.calls.State(last).Name != name)) {
		return placeKey("n", c.calls.Count())
	}
	return last
}
