package gemini

import (
	"github.com/caddy-freetier/caddy-freetier/internal/llm/neutral"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/rawjson"
)

// contentsWriter writes the conversation. Neighbours of one role are one content:
// all results of a turn must be.
type contentsWriter struct {
	w     *rawjson.Writer
	r     *neutral.Request
	to    neutral.Target
	turns []neutral.Message // as neutral.Request.Turns orders them
	role  string            // of the content under way, "" between two
}

// system writes the system texts at the top, each as a part, and takes them off the
// turns. There is no role system in contents, so later ones stay in their place as a
// user's text in <system-reminder>.
func (c *contentsWriter) system() {
	first := len(c.w.Bytes)
	for len(c.turns) > 0 && c.turns[0].Role == neutral.System {
		for i := range c.turns[0].Parts {
			if text := c.turns[0].Parts[i].Text; text != "" {
				if len(c.w.Bytes) == first {
					c.w.Key("systemInstruction")
					c.w.Open('{')
					c.w.Key("parts")
					c.w.Open('[')
				}
				c.text(text)
			}
		}
		c.turns = c.turns[1:]
	}
	if len(c.w.Bytes) > first {
		c.w.Close(']')
		c.w.Close('}')
	}
}

func (c *contentsWriter) text(text string) {
	c.w.Open('{')
	c.w.KeyString("text", text)
	c.w.Close('}')
}

func (c *contentsWriter) write() error {
	c.w.Key("contents")
	c.w.Open('[')
	for i := range c.turns {
		if err := c.turn(&c.turns[i]); err != nil {
			return err
		}
	}
	c.end()
	c.w.Close(']')
	return nil
}

func (c *contentsWriter) turn(turn *neutral.Message) error {
	switch turn.Role {
	case neutral.System:
		if text := neutral.JoinText(turn.Parts); text != "" {
			c.begin("user")
			c.text(neutral.Reminder(text))
		}
	case neutral.User:
		return c.parts(turn.Parts)
	case neutral.ToolRole:
		return c.results(turn)
	case neutral.Assistant:
		return c.model(turn)
	}
	return nil
}

// begin begins the content of a role, unless it is under way. It is called with the first
// part that is written, because Google refuses a content without parts.
func (c *contentsWriter) begin(role string) {
	if c.role == role {
		return
	}
	c.end()
	c.role = role
	c.w.Open('{')
	c.w.KeyString("role", role)
	c.w.Key("parts")
	c.w.Open('[')
}

func (c *contentsWriter) end() {
	if c.role != "" {
		c.w.Close(']')
		c.w.Close('}')
		c.role = ""
	}
}

// parts writes what a user says. Empty texts are skipped; Google refuses a part without
// data.
func (c *contentsWriter) parts(parts []neutral.Part) error {
	for i := range parts {
		part := &parts[i]
		switch {
		case part.Kind == neutral.Media:
			c.begin("user")
			if err := c.media(part.Media); err != nil {
				return err
			}
		case part.Text != "":
			c.begin("user")
			c.text(part.Text)
		}
	}
	return nil
}

// media writes an image, a sound, a video or a file, as data. Google fetches no URL but
// its own, so that one elsewhere is an error that names the dialects which pass URLs on:
// the gateway does not fetch what a client names, which could be an address inside of
// its own network.
func (c *contentsWriter) media(media *neutral.MediaPart) error {
	if err := media.Portable(c.r.Dialect); err != nil {
		return err
	}
	if media.Data == "" {
		where := []neutral.Dialect{neutral.Chat, neutral.Responses, neutral.Messages}
		return &neutral.UnsupportedError{Param: "url", What: media.WithArticle() + " that is given by its URL", Where: where}
	}
	c.w.Open('{')
	writeInline(c.w, media)
	c.w.Close('}')
	return nil
}

func writeInline(w *rawjson.Writer, media *neutral.MediaPart) {
	w.Key("inlineData")
	w.Open('{')
	w.KeyString("mimeType", media.MIMEOr("application/octet-stream"))
	w.KeyString("data", media.Data)
	w.Close('}')
}

