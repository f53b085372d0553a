// Package capability compares what a model can do with what a request needs: how
// many tokens, which media, and tools.
//
//	needs := capability.NeedsOf(body) // of a request in any dialect
//	if !limits.Fits(&needs) {
//		return limits.Lack(&needs) // "takes no images"
//
// The limits are what a Caddyfile says of the models of a channel; no provider is asked
// for them, and there is no list of models that would have to be kept up to date. A
// candidate that a request does not fit is passed over without an attempt, since the
// refusal would be certain. When none is left, the client gets a 400 that says what each
// lacks.
//
// Whatever is not known counts as fitting: a limit that is not set, a field that is not
// recognised, a body that is no JSON. A wrong "fits" costs one attempt, after which the
// provider's own refusal decides; a wrong "lacks" would refuse a request that can be
// served.
package capability

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Medium is a kind of input. The words are those of the option takes in the Caddyfile
// and of its JSON.
type Medium string

// The media.
const (
	Text  Medium = "text"
	Image Medium = "image"
	Audio Medium = "audio"
	Video Medium = "video"
	File  Medium = "file"
)

// Media are all of them, in the order in which errors and the documentation list them.
var Media = []Medium{Text, Image, Audio, Video, File}

// Limits are what a model can do at most. Zero values set no limit.
type Limits struct {
	// How many tokens input and output may have together. Default: no limit is known.
	Context int64 `json:"context,omitempty"`

	// How many tokens of output a request may ask for. Default: no limit is known.
	Output int64 `json:"output,omitempty"`

	// What the input may consist of: `text`, `image`, `audio`, `video`, `file`.
	// Default: anything.
	Takes []Medium `json:"takes,omitempty"`

	// The model takes no tools. Default: false.
	NoTools bool `json:"no_tools,omitempty"`
}

// Any reports whether there is a limit. Where no model has one, the gateway does not read
// a request for what it needs.
func (l *Limits) Any() bool {
	return l.Context > 0 || l.Output > 0 || len(l.Takes) > 0 || l.NoTools
}

var (
	errTokens = errors.New("context and output take a number of tokens, such as 8192 or 128k")
	errTakes  = errors.New("takes lists some of text, image, audio, video and file, each once")
)

// Check reports what is wrong with the limits. The Caddyfile's parser calls it for takes,
// so that the error names the line, and Provision for all of them.
func (l *Limits) Check() error {
	if l.Context < 0 || l.Output < 0 {
		return errTokens
	}
	for i, m := range l.Takes {
		if !slices.Contains(Media, m) || slices.Contains(l.Takes[:i], m) {
			return errTakes
		}
	}
	return nil
}

// ParseTokens reads a number of tokens, which may be written with k or M: 8192,
// 128k, 1M. They are decimal: 128k is 128,000, also of a model that takes 131,072. Zero is
// an error and not "no limit", which is said by leaving the option out.
func ParseTokens(word string) (int64, error) {
	digits, factor := word, int64(1)
	switch {
	case strings.HasSuffix(word, "k"), strings.HasSuffix(word, "K"):
		digits, factor = word[:len(word)-1], 1000
	case strings.HasSuffix(word, "M"):
		digits, factor = word[:len(word)-1], 1_000_000
	}
	n, err := strconv.ParseUint(digits, 10, 63)
	if err != nil || n == 0 || int64(n) > math.MaxInt64/factor {
		return 0, fmt.Errorf("%q: %w", word, errTokens)
	}
	return int64(n) * factor, nil
}

// Needs are what a request needs of a model.
type Needs struct {
	Input  int64    // tokens, an estimate; the caller sets it, if a context is known
	Output int64    // tokens that it asks for at most, 0 if it does not say
	Media  []Medium // beside text, each once, in the order of the body
	Tools  bool     // at least one is declared; an empty list is none
}

// Tolerance is by how much an estimate of the input must exceed a context before a
// request counts as too long: the provider counts exactly, with the model's own
// tokenizer. A request between the context and this is sent, and the provider's refusal
// moves it on to a model with a larger context.
const Tolerance = 1.25

// Fits reports whether the model lacks nothing for a request.
func (l *Limits) Fits(n *Needs) bool {
	_, ok := l.medium(n)
	return ok && !(l.NoTools && n.Tools) && !l.isExceeded(n) && !l.isTooLong(n)
}

// medium returns the first medium that the model does not take, and false, or true.
func (l *Limits) medium(n *Needs) (m Medium, ok bool) {
	if len(l.Takes) > 0 {
		for _, m := range n.Media {
			if !slices.Contains(l.Takes, m) {
				return m, false
			}
		}
	}
	return "", true
}

// isExceeded compares what a request asks for, not what it will get: many providers
// refuse a max_tokens above the model's with a 400 and do not lower it.
func (l *Limits) isExceeded(n *Needs) bool { return l.Output > 0 && n.Output > l.Output }

func (l *Limits) isTooLong(n *Needs) bool {
	return l.Context > 0 && float64(n.Input) > float64(l.Context)*Tolerance
}

// IsTooLong reports whether nothing but the context is too small for a request. If that
// holds for all candidates, the error has the code context_length_exceeded, at which
// agents shorten the conversation and ask again. With an image that no model takes, that
// would not help.
func (l *Limits) IsTooLong(n *Needs) bool {
	fitting := *n
	fitting.Input = 0
	return l.isTooLong(n) && l.Fits(&fitting)
}

// Lack says what the model lacks for a request, as in "takes no images", "" for
// nothing. The gateway puts model and channel before it. Of several lacks the first is
// named.
func (l *Limits) Lack(n *Needs) string {
	m, ok := l.medium(n)
	switch {
	case !ok:
		return "takes no " + plural(m)
	case l.NoTools && n.Tools:
		return "takes no tools"
	case l.isExceeded(n):
		return fmt.Sprintf("has an output of %d tokens at most, and the request asks for %d", l.Output, n.Output)
	case l.isTooLong(n):
		return fmt.Sprintf("has a context of %d tokens, and the request has about %d", l.Context, n.Input)
	}
	return ""
}

func plural(m Medium) string {
	if m == Audio || m == Text {
		return string(m)
	}
	return string(m) + "s"
}
