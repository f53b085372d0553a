package reqbody

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"strings"
	"testing"
)

// scanForm reads a form in pieces of at most n bytes.
func scanForm(contentType, text string, n int) (*Form, Value, error) {
	f, err := NewForm("model", contentType)
	if err != nil {
		return nil, Value{}, err
	}
	for p := []byte(text); len(p) > 0; {
		m := min(n, len(p))
		if _, err := f.Write(p[:m]); err != nil {
			break
		}
		p = p[m:]
	}
	value, err := f.Finish()
	return f, value, err
}

const formType = "multipart/form-data; boundary=b"

// part writes one part; lines are those of its header.
func part(content string, lines ...string) string {
	return "--b\r\n" + strings.Join(lines, "\r\n") + "\r\n\r\n" + content + "\r\n"
}

func disposition(params string) string { return "Content-Disposition: form-data; " + params }

var (
	file  = part("RIFF\r\n-- \x00\xff\n--", disposition(`name="file"; filename="C:\a.wav"`), "Content-Type: audio/wav")
	model = part("x", disposition(`name="model"`))
)

var forms = []struct{ contentType, text, kind, value string }{
	{formType, model + "--b--\r\n", "found", "x"},
	{formType, model + "--b--", "found", "x"},
	{formType, "\r\n" + model + file + "--b--\r\n", "found", "x"},
	{formType, file + model + "--b--\r\n", "found", "x"},
	{formType, file + part("a\r\nb", disposition("name=model")) + file + "--b--\r\n", "found", "a\r\nb"},
	{formType, part("", disposition(`name="model"`)) + "--b--\r\n", "found", ""},
	{formType, part("x", "content-type: text/plain; charset=UTF-8", disposition(`name="model"`), "Content-Length: 1") + "--b--\r\n", "found", "x"},
	{`multipart/form-data; boundary="----=_Part_0.1"`, strings.ReplaceAll(model+"--b--\r\n", "--b", "------=_Part_0.1"), "found", "x"},
	{formType, part("y", disposition(`name="models"`)) + model + part("y", disposition(`name="x"; filename="model"`)) + "--b--", "found", "x"},

	{formType, file + "--b--\r\n", "missing", ""},

	{formType, model + model + "--b--\r\n", "ambiguous", ""},
	{formType, model + file + part("y", disposition(`name=model`)) + "--b--\r\n", "ambiguous", ""},

	{formType, "", "invalid", ""},
	{formType, model, "invalid", ""},
	{formType, model + "--b", "invalid", ""},
	{formType, "preamble\r\n" + model + "--b--\r\n", "invalid", ""},
	{formType, model + "--b--\r\nepilogue", "invalid", ""},
	{formType, model + "--b--\r\n" + model + "--b--\r\n", "invalid", ""},
	{formType, model + "--b  \r\n" + disposition(`name="a"`) + "\r\n\r\ny\r\n--b--\r\n", "invalid", ""},
	{formType, model + "--bc\r\n" + disposition(`name="a"`) + "\r\n\r\ny\r\n--b--\r\n", "invalid", ""},
	{formType, part("y\n--b\n"+disposition(`name="model"`)+"\n\nz", disposition(`name="file"`)) + model + "--b--\r\n", "invalid", ""},
	{formType, part("y--b", disposition(`name="file"`)) + model + "--b--\r\n", "invalid", ""},
	{formType, strings.ReplaceAll(model+"--b--\r\n", "\r\n", "\n"), "invalid", ""},
	{formType, "--b\r\n" + disposition(`name="file"`) + "\r\n\r\n--b\r\n" + disposition(`name="model"`) + "\r\n\r\nx\r\n--b--\r\n", "invalid", ""},
	{formType, part("x", disposition(`name="model"`), "--b: y") + "--b--\r\n", "invalid", ""},
	{formType, part("x", disposition(`name="model"; filename="a"`)) + "--b--\r\n", "invalid", ""},
	{formType, part("x", disposition(`name="model"; filename*=utf-8''a`)) + "--b--\r\n", "invalid", ""},
	{formType, part("x", disposition(`name="model"; name="file"`)) + "--b--\r\n", "invalid", ""},
	{formType, part("x", disposition(`name="file"`), disposition(`name="model"`)) + "--b--\r\n", "invalid", ""},
	{formType, part("x", disposition(`name="file"; name*=utf-8''model`)) + "--b--\r\n", "invalid", ""},
	{formType, part("x", disposition(`name="Model"`)) + "--b--\r\n", "invalid", ""},
	{formType, part("x", disposition(`name="mod%65l"`)) + "--b--\r\n", "invalid", ""},
	{formType, part("x", disposition(`name="mo\del"`)) + "--b--\r\n", "invalid", ""},
	{formType, part("x", disposition(`name="model[]"`)) + "--b--\r\n", "invalid", ""},
	{formType, part("x", disposition(`name=" model"`)) + "--b--\r\n", "invalid", ""},
	{formType, part("x", disposition(`name='model'`)) + "--b--\r\n", "invalid", ""},
	{formType, part("x", disposition(`name="file"; filename="\"; name=\"model"`)) + "--b--\r\n", "invalid", ""},
	{formType, part("x", disposition(`name="_charset_"`)) + "--b--\r\n", "invalid", ""},
	{formType, model + part("y", disposition(`name="=?utf-8?q?model?="`)) + "--b--\r\n", "invalid", ""},
	{formType, model + part("y", disposition("name=\"mod\xffel\"")) + "--b--\r\n", "invalid", ""},
	{formType, model + part("y", disposition("name=\"other\xff\"")) + "--b--\r\n", "invalid", ""},
	{formType, model + part("--c\r\n"+disposition(`name="model"`)+"\r\n\r\ny\r\n--c--", disposition(`name="files"`), "Content-Type: multipart/mixed; boundary=c") + "--b--\r\n", "invalid", ""},
	{formType, model + part("y", disposition("name=\"file\"; filename=\"\xff.wav\"")) + "--b--\r\n", "found", "x"},
	{formType, part("x", "Content-Disposition: form-data;", ` name="model"`) + "--b--\r\n", "invalid", ""},
	{formType, part("x", `Content-Disposition : form-data; name="model"`) + "--b--\r\n", "invalid", ""},
	{formType, part("x", `Content-Type: text/plain`) + "--b--\r\n", "invalid", ""},
	{formType, part("eA==", disposition(`name="model"`), "Content-Transfer-Encoding: base64") + "--b--\r\n", "invalid", ""},
	{formType, part("x", disposition(`name="model"`), "Content-Type: text/plain; charset=utf-16") + "--b--\r\n", "invalid", ""},
	{formType, part("x", disposition(`name="model"`), "X: "+strings.Repeat("x", maxPartHeader)) + "--b--\r\n", "invalid", ""},
	{formType, part(strings.Repeat("x", maxValue+1), disposition(`name="model"`)) + "--b--\r\n", "invalid", ""},
	{formType, part("\xff", disposition(`name="model"`)) + "--b--\r\n", "invalid", ""},

	{"multipart/form-data", model + "--b--\r\n", "invalid", ""},
	{"multipart/form-data; boundary=", model + "--b--\r\n", "invalid", ""},
	{"multipart/form-data; boundary=b; boundary=c", model + "--b--\r\n", "invalid", ""},
	{"multipart/form-data; boundary=b; Boundary*=utf-8''c", model + "--b--\r\n", "invalid", ""},
	{`multipart/form-data; x="; boundary=c"; boundary=b`, model + "--b--\r\n", "invalid", ""},
	{`multipart/form-data; boundary="b,c"`, model + "--b--\r\n", "invalid", ""},
	{"multipart/form-data; boundary=" + strings.Repeat("b", 71), model + "--b--\r\n", "invalid", ""},
}

