package messages

import (
	"github.com/caddy-freetier/caddy-freetier/internal/llm/neutral"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/rawjson"
)

// messagesWriter writes the conversation. Neighbours of one role are one message, as the
// API would make of them anyway. A message is opened by its first block and closed by one
// of another role, so that a turn of which nothing is left does not leave an empty
// message, which is a 400.
type messagesWriter struct {
	w        *rawjson.Writer
	r        *neutral.Request
	to       neutral.Target
	turns    []neutral.Message // as neutral.Request.Turns orders them
	thinking thinkingForm      // with thinkingOff, thoughts of earlier turns are left out
	role     string            // of the message under way, "" between two
	block    int               // where in w the last block of a user begins, 0 for none
}

// system writes the system texts at the top as blocks, the last of which ends what
// is cached. It takes them off the turns; those that follow later stay among them. An
// empty text block is a 400, so it is skipped.
func (m *messagesWriter) system() {
	var texts []string
	for len(m.turns) > 0 && m.turns[0].Role == neutral.System {
		for i := range m.turns[0].Parts {
			if text := m.turns[0].Parts[i].Text; text != "" {
				texts = append(texts, text)
			}
		}
		m.turns = m.turns[1:]
	}
	if m.r.Format.Kind == neutral.FormatJSON {
		texts = append(texts, jsonOnly)
	}
	if len(texts) == 0 {
		return
	}
	m.w.Key("system")
	m.w.Open('[')
	for i, text := range texts {
		m.w.Open('{')
		m.w.KeyString("type", "text")
		m.w.KeyString("text", text)
		if i == len(texts)-1 {
			m.w.KeyRaw("cache_control", rawjson.Value(cached))
		}
		m.w.Close('}')
	}
	m.w.Close(']')
}

// write writes the conversation. If it ends with a user's turn, its last block gets the
// mark of the cache: the next request of the conversation finds all of this one there.
// A conversation that ends with the model's words is a prefill, and has no mark.
func (m *messagesWriter) write() error {
	m.w.Key("messages")
	m.w.Open('[')
	for i := range m.turns {
		if err := m.turn(&m.turns[i]); err != nil {
			return err
		}
	}
	if m.role == "user" && m.block > 0 {
		m.w.Bytes = m.w.Bytes[:len(m.w.Bytes)-1] // opens the last block again
		m.w.KeyRaw("cache_control", rawjson.Value(cached))
		m.w.Close('}')
	}
	m.end()
	m.w.Close(']')
	return nil
}

// turn writes a turn. There is a role system inside of the dialect's messages, but only
// the newest models take it, and not before the first user's turn, so a system text is
// a user's in <system-reminder>, as Claude Code marks its own.
func (m *messagesWriter) turn(turn *neutral.Message) error {
	switch turn.Role {
	case neutral.System:
		if text := neutral.JoinText(turn.Parts); text != "" {
			m.begin("user")
			m.text(neutral.Reminder(text))
		}
	case neutral.User:
		for i := range turn.Parts {
			if err := m.userPart(&turn.Parts[i]); err != nil {
				return err
			}
		}
	case neutral.ToolRole:
		return m.results(turn)
	case neutral.Assistant:
		m.assistant(turn)
	}
	return nil
}

// begin begins the message of a role, unless it is under way.
func (m *messagesWriter) begin(role string) {
	if m.role == role {
		return
	}
	m.end()
	m.role, m.block = role, 0
	m.w.Open('{')
	m.w.KeyString("role", role)
	m.w.Key("content")
	m.w.Open('[')
}

func (m *messagesWriter) end() {
	if m.role != "" {
		m.w.Close(']')
		m.w.Close('}')
		m.role = ""
	}
}

// text writes a text block and records where it begins, for the mark of the cache.
func (m *messagesWriter) text(text string) {
	m.block = len(m.w.Bytes)
	m.w.Open('{')
	m.w.KeyString("type", "text")
	m.w.KeyString("text", text)
	m.w.Close('}')
}

func (m *messagesWriter) userPart(part *neutral.Part) error {
	if part.Kind == neutral.Media {
		m.begin("user")
		m.block = len(m.w.Bytes)
		return m.media(part.Media)
	}
	if !isBlank(part.Text) {
		m.begin("user")
		m.text(part.Text)
	}
	return nil
}

// isBlank reports whether a text is nothing but space, which the API refuses as a
// block. As the content of a result the API takes it, where it is a string.
func isBlank(text string) bool {
	for _, c := range text {
		if c != ' ' && c != '\n' && c != '\t' && c != '\r' {
			return false
		}
	}
	return true
}

