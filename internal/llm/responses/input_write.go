package responses

import (
	"strings"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/neutral"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/rawjson"
)

// inputWriter writes the conversation as items. It gives them no ids: those of
// another provider are refused, and so is an empty one.
type inputWriter struct {
	w     *rawjson.Writer
	r     *neutral.Request
	to    neutral.Target
	turns []neutral.Message // without those that instructions has written
}

// instructions writes the system texts at the top, in the order of the client's. Later
// ones stay in their place, as items of the developer: Claude Code sends them between
// turns, and at the top they would change the beginning of the prompt, which the
// provider's cache compares.
func (i *inputWriter) instructions() {
	var texts []string
	for len(i.turns) > 0 && i.turns[0].Role == neutral.System {
		if text := neutral.JoinText(i.turns[0].Parts); text != "" {
			texts = append(texts, text)
		}
		i.turns = i.turns[1:]
	}
	if len(texts) > 0 {
		i.w.KeyString("instructions", strings.Join(texts, "\n\n"))
	}
}

// write writes the member input, the last of the body: the next turn's begins with the
// same bytes.
func (i *inputWriter) write() error {
	i.w.Key("input")
	i.w.Open('[')
	for n := range i.turns {
		if err := i.turn(&i.turns[n]); err != nil {
			return err
		}
	}
	i.w.Close(']')
	return nil
}

// turn writes a turn. The results of one turn are an item each, in the order of the
// calls.
func (i *inputWriter) turn(turn *neutral.Message) error {
	switch turn.Role {
	case neutral.System:
		return i.message("developer", turn.Parts)
	case neutral.User:
		return i.message("user", turn.Parts)
	case neutral.ToolRole:
		for n := range turn.Parts {
			if err := i.result(turn.Parts[n].Result); err != nil {
				return err
			}
		}
	case neutral.Assistant:
		i.assistant(turn)
	}
	return nil
}

// message writes what a user or the system says. The content is always an array, also of
// one text, so that a message has the same form with and without images.
func (i *inputWriter) message(role string, parts []neutral.Part) error {
	i.w.Open('{')
	i.w.KeyString("type", "message")
	i.w.KeyString("role", role)
	i.w.Key("content")
	err := i.parts(parts)
	i.w.Close('}')
	return err
}

func (i *inputWriter) parts(parts []neutral.Part) error {
	i.w.Open('[')
	for n := range parts {
		part := &parts[n]
		switch {
		case part.Kind == neutral.Media:
			if err := i.media(part.Media); err != nil {
				return err
			}
		case part.Text != "":
			i.w.Open('{')
			i.w.KeyString("type", "input_text")
			i.w.KeyString("text", part.Text)
			i.w.Close('}')
		}
	}
	i.w.Close(']')
	return nil
}

// media writes an image or a file, in messages and in results alike: unlike chat, this
// dialect has them in both. Data goes as a data URL. Audio and video are an error, which
// says what kind of channel would do.
func (i *inputWriter) media(media *neutral.MediaPart) error {
	if err := media.Portable(i.r.Dialect); err != nil {
		return err
	}
	w := i.w
	switch media.Type {
	case neutral.Image:
		detail := media.Detail
		if detail == "" {
			detail = "auto" // required here
		}
		w.Open('{')
		w.KeyString("type", "input_image")
		w.KeyString("image_url", media.AsURL())
		w.KeyString("detail", detail)
		w.Close('}')
	case neutral.File:
		w.Open('{')
		w.KeyString("type", "input_file")
		if media.Data == "" {
			w.KeyString("file_url", media.URL)
			if media.Name != "" {
				i.r.DropMedia(media) // its name
			}
		} else {
			name := media.Name
			if name == "" {
				name = "file.pdf"
			}
			w.KeyString("filename", name)
			w.KeyString("file_data", media.AsURL())
		}
		w.Close('}')
	default:
		where := []neutral.Dialect{neutral.Gemini}
		if media.Type == neutral.Audio {
			where = append(where, neutral.Chat)
		}
		return &neutral.UnsupportedError{Param: "content", What: media.WithArticle(), Where: where}
	}
	return nil
}

