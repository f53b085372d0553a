package caddyfileutil

import (
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// settings has a field for each kind of option.
type settings struct {
	Flag, On          bool
	Text, Word        string
	Duration, Off     caddy.Duration
	Number, Few       int
	Share, Margin     *float64
	Size              int64
	Statuses, Retried []int
	Policy            json.RawMessage
	Header            http.Header
	List, Inner       []string
}

func (s *settings) options() []Option {
	return []Option{
		{Name: "flag", Parse: Flag(&s.Flag)},
		{Name: "switch", Parse: OnOff(func(on bool) { s.On = on })},
		{Name: "text", Parse: Text(&s.Text, "<name>", "a")},
		{Name: "word", Parse: OneOf(&s.Word, "a", "b", "c")},
		{Name: "duration", Excludes: "interval", Parse: Duration(&s.Duration, time.Millisecond)},
		{Name: "interval", Parse: DurationOrOff(&s.Off, 0)},
		{Name: "number", Parse: Number(&s.Number, 1, math.MaxInt)},
		{Name: "few", Parse: Number(&s.Few, 0, 3)},
		{Name: "share", Parse: Percent(&s.Share, false)},
		{Name: "margin", Parse: Percent(&s.Margin, true)},
		{Name: "size", Parse: Size(&s.Size)},
		{Name: "statuses", Parse: Statuses(&s.Statuses, 1, 5, "200 or 2xx")},
		{Name: "retried", Parse: Statuses(&s.Retried, 4, 5, "429 or 5xx")},
		{Name: "policy", Block: true, Parse: Policy(&s.Policy)},
		{Name: "header", Repeats: true, Parse: Header(&s.Header)},
		{Name: "list", Repeats: true, Parse: Args("<text...>", "a b", func(args []string) error {
			s.List = append(s.List, args...)
			return nil
		})},
		{Name: "refused", Parse: One("<text>", "a", func(arg string) error {
			switch arg {
			case "usage":
				return ErrUsage
			case "named":
				return errors.New("refused named: says so itself")
			}
			return errors.New("not today")
		})},
		{Name: "block", Block: true, Parse: func(d *caddyfile.Dispenser) error {
			if err := NoArguments(d); err != nil {
				return err
			}
			return ParseBlock(d, "block", []Option{{Name: "inner", Parse: Args("[<text>...]", "a", func(args []string) error {
				s.Inner = args
				return nil
			})}})
		}},
		{Name: "weight", Instead: "weights are given to another option"},
	}
}

func parse(text string) (*settings, error) {
	s := new(settings)
	d := caddyfile.NewTestDispenser(text)
	d.Next()
	return s, ParseBlock(d, "thing", s.options())
}

func TestValues(t *testing.T) {
	percent := func(share float64) *float64 { return &share }
	for line, want := range map[string]settings{
		"flag":                        {Flag: true},
		"switch on":                   {On: true},
		"switch off":                  {},
		"text `a b`":                  {Text: "a b"},
		"word c":                      {Word: "c"},
		"duration 1d":                 {Duration: caddy.Duration(24 * time.Hour)},
		"duration 1ms":                {Duration: caddy.Duration(time.Millisecond)},
		"interval off":                {Off: Off},
		"interval 0s":                 {},
		"number 9000000000":           {Number: 9_000_000_000},
		"few 3":                       {Few: 3},
		"share 100%":                  {Share: percent(1)},
		"margin 0%":                   {Margin: percent(0)},
		"margin 12.5%":                {Margin: percent(0.125)},
		"size 1MiB":                   {Size: 1 << 20},
		"size 64MB":                   {Size: 64_000_000},
		"statuses 100 2xx 3XX 599":    {Statuses: []int{100, 2, 3, 599}},
		"retried 429 5xx":             {Retried: []int{429, 5}},
		"policy first":                {Policy: json.RawMessage(`{"policy":"first"}`)},
		"header A: b\nheader a {x}":   {Header: http.Header{"A": {"b", "{x}"}}},
		"list a\nlist b c":            {List: []string{"a", "b", "c"}},
		"block {\ninner a b\n}\nflag": {Flag: true, Inner: []string{"a", "b"}},
		"block\nflag":                 {Flag: true},
		"block {\n}\nflag":            {Flag: true},
		"text \"{\"\nflag":            {Flag: true, Text: "{"},
		"policy cookie {\nfallback first\n}\nflag": {
			Flag:   true,
			Policy: json.RawMessage(`{"fallback":{"policy":"first"},"policy":"cookie"}`),
		},
	} {
		got, err := parse("thing {\n" + line + "\n}")
		if err != nil {
			t.Errorf("%s: %v", line, err)
		} else if !reflect.DeepEqual(*got, want) {
			t.Errorf("%s: got %+v, want %+v", line, *got, want)
		}
	}
	for _, none := range []string{"thing", "thing {\n}"} {
		if got, err := parse(none); err != nil || !reflect.DeepEqual(*got, settings{}) {
			t.Errorf("%s: got %+v, %v", none, got, err)
		}
	}
}

// The texts of all mistakes. Each stands in the last line but one.
func TestMistakes(t *testing.T) {
	for _, tc := range []struct{ lines, want string }{
		{
			"flags", "unknown option flags of thing; there are flag, switch, text, word, duration, interval, number, few, share, margin, " +
				"size, statuses, retried, policy, header, list, refused and block",
		},
		{"flag\nflag", "flag is given twice, first in line 2; keep one of the two"},
		{"policy first\nflag\npolicy random", "policy is given twice, first in line 2; keep one of the two"},
		{"duration 1s\ninterval 1s", "interval excludes duration in line 2; keep one of the two"},
		{"interval 1s\nduration 1s", "duration excludes interval in line 2; keep one of the two"},
		{"weight 1", "thing has no option weight: weights are given to another option"},
		{"flag on", "flag takes no value; remove the rest of the line"},
		{"flag {", "flag takes no block; remove the braces and what is in them"},
		{"flag {\n}", "flag takes no block; remove the braces and what is in them"},
		{"header A b {\nflag\n}", "header takes no block; remove the braces and what is in them"},
		{"switch", "write: switch on|off, such as switch on"},
		{"switch yes", `switch: "yes" is not one of on and off`},
		{"text", "write: text <name>, such as text a"},
		{"text a b", "too many values for text; write: text <name>, such as text a (put a value with spaces into quotes or backticks)"},
		{`text ""`, "text: the value is empty; write one such as a"},
		{"word d", `word: "d" is not one of a, b and c`},
		{"duration", "write: duration <duration>, such as duration 400ms or 30s"},
		{"duration 5", `duration: "5" is not a duration; write one such as 400ms or 30s`},
		{"duration off", `duration: "off" is not a duration; write one such as 400ms or 30s`},
		{"duration 0s", "duration: 0s is too short; the least is 1ms"},
		{"duration -1s", "duration: -1s is too short; the least is 1ms"},
		{"interval", "write: interval <duration>|off, such as interval 400ms or 30s"},
		{"interval -1s", "interval: -1s is too short; the least is 0s"},
		{"number 0", `number: "0" is not a whole number from 1; write one such as 8`},
		{"number 1.5", `number: "1.5" is not a whole number from 1; write one such as 8`},
		{"few 4", `few: "4" is not a whole number from 0 to 3; write one such as 3`},
		{"few", "write: few <number>, such as few 3"},
		{"share 10", `share: "10" is not a percentage from 0% to 100%; write one such as 10%`},
		{"share 100.1%", `share: "100.1%" is not a percentage from 0% to 100%; write one such as 10%`},
		{"share -1%", `share: "-1%" is not a percentage from 0% to 100%; write one such as 10%`},
		{"share NaN%", `share: "NaN%" is not a percentage from 0% to 100%; write one such as 10%`},
		{"margin 100%", `margin: "100%" is not a percentage from 0% to below 100%; write one such as 10%`},
		{"size big", `size: "big" is not a size with its unit; write one such as 64MB`},
		{"size 0", `size: "0" is not a size with its unit; write one such as 64MB`},
		{"size 64", `size: "64" is not a size with its unit; write one such as 64MB`},
		{"size 9999999TB", `size: "9999999TB" is not a size with its unit; write one such as 64MB`},
		{"size", "write: size <size>, such as size 64MB"},
		{"statuses", "write: statuses <status...>, such as statuses 200 or 2xx"},
		{"statuses 200 ok", `statuses: "ok" is not a status from 100 to 599; write some such as 200 or 2xx`},
		{"statuses 2", `statuses: "2" is not a status from 100 to 599; write some such as 200 or 2xx`},
		{"statuses 20xx", `statuses: "20xx" is not a status from 100 to 599; write some such as 200 or 2xx`},
		{"statuses 6xx", `statuses: "6xx" is not a status from 100 to 599; write some such as 200 or 2xx`},
		{"statuses 600", `statuses: "600" is not a status from 100 to 599; write some such as 200 or 2xx`},
		{"statuses +99", `statuses: "+99" is not a status from 100 to 599; write some such as 200 or 2xx`},
		{"retried 200", `retried: "200" is not a status from 400 to 599; write some such as 429 or 5xx`},
		{"policy", "write: policy <policy>, such as policy random, first, round_robin or least_conn"},
		{"policy none", `policy: "none" is not a policy of reverse_proxy; write one such as random, first, round_robin or least_conn`},
		{"header A", `write: header <name> <value>, such as header X-Title "my pool"`},
		{"header A b c", `too many values for header; write: header <name> <value>, such as header X-Title "my pool" (put a value with spaces into quotes or backticks)`},
		{"header `A B` c", `header: "A B" is not the name of a header field; write one such as X-Title`},
		{"header A \"b\x00\"", "header: the value of A has a line break or another control character; remove it"},
		{"list", "write: list <text...>, such as list a b"},
		{"refused x", "refused: not today"},
		{"refused usage", "write: refused <text>, such as refused a"},
		{"refused named", "refused named: says so itself"},
		{"block x", "block takes no value; write its options into a block"},
		{"block {\nother a\n}", "unknown option other of block; there is inner"},
	} {
		_, err := parse("thing {\n" + tc.lines + "\n}")
		if err == nil || !strings.HasPrefix(err.Error(), tc.want+", at Testfile:") {
			t.Errorf("%q:\ngot  %v\nwant %s", tc.lines, err, tc.want)
		}
	}
}

// A mistake is reported in its own line.
func TestLines(t *testing.T) {
	for lines, want := range map[string]string{
		"flag\nflag\ntext a":         "Testfile:3",
		"text a\nnone\nflag":         "Testfile:3",
		"flag {\ntext a\n}":          "Testfile:2",
		"block {\ninner\ninner\n}":   "Testfile:4",
		"size 1MB\nsize":             "Testfile:3",
		"number 0\ntext":             "Testfile:2",
		"policy cookie {\nnone a\n}": "Testfile:3",
	} {
		if _, err := parse("thing {\n" + lines + "\n}"); err == nil || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("%q: got %v, want %s", lines, err, want)
		}
	}
}

