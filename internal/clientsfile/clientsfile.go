// Package clientsfile reads and writes the file of the option `clients_file` of
// llm_gateway: a JSON array of clients, each with the SHA-256 of its key. The
// gateway reads it, and the command `caddy freetier client` writes it.
//
//	[
//		{
//			"name": "alice",
//			"key_sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
//			"models": ["gpt-*"],
//			"limits": ["1000/day", "1M tokens/month"],
//			"expires": "2027-01-31T00:00:00Z"
//		}
//	]
//
// The hash is a plain SHA-256 and not a password hash: keys are random (NewKey), so
// that a dictionary does not help, and the gateway computes it for every request.
//
// Errors contain no value of the file except valid names: people put keys where
// hashes belong.
package clientsfile

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"

	"github.com/caddy-freetier/caddy-freetier/internal/quota"
	"github.com/caddy-freetier/caddy-freetier/internal/regularfile"
)

// largest is the maximum size of the file, in bytes. It bounds the memory for a
// file that is not what it should be.
const largest = 16 << 20

// maxLimits bounds the limits of a client, all of which are counted at each request.
const maxLimits = 100

// Client is an entry of the file.
type Client struct {
	// Name identifies the client in logs, metrics, limits and errors. Required,
	// unique, at most 128 bytes without white space.
	Name string `json:"name"`

	// KeySHA256 is the SHA-256 of the client's key. Required, and unique.
	KeySHA256 Hash `json:"key_sha256"`

	// Models are the names of models that the client may request; `*` stands for
	// any characters. Default: all.
	Models []string `json:"models,omitempty"`

	// Limits are written as in a Caddyfile: 1000/day, 1M tokens/month. All of
	// them apply. At most 100. Default: none.
	Limits []Limit `json:"limits,omitempty"`

	// Expires is when the key becomes invalid. Default: never.
	Expires time.Time `json:"expires,omitzero"`
}

// Hash is the SHA-256 of a key. Its text is 64 hexadecimal digits. The zero value
// stands for a missing hash.
type Hash [sha256.Size]byte

// HashOf returns the hash of a key.
func HashOf(key string) Hash { return sha256.Sum256([]byte(key)) }

// MarshalText implements encoding.TextMarshaler.
func (h Hash) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, h[:]), nil }

var errHash = errors.New("key_sha256 is the SHA-256 of the key in 64 hexadecimal digits, as printf %s KEY | sha256sum shows it; never the key itself")

// UnmarshalText implements encoding.TextUnmarshaler.
func (h *Hash) UnmarshalText(text []byte) error {
	if len(text) != 2*len(h) {
		return errHash
	}
	if _, err := hex.Decode(h[:], text); err != nil {
		return errHash
	}
	return nil
}

// Limit is how much a client may use in a period. Its JSON is a string in the
// syntax of the option `limit`. An object as in Caddy's JSON configuration is read
// too, so that entries can be copied from there.
type Limit struct{ quota.Quota }

// MarshalJSON implements json.Marshaler.
func (l Limit) MarshalJSON() ([]byte, error) { return json.Marshal(l.String()) }

// UnmarshalJSON implements json.Unmarshaler.
func (l *Limit) UnmarshalJSON(text []byte) error {
	var words string
	if json.Unmarshal(text, &words) == nil {
		parsed, err := ParseLimit(words)
		l.Quota = parsed.Quota
		return err
	}
	decoder := json.NewDecoder(strings.NewReader(string(text)))
	decoder.DisallowUnknownFields()
	if decoder.Decode(&l.Quota) != nil {
		return errors.New(`a limit is written like "1000/day" or "1M tokens/month"`)
	}
	if l.Account != "" || l.Zone != "" {
		return errors.New("a limit has neither an account nor a time zone")
	}
	return l.Validate()
}

// ParseLimit reads a limit in the syntax of the option `limit`.
func ParseLimit(words string) (Limit, error) {
	parsed, err := quota.ParseLimit(strings.Fields(words))
	if err != nil {
		return Limit{}, fmt.Errorf("limit %w", err)
	}
	return Limit{*parsed}, nil
}

// NewKey returns a new random key with 130 bits of randomness.
func NewKey() string { return KeyPrefix + rand.Text() }

// KeyPrefix is the beginning of keys from NewKey. Scanners for leaked keys can
// recognise it, and programs that require a key in OpenAI's form accept it.
const KeyPrefix = "sk-ft-"

// Read reads a file. If it does not exist, the error is fs.ErrNotExist.
func Read(path string) ([]Client, error) {
	file, _, err := regularfile.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, largest+1))
	switch {
	case err != nil:
		return nil, err
	case len(text) > largest:
		return nil, fmt.Errorf("%s is larger than 16 MB", path)
	}
	clients, err := Parse(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return clients, nil
}

// checkName returns an error for a name that is missing or unsuitable for logs.
func checkName(name string) error {
	switch {
	case name == "":
		return errors.New("it has no name")
	case len(name) > longestName:
		return fmt.Errorf("its name is longer than %d bytes", longestName)
	case strings.ContainsFunc(name, func(r rune) bool { return unicode.IsControl(r) || unicode.IsSpace(r) || r == unicode.ReplacementChar }):
		return errors.New("its name has white space or control characters in it")
	}
	return nil
}

// longestName is the maximum length of a name, in bytes.
const longestName = 128

// Check returns an error if a required field is missing or a name is invalid.
func (c *Client) Check() error {
	if err := checkName(c.Name); err != nil {
		return err
	}
	if c.KeySHA256 == (Hash{}) {
		return errors.New("it has no key_sha256")
	}
	return nil
}
