package llmgateway

import (
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// fuzzTimeVar makes TestReadings run for a time such as 10m, from a seed that it
// shows, instead of for a number of requests from a fixed one.
const fuzzTimeVar = "READINGS_FUZZTIME"

// readFunc reads a request for a client, and reports whether it is let through.
type readFunc func(in incoming, client *Client) (reading, bool)

// differential reads requests until the parsers of some language see another
// model in one than the gateway does. It returns what that is, "" for nothing.
type differential struct {
	read    readFunc
	reader  *reader
	others  []*parsers
	made    int
	passed  map[string]int // by the type that they were sent on with
	clients []*Client
}

func newDifferential(t testing.TB) *differential {
	r := newReader(t)
	return &differential{
		read: r.read, reader: r, clients: []*Client{r.limited, r.free}, passed: make(map[string]int),
		others: []*parsers{startParsers(t, "node", "testdata/parsers/parsers.js"), startParsers(t, "python3", "testdata/parsers/parsers.py")},
	}
}

func (d *differential) run(t testing.TB, g *generator, goOn func() bool) (finding string) {
	for goOn() && finding == "" {
		d.made++
		out, ok := d.read(g.request(t), one(g, d.clients...))
		if !ok {
			continue
		}
		mediaType, _, _ := strings.Cut(strings.Join(out.Header["Content-Type"], ","), ";")
		d.passed[mediaType]++
		for _, p := range d.others {
			p.begin(t, out)
		}
		finding = out.check(out.found())
		for _, p := range d.others {
			if found := p.found(t); finding == "" {
				finding = out.check(found)
			}
		}
	}
	return finding
}

// What the gateway lets through is read by no parser of three languages as
// naming another model, whatever the client's headers and body are.
func TestReadings(t *testing.T) {
	d := newDifferential(t)
	seed, requests, deadline := uint64(1), 4000, time.Now().Add(time.Hour)
	if text := os.Getenv(fuzzTimeVar); text != "" {
		fuzzTime, err := time.ParseDuration(text)
		if err != nil {
			t.Fatal(err)
		}
		seed, requests, deadline = rand.Uint64(), 1<<62, time.Now().Add(fuzzTime)
	}
	if finding := d.run(t, newGenerator(seed), func() bool { return d.made < requests && time.Now().Before(deadline) }); finding != "" {
		t.Errorf("seed %d, request %d: %s", seed, d.made, finding)
	}
	t.Logf("seed %d: of %d requests passed %v", seed, d.made, d.passed)
	for _, sent := range []string{"application/json", "multipart/form-data", "audio/wav", "application/octet-stream"} {
		if d.passed[sent] < d.made/2000 {
			t.Errorf("only %d of %d requests passed as %q: the generator is of no use", d.passed[sent], d.made, sent)
		}
	}
}

// The generator and the parsers find each way in which the gateway could be
// wrong, and was.
func TestReadingsFindMistakes(t *testing.T) {
	for name, mistake := range map[string]func(read readFunc) readFunc{
		"the client's type goes on":     typeGoesOn,
		"the client's encoding goes on": encodingGoesOn,
		"invalid keys are accepted":     func(readFunc) readFunc { return readByTokens },
	} {
		t.Run(name, func(t *testing.T) {
			d := newDifferential(t)
			d.read = mistake(d.read)
			begin := time.Now()
			finding := d.run(t, newGenerator(1), func() bool { return time.Since(begin) < time.Minute })
			if finding == "" {
				t.Fatalf("not found in %d requests, of which passed %v", d.made, d.passed)
			}
			t.Logf("found after %d requests: %s", d.made, finding)
		})
	}
}

func typeGoesOn(read readFunc) readFunc {
	return func(in incoming, client *Client) (reading, bool) {
		out, ok := read(in, client)
		if contentType := in.Header["Content-Type"]; ok && contentType != nil {
			out.Header["Content-Type"] = contentType
		}
		return out, ok
	}
}

func encodingGoesOn(read readFunc) readFunc {
	return func(in incoming, client *Client) (reading, bool) {
		codings := in.Header["Content-Encoding"]
		in.Header = in.Header.Clone()
		delete(in.Header, "Content-Encoding")
		out, ok := read(in, client)
		if ok && codings != nil {
			out.Header["Content-Encoding"] = codings
		}
		return out, ok
	}
}

// readByTokens accepts what encoding/json does, without a second key that
// differs from model by letter case only.
func readByTokens(in incoming, client *Client) (reading, bool) {
	if !slices.Equal(in.Header["Content-Type"], jsonType) || in.Header["Content-Encoding"] != nil || !json.Valid(in.Body) {
		return reading{}, false
	}
	d := json.NewDecoder(strings.NewReader(string(in.Body)))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return reading{}, false
	}
	out := reading{Header: http.Header{"Content-Type": jsonType}, Body: in.Body}
	seen := false
	for d.More() {
		key, _ := d.Token()
		var value any
		if d.Decode(&value) != nil {
			return reading{}, false
		}
		text, isText := value.(string)
		switch {
		case !strings.EqualFold(key.(string), "model"):
		case seen || key != "model" || !isText:
			return reading{}, false
		default:
			seen, out.model = true, text
		}
	}
	return out, out.model != "" && client.mayUse(out.model)
}

// FuzzReading compares what the gateway makes of a request with Go's own
// parsers: one that is let through names no other model anywhere.
func FuzzReading(f *testing.F) {
	g := newGenerator(1)
	for range 300 {
		in := g.request(f)
		f.Add(in.Path, strings.Join(in.Header["Content-Type"], "\n"), strings.Join(in.Header["Content-Encoding"], ","), in.Body)
	}
	for _, tc := range smuggling {
		header := http.Header{}
		for line := range strings.SplitSeq(tc.header, "\r\n") {
			name, value, _ := strings.Cut(line, ": ")
			header.Add(name, value)
		}
		path := strings.TrimPrefix(tc.line, "POST ")
		if path == "" {
			path = chat
		}
		f.Add(path, strings.Join(header["Content-Type"], "\n"), strings.Join(header["Content-Encoding"], ","), []byte(tc.body))
	}
	r := newReader(f)
	f.Fuzz(func(t *testing.T, path, contentType, coding string, body []byte) {
		in := incoming{Path: path, Header: http.Header{}, Body: body}
		if contentType != "" {
			in.Header["Content-Type"] = strings.Split(contentType, "\n")
		}
		if coding != "" {
			in.Header["Content-Encoding"] = []string{coding}
		}
		for _, client := range []*Client{r.limited, r.free} {
			out, ok := r.read(in, client)
			if !ok {
				continue
			}
			if out.Header["Content-Encoding"] != nil || len(out.Header["Content-Type"]) > 1 {
				t.Fatalf("sent on with %v", out.Header)
			}
			if finding := out.check(out.found()); finding != "" {
				t.Fatal(finding)
			}
		}
	})
}
