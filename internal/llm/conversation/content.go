package conversation

import (
	"bytes"

	"github.com/cespare/xxhash/v2"
)

// id returns the hash of the id that comes next: a string.
func (c *cursor) id() (hash uint64, ok bool) {
	if c.next() != '"' {
		c.skip()
		return 0, false
	}
	raw := c.str()
	if !isID(string(raw)) {
		return 0, false
	}
	return hashText(raw), true
}

// idIn returns the id that is a member of the object that comes next. Of several
// names the first one counts.
func (c *cursor) idIn(names ...string) (hash uint64, ok bool) {
	best := len(names)
	c.members(func(key []byte) {
		for i, name := range names[:best] {
			if !is(key, name) || c.next() != '"' {
				continue
			}
			raw := c.str()
			if name == "user_id" {
				raw = sessionOf(raw)
			}
			if isID(string(raw)) {
				hash, best = hashText(raw), i
			}
			return
		}
		c.skip()
	})
	return hash, best < len(names)
}

// sessionOf returns the id of the session in the id that Claude Code gives its
// user, and nothing for another one: a user has many conversations. It is
// {"device_id":"…","account_uuid":"…","session_id":"…"}, escaped, or in older
// versions user_…_account_…_session_….
func sessionOf(raw []byte) []byte {
	if _, session, ok := bytes.Cut(raw, []byte("_session_")); ok {
		return session
	}
	_, rest, ok := bytes.Cut(raw, []byte(`\"session_id\":`))
	if !ok {
		return nil
	}
	if _, rest, ok = bytes.Cut(rest, []byte(`\"`)); !ok {
		return nil
	}
	session, _, _ := bytes.Cut(rest, []byte(`\"`))
	return session
}

// messages returns the hash of the messages that come next, up to the first
// one of the user: a list of them, or a text. ok is false if there is none.
//
// Later messages are not read: the hash must be the same in the next turn, which has
// more.
func (c *cursor) messages() (hash uint64, ok bool) {
	add := func(h uint64, found bool) {
		if found {
			hash, ok = join(hash, h), true
		}
	}
	switch c.next() {
	case '[':
		c.elements(func() bool {
			h, found, fromUser := c.message()
			add(h, found)
			return !fromUser
		})
	case '{':
		h, found, _ := c.message()
		add(h, found)
	default:
		add(c.content())
	}
	return hash, ok
}

// message returns the hash of what the message that comes next says, whether that
// is anything, and whether it is the user's. Neither its id nor its state count,
// which the provider and the client add later.
func (c *cursor) message() (hash uint64, ok, fromUser bool) {
	if c.next() != '{' {
		hash, ok = c.content()
		return hash, ok, true
	}
	fromUser = true // as in Gemini's dialect, where a single message needs no role
	c.members(func(key []byte) {
		switch {
		case is(key, "role") && c.next() == '"':
			fromUser = is(c.str(), "user")
		case isContent(key):
			if h, found := c.content(); found {
				hash, ok = h, true
			}
		default:
			c.skip()
		}
	})
	return hash, ok, fromUser && ok
}

// content returns the hash of the content that comes next: a text, a list of
// parts, or an object with such a list. A text is the same as a list with that
// text alone: clients change one into the other when they mark it for the cache.
func (c *cursor) content() (hash uint64, ok bool) {
	switch c.next() {
	case '"':
		return join(0, hashText(c.str())), true
	case '[':
		c.elements(func() bool {
			hash, ok = join(hash, c.part()), true
			return true
		})
	case '{':
		c.members(func(key []byte) {
			if !isContent(key) {
				c.skip()
				return
			}
			if h, found := c.content(); found {
				hash, ok = h, true
			}
		})
	default:
		c.skip()
	}
	return hash, ok
}

// part returns the hash of a part of a message: of its text, or of all of it.
func (c *cursor) part() (hash uint64) {
	if c.next() != '{' {
		return c.hash()
	}
	isText := false
	c.members(func(key []byte) {
		switch {
		case is(key, "text") && c.next() == '"':
			hash, isText = hashText(c.str()), true
		case isText || isMarker(key):
			c.skip()
		default:
			hash += member(key, c.hash())
		}
	})
	return hash
}

// hash returns the hash of any value. The order of an object's keys does not
// matter.
//
// The numbers 1 and 2 that are joined at the end tell an empty list from an empty
// object.
func (c *cursor) hash() (hash uint64) {
	switch c.next() {
	case '"':
		return hashText(c.str())
	case '[':
		c.elements(func() bool {
			hash = join(hash, c.hash())
			return true
		})
		return join(hash, 1)
	case '{':
		c.members(func(key []byte) {
			if isMarker(key) {
				c.skip()
				return
			}
			hash += member(key, c.hash())
		})
		return join(hash, 2)
	case 0, '}', ']', ',', ':':
		return 0 // the text breaks off
	}
	return xxhash.Sum64(c.scalar())
}

// member returns the hash of a member of an object.
func member(key []byte, value uint64) uint64 { return join(hashText(key), value) }

// isMarker reports whether a key marks where the prompt is cached up to. Clients
// move it to the last messages with each turn.
func isMarker(key []byte) bool {
	return is(key, "cache_control") || is(key, "prompt_cache_breakpoint")
}

// isContent reports whether a key of a message is that of what it says.
func isContent(key []byte) bool { return is(key, "content") || is(key, "parts") }

// is reports whether a string, given as it is written, is the text.
func is(raw []byte, text string) bool {
	return string(raw) == text || bytes.IndexByte(raw, '\\') >= 0 && hashText(raw) == xxhash.Sum64String(text)
}
