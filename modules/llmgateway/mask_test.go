package llmgateway

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/jonboulle/clockwork"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

// plainMask masks a secret in its plain form only, as strings.ReplaceAll does.
func plainMask(secret string) *mask {
	m := new(mask)
	m.add(secret)
	return m
}

// pieces is a body that arrives in pieces of given lengths, which begin anew when
// they are over.
type pieces struct {
	text    []byte
	lengths []byte
	n       int
}

func (r *pieces) Read(p []byte) (int, error) {
	if len(r.text) == 0 {
		return 0, io.EOF
	}
	length := len(p)
	if len(r.lengths) > 0 {
		length = min(length, 1+int(r.lengths[r.n%len(r.lengths)]))
		r.n++
	}
	n := copy(p[:length], r.text)
	r.text = r.text[n:]
	if len(r.text) == 0 && r.n%2 == 0 {
		return n, io.EOF
	}
	return n, nil
}

func (r *pieces) Close() error { return nil }

// readBy reads a body with buffers of given lengths.
func readBy(body io.Reader, lengths []byte) (got []byte, err error) {
	for n := 0; ; n++ {
		p := make([]byte, 1+int(lengths[n%len(lengths)]))
		read, err := body.Read(p)
		got = append(got, p[:read]...)
		if err == io.EOF {
			return got, nil
		}
		if err != nil {
			return got, err
		}
	}
}

// checkMasked compares a body that arrives and is read in pieces with what
// strings.ReplaceAll makes of it.
func checkMasked(t *testing.T, secret, text string, arrives, read []byte) {
	t.Helper()
	want := strings.ReplaceAll(text, secret, strings.Repeat("*", len(secret)))
	body := masked(&pieces{text: []byte(text), lengths: arrives}, plainMask(secret))
	got, err := readBy(body, read)
	if err != nil || string(got) != want {
		t.Fatalf("secret %q in %q, arriving by %v, read by %v:\n got %q (%v)\nwant %q", secret, text, arrives, read, got, err, want)
	}
	// A connection shows at most the beginning of a secret that was cut in two.
	conn := newMaskedConn(nil, new(http.Response), plainMask(secret))
	conn.ReadWriteCloser = readOnly{&pieces{text: []byte(text), lengths: arrives}}
	got, err = readBy(conn, read)
	if err != nil || len(got) != len(want) {
		t.Fatalf("secret %q in %q through a connection: got %q (%v)", secret, text, got, err)
	}
	for i := range want {
		shown := want[i] == '*' && got[i] == text[i] && strings.LastIndex(text[:min(len(text), i+len(secret))], secret) > i-shortestMasked
		if got[i] != want[i] && !shown {
			t.Fatalf("secret %q in %q through a connection, at %d:\n got %q\nwant %q", secret, text, i, got, want)
		}
	}
}

func FuzzMask(f *testing.F) {
	f.Add("sk-sk-1", "sk-sk-sk-1 sk-sk-1sk-sk-1", []byte{3}, []byte{4})
	f.Add("********", "**********************", []byte{0, 1}, []byte{0})
	f.Add("aaaaaaaa", "aaaaaaaaaaaaaaaaaaaaaaa", []byte{7}, []byte{2, 9})
	f.Add("abababac", "ababababababababacabababac", []byte{0}, []byte{31})
	f.Add(strings.Repeat("k", 70)+"x", strings.Repeat("k", 200)+"x", []byte{69}, []byte{5})
	f.Fuzz(func(t *testing.T, secret, text string, arrives, read []byte) {
		if secret == "" || len(read) == 0 {
			return
		}
		checkMasked(t, secret, text, arrives, read)
	})
}

// Whatever the secret, the text, and how that arrives: the secret is masked as
// strings.ReplaceAll would do it. Few letters make secrets that overlap
// themselves and beginnings that come to nothing.
func TestMaskIsReplaceAll(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	letters := func(n, of int) string {
		text := make([]byte, n)
		for i := range text {
			text[i] = "ab*c"[random.IntN(of)]
		}
		return string(text)
	}
	lengths := func() []byte {
		list := make([]byte, 1+random.IntN(5))
		for i := range list {
			list[i] = byte(random.IntN([]int{2, 12, 100}[random.IntN(3)]))
		}
		return list
	}
	for range 20_000 {
		of := 1 + random.IntN(4)
		secret := letters(1+random.IntN(20), of)
		if random.IntN(20) == 0 {
			secret = letters(100, of)
		}
		text := letters(random.IntN(60), of)
		for range random.IntN(4) {
			text += secret + letters(random.IntN(10), of) + secret[:random.IntN(len(secret))]
		}
		checkMasked(t, secret, text, lengths(), lengths())
	}
}

