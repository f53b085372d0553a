package domainset

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// maxLine is the longest line of a file that is read, in bytes.
const maxLine = 64 << 10

// LineErrors says which lines of a file could not be read. They are left out.
type LineErrors struct {
	// Count is their number, Line that of the first one, and Err what is wrong
	// with it.
	Count, Line int
	Err         error
}

func (e *LineErrors) note(line int, err error) {
	if e.Count++; e.Count == 1 {
		e.Line, e.Err = line, err
	}
}

// readLines calls read with the words of each line that has any; # begins a
// comment. What read refuses is noted, but for ErrFull, which ends it.
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

// readSet reads a list: a domain a line, or lines of dnsmasq such as
// `server=/example.com/example.net/192.0.2.53`, whose address does not matter.
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

// addServer adds the domains of a line of dnsmasq, between slashes.
func (s *Set) addServer(domains string) error {
	last := strings.LastIndexByte(domains, '/')
	if last < 0 {
		return errors.New("the last domain has no / behind it; the form is server=/domain/")
	}
	for domain := range strings.SplitSeq(domains[:last], "/") {
		// In dnsmasq a dot or an asterisk before a domain changes little.
		if domain = strings.TrimPrefix(domain, "."); domain == "" {
			return errors.New("there is no domain between two /")
		}
		if err := s.Add(domain); err != nil {
			return err
		}
	}
	return nil
}

// openFile opens a file to read lines from, not a folder or a pipe.
func openFile(path string) (*os.File, os.FileInfo, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, nil, fmt.Errorf("%s is not a file", path)
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	// The file that was opened is the one that counts: another can have
	// taken its place since.
	if info, err = file.Stat(); err != nil {
		_ = file.Close()
		return nil, nil, err
	}
	return file, info, nil
}