// result writes the result of a call: as a string, as most clients do, or as parts if
// there are images or files in it. There is no member for an error; ResultText says it
// in words.
func (i *inputWriter) result(result *neutral.ToolResult) error {
	kind := "function_call_output"
	if result.Tool.Kind == neutral.Freeform {
		kind = "custom_tool_call_output"
	}
	media := false
	for n := range result.Parts {
		media = media || result.Parts[n].Kind == neutral.Media
	}
	i.w.Open('{')
	i.w.KeyString("type", kind)
	i.w.KeyString("call_id", neutral.CallID(result.CallID))
	i.w.Key("output")
	var err error
	if media {
		err = i.parts(result.Parts)
	} else {
		i.w.String(neutral.ResultText(result))
	}
	i.w.Close('}')
	return err
}

// assistant writes a turn of the model. Its texts are items of their own, between
// its reasoning and its calls, in order. The parts of its own messages are output_text
// and refusal; input_text, as in other roles, is refused there. Media that another
// model has made cannot stand in a model's turn and are dropped.
func (i *inputWriter) assistant(turn *neutral.Message) {
	w := i.w
	for n := range turn.Parts {
		part := &turn.Parts[n]
		switch part.Kind {
		case neutral.Text, neutral.Refusal:
			i.signature(part.Sig)
			if part.Text == "" {
				continue
			}
			w.Open('{')
			w.KeyString("type", "message")
			w.KeyString("role", "assistant")
			w.Key("content")
			w.Open('[')
			w.Open('{')
			if part.Kind == neutral.Refusal {
				w.KeyString("type", "refusal")
				w.KeyString("refusal", part.Text)
			} else {
				w.KeyString("type", "output_text")
				w.KeyString("text", part.Text)
			}
			w.Close('}')
			w.Close(']')
			w.Close('}')
		case neutral.Thought:
			i.thought(part)
		case neutral.Media:
			i.r.DropMedia(part.Media)
		case neutral.Call:
			i.signature(part.Sig)
			i.call(part.Call)
		}
	}
}

// signature writes reasoning of the channel's own of which the client has kept
// nothing but the signature on a text or a call: the Gemini CLI drops thoughts.
func (i *inputWriter) signature(sig neutral.Sig) {
	if sig.For(i.to.Vendor) == "" {
		i.r.DropSig(sig)
		return
	}
	i.thought(&neutral.Part{Kind: neutral.Thought, Sig: sig})
}

// thought writes reasoning that the channel itself has made. All other is dropped: the
// API refuses encrypted content that is not its own. It must not be written as text
// instead, which would make it a part of the visible conversation.
func (i *inputWriter) thought(part *neutral.Part) {
	sig := part.Sig.For(i.to.Vendor)
	if sig == "" {
		i.r.DropThought()
		return
	}
	i.w.Open('{')
	i.w.KeyString("type", "reasoning")
	i.w.Key("summary")
	i.w.Open('[')
	if part.Text != "" {
		writeSummary(i.w, part.Text)
	}
	i.w.Close(']')
	i.w.KeyString("encrypted_content", sig)
	i.w.Close('}')
}

// call writes a call, by the names that writeTool has declared: the namespace is part of
// the name. The arguments are those that the model has written, if they are remembered.
func (i *inputWriter) call(call *neutral.ToolCall) {
	w := i.w
	w.Open('{')
	if call.Kind == neutral.Freeform {
		w.KeyString("type", "custom_tool_call")
		w.KeyString("call_id", neutral.CallID(call.ID))
		w.KeyString("name", i.r.Names.Sent(call.ToolRef))
		w.KeyString("input", call.Input)
	} else {
		input := i.to.Calls.Arguments(call)
		w.KeyString("type", "function_call")
		w.KeyString("call_id", neutral.CallID(call.ID))
		w.KeyString("name", i.r.Names.Sent(call.ToolRef))
		w.KeyString("arguments", input)
	}
	w.Close('}')
}