// A secret is masked in all the forms in which a response may repeat it, and no
// form changes the length of the response.
func TestMaskedForms(t *testing.T) {
	secret := `sk-/+=&"<é>\1` + "'key"
	base := base64.StdEncoding.EncodeToString
	m := newMask(secret, "short")
	for name, form := range map[string]string{
		"plain":                    secret,
		"query":                    "sk-%2F%2B%3D%26%22%3C%C3%A9%3E%5C1%27key",
		"query in lower case":      "sk-%2f%2b%3d%26%22%3c%c3%a9%3e%5c1%27key",
		"path":                     "sk-%2F+=&%22%3C%C3%A9%3E%5C1%27key",
		"JSON":                     `sk-/+=&\"<é>\\1'key`,
		"JSON by Go":               `sk-/+=\u0026\"\u003cé\u003e\\1'key`,
		"JSON by PHP":              `sk-\/+=&\"<é>\\1'key`,
		"HTML":                     "sk-/+=&amp;&#34;&lt;é&gt;\\1&#39;key",
		"hexadecimal":              fmt.Sprintf("%x", secret),
		"hexadecimal, upper case":  fmt.Sprintf("%X", secret),
		"base64":                   base([]byte(secret)),
		"base64 behind one byte":   base([]byte(":" + secret + "!")),
		"base64 behind two bytes":  base([]byte("::" + secret + "!!")),
		"base64 of a header":       base([]byte("Bearer " + secret)),
		"base64 for URLs":          base64.RawURLEncoding.EncodeToString([]byte(secret)),
		"base64 behind, for URLs":  base64.RawURLEncoding.EncodeToString([]byte("Basic user:" + secret)),
		"twice":                    secret + secret,
		"between others":           strings.Repeat("sk-/+", 100) + secret + "sk-/",
		"with another form behind": secret + " " + base([]byte(secret)),
	} {
		for _, step := range []byte{0, 1, 6, 255} {
			body := masked(&pieces{text: []byte("<" + form + ">"), lengths: []byte{step}}, m)
			got, err := readBy(body, []byte{step, 255})
			if err != nil || len(got) != len(form)+2 || strings.Count(string(got), "*") < len(secret)-2 {
				t.Errorf("%s by %d: %s became %s (%v)", name, step, form, got, err)
			}
			if text := m.inText("<" + form + ">"); text != string(got) {
				t.Errorf("%s: at once it becomes %s, in pieces %s", name, text, got)
			}
		}
	}
	m = newMask(secret, "short", "anything", "lm-studio")
	for _, text := range []string{"short", "sk-", "SK-/+=", base([]byte("short")), "Ask anything of lm-studio."} {
		if got := m.inText(text); got != text {
			t.Errorf("%s was changed to %s", text, got)
		}
	}
}

// Whole responses pass unchanged, and errors of bodies stay errors.
func TestMaskLeavesOthersAlone(t *testing.T) {
	m := newMask("sk-channel-key-1")
	text := strings.Repeat(completion, 100)
	got, err := io.ReadAll(masked(io.NopCloser(iotest.HalfReader(strings.NewReader(text))), m))
	if err != nil || string(got) != text {
		t.Errorf("%v, %d bytes of %d", err, len(got), len(text))
	}
	broken := errors.New("it broke off at sk-channel-key-1")
	body := masked(io.NopCloser(io.MultiReader(strings.NewReader("text sk-chan"), iotest.ErrReader(broken))), m)
	got, err = io.ReadAll(body)
	if string(got) != "text " || !errors.Is(err, broken) || strings.Contains(err.Error(), "sk-channel") {
		t.Errorf("%q, %v", got, err)
	}
}

