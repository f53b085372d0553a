package chat

import (
	"github.com/caddy-freetier/caddy-freetier/internal/llm/neutral"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/rawjson"
)

// readContent reads a string or an array of parts. Null, which assistants with calls
// have, is no content. path is what the client calls the field, for errors and for what
// is dropped.
func readContent(r *neutral.Request, path string, value rawjson.Value) ([]neutral.Part, error) {
	if value.Is('"') {
		return []neutral.Part{{Kind: neutral.Text, Text: value.Text()}}, nil
	}
	var parts []neutral.Part
	for element := range value.Elements {
		part, err := readPart(r, path, element)
		if err != nil {
			return nil, err
		}
		parts = append(parts, part)
	}
	return parts, nil
}

// readPart reads a part, which has its body in the member that its type names:
//
//	{"type":"image_url","image_url":{"url":"data:image/png;base64,…","detail":"low"}}
//
// Members beside these, such as prompt_cache_breakpoint and the cache_control that some
// clients put here for Anthropic's models, are dropped: they say how to cache, not what
// to answer. A part of an unknown type is an error, since the model would be asked about
// something it cannot see.
func readPart(r *neutral.Request, path string, value rawjson.Value) (neutral.Part, error) {
	kind := value.Get("type").Text()
	for name := range value.Members {
		if name != "type" && name != kind {
			r.Dropped.Add(path, "[].", name)
		}
	}
	body := value.Get(kind)
	switch kind {
	case "text":
		return neutral.Part{Kind: neutral.Text, Text: body.Text()}, nil
	case "refusal":
		return neutral.Part{Kind: neutral.Refusal, Text: body.Text()}, nil
	case "image_url":
		media := &neutral.MediaPart{Type: neutral.Image, Detail: body.Get("detail").Text()}
		url := body.Get("url")
		if body.Is('"') {
			url = body // as Mistral's documentation has it
		}
		media.SetURL(url.Text())
		return neutral.Part{Kind: neutral.Media, Media: media}, nil
	case "input_audio":
		media := &neutral.MediaPart{Type: neutral.Audio, Data: body.Get("data").Text(), MIME: "audio/" + body.Get("format").Text()}
		return neutral.Part{Kind: neutral.Media, Media: media}, nil
	case "video_url": // of vLLM and Qwen; only gemini has videos among the others
		media := &neutral.MediaPart{Type: neutral.Video}
		media.SetURL(body.Get("url").Text())
		return neutral.Part{Kind: neutral.Media, Media: media}, nil
	case "file":
		media := &neutral.MediaPart{Type: neutral.File, Name: body.Get("filename").Text(), FileID: body.Get("file_id").Text()}
		if data := body.Get("file_data").Text(); data != "" {
			if media.SetURL(data); media.Data == "" {
				media.Data, media.URL = data, "" // not a data URL, as the documentation has it
				media.MIME = "application/pdf"
			}
		}
		return neutral.Part{Kind: neutral.Media, Media: media}, nil
	}
	return neutral.Part{}, &neutral.UnsupportedError{Param: path, What: "content of the type " + kind, Where: []neutral.Dialect{neutral.Chat}}
}
