package statuspage

import (
	"net/http"
	"net/url"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/refusal"
	"github.com/caddy-freetier/caddy-freetier/internal/status"
)

// full sets every field of a value to something, with lists of two elements.
func full(v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(time.Date(2027, 3, 4, 12, 0, 0, 0, time.UTC)))
			return
		}
		for i := range v.NumField() {
			full(v.Field(i))
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		full(v.Elem())
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		full(v.Index(0))
		full(v.Index(1))
	case reflect.String:
		v.SetString("unknown")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(1234)
	case reflect.Float64:
		v.SetFloat(.5)
	}
}

func fullStatus() *status.Status {
	s := new(status.Status)
	full(reflect.ValueOf(s).Elem())
	s.Channels[0].Quotas[0].Unit, s.Channels[0].Quotas[0].Period = "tokens", "month"
	return s
}

// Each part is rendered in each language, with texts that there are, and is not
// the same in both.
func TestParts(t *testing.T) {
	s := fullStatus()
	html := make(map[language]*rendering)
	for _, lang := range languages {
		html[lang], _ = renderParts(lang, newSnapshot(s), nil)
		for i, part := range html[lang].parts {
			text := string(part.html)
			if len(text) < 100 || strings.Contains(text, "template:") || strings.Contains(text, "ZgotmplZ") || strings.Contains(text, "%!") {
				t.Errorf("%s in %s: %s", parts[i], lang, text)
			}
			for _, element := range []string{"p", "li", "ul", "div", "span", "small", "b", "i", "h2", "svg", "time", "table"} {
				begun := strings.Count(text, "<"+element+" ") + strings.Count(text, "<"+element+">")
				if ended := strings.Count(text, "</"+element+">"); begun != ended {
					t.Errorf("%s in %s: %d elements %s begin, %d end: %s", parts[i], lang, begun, element, ended, text)
				}
			}
		}
	}
	for i, name := range parts {
		if string(html[english].parts[i].html) == string(html[chinese].parts[i].html) {
			t.Errorf("%s is the same in all languages", name)
		}
	}
}

// What has not changed is not sent again, and what has is.
func TestChangedParts(t *testing.T) {
	s := fullStatus()
	first, changed := renderParts(english, newSnapshot(s), nil)
	if !changed || len(first.since(nil)) == 0 {
		t.Error("the first page is no news")
	}
	same, changed := renderParts(english, newSnapshot(s), first)
	if changed || len(same.since(first)) > 0 {
		t.Errorf("the same page is news: %s", same.since(first))
	}
	again := fullStatus()
	again.Targets[0].Name = "another\r\nname\rof it"
	page, changed := renderParts(english, newSnapshot(again), same)
	news := string(page.since(first))
	if !changed || !strings.Contains(news, "event: targets\n") || !strings.Contains(news, "another") || strings.Contains(news, "event: channels\n") {
		t.Errorf("the news are %s", news)
	}
	// A line of an event ends with any of the three.
	for line := range strings.Lines(strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(news)) {
		if line != "\n" && !strings.HasPrefix(line, "event: ") && !strings.HasPrefix(line, "data: ") {
			t.Errorf("a line is none of an event: %q", line)
		}
	}
}

// What the page is drawn with has a style.
func TestClasses(t *testing.T) {
	drawn := string(mustRead("page/parts.html")) + readSource(t, "draw.go")
	known := regexp.MustCompile(`\.[a-z_]+`).FindAllString(string(style), -1)
	seen := 0
	for _, attribute := range regexp.MustCompile("class=(\"[^\"]*\"|[^\" >`]+)").FindAllStringSubmatch(drawn, -1) {
		text := strings.Trim(attribute[1], `"`)
		text = regexp.MustCompile(`\{\{(if|else|end)[^}]*\}\}`).ReplaceAllString(text, "")
		for _, class := range strings.Fields(regexp.MustCompile(`\{\{[^}]*\}\}|%s`).ReplaceAllString(text, "")) {
			seen++
			if !slices.Contains(known, "."+class) {
				t.Errorf("the class %q of %q has no style", class, attribute[1])
			}
		}
	}
	if seen < 50 {
		t.Errorf("%d classes were found", seen)
	}
}

