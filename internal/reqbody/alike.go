package reqbody

import (
	"html"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Alike reports whether some parser may take name for field. Parsers differ in
// letter case, in characters that they drop or replace (invalid bytes, NUL,
// zero-width and other invisible ones, accents, full-width letters), in white
// space around a name, in where they cut it (at a NUL, a bracket, a dot) and in
// encodings that they undo. A name of ASCII letters, digits and underscores is
// like another one only by letter case.
//
// Examples for the field model: Model, "model\x00", model[], mode\u200bl, ｍｏｄｅｌ,
// %6dodel, &#109;odel, \u006dodel. It errs on the side of being alike: such a body is
// refused, and no real API has a field that is this close to another one.
func Alike(name, field string) bool {
	if isPlainName(name) {
		return strings.EqualFold(name, field)
	}
	if strings.Contains(name, "=?") {
		return true // an encoded word (RFC 2047), whatever it says
	}
	return isAlikeWithin(name, field, maxEncodings)
}

// maxEncodings is how many encodings on top of each other are undone. Nobody
// writes more of them by accident.
const maxEncodings = 4

// isAlikeWithin is Alike for a name that may be encoded so many times. Each layer is
// undone in the name as it is and in the name without its special characters, since a
// decoder may drop those first. A name that is still encoded after the last layer
// counts as alike.
func isAlikeWithin(name, field string, encodings int) bool {
	if foldsTo(name, field) || strings.Contains(name, `\`) && foldsTo(unescapeName(name, true), field) {
		return true
	}
	variants := []string{name, strings.Map(dropSpecial, name)}
	for i, variant := range variants {
		decoded := decodeName(variant)
		if decoded == variant || i > 0 && variant == name {
			continue
		}
		if encodings == 0 || isAlikeWithin(decoded, field, encodings-1) {
			return true
		}
	}
	return false
}

// dropSpecial drops all but the printable characters of ASCII.
func dropSpecial(c rune) rune {
	if c <= ' ' || c >= 0x7f {
		return -1
	}
	return c
}

func isPlainName(name string) bool {
	for i := range len(name) {
		if c := name[i]; !isAlphanumeric(rune(c)) && c != '_' {
			return false
		}
	}
	return true
}

// decodeName undoes one layer of the encodings that names come in: percent
// signs, HTML's references and backslashes.
func decodeName(name string) string {
	return html.UnescapeString(unescapeName(name, false))
}

// unescapeName undoes %6d, %u006d, \x6d and \u006d. Of another character behind a
// backslash it leaves that, or, where that may stand for a control character as
// in C, nothing.
func unescapeName(name string, likeC bool) string {
	if !strings.ContainsAny(name, `%\`) {
		return name
	}
	var b strings.Builder
	for i := 0; i < len(name); i++ {
		c := name[i]
		if c != '%' && c != '\\' {
			b.WriteByte(c)
			continue
		}
		if value, n := hexAfter(name[i+1:], c == '%'); n > 0 {
			b.WriteRune(value)
			i += n
		} else if c == '%' {
			b.WriteByte(c)
		} else if likeC && i+1 < len(name) && strings.IndexByte("abefnrtv0", name[i+1]) >= 0 {
			i++
		}
	}
	return b.String()
}

// hexAfter reads the digits behind a percent sign or a backslash, and returns
// how many bytes there are of them.
//
// n is 0 if there is no number: the sign then stands for itself.
func hexAfter(s string, percent bool) (value rune, n int) {
	digits := 2
	switch {
	case s == "":
		return 0, 0
	case s[0]|0x20 == 'u':
		n, digits = 1, 4
	case s[0]|0x20 == 'x' && !percent:
		n = 1
	case !percent:
		return 0, 0
	}
	if len(s) < n+digits {
		return 0, 0
	}
	parsed, err := strconv.ParseUint(s[n:n+digits], 16, 32)
	if err != nil {
		return 0, 0
	}
	return rune(parsed), n + digits
}

// foldsTo reports whether name is field to a parser that drops or folds
// characters, or to one that ends a name at the first special one.
func foldsTo(name, field string) bool {
	return matchesFolded(name, field) || matchesFolded(firstWord(name), field) ||
		matchesFolded(firstWord(strings.Map(dropControls, name)), field)
}

// dropControls drops white space and control characters of ASCII.
func dropControls(c rune) rune {
	if c <= ' ' || c == 0x7f {
		return -1
	}
	return c
}

// firstWord returns the first run of characters that may be part of a name in
// most languages.
func firstWord(name string) string {
	isPart := func(c rune) bool { return c >= utf8.RuneSelf || isAlphanumeric(c) || c == '_' || c == '-' }
	start := strings.IndexFunc(name, isPart)
	if start < 0 {
		return ""
	}
	name = name[start:]
	if end := strings.IndexFunc(name, func(c rune) bool { return !isPart(c) }); end >= 0 {
		return name[:end]
	}
	return name
}

// matchesFolded compares letters and digits. Other characters are dropped, of
// which those that are not ASCII may stand for up to two letters instead (ß and
// ﬆ do), so that no tables of Unicode's many equivalences are needed.
//
// It is a small nondeterministic automaton: all ways to read the name run at once, one
// bit each. A field of more than 63 letters is compared without.
func matchesFolded(name, field string) bool {
	want := make([]byte, 0, len(field))
	for i := range len(field) {
		if c := field[i]; isAlphanumeric(rune(c)) {
			want = append(want, lower(c))
		} else if c >= utf8.RuneSelf {
			return strings.EqualFold(name, field) // of no use to us, but a policy may route by it
		}
	}
	if len(want) == 0 || len(want) > 63 {
		return strings.EqualFold(name, field)
	}
	// A bit for each number of letters of the field that may have been read.
	read := uint64(1)
	for _, c := range name {
		switch {
		case isAlphanumeric(c):
			next := uint64(0)
			for i, w := range want {
				if w == lower(byte(c)) && read>>i&1 == 1 {
					next |= 1 << (i + 1)
				}
			}
			read = next
		case c < utf8.RuneSelf: // dropped
		case mayBeLatin(c):
			read |= read<<1 | read<<2
		}
	}
	return read>>len(want)&1 == 1
}

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c | 0x20
	}
	return c
}

// mayBeLatin reports whether some folding makes Latin letters of a character
// that is not ASCII: of all but the letters of other scripts.
//
// Full-width letters are in Latin, mathematical ones in Common, accents in Inherited. A
// letter of, say, Cyrillic is no Latin one to any folding, however much it looks like
// it.
func mayBeLatin(c rune) bool {
	return !unicode.IsLetter(c) || unicode.In(c, unicode.Latin, unicode.Common, unicode.Inherited, unicode.Other_Default_Ignorable_Code_Point)
}

// isReadable reports whether all parsers read a name alike: it is valid Unicode
// without replaced characters and NULs.
func isReadable(name string) bool {
	return utf8.ValidString(name) && !strings.ContainsRune(name, utf8.RuneError) && strings.IndexByte(name, 0) < 0
}

// IsPlainText reports whether a value is what all parsers read, with nothing in
// it that some drop, trim or do not show: control and format characters,
// separators of lines, white space around it, what is not Unicode.
//
// The gateway checks the model's name with it, wherever it stands: two names that look
// the same in a list of allowed models and in a log must be the same.
func IsPlainText(value string) bool {
	return utf8.ValidString(value) && strings.TrimSpace(value) == value && !strings.ContainsFunc(value, isInvisible)
}

func isInvisible(c rune) bool {
	if c < utf8.RuneSelf {
		return c < ' ' || c == 0x7f
	}
	return c == utf8.RuneError || unicode.In(c, unicode.C, unicode.Zl, unicode.Zp, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
}
