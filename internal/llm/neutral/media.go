package neutral

import "strings"

// SetURL sets where a media part is: at a URL, or in one (data:image/png;base64,…).
//
// A data URL that is not base64 stays a URL, as the client has written it.
func (m *MediaPart) SetURL(url string) {
	rest, ok := strings.CutPrefix(url, "data:")
	if !ok {
		m.URL = url
		return
	}
	header, data, ok := strings.Cut(rest, ",")
	kind, isBase64 := strings.CutSuffix(header, ";base64")
	if !ok || !isBase64 {
		m.URL = url
		return
	}
	mime, _, _ := strings.Cut(kind, ";")
	if mime != "" {
		m.MIME = mime
	}
	m.Data = data
}

// AsURL returns the URL of a media part, with the data in it if there is no other.
func (m *MediaPart) AsURL() string {
	if m.Data == "" {
		return m.URL
	}
	return "data:" + m.MIMEOr("application/octet-stream") + ";base64," + m.Data
}

// MIMEOr returns the MIME type, or another one if it is unknown.
func (m *MediaPart) MIMEOr(other string) string {
	if m.MIME == "" {
		return other
	}
	return m.MIME
}

// Noun is what a media part is called in a text that stands for it.
func (m *MediaPart) Noun() string {
	switch m.Type {
	case Image:
		return "image"
	case Audio:
		return "audio"
	case Video:
		return "video"
	}
	return "file"
}

// WithArticle is Noun with its article.
func (m *MediaPart) WithArticle() string {
	switch m.Type {
	case Image:
		return "an image"
	case Audio:
		return "audio"
	}
	return "a " + m.Noun()
}

// MediaOfMIME returns what data of a MIME type holds.
func MediaOfMIME(mime string) MediaType {
	switch {
	case strings.HasPrefix(mime, "image/"):
		return Image
	case strings.HasPrefix(mime, "audio/"):
		return Audio
	case strings.HasPrefix(mime, "video/"):
		return Video
	}
	return File
}

// Portable returns an error if a media part can be read only where it was
// uploaded.
//
// from is the client's dialect, whose provider is the only one that knows the file.
func (m *MediaPart) Portable(from Dialect) error {
	if m.FileID == "" || m.Data != "" || m.URL != "" {
		return nil
	}
	return &UnsupportedError{Param: "file_id", What: "a file that was uploaded to one provider", Where: []Dialect{from}}
}