// All texts are in all languages with the same placeholders, and all of them are
// used.
func TestTexts(t *testing.T) {
	verbs := regexp.MustCompile(`%[a-z]`)
	used := string(mustRead("page/parts.html"))
	for _, name := range []string{"summary.go", "format.go", "draw.go", "render.go", "badge.go"} {
		used += readSource(t, name)
	}
	states := []string{"up", "down", "failing", "unknown", "asleep", "awake", "waking", "cold_start", "hours_low", "winner", "key", "unhealthy", "healthy", "dead", "cooldown", "partly", "exhausted"}
	for name, text := range texts {
		if text.en == "" || text.zh == "" {
			t.Errorf("%s is not in all languages", name)
		}
		if en, zh := verbs.FindAllString(text.en, -1), verbs.FindAllString(text.zh, -1); strings.Join(en, "") != strings.Join(zh, "") {
			t.Errorf("%s has the placeholders %v and %v", name, en, zh)
		}
		built := strings.HasPrefix(name, "a ") || strings.HasPrefix(name, "count ") || strings.Contains(strings.Join(states, " "), name)
		if !built && !strings.Contains(used, `"`+name+`"`) {
			t.Errorf("nobody uses the text %q", name)
		}
	}
	for _, state := range states {
		if _, ok := texts[state]; !ok {
			t.Errorf("there is no text for %s", state)
		}
	}
	for _, period := range []string{"second", "minute", "hour", "day", "month"} {
		for _, unit := range []string{"requests", "tokens", "queries"} {
			if _, ok := texts["a "+period+" of "+unit]; !ok {
				t.Errorf("there is no text for %s a %s", unit, period)
			}
		}
	}
	for _, match := range regexp.MustCompile(`Reason\w+\s+= "(\w+)"`).FindAllStringSubmatch(readSource(t, "../../internal/status/status.go"), -1) {
		if whyInChinese[match[1]] == "" {
			t.Errorf("the reason %s is not in Chinese", match[1])
		}
	}
	for _, reason := range refusal.Reasons() {
		if reasonsInChinese[string(reason)] == "" {
			t.Errorf("the reason %s is not in Chinese", reason)
		}
	}
}

func TestLanguages(t *testing.T) {
	for header, want := range map[string]language{
		"": english, "en-US,en;q=0.9": english, "zh-CN,zh;q=0.9,en;q=0.8": chinese, "zh-TW": chinese, "zh": chinese,
		"de-DE,de;q=0.9": english, "de, zh;q=0.5": chinese, "en;q=0.1, zh-Hans-CN": chinese, "*": english, ";;;": english, strings.Repeat("a,", 10_000): english,
	} {
		r := &http.Request{Header: http.Header{"Accept-Language": {header}}}
		r.URL = mustParse("/")
		if got := languageOf(r); got != want {
			t.Errorf("%.40s: got %s, want %s", header, got, want)
		}
		r.URL = mustParse("/?lang=zh")
		if got := languageOf(r); got != chinese {
			t.Errorf("%.40s, with ?lang=zh: got %s", header, got)
		}
	}
}

func TestFormats(t *testing.T) {
	for n, want := range map[any]string{0: "0", 999: "999", 1000: "1k", 1234: "1.2k", int64(99_949): "99.9k", 99_951: "100k", 999_499: "999k", 999_501: "1M", 12_345_678: "12.3M", 1e12: "1T"} {
		if got := number(n); got != want {
			t.Errorf("%v: got %s, want %s", n, got, want)
		}
	}
	for ms, want := range map[float64]string{0: "0.0 ms", 1.26: "1.3 ms", 10: "10 ms", 999.4: "999 ms", 1234: "1.2 s"} {
		if got := milliseconds(ms); got != want {
			t.Errorf("%v: got %s, want %s", ms, got, want)
		}
	}
	for p, want := range map[float64]string{0: "0 %", .5: "50 %", .999: "99.9 %", .99999: "99.99 %", 1: "100 %"} {
		if got := share(&p); got != want {
			t.Errorf("%v: got %s, want %s", p, got, want)
		}
	}
}

func mustParse(address string) *url.URL {
	u, err := url.Parse(address)
	if err != nil {
		panic(err)
	}
	return u
}

func readSource(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}
