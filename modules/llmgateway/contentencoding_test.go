package llmgateway

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
	"github.com/caddy-freetier/caddy-freetier/internal/reqbody"
)

// encoders are the codings as clients write them; raw is deflate without zlib's
// frame, which some call deflate too.
var encoders = map[string]func(w io.Writer) io.WriteCloser{
	"gzip":    func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) },
	"deflate": func(w io.Writer) io.WriteCloser { return zlib.NewWriter(w) },
	"raw":     func(w io.Writer) io.WriteCloser { e, _ := flate.NewWriter(w, flate.BestCompression); return e },
	"br":      func(w io.Writer) io.WriteCloser { return brotli.NewWriter(w) },
	"zstd":    func(w io.Writer) io.WriteCloser { e, _ := zstd.NewWriter(w); return e },
}

// encode applies codings in the order of a Content-Encoding.
func encode(t testing.TB, text string, codings ...string) string {
	t.Helper()
	for _, coding := range codings {
		var b bytes.Buffer
		w := encoders[coding](&b)
		if _, err := io.WriteString(w, text); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		text = b.String()
	}
	return text
}

// Encoded bodies of each kind go on as they were before, whatever the coding.
func TestContentEncodings(t *testing.T) {
	up := caddytest.NewUpstream(t, caddytest.JSON(200, completion))
	g := start(t, "default_channel a\nchannel a "+up.URL+" {\napi_key k\nmodels m as another-model\n}")
	large := func(model string) string {
		return `{"a":"` + strings.Repeat("0123456789ä", 100_000) + `","model":"` + model + `"}`
	}
	form := func(model string) string {
		return formPart(wav, `name="file"; filename="a.wav"`) + formPart(model, `name="model"`) + "--b--\r\n"
	}
	sound := strings.Repeat(wav, 1000)
	for _, tc := range []struct {
		header  string
		codings []string
	}{
		{"gzip", []string{"gzip"}},
		{"X-GZip", []string{"gzip"}},
		{"deflate", []string{"deflate"}},
		{"deflate", []string{"raw"}},
		{"br", []string{"br"}},
		{"zstd", []string{"zstd"}},
		{"identity", nil},
		{"", nil},
		{" , identity,, gzip ,identity", []string{"gzip"}},
		{"gzip, br", []string{"gzip", "br"}},
		{"zstd,deflate,gzip", []string{"zstd", "raw", "gzip"}},
	} {
		for _, body := range []struct{ path, contentType, text, want string }{
			{chat, "application/json", chatBody("m"), chatBody("another-model")},
			{chat, "application/x-www-form-urlencoded", large("m"), large("another-model")},
			{"/v1/audio/transcriptions", formHeader[len("Content-Type: "):], form("m"), form("another-model")},
			{"/v1/audio/transcriptions", "audio/wav", sound, sound},
		} {
			a := g.do(t, http.MethodPost, body.path, encode(t, body.text, tc.codings...), "Content-Type", body.contentType, "Content-Encoding", tc.header)
			if a.StatusCode != 200 {
				t.Errorf("%s %s: status %d: %s", tc.header, body.contentType, a.StatusCode, a.text)
				continue
			}
			got := up.Next(t)
			if string(got.Body) != body.want || got.ContentLength != int64(len(body.want)) {
				t.Errorf("%s %s: %d bytes arrived, want %d", tc.header, body.contentType, len(got.Body), len(body.want))
			}
			if encoding := got.Header["Content-Encoding"]; encoding != nil {
				t.Errorf("%s %s: sent on as %q", tc.header, body.contentType, encoding)
			}
		}
	}
}

