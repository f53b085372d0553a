package chat

import (
	"strings"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/neutral"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/rawjson"
)

// messagesWriter writes the conversation. It begins with Turns, which has put each turn
// of the model into one message and its results behind it, one a call: OpenAI refuses
// calls that are not followed by their results at once.
type messagesWriter struct {
	w  *rawjson.Writer
	r  *neutral.Request
	to neutral.Target
}

// write writes the member messages, the last of the body. No message depends on those
// that follow it, so that the next turn's body begins with the same bytes.
func (m *messagesWriter) write() error {
	m.w.Key("messages")
	m.w.Open('[')
	turns := m.r.Turns()
	leading := 0
	for leading < len(turns) && turns[leading].Role == neutral.System {
		leading++
	}
	m.leading(turns[:leading])
	for i := range turns[leading:] {
		if err := m.message(&turns[leading+i]); err != nil {
			return err
		}
	}
	m.w.Close(']')
	return nil
}

// leading writes the system texts at the top as one message: many models' templates
// take only one. The role is system, not developer: only OpenAI knows that one, and its
// models take both.
func (m *messagesWriter) leading(turns []neutral.Message) {
	var texts []string
	for i := range turns {
		if text := neutral.JoinText(turns[i].Parts); text != "" {
			texts = append(texts, text)
		}
	}
	if len(texts) > 0 {
		m.text("system", strings.Join(texts, "\n\n"))
	}
}

func (m *messagesWriter) text(role, text string) {
	m.w.Open('{')
	m.w.KeyString("role", role)
	m.w.KeyString("content", text)
	m.w.Close('}')
}

// message writes a turn. A system text in the middle becomes a user's, marked as a
// reminder: many models refuse it there ("System messages are not allowed"), and Claude
// Code and Codex send such texts.
func (m *messagesWriter) message(turn *neutral.Message) error {
	switch turn.Role {
	case neutral.System:
		if text := neutral.JoinText(turn.Parts); text != "" {
			m.text("user", neutral.Reminder(text))
		}
	case neutral.User:
		return m.user(turn)
	case neutral.ToolRole:
		return m.results(turn)
	case neutral.Assistant:
		return m.assistant(turn)
	}
	return nil
}

// user writes a user's message: as a string where it is only text, because some
// providers, such as Cloudflare, refuse arrays for some models. One without any text is
// left out.
func (m *messagesWriter) user(turn *neutral.Message) error {
	if onlyText(turn.Parts) {
		if text := neutral.JoinText(turn.Parts); text != "" {
			m.text("user", text)
		}
		return nil
	}
	m.w.Open('{')
	m.w.KeyString("role", "user")
	m.w.Key("content")
	err := m.parts(turn.Parts)
	m.w.Close('}')
	return err
}

func onlyText(parts []neutral.Part) bool {
	for i := range parts {
		if parts[i].Kind == neutral.Media {
			return false
		}
	}
	return true
}

// parts writes texts and media in the order of the user's, which says what a text is
// about. Empty texts are left out.
func (m *messagesWriter) parts(parts []neutral.Part) error {
	m.w.Open('[')
	for i := range parts {
		part := &parts[i]
		switch {
		case part.Kind == neutral.Media:
			if err := m.media(part.Media); err != nil {
				return err
			}
		case part.Text != "":
			m.w.Open('{')
			m.w.KeyString("type", "text")
			m.w.KeyString("text", part.Text)
			m.w.Close('}')
		}
	}
	m.w.Close(']')
	return nil
}

// media writes a part that is no text. What the dialect has no form for is an error and
// not a drop: the model would answer about something else. The detail original, which
// Codex sends, is of responses only; high is the nearest. A file needs a name here, which
// it need not have in the other dialects.
func (m *messagesWriter) media(media *neutral.MediaPart) error {
	if err := media.Portable(m.r.Dialect); err != nil {
		return err
	}
	w := m.w
	w.Open('{')
	switch media.Type {
	case neutral.Image:
		w.KeyString("type", "image_url")
		w.Key("image_url")
		w.Open('{')
		w.KeyString("url", media.AsURL())
		switch media.Detail {
		case "":
		case "original":
			w.KeyString("detail", "high")
		default:
			w.KeyString("detail", media.Detail)
		}
	case neutral.Audio:
		format, ok := audioFormat(media)
		if !ok {
			return &neutral.UnsupportedError{Param: "audio", What: "audio of the type " + media.MIME, Where: []neutral.Dialect{neutral.Gemini}}
		}
		w.KeyString("type", "input_audio")
		w.Key("input_audio")
		w.Open('{')
		w.KeyString("data", media.Data)
		w.KeyString("format", format)
	case neutral.Video:
		return &neutral.UnsupportedError{Param: "video", What: "a video", Where: []neutral.Dialect{neutral.Gemini}}
	case neutral.File:
		if media.Data == "" {
			return &neutral.UnsupportedError{Param: "file", What: "a file that is given by its URL", Where: []neutral.Dialect{neutral.Responses, neutral.Messages}}
		}
		w.KeyString("type", "file")
		w.Key("file")
		w.Open('{')
		name := media.Name
		if name == "" {
			name = "file.pdf"
		}
		w.KeyString("filename", name)
		w.KeyString("file_data", media.AsURL())
	}
	w.Close('}')
	w.Close('}')
	return nil
}

// audioFormat returns the word for a format of audio that the dialect takes. There are
// two, and no URLs.
func audioFormat(media *neutral.MediaPart) (string, bool) {
	if media.Data == "" {
		return "", false
	}
	switch media.MIME {
	case "audio/wav", "audio/x-wav", "audio/wave":
		return "wav", true
	case "audio/mp3", "audio/mpeg":
		return "mp3", true
	}
	return "", false
}

