package caddyfileutil

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// asciiSigns are signs that input methods and word processors insert in place of
// the ASCII ones of a Caddyfile. The full-width forms of ASCII (U+FF01 to U+FF5E)
// are not listed, since they are in the order of ASCII.
var asciiSigns = map[rune]string{
	'“': `"`, '”': `"`, '„': `"`, '‘': "'", '’': "'",
	'–': "-", '—': "-", '−': "-", '。': ".", '．': ".", '、': ",", '…': "...", '【': "[", '】': "]", '￥': "$", '·': "`",
}

// fullWidth returns the first sign of a text that looks like an ASCII one, and the
// ASCII one.
func fullWidth(text string) (sign rune, ascii string, ok bool) {
	for _, r := range text {
		if r >= '！' && r <= '～' { // full-width forms, in the order of ASCII
			return r, string(r - '！' + '!'), true
		}
		if ascii, ok := asciiSigns[r]; ok {
			return r, ascii, true
		}
	}
	return 0, "", false
}

// explainSigns adds to an error the full-width sign in the line of the dispenser, if
// the error is about that line. Such a line looks right.
func explainSigns(at *caddyfile.Dispenser, err error) error {
	if err == nil || strings.Contains(err.Error(), "full-width") ||
		!strings.HasSuffix(err.Error(), fmt.Sprintf(":%d", at.Line())) {
		return err
	}
	for _, token := range lineOf(at) {
		if sign, ascii, ok := fullWidth(token.Text); ok {
			return fmt.Errorf("the line has the full-width sign %c where a Caddyfile has %s: %w", sign, ascii, err)
		}
	}
	return err
}

// lineOf returns the tokens from the dispenser's to the end of the line.
func lineOf(at *caddyfile.Dispenser) []caddyfile.Token {
	ahead := *at
	tokens := []caddyfile.Token{ahead.Token()}
	for ahead.NextArg() {
		tokens = append(tokens, ahead.Token())
	}
	return tokens
}

// checkQuotes returns an error for a value in marks that a Caddyfile does not treat
// as quotation marks: they would be a part of the value.
func checkQuotes(at *caddyfile.Dispenser) error {
	args := lineOf(at)[1:]
	for i, first := range args {
		if first.Quoted() {
			continue
		}
		for _, marks := range [][2]string{{"'", "'"}, {"“", "”"}, {"‘", "’"}, {"＂", "＂"}, {"„", "“"}} {
			begins := strings.HasPrefix(first.Text, marks[0]) && len(first.Text) > len(marks[0])
			ends := slices.ContainsFunc(args[i:], func(last caddyfile.Token) bool {
				return !last.Quoted() && strings.HasSuffix(last.Text, marks[1])
			})
			switch {
			case !begins || !ends:
			case marks[0] == "'":
				return at.Errf("%s: single quotes are part of a value; write double quotes or backticks", at.Val())
			default:
				return at.Errf(`%s: the full-width sign %s is part of a value; write double quotes (") or backticks`, at.Val(), marks[0])
			}
		}
	}
	return nil
}

// joinedURL matches a separator between URLs without white space. A comma inside a
// URL, which is valid, is not followed by a scheme.
var joinedURL = regexp.MustCompile(`[,;，；、](?:https?|h3|tls|tcp|udp)://`)

var aURL = regexp.MustCompile(`^(?:https?|tls|tcp|udp)://`)

// checkSeparators returns an error for commas and semicolons between values: they
// would be a part of the values.
func checkSeparators(at *caddyfile.Dispenser) error {
	args := lineOf(at)[1:]
	for i, arg := range args {
		// The last value may end in a comma, as in `contains swagger,`.
		isText := i == len(args)-1 && !aURL.MatchString(arg.Text)
		ends := strings.TrimRight(arg.Text, ",;，；、") != arg.Text
		if !arg.Quoted() && (ends && !isText || joinedURL.MatchString(arg.Text)) {
			return at.Errf("%s: separate values with white space; there is no comma or semicolon", at.Val())
		}
	}
	return nil
}