// polyglot is JSON that names one model, and in a key of it raw deflate data of
// JSON that names another.
const polyglot = "DXsikOTObNnd2S27u7Mzuzs7Ozs7M7s7u2VmZ3ZnZ3Zmd8Lu7GyY2d2Znd3d2cXs7uzuzEq7MzM7OzszuzOzM7OzO2V3Z3dndmd2dmd3d3Z2dnZmZjW7szszO7Mzs7Ozu7M7W2Z2Z3dmS9mZnd2dmd2ZRaHMMEOAgIMwot1pNNmIbKLZ5aMziDSi3eT16s0mL5GtgkGCMDDR47SZiGww0e81eYg0MJhocDp8JoePyCZarMSQOvQnIjowLCJtb2RlbCI6ImdwdC0zLjUtdHVyYm8ifQ=="

func TestRefusedEncodings(t *testing.T) {
	up := caddytest.NewUpstream(t, caddytest.JSON(200, completion))
	g := start(t, `
		client alice alice-key
		client bob bob-key {
			models gpt-3.5*
		}
		max_body 1MB
		channel a `+up.URL+` {
			api_key k
			models  m gpt-3.5-turbo gpt-4
		}`)
	text := chatBody("m")
	zipped := encode(t, text, "gzip")
	bomb := `{"model":"m","x":"` + strings.Repeat("a", 3_000_000) + `"}`
	for _, tc := range []struct {
		name, header, body string
		status             int
		code               string
	}{
		{"unknown", "compress", text, 415, "unsupported_content_encoding"},
		{"unknown behind a known one", "gzip, aes128gcm", zipped, 415, "unsupported_content_encoding"},
		{"any", "*", text, 415, "unsupported_content_encoding"},
		{"parameters", "gzip;q=1", zipped, 415, "unsupported_content_encoding"},
		{"dictionary", "dcz", text, 415, "unsupported_content_encoding"},
		{"too many", "gzip, gzip, gzip, gzip", encode(t, text, "gzip", "gzip", "gzip", "gzip"), 415, "unsupported_content_encoding"},
		{"not encoded", "gzip", text, 400, ""},
		{"not encoded", "br", text, 400, ""},
		{"not encoded", "zstd", text, 400, ""},
		{"not encoded", "deflate", text, 400, ""},
		{"cut off", "gzip", zipped[:len(zipped)-4], 400, ""},
		{"wrong sum", "gzip", zipped[:len(zipped)-8] + "abcd" + zipped[len(zipped)-4:], 400, ""},
		{"trailing data", "gzip", zipped + "x", 400, ""},
		{"trailing data", "deflate", encode(t, text, "deflate") + "x", 400, ""},
		{"trailing data", "deflate", encode(t, text, "raw") + "x", 400, ""},
		{"trailing data", "br", encode(t, text, "br") + "x", 400, ""},
		{"trailing data", "zstd", encode(t, text, "zstd") + "x", 400, ""},
		{"wrong order", "gzip, br", encode(t, text, "br", "gzip"), 400, ""},
		{"not JSON", "gzip", encode(t, "model=m", "gzip"), 400, ""},
		{"bomb", "gzip", encode(t, bomb, "gzip"), 413, "request_too_large"},
		{"bomb", "deflate", encode(t, bomb, "raw"), 413, "request_too_large"},
		{"bomb", "br", encode(t, bomb, "br"), 413, "request_too_large"},
		{"bomb", "zstd", encode(t, bomb, "zstd"), 413, "request_too_large"},
		{"bomb in a bomb", "gzip, gzip", encode(t, bomb, "gzip", "gzip"), 413, "request_too_large"},
		{"bomb in the middle", "gzip, gzip", encode(t, emptyBlocks(3_000_000), "gzip"), 413, "request_too_large"},
		{"large window", "zstd", zstdWindow(t, text, 16<<20), 413, "request_too_large"},
		{"announced size", "zstd", zstdSized(t, 1<<40), 400, ""},
		{"polyglot", "deflate", decodeBase64(polyglot), 400, ""},
		{"polyglot", "identity", decodeBase64(polyglot), 400, ""},
		{"JSON with another model inside", "deflate", encode(t, `{"model":"gpt-4"}`, "raw"), 404, "model_not_found"},
	} {
		key := "Bearer alice-key"
		if strings.Contains(tc.name, "polyglot") || tc.status == 404 {
			key = "Bearer bob-key"
		}
		a := g.do(t, http.MethodPost, chat, tc.body, "Content-Encoding", tc.header, "Authorization", key)
		t.Run(tc.name+" "+tc.header, func(t *testing.T) { a.wantError(t, tc.status, tc.code) })
		if tc.status == 415 && (!strings.Contains(a.text, codingNames) || a.Header.Get("Accept-Encoding") != codingNames) {
			t.Errorf("%s: the error does not say what is taken: %s", tc.name, a.text)
		}
	}
	if n := len(up.Requests()); n != 0 {
		t.Errorf("%d requests reached the channel", n)
	}
}

