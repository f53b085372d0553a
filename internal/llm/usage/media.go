package usage

import (
	"bytes"
	"encoding/base64"
)

// mediaHead is how much of a string shows what it is: the beginning of a data
// URL and the first bytes of a file.
const mediaHead = 128

type mediaKind uint8

const (
	noMedia    mediaKind = iota
	isMedia              // an image, sound or film
	isDocument           // a PDF, of which the text is read too
)

// magics are the first bytes of the files that models take.
var magics = []string{
	"\x89PNG", "\xff\xd8\xff", "GIF8", "RIFF", "BM", "II*\x00", "MM\x00*", // images; RIFF is sound too
	"ID3", "\xff\xfb", "\xff\xf3", "\xff\xf2", "\xff\xf1", "\xff\xf9", "fLaC", "OggS", "FORM", // sound
	"\x1a\x45\xdf\xa3", "FLV", "\x00\x00\x01\xba", "\x00\x00\x01\xb3", // films
}

// mediaOf tells by the beginning of a string in base64, which may be a data URL,
// what it is. What only claims to be an image costs what its text costs.
func mediaOf(head []byte) mediaKind {
	if bytes.HasPrefix(head, []byte("data:")) {
		_, head, _ = bytes.Cut(head, []byte(","))
	}
	var file [48]byte
	head = head[:min(len(head), 64)&^3]
	n, err := base64.StdEncoding.Decode(file[:], head)
	if err != nil {
		n, _ = base64.URLEncoding.Decode(file[:], head)
	}
	start := file[:n]
	if bytes.HasPrefix(start, []byte("%PDF")) {
		return isDocument
	}
	if n > 8 && string(start[4:8]) == "ftyp" { // MP4, M4A, HEIC, AVIF
		return isMedia
	}
	for _, magic := range magics {
		if bytes.HasPrefix(start, []byte(magic)) {
			return isMedia
		}
	}
	return noMedia
}