// results writes the results of a turn's calls in one content, and what is no text
// in them after all of them, as the Gemini CLI does. Only Gemini 3 takes media inside of a
// functionResponse. A content is begun in any case, as Google counts the results of a
// content against the calls of the one before.
//
// response must be an object. The text is under output or error, whose meaning Google
// documents; ids are not written, as order and name say which call a result is of.
func (c *contentsWriter) results(turn *neutral.Message) error {
	c.end()
	c.begin("user")
	for i := range turn.Parts {
		result := turn.Parts[i].Result
		key := "output"
		if result.IsError {
			key = "error"
		}
		quiet := *result
		quiet.IsError = false // the key says it
		c.w.Open('{')
		c.w.Key("functionResponse")
		c.w.Open('{')
		c.w.KeyString("name", c.r.Names.Sent(result.Tool))
		c.w.Key("response")
		c.w.Open('{')
		c.w.KeyString(key, neutral.ResultText(&quiet))
		c.w.Close('}')
		c.w.Close('}')
		c.w.Close('}')
	}
	for i := range turn.Parts {
		for _, part := range turn.Parts[i].Result.Parts {
			if part.Kind == neutral.Media {
				if err := c.media(part.Media); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// model writes a turn of the model. Its thoughts do not go back, but the signature
// of a thought does, on the call that follows it: that is where Gemini's signatures stand,
// and where clients of other dialects, which had it in a block before the call, have
// kept it. A text has the signature that it came with.
//
// The first call of a step must have one with Gemini 3, others need none. noSignature
// stands in for it, if it was another vendor's or has been lost. Other vendors'
// signatures are a 400 ("Corrupted thought signature"), so they are left out.
func (c *contentsWriter) model(turn *neutral.Message) error {
	sig := ""
	first := true // no call has been written
	for i := range turn.Parts {
		part := &turn.Parts[i]
		own := part.Sig.For(c.to.Vendor)
		if own != "" {
			sig = own
		} else if part.Kind == neutral.Thought || part.Sig.Value != "" {
			c.r.DropThought()
		}
		switch part.Kind {
		case neutral.Text, neutral.Refusal:
			if part.Text == "" {
				continue
			}
			c.begin("model")
			c.w.Open('{')
			c.w.KeyString("text", part.Text)
			if own != "" {
				c.w.KeyString("thoughtSignature", sig)
				sig = ""
			}
			c.w.Close('}')
		case neutral.Call:
			c.begin("model")
			if sig == "" && first && takesLevel(c.to.Model) {
				sig = noSignature // documented for calls that another model has made
			}
			first = false
			c.call(part.Call, sig)
			sig = ""
		case neutral.Media:
			c.begin("model")
			if err := c.media(part.Media); err != nil {
				return err
			}
		}
	}
	if sig != "" {
		c.r.DropThought() // no part follows it
	}
	return nil
}

// call writes a call. The signature stands beside functionCall, in the part; inside of it,
// it would be an unknown field. Arguments keep the bytes that the client has sent.
func (c *contentsWriter) call(call *neutral.ToolCall, sig string) {
	input := call.Input
	if call.Kind == neutral.Freeform {
		input = neutral.FreeformArguments(input)
	}
	c.w.Open('{')
	c.w.Key("functionCall")
	c.w.Open('{')
	c.w.KeyString("name", c.r.Names.Sent(call.ToolRef))
	c.w.KeyRaw("args", argsObject(input))
	c.w.Close('}')
	if sig != "" {
		c.w.KeyString("thoughtSignature", sig)
	}
	c.w.Close('}')
}

// argsObject returns the arguments of a call as the object that the dialect
// demands. A text that is none is kept in one, under the key arguments: a conversation in
// which a model once wrote broken JSON must go on, and a client of chat has sent that
// text as it was.
func argsObject(input string) rawjson.Value {
	if input == "" {
		return rawjson.Value("{}")
	}
	if v, err := rawjson.Parse([]byte(input)); err == nil && v.Is('{') {
		return v
	}
	var w rawjson.Writer
	w.Open('{')
	w.KeyString("arguments", input)
	w.Close('}')
	return w.Bytes
}