// emptyBlocks is a gzip stream that is long and never says anything.
func emptyBlocks(n int) string {
	return "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff" + strings.Repeat("\x00\x00\x00\xff\xff", n/5)
}

func zstdWindow(t testing.TB, text string, window int) string {
	var b bytes.Buffer
	w, err := zstd.NewWriter(&b, zstd.WithWindowSize(window))
	if err != nil {
		t.Fatal(err)
	}
	// Flushing keeps the encoder from choosing a smaller window.
	_, _ = io.WriteString(w, text)
	w.Flush()
	w.Close()
	return b.String()
}

// zstdSized is the header of a frame of the given size, and nothing of it.
func zstdSized(t testing.TB, size uint64) string {
	t.Helper()
	header := []byte{0x28, 0xb5, 0x2f, 0xfd, 0xc0, 0x00} // eight bytes of size, a window of 1 KB
	for range 8 {
		header = append(header, byte(size))
		size >>= 8
	}
	return string(header) + "\x01\x00\x00"
}

// Decoders read the same however the encoded body arrives, and give the first
// error of a stage back as it is.
func TestDecoding(t *testing.T) {
	text := strings.Repeat(chatBody("m"), 1000)
	all := map[string][]coding{"gzip": {gzipCoding}, "deflate": {deflateCoding}, "raw": {deflateCoding}, "br": {brotliCoding}, "zstd": {zstdCoding}}
	for name, codings := range all {
		encoded := encode(t, text, name)
		for range 3 { // decoders are used again
			for _, r := range []io.Reader{strings.NewReader(encoded), iotest.OneByteReader(strings.NewReader(encoded)), iotest.DataErrReader(strings.NewReader(encoded))} {
				d, err := newDecoding(codings, r, int64(len(text)))
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				got, err := io.ReadAll(iotest.HalfReader(d))
				if err != nil || string(got) != text {
					t.Errorf("%s: %d bytes, want %d: %v", name, len(got), len(text), err)
				}
				d.Close()
			}
		}
		for n := range min(len(encoded), 300) {
			var broken *codingError
			d, err := newDecoding(codings, strings.NewReader(encoded[:n]), 1<<20)
			if err == nil {
				_, err = io.ReadAll(d)
				d.Close()
			}
			if n > 0 && !errors.As(err, &broken) {
				t.Errorf("%s: the first %d bytes: %v", name, n, err)
			}
		}
		d, err := newDecoding(codings, strings.NewReader(encoded), int64(len(text))-1)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(d); !errors.Is(err, reqbody.ErrTooLarge) {
			t.Errorf("%s with a smaller limit: %v", name, err)
		}
		d.Close()
	}
}