// A text that is nothing but secrets, or beginnings of them, takes no longer than
// any other.
func TestMaskIsLinear(t *testing.T) {
	const size = 4 << 20
	for _, secret := range []string{"********", "aaaaaaaa", "aaaaaaab", strings.Repeat("a", 200) + "b"} {
		for _, text := range []string{strings.Repeat(secret, size/len(secret)), strings.Repeat("a", size), strings.Repeat("*", size)} {
			body := masked(io.NopCloser(strings.NewReader(text)), newMask(secret))
			start := time.Now()
			if n, err := io.Copy(io.Discard, body); err != nil || n != int64(len(text)) {
				t.Fatalf("%d bytes, %v", n, err)
			}
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("%.10s in 4 MB of %.10s took %v", secret, text, took)
			}
		}
	}
}

// Nothing waits but what may be the beginning of a key: an event passes at once,
// and on a connection that has switched protocols so does every byte that shows
// less than a key.
func TestMaskHoldsNothingBack(t *testing.T) {
	read := func(body io.Reader) string {
		p := make([]byte, 100)
		n, err := body.Read(p)
		if err != nil {
			t.Error(err)
		}
		return string(p[:n])
	}
	r, w := io.Pipe()
	body := masked(r, newMask("sk-channel-key-1"))
	for _, event := range []string{"data: sk\n\n", "data: sk-channel\n\n", ": sk-channel-key\n", "s\n"} {
		go func() { _, _ = io.WriteString(w, event) }()
		if got := read(body); got != event {
			t.Errorf("%q arrives as %q", event, got)
		}
	}
	r, w = io.Pipe()
	conn := newMaskedConn(nil, new(http.Response), newMask("sk-channel-key-1"))
	conn.ReadWriteCloser = readOnly{r}
	for _, frame := range []string{"\x81\x04text", "\x82\x01s", "k-c", "\x82\x01s", "sk-chan", "\x81\x00"} {
		go func() { _, _ = io.WriteString(w, frame) }()
		if got := read(conn); got != frame {
			t.Errorf("%q arrives as %q", frame, got)
		}
	}
	go func() {
		_, _ = io.WriteString(w, "s")
		_, _ = io.WriteString(w, "k-channel-key-1 sk-channel-")
		_, _ = io.WriteString(w, "key-1.")
	}()
	if got := read(conn) + read(conn) + read(conn); got != "s*************** ****************." {
		t.Errorf("the key arrives as %q", got)
	}
}

func BenchmarkMaskChat(b *testing.B) { benchmarkMask(b, completion+strings.Repeat("x y", 300)) }

func BenchmarkMaskEvent(b *testing.B) {
	benchmarkMask(b, `data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":" truth"},"finish_reason":null}]}`+"\n\n")
}

func benchmarkMask(b *testing.B, text string) {
	m := newMask("sk-proj-0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJ")
	p := []byte(text)
	b.SetBytes(int64(len(p)))
	for b.Loop() {
		m.inBytes(p, false)
	}
}