// media writes an image or a document. Neither the type of an image nor that of a
// document can be left out; where the client has not said it (a data URL without one),
// the most common is taken. The API fetches URLs by itself. Audio and video have no
// block; the error names the dialects that have one.
func (m *messagesWriter) media(media *neutral.MediaPart) error {
	if err := media.Portable(m.r.Dialect); err != nil {
		return err
	}
	w := m.w
	kind := "document"
	switch {
	case media.Type == neutral.Image:
		kind = "image"
	case media.Type != neutral.File:
		where := []neutral.Dialect{neutral.Gemini}
		if media.Type == neutral.Audio {
			where = append(where, neutral.Chat)
		}
		return &neutral.UnsupportedError{Param: "content", What: media.WithArticle(), Where: where}
	}
	w.Open('{')
	w.KeyString("type", kind)
	w.Key("source")
	w.Open('{')
	if media.Data == "" {
		w.KeyString("type", "url")
		w.KeyString("url", media.URL)
	} else {
		mime := media.MIMEOr("image/png")
		if kind == "document" {
			mime = media.MIMEOr("application/pdf")
		}
		w.KeyString("type", "base64")
		w.KeyString("media_type", mime)
		w.KeyString("data", media.Data)
	}
	w.Close('}')
	if kind == "document" && media.Name != "" {
		w.KeyString("title", media.Name)
	}
	w.Close('}')
	return nil
}

// results writes the results of a turn's calls, before what the user says. Turns has put
// them in the order of the calls and made one up where there is none, since the API
// refuses a call without its result ("`tool_use` ids were found without `tool_result`
// blocks immediately after"). That this is the same in each turn is what keeps the
// prefix.
func (m *messagesWriter) results(turn *neutral.Message) error {
	m.begin("user")
	for i := range turn.Parts {
		result := turn.Parts[i].Result
		m.block = len(m.w.Bytes)
		m.w.Open('{')
		m.w.KeyString("type", "tool_result")
		m.w.KeyString("tool_use_id", neutral.CallID(result.CallID))
		if err := m.resultContent(result); err != nil {
			return err
		}
		if result.IsError {
			m.w.KeyBool("is_error", true)
		}
		m.w.Close('}')
	}
	return nil
}

// resultContent writes the content of a result: a string if there is only text, which may
// be empty, else blocks. is_error says what other dialects have to say in words, so the
// text gets no "Error: " before it.
func (m *messagesWriter) resultContent(result *neutral.ToolResult) error {
	media := false
	for i := range result.Parts {
		media = media || result.Parts[i].Kind == neutral.Media
	}
	m.w.Key("content")
	if !media {
		quiet := *result
		quiet.IsError = false
		m.w.String(neutral.ResultText(&quiet))
		return nil
	}
	m.w.Open('[')
	for i := range result.Parts {
		part := &result.Parts[i]
		switch {
		case part.Kind == neutral.Media:
			if err := m.media(part.Media); err != nil {
				return err
			}
		case !isBlank(part.Text):
			m.w.Open('{')
			m.w.KeyString("type", "text")
			m.w.KeyString("text", part.Text)
			m.w.Close('}')
		}
	}
	m.w.Close(']')
	return nil
}

// assistant writes what the model has said. The parts of one turn are one message, its
// thoughts first if the model gave them so; the API demands that order where it thinks
// with a budget.
//
// A thought goes back to the vendor whose signature it has. Another's is left out and
// recorded: the API requires a signature and checks it, and thoughts as visible text
// would be read as an answer of the model's. A vendor that signs nothing gets its own
// thoughts (neutral.TextOnly) with an empty signature, as Claude Code sends them.
// Signatures on texts and calls are Gemini's, and have no place here. Images that a model
// has made cannot stand in an assistant's message.
func (m *messagesWriter) assistant(turn *neutral.Message) {
	w := m.w
	for i := range turn.Parts {
		part := &turn.Parts[i]
		switch part.Kind {
		case neutral.Text, neutral.Refusal:
			m.r.DropSig(part.Sig)
			if !isBlank(part.Text) {
				m.begin("assistant")
				m.text(part.Text)
			}
		case neutral.Media:
			m.r.DropMedia(part.Media)
		case neutral.Thought:
			sig := part.Sig.For(m.to.Vendor)
			isUnsigned := part.Text != "" && part.Sig.IsOf(m.to.Vendor) && part.Sig.Value == neutral.TextOnly
			if sig == "" && !isUnsigned || m.thinking == thinkingOff {
				m.r.DropThought()
				continue // of another vendor, which is an error here
			}
			m.begin("assistant")
			w.Open('{')
			if part.Redacted {
				w.KeyString("type", "redacted_thinking")
				w.KeyString("data", sig)
			} else {
				w.KeyString("type", "thinking")
				w.KeyString("thinking", part.Text)
				w.KeyString("signature", sig)
			}
			w.Close('}')
		case neutral.Call:
			m.r.DropSig(part.Sig)
			m.begin("assistant")
			input := part.Call.Input
			if part.Call.Kind == neutral.Freeform {
				input = neutral.FreeformArguments(input)
			}
			w.Open('{')
			w.KeyString("type", "tool_use")
			w.KeyString("id", neutral.CallID(part.Call.ID))
			w.KeyString("name", m.r.Names.Sent(part.Call.ToolRef))
			w.KeyRaw("input", inputObject(input))
			w.Close('}')
		}
	}
}