// What stands where an option should be can be a key that a variable has
// brought along with a line break.
func TestUnknownOptionShowsNoSecret(t *testing.T) {
	for _, key := range []string{"AIzaSecretTwo0002", "sk-proj-abcdefghijklmnopqrst", "gsk_1234567890", "日本語"} {
		_, err := parse("thing {\n" + key + "\n}")
		if err == nil || strings.Contains(err.Error(), key) || !strings.Contains(err.Error(), "not shown") {
			t.Errorf("%s: got %v", key, err)
		}
	}
}

func TestCount(t *testing.T) {
	for usage, want := range map[string][2]int{
		"":                              {0, 0},
		"<a>":                           {1, 1},
		"on|off":                        {1, 1},
		"<a> <b>":                       {2, 2},
		"<a> [<b>]":                     {1, 2},
		"[<a>|off]":                     {0, 1},
		"<a...>":                        {1, math.MaxInt},
		"<a> <b>...":                    {2, math.MaxInt},
		"<a>...|*|off":                  {1, math.MaxInt},
		"<a>... to <b>":                 {3, math.MaxInt},
		"<name or pattern>... [as <b>]": {1, math.MaxInt},
		"<a> [as <b> or <c>] <d>":       {2, 6},
		"<n> [tokens]/<period> [<a>]":   {1, 3},
		"<HH:MM>-<HH:MM> [<zone>]":      {1, 2},
	} {
		if least, most := count(usage); least != want[0] || most != want[1] {
			t.Errorf("%q: got %d to %d, want %v", usage, least, most, want)
		}
	}
}