// A bomb costs no more memory than a decoder does.
func TestBombMemory(t *testing.T) {
	zeros := io.LimitReader(zeroReader{}, 1<<30)
	var b bytes.Buffer
	w := encoders["zstd"](&b)
	if _, err := io.Copy(w, zeros); err != nil {
		t.Fatal(err)
	}
	w.Close()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	d, err := newDecoding([]coding{zstdCoding}, &b, 64<<20)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	n, err := io.Copy(io.Discard, d)
	runtime.ReadMemStats(&after)
	if !errors.Is(err, reqbody.ErrTooLarge) || n > 64<<20 {
		t.Errorf("%d bytes, %v", n, err)
	}
	if used := after.TotalAlloc - before.TotalAlloc; used > 64<<20 {
		t.Errorf("decoding took %d bytes of memory", used)
	}
}

type zeroReader struct{}

func (zeroReader) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// A byte order mark is skipped and not sent on, in plain and encoded bodies; a
// text in another encoding of Unicode is refused.
func TestByteOrderMark(t *testing.T) {
	up := caddytest.NewUpstream(t, caddytest.JSON(200, completion))
	g := start(t, "channel a "+up.URL+" {\napi_key k\nmodels m as another-model\n}")
	const mark = "\xef\xbb\xbf"
	for _, chunked := range []bool{false, true} {
		for _, coding := range []string{"", "gzip"} {
			body := encode(t, mark+chatBody("m"), strings.Fields(coding)...)
			var r io.Reader = strings.NewReader(body)
			if chunked {
				r = iotest.OneByteReader(r)
			}
			req, _ := http.NewRequest(http.MethodPost, g.URL+chat, r)
			req.Header.Set("Authorization", "Bearer alice-key")
			req.Header.Set("Content-Encoding", coding)
			resp, err := g.client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != 200 {
				t.Errorf("chunked %v, %s: status %d", chunked, coding, resp.StatusCode)
				continue
			}
			if got := up.Next(t); string(got.Body) != chatBody("another-model") {
				t.Errorf("chunked %v, %s: sent on as %q", chunked, coding, got.Body)
			}
		}
	}
	utf16 := func(order int) (text string) {
		for _, c := range chatBody("m") {
			pair := []byte{byte(c), byte(c >> 8)}
			text += string([]byte{pair[order], pair[1-order]})
		}
		return text
	}
	for _, body := range []string{
		mark, mark + mark + chatBody("m"), mark + "[]", "\xef\xbb" + chatBody("m"),
		"\xff\xfe" + utf16(0), "\xfe\xff" + utf16(1), utf16(0), utf16(1), "\xff\xfe\x00\x00" + chatBody("m"), "+/v8-" + chatBody("m"),
	} {
		for _, contentType := range []string{"", "application/json", "application/json; charset=utf-8"} {
			a := g.do(t, http.MethodPost, chat, body, "Content-Type", contentType)
			if a.StatusCode != 400 {
				t.Errorf("%.20q as %s: status %d", body, contentType, a.StatusCode)
			}
		}
	}
	if n := len(up.Requests()); n != 4 {
		t.Errorf("%d requests reached the channel", n)
	}
}

// A body without a byte is none, whether or not its length was announced.
func TestEmptyBody(t *testing.T) {
	up := caddytest.NewUpstream(t, caddytest.Echo)
	g := start(t, "default_channel a\nchannel a "+up.URL+" {\napi_key k\nmodels m\n}")
	for _, contentType := range []string{"", "application/json", "multipart/form-data; boundary=b"} {
		req, _ := http.NewRequest(http.MethodDelete, g.URL+"/v1/files/x", struct{ io.Reader }{strings.NewReader("")})
		req.Header.Set("Authorization", "Bearer alice-key")
		req.Header.Set("Content-Type", contentType)
		resp, err := g.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != 200 {
			t.Errorf("%s: status %d", contentType, resp.StatusCode)
			continue
		}
		got := up.Next(t)
		if len(got.Body) > 0 || got.ContentLength > 0 || len(got.TransferEncoding) > 0 || got.Header["Content-Type"] != nil {
			t.Errorf("%s: sent on with %v: %s", contentType, fmt.Sprint(got.Header), got.Body)
		}
	}
}