// results writes the results of a turn's calls. Media cannot stand in them: they
// follow in a user's message after all of them, since nothing may stand between the
// results of one turn. The texts that join both are fixed, for prompt caches.
func (m *messagesWriter) results(turn *neutral.Message) error {
	var media []neutral.Part
	for i := range turn.Parts {
		result := turn.Parts[i].Result
		text := neutral.ResultText(result)
		count := 0
		for j := range result.Parts {
			if result.Parts[j].Kind == neutral.Media {
				if count == 0 {
					media = append(media, neutral.Part{Kind: neutral.Text, Text: "From the result of " + m.r.Names.Sent(result.Tool) + ":"})
				}
				count++
				media = append(media, result.Parts[j])
			}
		}
		if count > 0 && text == "" {
			text = "The result follows in the next message."
		}
		m.w.Open('{')
		m.w.KeyString("role", "tool")
		m.w.KeyString("tool_call_id", neutral.CallID(result.CallID))
		m.w.KeyString("content", text)
		m.w.Close('}')
	}
	if len(media) == 0 {
		return nil
	}
	return m.user(&neutral.Message{Role: neutral.User, Parts: media})
}

// assistant writes a turn of the model as one message. Written as two, one with the text
// and one with the calls, models were seen to stop after the text.
//
//   - A refusal becomes text: the field refusal is OpenAI's, and others refuse it.
//   - content is null beside calls if there is no text, else a string; see refusesNull.
//   - A turn of nothing but reasoning is left out, since content would be empty.
//   - Media of the model's own become a word, so that the model knows of them.
//   - What is dropped of signatures and reasoning is recorded for X-Gateway-Dropped.
func (m *messagesWriter) assistant(turn *neutral.Message) error {
	var texts, thoughts []string
	var calls []*neutral.Part
	own := false // whether the thoughts are those of the channel
	for i := range turn.Parts {
		part := &turn.Parts[i]
		switch part.Kind {
		case neutral.Text, neutral.Refusal:
			texts = append(texts, part.Text)
			m.r.DropSig(part.Sig)
		case neutral.Thought:
			thoughts = append(thoughts, part.Text)
			own = own || part.Sig.IsOf(m.to.Vendor)
		case neutral.Call:
			calls = append(calls, part)
			if part.Sig.For(m.to.Vendor) == "" {
				m.r.DropSig(part.Sig)
			}
		case neutral.Media:
			texts = append(texts, "["+part.Media.Noun()+"]")
			m.r.DropMedia(part.Media)
		}
	}
	if len(texts)+len(calls) == 0 {
		if len(thoughts) > 0 {
			m.r.DropThought()
		}
		return nil
	}
	m.w.Open('{')
	m.w.KeyString("role", "assistant")
	m.w.Key("content")
	if text := strings.Join(texts, ""); text != "" || len(calls) == 0 || m.to.Vendor == refusesNull {
		m.w.String(text)
	} else {
		m.w.Null()
	}
	if text := m.thought(thoughts, own, len(calls) > 0); text != "" {
		m.w.KeyString("reasoning_content", text)
	} else if len(thoughts) > 0 {
		m.r.DropThought()
	}
	if len(calls) > 0 {
		m.w.Key("tool_calls")
		m.w.Open('[')
		for _, call := range calls {
			m.call(call)
		}
		m.w.Close(']')
	}
	m.w.Close('}')
	return nil
}

// refusesNull is the vendor of whose models some refuse a null as content, Cloudflare. An
// empty text is taken there, and refused by others.
const refusesNull = "cloudflare"

// thought returns the reasoning of a turn as it goes back to the channel: to the
// one that it came from, and to models that refuse calls without it. For those, a turn
// of another vendor's model has that one's reasoning, or a placeholder that is not
// empty, unless thinking is off. To all others it would be a field that they do not know.
// Source: https://api-docs.deepseek.com/guides/thinking_mode (November 2026)
func (m *messagesWriter) thought(thoughts []string, own, calls bool) string {
	text := strings.Join(thoughts, "")
	required := calls && m.r.Reasoning.EffortOf() != "none" && needsThoughts(m.to.Model)
	switch {
	case text != "" && (own || required):
		return text
	case required:
		return "…"
	}
	return ""
}

// needsThoughts reports whether a model answers 400 to a turn with calls but without
// reasoning_content. It goes by the name, since such models are offered by many
// providers. Source: https://github.com/anomalyco/opencode/issues/24722
func needsThoughts(model string) bool {
	model = strings.ToLower(model)
	return strings.Contains(model, "deepseek") || strings.Contains(model, "kimi")
}

// call writes a call. A freeform tool's is that of the function which stands for it: its
// text becomes the argument input. The arguments are those that the model has written, if
// they are remembered: a model finds only its own bytes in the prompt cache.
//
// Gemini's chat endpoint demands the signature of its calls where it has put it.
func (m *messagesWriter) call(part *neutral.Part) {
	call := part.Call
	w := m.w
	w.Open('{')
	w.KeyString("id", neutral.CallID(call.ID))
	w.KeyString("type", "function")
	w.Key("function")
	w.Open('{')
	w.KeyString("name", m.r.Names.Sent(call.ToolRef))
	w.KeyString("arguments", m.to.Calls.Arguments(call))
	w.Close('}')
	if sig := part.Sig.For(m.to.Vendor); sig != "" {
		w.Key("extra_content")
		w.Open('{')
		w.Key("google")
		w.Open('{')
		w.KeyString("thought_signature", sig)
		w.Close('}')
		w.Close('}')
	}
	w.Close('}')
}
