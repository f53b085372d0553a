package reqbody

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"
)

// Each of these is the field to some parser that drops, replaces, folds, trims,
// cuts or decodes.
var alikes = []string{
	"Model", "MODEL", "moDel", "ｍｏｄｅｌ", "𝐦𝐨𝐝𝐞𝐥", "ⓜⓞⓓⓔⓛ", "módel", "mode\u0301l", "ℳodel",
	"mod\xffel", "\xffmodel", "model\xc3", "mod\xed\xa0\x80el", "mod\ufffdel", "mod\xc0\x80el",
	"model\x00", "\x00model", "model\x00x", "mo\x00del", "model\x01", "mod\x7fel", "mod\u0085el",
	"\ufeffmodel", "mod\u200bel", "mod\u200del", "mod\u00adel", "mod\u2060el", "mod\u034fel", "mod\ufe0fel", "mod\u3164el", "mod\u115fel", "model\U000e0001",
	" model", "model ", "\tmodel\n", "model\u00a0", "\u2003model", "mo del",
	"model[]", "model[0]", "model[x][y]", "[model]", "model]", "model.", "model.x", ".model", "model:list", "model;x", "model|x", "$.model", "model=x", "model,", "model(x)",
	`"model"`, "'model'", "`model`", `\model`, `mod\el`, `\"model\"`, `"model`, "<model>", "{model}",
	"mod%65l", "%6dodel", "mod%u0065l", "mod%2565l", "%256dodel", "model%00", "model%5B%5D", "+model", "mo+del", "mo%64el%20",
	`\u006dodel`, `\x6dodel`, `\\u006dodel`, "&#109;odel", "&#x6d;odel", "mod&#101;l", "m&amp;#111;del", "model&shy;",
	"=?utf-8?q?model?=", "=?utf-8?b?bW9kZWw=?=", "=?x-unknown?q?other?=", "a=?", "mo-del", "model-", "-model",
	"%25252525256dodel", "mod模el", "model模型", `mod\u0065l\n`, `model\t`, `mod\el`, `\0model`, "\\\ufeffx6dodel", "%\u200b6dodel", "mod%00el[0]", "ｍod\x00el[0]",
}

// And none of these is.
var unlike = []string{
	"", "mode", "models", "model_name", "model_id", "mo_del", "_model", "model_", "modelx", "xmodel", "submodel", "m", "other",
	"模型", "모델", "модель", "μοντέλο", "a.model", "x[model]", "x model", "modél2", "max_tokens", "systemInstruction", "50%", `a\b`,
	"stream_options", "Models", "model1", "model-name", "x-model", "%6dodels", "ü", "",
}

func TestAlike(t *testing.T) {
	for _, name := range alikes {
		if !Alike(name, "model") {
			t.Errorf("%q is not found to be like model", name)
		}
	}
	for _, name := range unlike {
		if Alike(name, "model") {
			t.Errorf("%q is found to be like model", name)
		}
	}
	for name, field := range map[string]string{
		"ſtream": "stream", "ﬆream": "stream", "seßion": "session", "fallbacKs": "fallbacks", "stream-options": "stream_options",
		"provider options": "providerOptions", "providerOptions[]": "providerOptions", "МОДЕЛЬ": "модель",
	} {
		if !Alike(name, field) {
			t.Errorf("%q is not found to be like %s", name, field)
		}
	}
	if Alike(strings.Repeat("é", 100_000)+"x", "model") {
		t.Error("a long name is found to be like model")
	}
}