// A provider that repeats the key, in a response of any status and anywhere in
// it, does not give it to clients.
func TestResponsesWithKeys(t *testing.T) {
	const key = "sk-channel/key+1"
	const escaped = "sk-channel%2Fkey%2B1"
	trailer := func(announced bool) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			if announced {
				w.Header().Set("Trailer", "X-Echo, Set-Cookie")
			}
			fmt.Fprint(w, completion)
			_ = http.NewResponseController(w).Flush() // in chunks, which may have a trailer
			prefix := ""
			if !announced {
				prefix = http.TrailerPrefix
			}
			w.Header().Set(prefix+"X-Echo", key)
			w.Header().Set(prefix+"Set-Cookie", "a="+key)
		}
	}
	for name, answer := range map[string]http.HandlerFunc{
		"401":             caddytest.JSON(401, `{"error":{"message":"Incorrect API key provided: `+key+`."}}`),
		"500":             caddytest.Answer(500, "text/plain", "panic: "+key),
		"404":             caddytest.Answer(404, "text/html", "<p>/v1/x?key="+escaped+"</p>"),
		"200":             caddytest.JSON(200, strings.Replace(completion, "hello", "You are "+key, 1)),
		"an error in 200": caddytest.JSON(200, `{"error":{"message":"wrong key `+key+`"}}`),
		"text":            caddytest.Answer(200, "text/plain", "POST /v1/chat/completions HTTP/1.1\r\nAuthorization: Bearer "+key+"\r\n\r\n"),
		"binary":          caddytest.Answer(200, "audio/mpeg", "\xff\xfb\x00"+key+"\x00"),
		"base64":          caddytest.JSON(200, strings.Replace(completion, "hello", base64.StdEncoding.EncodeToString([]byte("Bearer "+key)), 1)),
		"201":             caddytest.JSON(201, `{"choices":[{"message":{"content":"a"}}],"url":"https://api.example/v1?key=`+escaped+`"}`),
		"a stream":        caddytest.Events(`data: {"error":{"message":"wrong key ` + key + `"}}` + "\n\n"),
		"a later event":   caddytest.Events(chunk, chunk, `data: {"choices":[{"delta":{"content":"`+key+`"}}]}`+"\n\n"),
		"by little steps": caddytest.Events(chunk, `data: {"error":{"message":"wrong key sk-cha`, `nnel/key+1"}}`+"\n\n"),
		"a header": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Www-Authenticate", `Bearer error_description="`+key+`"`)
			caddytest.JSON(401, `{}`)(w, r)
		},
		"a header of 200": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Request-Url", "https://api.example/v1?key="+escaped)
			w.Header().Set("X-Goog-Api-Key", key)
			w.Header().Set("Set-Cookie", "session="+key)
			caddytest.JSON(200, completion)(w, r)
		},
		"a trailer":            trailer(false),
		"an announced trailer": trailer(true),
		"a redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/v1/chat/completions?key="+escaped, http.StatusTemporaryRedirect)
		},
	} {
		t.Run(name, func(t *testing.T) {
			up := caddytest.NewUpstream(t, answer)
			g := start(t, "channel a "+up.URL+" {\napi_key "+key+"\nmodels m\n}")
			a := g.chat(t, "m")
			all := a.text + fmt.Sprint(a.Header, a.Trailer, a.Status)
			for _, form := range forms(key) {
				if strings.Contains(all, form) {
					t.Errorf("the client gets the key: %s", all)
				}
			}
			if n := a.ContentLength; n >= 0 && int(n) != len(a.text) {
				t.Errorf("%d bytes, announced %d", len(a.text), n)
			}
			for _, gone := range []string{"Set-Cookie", "X-Goog-Api-Key", "Location"} {
				if a.Header[gone] != nil || a.Trailer[gone] != nil {
					t.Errorf("the client gets %s", gone)
				}
			}
			if name != "a redirect" && name != "404" && name != "a header" && name != "an error in 200" && !strings.Contains(all, "***") {
				t.Errorf("nothing is masked: %s", all)
			}
		})
	}
}

// A key that is nothing but asterisks masks nothing, and hangs nothing.
func TestKeyOfAsterisks(t *testing.T) {
	for _, key := range []string{"********", "aaaaaaaa", "sk-******"} {
		text := fmt.Sprintf(`{"error":{"message":%q}}`, strings.Repeat(key, 20)+key[1:])
		up := caddytest.NewUpstream(t, caddytest.JSON(400, text))
		g := start(t, "channel a "+up.URL+" {\napi_key "+key+"\nmodels m\n}")
		a := g.chat(t, "m")
		a.wantStatus(t, 400)
		if want := strings.ReplaceAll(text, key, strings.Repeat("*", len(key))); a.text != want {
			t.Errorf("got %s, want %s", a.text, want)
		}
	}
}

// A header whose name is the key is dropped.
func TestKeyAsHeaderName(t *testing.T) {
	up := caddytest.NewUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Sk-Channel-Key-1", "x")
		caddytest.JSON(200, completion)(w, r)
	})
	g := start(t, "channel a "+up.URL+" {\napi_key sk-channel-key-1\nmodels m\n}")
	for name := range g.chat(t, "m").Header {
		if strings.Contains(strings.ToLower(name), "sk-channel") {
			t.Errorf("the client gets the header %s", name)
		}
	}
}

// masked returns a body in which the secrets of m are masked.
func masked(body io.ReadCloser, m *mask) *responseBody {
	b := new(responseBody)
	b.begin(&http.Response{Body: body}, m, noDeadline, clockwork.NewFakeClock())
	return b
}

// readOnly is a connection to which nothing is written.
type readOnly struct{ io.ReadCloser }

func (readOnly) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }
