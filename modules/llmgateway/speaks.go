package llmgateway

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/neutral"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/preset"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/refusal"
	"go.uber.org/zap"
)

// Speaks says in which dialects a channel can be asked, and where. Requests in
// another one are translated to the channel's first.
type Speaks struct {
	// `chat` (OpenAI's Chat Completions), `responses` (OpenAI's Responses),
	// `messages` (Anthropic's) or `gemini` (Google's own). At least one.
	Dialects []string `json:"dialects,omitempty"`

	// The base URL of these dialects, as their SDKs take it: for `chat` and
	// `responses` with the version, for `messages` what ANTHROPIC_BASE_URL takes,
	// for `gemini` with the version at the end. Default: the channel's URL.
	URL string `json:"url,omitempty"`

	// How the key is shown. Default: `x-api-key` for messages, `x-goog-api-key`
	// for gemini, else as the channel's auth.
	Auth Auth `json:"auth,omitzero"`
}

// spoken is a dialect of a channel.
//
// A channel has at most one for each dialect, in the order of the configuration or of
// the preset. The first is the one that others are translated to.
type spoken struct {
	dialect neutral.Dialect
	base    *url.URL // unset: the channel's
	auth    Auth     // empty: as the channel shows the key at that path
}

var (
	errSpeaks        = errors.New("speaks needs one of chat, responses, messages and gemini")
	errSpeaksOneBase = errors.New("a base URL holds for one dialect or, for chat and responses, two; write speaks twice")
)

// parseSpeaks reads the words of the option speaks.
func parseSpeaks(args []string) (*Speaks, error) {
	s := new(Speaks)
	for len(args) > 0 && isDialect(args[0]) {
		s.Dialects, args = append(s.Dialects, args[0]), args[1:]
	}
	if len(args) > 0 && strings.Contains(args[0], "://") {
		s.URL, args = args[0], args[1:]
	}
	if len(args) > 1 && args[0] == "auth" {
		s.Auth.Scheme, args = args[1], args[2:]
		if s.Auth.Scheme == "query" && len(args) > 0 {
			s.Auth.Parameter, args = args[0], args[1:]
		}
	}
	if len(args) > 0 {
		return nil, fmt.Errorf("speaks: %q is no dialect and no base URL; it is written speaks <chat|responses|messages|gemini>... [<base URL>] [auth <style>]", args[0])
	}
	return s, s.check()
}

func isDialect(word string) bool {
	switch neutral.Dialect(word) {
	case neutral.Chat, neutral.Responses, neutral.Messages, neutral.Gemini:
		return true
	}
	return false
}

// check reports what is wrong with the option.
//
// User and query are refused in the URL since they would be a second place for a key,
// which is not masked there; an endpoint at its end would be doubled by each request.
func (s *Speaks) check() error {
	if len(s.Dialects) == 0 {
		return errSpeaks
	}
	for _, d := range s.Dialects {
		if !isDialect(d) {
			return errSpeaks
		}
		if s.URL != "" && len(s.Dialects) > 1 && d != string(neutral.Chat) && d != string(neutral.Responses) {
			return errSpeaksOneBase
		}
	}
	if s.URL == "" {
		return s.Auth.check()
	}
	u, err := url.Parse(s.URL)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return errors.New("speaks: the base URL must look like https://api.example.com/v1, without user, query and fragment")
	}
	if endpoint := endpointAtEnd(u.Path); endpoint != "" {
		return fmt.Errorf("speaks: the base URL ends in an endpoint, %s, which requests bring along: leave it out", endpoint)
	}
	return s.Auth.check()
}

// setSpoken sets in which dialects the channel is asked.
//
// The host must be the channel's: a base elsewhere would get the key of another
// provider, and its cooldowns and refusals would count for both.
func (a *api) setSpoken(c *Channel) error {
	for _, s := range c.Speaks {
		if err := s.check(); err != nil {
			return err
		}
		for _, word := range s.Dialects {
			d := spoken{dialect: neutral.Dialect(word), auth: s.Auth}
			if slices.ContainsFunc(a.spoken, func(other spoken) bool { return other.dialect == d.dialect }) {
				return fmt.Errorf("speaks has %s twice", word)
			}
			if s.URL != "" {
				d.base, _ = url.Parse(s.URL) // check has parsed it
				d.base.Path = strings.TrimRight(d.base.Path, "/")
				if d.base.Host != a.base.Host || d.base.Scheme != a.base.Scheme {
					return fmt.Errorf("speaks: the base URL %s is at another host than the channel's; write a channel of its own", s.URL)
				}
			}
			if d.auth.Scheme == "" && a.preset == nil {
				d.auth = defaultAuth(c.Auth, d.dialect)
			}
			a.spoken = append(a.spoken, d)
		}
	}
	return a.speakAsPreset(c.Region)
}

// speakAsPreset lets a channel speak what its provider is known to, unless the
// configuration says what it speaks or where it is.
func (a *api) speakAsPreset(region string) error {
	if len(a.spoken) > 0 || a.presetURL == "" {
		return nil
	}
	bases, err := a.preset.Region(region)
	if err != nil {
		return err
	}
	for d, base := range bases.Bases {
		if base.URL != "" {
			a.spoken = append(a.spoken, spoken{dialect: neutral.Dialect(preset.Dialect(d).String())})
		}
	}
	return nil
}

// defaultAuth returns how the key is shown in a dialect where nothing else is
// said.
func defaultAuth(own Auth, d neutral.Dialect) Auth {
	switch {
	case own.Scheme != "":
		return own
	case d == neutral.Messages:
		return Auth{Scheme: "x-api-key"}
	case d == neutral.Gemini:
		return Auth{Scheme: "x-goog-api-key"}
	}
	return Auth{}
}

// dialectFor returns the dialect in which the channel is asked for a client's, and
// whether that is said at all: without speaks, everything is passed on.
func (a *api) dialectFor(client neutral.Dialect) (d *spoken, ok bool) {
	for i := range a.spoken {
		if a.spoken[i].dialect == client {
			return &a.spoken[i], true
		}
	}
	if len(a.spoken) == 0 || client == "" {
		return nil, false
	}
	return &a.spoken[0], true
}

// translatesFrom reports whether requests in a dialect are translated.
func (a *api) translatesFrom(client neutral.Dialect) bool {
	d, ok := a.dialectFor(client)
	return ok && d.dialect != client
}

// targetIn returns the URL of a request in a dialect, to the canonical path and
// query of u.
//
// The escaped path is kept beside the decoded one: names of models contain slashes,
// which clients may have written as %2F.
func (a *api) targetIn(d *spoken, u *url.URL, k *key) *url.URL {
	if d.base == nil {
		return a.target(u, k)
	}
	target := &url.URL{Scheme: d.base.Scheme, Host: d.base.Host, RawQuery: u.RawQuery}
	rest, rawRest := u.Path, u.EscapedPath()
	switch d.dialect {
	case neutral.Chat, neutral.Responses:
		rest, rawRest = withoutVersion(rest), withoutVersion(rawRest)
	case neutral.Gemini:
		version := geminiVersion(u.Path)
		rest, rawRest = strings.TrimPrefix(rest, version), strings.TrimPrefix(rawRest, version)
	}
	target.Path = d.base.Path + rest
	if u.RawPath != "" {
		target.RawPath = d.base.EscapedPath() + rawRest
	}
	return a.withAccount(target, k)
}

// showKeyIn puts the key into a request in a dialect, to a canonical path.
func (a *api) showKeyIn(out *http.Request, d *spoken, path string, k *key) {
	if d.auth.Scheme == "" || d.auth == a.auth {
		a.showKey(out, path, k)
		return
	}
	name, value := d.auth.header(k.secret)
	d.auth.apply(out, k, name, []string{value})
}

// adviseSpeaks says once that a channel without speaks does not know a client's
// dialect.
//
// It is called after a 404 or 405 to a dialect's path. Once per channel and
// configuration is enough, as the remedy does not change with the next request.
func (a *api) adviseSpeaks(channel string, client neutral.Dialect, logger *zap.Logger) {
	if client == "" || len(a.spoken) > 0 || a.advised.Swap(true) {
		return
	}
	speaks := neutral.Chat
	if client == neutral.Chat {
		speaks = neutral.Responses
	}
	logger.Warn("channel does not know this dialect; say which it speaks, so that requests are translated",
		zap.String("channel", channel), zap.String("dialect", string(client)), zap.String("for example", "speaks "+string(speaks)))
}

// listDialect is the dialect in which the channel is asked for its models: one of
// OpenAI's where it speaks one, else the first, whose list may be the only one.
func (a *api) listDialect() (d spoken) {
	for _, d := range a.spoken {
		if d.dialect == neutral.Chat || d.dialect == neutral.Responses {
			return d
		}
	}
	if len(a.spoken) > 0 {
		d = a.spoken[0]
	}
	return d
}

// checkDialect is the dialect in which the channel's keys are checked: chat, or
// the first one that it speaks. Without speaks the way in which the key is shown
// tells which one that is.
func (a *api) checkDialect() spoken {
	for _, d := range a.spoken {
		if d.dialect == neutral.Chat {
			return d
		}
	}
	switch {
	case len(a.spoken) > 0:
		return a.spoken[0]
	case a.auth.Scheme == "x-api-key":
		return spoken{dialect: neutral.Messages}
	case a.auth.Scheme == "x-goog-api-key", a.provider == refusal.Gemini && !strings.HasSuffix(a.base.Path, "/openai"):
		return spoken{dialect: neutral.Gemini}
	}
	return spoken{dialect: neutral.Chat}
}