// The outcome is the same however the form is cut into pieces.
func TestForms(t *testing.T) {
	for _, tc := range forms {
		for _, n := range []int{1, 2, 3, 7, 31, 1 << 20} {
			f, value, err := scanForm(tc.contentType, tc.text, n)
			if kind(err) != tc.kind || value.Text != tc.value {
				t.Fatalf("%s %.200q in pieces of %d: %s %q (%v), want %s %q",
					tc.contentType, tc.text, n, kind(err), value.Text, err, tc.kind, tc.value)
			}
			if err != nil {
				continue
			}
			// With another text in its place the form is read as it was.
			replaced := tc.text[:value.Start] + string(f.Replacement("another")) + tc.text[value.End:]
			if _, again, err := scanForm(tc.contentType, replaced, n); err != nil || again.Text != "another" {
				t.Fatalf("%q: %q, %v", replaced, again.Text, err)
			}
		}
	}
}

// A Content-Length in the field's part goes with the old text.
func TestFormLength(t *testing.T) {
	text := part("x", "Content-Length: 1", disposition(`name="model"`)) + "--b--\r\n"
	f, value, err := scanForm(formType, text, 5)
	if err != nil {
		t.Fatal(err)
	}
	want := part("longer", disposition(`name="model"`)) + "--b--\r\n"
	if got := text[:value.Start] + string(f.Replacement("longer")) + text[value.End:]; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A large file passes through a form that is scanned, whatever is in it.
func TestLargeForm(t *testing.T) {
	text := part(strings.Repeat("\r\n--\r\n-\x00", 300_000), disposition(`name="file"; filename="a"`)) + model + "--b--\r\n"
	for _, n := range []int{1000, 16<<10 - 1, 512 << 10} {
		if _, value, err := scanForm(formType, text, n); err != nil || value.Text != "x" {
			t.Errorf("in pieces of %d: %q, %v", n, value.Text, err)
		}
	}
}

// FuzzForm compares with mime/multipart: what is found is the only field of
// that name that it finds.
func FuzzForm(f *testing.F) {
	for _, tc := range forms {
		f.Add(tc.contentType, tc.text, 3)
	}
	f.Fuzz(func(t *testing.T, contentType, text string, n int) {
		n = max(1, n%64)
		_, value, err := scanForm(contentType, text, n)
		_, whole, errWhole := scanForm(contentType, text, len(text)+1)
		if kind(err) != kind(errWhole) || value != whole {
			t.Fatalf("in pieces of %d: %v %v; as a whole: %v %v", n, value, err, whole, errWhole)
		}
		if err != nil && !errors.Is(err, ErrMissing) {
			return
		}
		texts, err2 := fields(contentType, text)
		if err2 != nil {
			t.Skip() // stricter than we are, which hides no model
		}
		want := "[]"
		if err == nil {
			want = fmt.Sprintf("%q", []string{value.Text})
		}
		if got := fmt.Sprintf("%q", texts); got != want {
			t.Fatalf("mime/multipart reads %s, Form %s", got, want)
		}
	})
}

// fields returns what mime/multipart reads as the model.
func fields(contentType, text string) (texts []string, err error) {
	_, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		return nil, err
	}
	r := multipart.NewReader(strings.NewReader(text), params["boundary"])
	for {
		p, err := r.NextRawPart()
		if errors.Is(err, io.EOF) {
			return texts, nil
		}
		if err != nil {
			return nil, err
		}
		content, err := io.ReadAll(p)
		if err != nil {
			return nil, err
		}
		if strings.EqualFold(p.FormName(), "model") {
			texts = append(texts, string(content))
		}
	}
}