// No such key or part comes through beside the field, before or behind it or
// alone, raw or escaped; and none that is not like it is refused.
func TestLookAlikes(t *testing.T) {
	for _, name := range alikes {
		for _, key := range jsonKeys(name) {
			for _, text := range []string{
				`{"model":"x",` + key + `:"y"}`, `{` + key + `:"y","model":"x"}`, `{` + key + `:"y"}`, `{"a":{},` + key + `:["y"],"b":1}`,
			} {
				for _, n := range []int{1, 7, 1 << 20} {
					if _, err := scan(text, n); err == nil || kind(err) == "missing" {
						t.Errorf("%q in pieces of %d: %s", text, n, kind(err))
					}
				}
			}
			if strings.HasPrefix(kind(scanErr(`{"a":{`+key+`:"y"},"model":"x"}`)), "ambiguous") {
				t.Errorf("%q is refused where it has no meaning", key)
			}
		}
		if strings.ContainsAny(name, "\r\n\x00\"") {
			continue // not in the header of a part
		}
		for _, params := range []string{`name="` + name + `"`, `name="` + name + `"; filename="a"`} {
			text := model + part("y", disposition(params)) + "--b--\r\n"
			if _, _, err := scanForm(formType, text, 7); err == nil {
				t.Errorf("%q in a form is accepted", params)
			}
		}
	}
	for _, name := range unlike {
		if strings.ContainsAny(name, `\`) {
			continue
		}
		text := fmt.Sprintf(`{"model":"x","%s":"y"}`, name)
		if value, err := scan(text, 1<<20); err != nil || value.Text != "x" {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func scanErr(text string) error {
	_, err := scan(text, 1<<20)
	return err
}

// jsonKeys writes a key raw, if that is JSON, and with escapes.
func jsonKeys(name string) (keys []string) {
	raw, escaped := true, new(strings.Builder)
	for _, c := range name {
		raw = raw && c >= ' ' && c != '"' && c != '\\'
		if c > 0xffff {
			c -= 0x10000
			fmt.Fprintf(escaped, `\u%04x\u%04x`, 0xd800+c>>10, 0xdc00+c&0x3ff)
			continue
		}
		fmt.Fprintf(escaped, `\u%04x`, c)
	}
	if raw {
		keys = append(keys, `"`+name+`"`)
	}
	return append(keys, `"`+escaped.String()+`"`)
}

// Other fields of interest are noted, with what could be read as them.
func TestOthers(t *testing.T) {
	names := []string{"stream", "models", "session", "providerOptions", "provider"}
	for _, tc := range []struct {
		text string
		want []Span
	}{
		{`{"models":["a"],"model":"x"}`, []Span{{Name: "models", Start: 10, End: 15}}},
		{`{"models":1,"x":{"session":2},"models":3}`, []Span{{Name: "models", Start: 39, End: 40, Twice: true}}},
		{`{"Models":[1],"SESSION":2,"provider_options":3}`, []Span{{Name: "models", Alike: true}, {Name: "session", Alike: true}}},
		{`{"ProviderOptions":3,"provider":{} }`, []Span{{Name: "providerOptions", Alike: true}, {Name: "provider", Start: 32, End: 35}}},
		{`{"stream":true,"ſtream":false}`, []Span{{Name: "stream", Start: 10, End: 14, Alike: true}}},
		{`{"models[]":"a"}`, []Span{{Name: "models", Alike: true}}},
	} {
		s := NewScanner("model", names...)
		for range 2 { // also after Reset
			_, _ = s.Write([]byte(tc.text))
			if _, err := s.Finish(); err != nil && kind(err) != "missing" {
				t.Fatalf("%s: %v", tc.text, err)
			}
			got := []Span{}
			for i := range names {
				span := s.Other(i)
				if span.End > 0 || span.Alike {
					got = append(got, span)
				}
			}
			if fmt.Sprint(got) != fmt.Sprint(tc.want) {
				t.Errorf("%s: %+v, want %+v", tc.text, got, tc.want)
			}
			s.Reset()
		}
	}
}

// A text that is not valid UTF-8 is refused wherever a parser could lose its
// way, and however it is cut.
func TestUTF8(t *testing.T) {
	for _, special := range []string{"é", "模型", "😀", "\u07ff\u0800\uffff\U0010ffff", `\ud83d`, "\ufffd"} {
		for filler := range 40 {
			text := `{"` + strings.Repeat("a", filler) + special + `b":{"` + special + `":"` + special + `"},"model":"x"}`
			if strings.ContainsAny(special, "\\\ufffd") {
				text = `{"a":{"` + strings.Repeat("a", filler) + special + `":"` + special + `"},"model":"x"}`
			}
			for n := 1; n < 6; n++ {
				if _, err := scan(text, n); err != nil {
					t.Fatalf("%q in pieces of %d: %v", text, n, err)
				}
			}
		}
	}
	for _, special := range []string{"\xff", "\xc3", "\xe6\xa8", "\xf0\x9f\x98", "\xc0\xa2,\xc0\xa2model\xc0\xa2:\xc0\xa2y", "\xed\xa0\x80", "\x80", "\xe3\\u0041", "é\xc3"} {
		for filler := range 40 {
			for _, text := range []string{
				`{"a":"` + strings.Repeat("a", filler) + special + `","model":"x"}`,
				`{"a":["` + strings.Repeat("a", filler) + special + `aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"],"model":"x"}`,
				`{"a":{"` + strings.Repeat("a", filler) + special + `":1},"model":"x"}`,
			} {
				for _, n := range []int{1, 2, 3, 1 << 20} {
					if _, err := scan(text, n); kind(err) != "invalid" {
						t.Fatalf("%q in pieces of %d: %v", text, n, err)
					}
				}
			}
		}
	}
}

func TestIsPlainText(t *testing.T) {
	for _, value := range []string{"gpt-4o", "deepseek/deepseek-r1:free", "@cf/meta/llama-3.1", "模型", "a b", "modèle", "", "%65", "[x]"} {
		if !IsPlainText(value) {
			t.Errorf("%q", value)
		}
	}
	for _, value := range []string{"a\x00", "a\n", "a\x7f", "a\u0085", " a", "a ", "a\u00a0", "a\u200b", "\ufeffa", "a\u202eb", "a\ufffd", "a\xff", "a\u2028b", "a\u3164", "a\ufe0f", "a\u00adb", "a\ue000"} {
		if IsPlainText(value) {
			t.Errorf("%q", value)
		}
	}
}

// FuzzUTF8 compares with unicode/utf8.
func FuzzUTF8(f *testing.F) {
	for _, text := range []string{"天地玄黄，宇宙洪荒。", "aдaбра кадабра", "a\u0800\ud7ff\ue000\uffffbcdefghij", "\xe0\x9f\xbfabcdefgh", "\xed\xa0\x80abcdefgh", "\xc1\xbfabcdefgh", "😀😀😀", "é\xc3"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		for i := range min(len(p)+1, 9) {
			if got, want := isUTF8(p[i:]), utf8.Valid(p[i:]); got != want {
				t.Fatalf("%q: %v, want %v", p[i:], got, want)
			}
		}
	})
}

func BenchmarkScannerChinese(b *testing.B) {
	text := []byte(`{"model":"gpt-4o","messages":[{"role":"user","content":"` + strings.Repeat("天地玄黄，宇宙洪荒。", 1<<20/30) + `"}]}`)
	s := NewScanner("model")
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		s.Reset()
		_, _ = s.Write(text)
		if _, err := s.Finish(); err != nil {
			b.Fatal(err)
		}
	}
}
