package caddyfileutil

import (
	"fmt"
	"strings"
	"testing"
)

// Each sign that looks like one in ASCII is named, with that one, when its line
// is wrong.
func TestFullWidthSigns(t *testing.T) {
	signs := make(map[rune]string)
	for r := '！'; r <= '～'; r++ {
		signs[r] = string(r - '！' + '!')
	}
	for r, ascii := range asciiSigns {
		signs[r] = ascii
	}
	for r, ascii := range signs {
		says := fmt.Sprintf("the full-width sign %c", r)
		for _, line := range []string{"number 1%c", "duration 3%cs", "fl%cag", "flag %c", "number 1 %c"} {
			_, err := parse("thing {\n" + fmt.Sprintf(line, r) + "\n}")
			if err == nil || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), " where a Caddyfile has "+ascii+": ") ||
				!strings.HasSuffix(err.Error(), ", at Testfile:2") {
				t.Errorf("%s: got %v, want %s", fmt.Sprintf(line, r), err, says)
			}
		}
	}
}

// A sign in another line than the mistake explains nothing, and text in quotes
// is nobody's business.
func TestSignsThatAreRight(t *testing.T) {
	_, err := parse("thing {\nlist （一）\nnumber x\n}")
	if err == nil || strings.Contains(err.Error(), "full-width") {
		t.Errorf("got %v, want the mistake alone", err)
	}
	for _, line := range []string{
		"list （一） a，b", "text \"“a”\"", "text `'a'`", "list it's o'clock", "text 'a", "list a b,", "list \"a,\" b", "text https://a.example/x,y",
	} {
		if _, err := parse("thing {\n" + line + "\n}"); err != nil {
			t.Errorf("%s: %v", line, err)
		}
	}
}

// Quotation marks that are none, and the commas of a list, would become part of
// a value.
func TestSignsOfOtherPrograms(t *testing.T) {
	const (
		quotes = "single quotes are part of a value; write double quotes or backticks, at Testfile:2"
		commas = "list: separate values with white space; there is no comma or semicolon, at Testfile:2"
		full   = `is part of a value; write double quotes (") or backticks, at Testfile:2`
	)
	for line, says := range map[string]string{
		"text 'a'": quotes, "text 'a b'": quotes, "list a 'b c d' e": quotes, "header A 'b'": quotes, "header A 'b c'": quotes,
		"text “a”": full, "text “a b”": full, "text ‘a’": full, "header A “b”": full,
		"list a, b": commas, "list a; b": commas, "list a， b": commas, "list a、 b c": commas,
		"list https://a.example,https://b.example": commas, "list https://a.example，tls://b.example": commas,
	} {
		if _, err := parse("thing {\n" + line + "\n}"); err == nil || !strings.HasSuffix(err.Error(), says) {
			t.Errorf("%s: got %v, want %s", line, err, says)
		}
	}
}
