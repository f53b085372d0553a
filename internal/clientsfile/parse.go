package clientsfile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"time"
)

// entryError is an error in one entry of the file.
type entryError struct {
	number int    // from 1
	name   string // empty if it is not valid
	line   int    // in which the entry begins, from 1
	err    error
}

func (e *entryError) Error() string {
	name := ""
	if e.name != "" {
		name = fmt.Sprintf(" (%s)", e.name)
	}
	return fmt.Sprintf("entry %d%s, line %d: %v", e.number, name, e.line, e.err)
}

func (e *entryError) Unwrap() error { return e.err }

var errNoArray = errors.New(`the file is a JSON array of clients: [{"name": "alice", "key_sha256": "…"}]`)

// Parse reads the text of a file. An empty text is an empty list, since editors and
// `touch` make such files. Unknown fields, fields given twice, and two clients with
// the same name or key are errors.
func Parse(text []byte) ([]Client, error) {
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	if len(bytes.TrimSpace(text)) == 0 {
		return nil, nil
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	if start, err := decoder.Token(); err != nil || start != json.Delim('[') {
		return nil, errNoArray
	}
	var clients []Client
	first := make(map[string]int) // the number of the entry, by name and by hash
	for decoder.More() {
		number, begins := len(clients)+1, decoder.InputOffset()
		var raw json.RawMessage
		if err := decoder.Decode(&raw); err != nil {
			return nil, &entryError{number: number, line: lineAt(text, begins), err: syntaxError(err)}
		}
		client, err := parseClient(raw)
		if err == nil {
			err = client.Check()
		}
		if err == nil {
			err = unique(first, client, number)
		}
		if err != nil {
			return nil, &entryError{number: number, line: lineAt(text, begins), name: printableName(client.Name), err: err}
		}
		clients = append(clients, client)
	}
	if _, err := decoder.Token(); err != nil {
		return nil, fmt.Errorf("line %d: %w", lineAt(text, decoder.InputOffset()), syntaxError(err))
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("line %d: there is text after the array", lineAt(text, decoder.InputOffset()))
	}
	return clients, nil
}

// unique returns an error for a client with the name or key of an earlier entry.
func unique(first map[string]int, c Client, number int) error {
	name, key := "name "+c.Name, "key "+string(c.KeySHA256[:])
	switch {
	case first[name] > 0:
		return fmt.Errorf("entry %d has the same name", first[name])
	case first[key] > 0:
		return fmt.Errorf("entry %d has the same key", first[key])
	}
	first[name], first[key] = number, number
	return nil
}

// lineAt returns the line in which the next value after an offset begins.
func lineAt(text []byte, offset int64) int {
	rest := bytes.TrimLeft(text[offset:], " \t\r\n,")
	return 1 + bytes.Count(text[:len(text)-len(rest)], []byte("\n"))
}

// syntaxError returns an error for invalid JSON. Errors of encoding/json quote the
// text, which may be a key.
func syntaxError(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("the file ends in the middle")
	}
	return errors.New("this is not valid JSON (is a comma, a quotation mark or a bracket missing?)")
}

// parseClient reads an entry. Other than encoding/json it compares names of fields
// exactly, and refuses a field that is given twice: of two lists of limits only the
// last would apply.
func parseClient(raw []byte) (c Client, err error) {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	if start, err := decoder.Token(); err != nil || start != json.Delim('{') {
		return c, errors.New(`an entry is an object: {"name": "alice", "key_sha256": "…"}`)
	}
	given := make(map[string]bool)
	for decoder.More() {
		field, err := decoder.Token()
		if err != nil {
			return c, syntaxError(err)
		}
		var value json.RawMessage
		if err := decoder.Decode(&value); err != nil {
			return c, syntaxError(err)
		}
		name := field.(string)
		if given[name] {
			return c, fmt.Errorf("the field %s is given twice", name)
		}
		known, err := c.set(name, value)
		if !known {
			return c, unknownField(name)
		}
		if err != nil {
			return c, err
		}
		given[name] = true
	}
	return c, nil
}

// set sets a field, and reports whether there is a field of this name.
func (c *Client) set(name string, value []byte) (known bool, err error) {
	form := ""
	switch name {
	case "name":
		err, form = json.Unmarshal(value, &c.Name), "a text"
	case "key_sha256":
		if err := json.Unmarshal(value, &c.KeySHA256); err != nil || c.KeySHA256 == (Hash{}) {
			return true, errHash
		}
	case "models":
		err, form = json.Unmarshal(value, &c.Models), `an array of names or patterns, such as ["gpt-*"]; without the field: all`
		if err == nil && len(c.Models) == 0 {
			err = errEmpty
		}
	case "limits":
		var limits []json.RawMessage
		err, form = json.Unmarshal(value, &limits), `an array such as ["1000/day", "1M tokens/month"]`
		if len(limits) > maxLimits {
			return true, fmt.Errorf("more than %d limits", maxLimits)
		}
		for _, text := range limits {
			var limit Limit
			if err := limit.UnmarshalJSON(text); err != nil {
				return true, err
			}
			c.Limits = append(c.Limits, limit)
		}
	case "expires":
		var text string
		err, form = json.Unmarshal(value, &text), "a time such as 2027-01-31T00:00:00Z"
		if err == nil {
			c.Expires, err = time.Parse(time.RFC3339, text)
		}
	default:
		return false, nil
	}
	if err != nil {
		return true, fmt.Errorf("%s is %s", name, form)
	}
	return true, nil
}

// errEmpty is for an empty list of models: some would read it as none and some as
// all.
var errEmpty = errors.New("the list is empty")

// plainField matches names of fields that cannot be keys.
var plainField = regexp.MustCompile(`^[A-Za-z_]{1,16}[0-9]{0,3}$`)

// unknownField returns the error for an unknown field. It contains the name only if
// that cannot be a key.
func unknownField(name string) error {
	const fields = "there are name, key_sha256, models, limits and expires"
	switch {
	case name == "key" || name == "keys" || name == "api_key":
		return fmt.Errorf("unknown field %s: the file contains no keys; write key_sha256, the SHA-256 of the key in hexadecimal digits", name)
	case plainField.MatchString(name):
		return fmt.Errorf("unknown field %s; %s", name, fields)
	}
	return fmt.Errorf("it has an unknown field; %s", fields)
}

// printableName returns a name for an error, and "" for an invalid one.
func printableName(name string) string {
	if checkName(name) != nil {
		return ""
	}
	return strings.ToValidUTF8(name, "")
}
