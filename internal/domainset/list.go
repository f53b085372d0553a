package domainset

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
)

// maxLine is the longest line of a file, in bytes. A longer one is an error of the file.
const maxLine = 64 << 10

// LineErrors are the malformed lines of a file, which are ignored: a typo in a list of a
// million names must not make the other names unusable.
type LineErrors struct {
	Count int   // number of malformed lines
	Line  int   // number of the first one, from 1
	Err   error // its error
}

// note counts a malformed line, and keeps the first error.
func (e *LineErrors) note(line int, err error) {
	if e.Count++; e.Count == 1 {
		e.Line, e.Err = line, err
	}
}

// readLines calls read with the words of each line that is not empty; # begins a comment.
// A line for which read returns an error is malformed, except for ErrFull, which ends
// readLines.
func readLines(r io.Reader, read func(words []string) error) (bad LineErrors, err error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 4<<10), maxLine)
	for n := 1; lines.Scan(); n++ {
		line := lines.Bytes()
		if n == 1 {
			line = bytes.TrimPrefix(line, []byte("\xEF\xBB\xBF"))
		}
		if i := bytes.IndexByte(line, '#'); i >= 0 && !bytes.HasPrefix(line, []byte("server=")) {
			line = line[:i]
		}
		words := strings.Fields(string(line))
		if len(words) == 0 {
			continue
		}
		switch err := read(words); {
		case errors.Is(err, ErrFull):
			return bad, err
		case err != nil:
			bad.note(n, err)
		}
	}
	return bad, lines.Err()
}

// readSet reads a list: one domain per line, or lines in the form of dnsmasq such as
// `server=/example.com/example.net/192.0.2.53`, of which the address is ignored.
func readSet(r io.Reader) (*Set, LineErrors, error) {
	set := new(Set)
	bad, err := readLines(r, func(words []string) error {
		domains, isServer := strings.CutPrefix(words[0], "server=/")
		if isServer {
			return set.addServer(domains)
		}
		if len(words) > 1 {
			return errors.New("a line has one domain, or is of the form server=/domain/")
		}
		return set.Add(words[0])
	})
	return set, bad, err
}

// addServer adds the domains of a line of dnsmasq, given the text after "server=/".
func (s *Set) addServer(domains string) error {
	last := strings.LastIndexByte(domains, '/')
	if last < 0 {
		return errors.New("the last domain has no / behind it; the form is server=/domain/")
	}
	for domain := range strings.SplitSeq(domains[:last], "/") {
		// dnsmasq treats .example.com like example.com.
		if domain = strings.TrimPrefix(domain, "."); domain == "" {
			return errors.New("there is no domain between two /")
		}
		if err := s.Add(domain); err != nil {
			return err
		}
	}
	return nil
}
