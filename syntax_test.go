package freetier_test

import (
	"fmt"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

// directive is one with a block, or a global option, policy or source.
type directive struct {
	name  string
	page  string // "" for one that has none
	frame string // what stands around the directive, with %s for it

	// lists are the options that can be repeated, after those that they are in.
	lists []string
}

// directives have their syntax in a doc comment.
var directives = []directive{
	{
		"doh", "docs/doh.md", "http://127.0.0.1:1 {\n%s\n}\n",
		[]string{"upstream", "upstream header", "for", "for upstream", "for upstream header", "hosts", "listen", "client", "client limit"},
	},
	{
		"dynamic doh", "docs/doh.md", "http://127.0.0.1:1 {\nreverse_proxy {\n%s\ntransport doh\n}\n}\n",
		[]string{"upstream", "upstream header"},
	},
	{
		"lb_policy model-field", "docs/model-field.md", "http://127.0.0.1:1 {\nreverse_proxy 127.0.0.1:2 {\n%s\n}\n}\n",
		[]string{"route"},
	},
	{
		"lb_policy fastest-swagger", "docs/fastest-swagger.md", "http://127.0.0.1:1 {\nreverse_proxy 127.0.0.1:2 {\n%s\n}\n}\n",
		[]string{"header"},
	},
	{
		"keepalive", "docs/keepalive.md", "{\n%s\n}\n",
		[]string{"notify", "notify header", "target", "target header", "target quota", "target contains", "target not_contains", "target json"},
	},
	{
		"llm_gateway", "docs/llm_gateway.md", "http://127.0.0.1:1 {\n%s\n}\n",
		[]string{
			"client", "client models", "client limit", "channel", "channel api_key", "channel models", "channel models quota", "channel quota",
			"channel fields drop", "channel fields rename", "channel fields default", "channel fields set", "channel fields at_most", "channel fields role",
			"channel header_up", "channel allow_header", "channel refusal", "channel speaks", "fallback", "refusal", "allow_path", "allow_header",
		},
	},
	{"freetier", "", "{\n%s\n}\n", []string{"variables"}},
}

// values are what a placeholder of a syntax can stand for, or an option's whole
// usage where that is no sum of its placeholders.
var values = map[string]string{
	"<duration>": "30s", "<number>": "1", "<input>": "0.15", "<output>": "0.60", "<n>": "1", "<period>": "day", "<percent>": "10%", "<size>": "1MB", "<status>": "429",
	"<url>": "https://a.example/", "<path>": "/a", "<ip>": "192.0.2.1", "<upstream>": "127.0.0.1:2", "<file>": "/a",
	"<name>": "a", "<address>": "udp/127.0.0.1:53", "<type>": "aaaa", "<field>": "a", "<value>": "a", "<value or pattern>": "a*", "<policy>": "random", "<text>": "a",
	"<method>": "POST", "<key>": "a-key-of-a-client", "<pattern>": "a*", "<name or pattern>": "a*", "<model>": "b", "<provider>": "deepseek", "<role>": "a", "<origin>": "https://a.example",
	"<tokens>": "128k", "takes <text|image|audio|video|file>...": "text", "allow_path <pattern>...": "/a", "<host:port>": "a.example:443",
	"cron <expression> [<zone>]": `"* * * * *"`, "window <HH:MM>-<HH:MM> [<zone>]": "07:00-23:00", "platform <name>": "render", "json <path> <value>": "a.0 b", "events <down|up|cold_start|hours_low...>": "down up",
	"speaks <chat|responses|messages|gemini>... [<base URL>] [auth <style>]":                                "chat",
	"refusal <status|4xx|*> [<text>] client|next_channel|key|key_model|model|capacity|channel [<duration>]": "429 client",
}

// option is an option in a directive's syntax, or the directive.
type option struct {
	name, usage string
	block       bool
	options     []*option // in its block, if that is not another module's
}

// syntaxes returns the syntax of each directive as its doc comment has it.
func syntaxes(t *testing.T) map[string]string {
	t.Helper()
	var files []string
	for _, pattern := range []string{"modules/*/*.go", "modules/*/*/*.go", "internal/*/*.go"} {
		some, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, some...)
	}
	all := make(map[string]string)
	for _, file := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, comment := range parsed.Comments {
			if _, after, found := strings.Cut(comment.Text(), "Syntax:\n\n"); found {
				syntax, _, _ := strings.Cut(after, "\n\n")
				syntax = normal(syntax)
				if directive := directiveName.FindString(syntax); directive != "" {
					all[directive] = syntax
				}
			}
		}
	}
	return all
}

var directiveName = regexp.MustCompile(`^((lb_policy|dynamic|transport) )?[\w-]+`)

// normal returns lines without indentation and alignment.
func normal(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	for i, line := range lines {
		lines[i] = strings.Join(strings.Fields(line), " ")
	}
	return strings.Join(lines, "\n")
}

// parseSyntax returns a directive with its options.
func parseSyntax(t *testing.T, name, syntax string) *option {
	t.Helper()
	_, block, found := strings.Cut(syntax, " {\n")
	if !found {
		t.Fatalf("the doc comments have no syntax of %s with a block", name)
	}
	lines := strings.Split(block, "\n")
	directive := &option{name: name, block: true, options: parseOptions(&lines)}
	if len(lines) > 0 {
		t.Fatalf("%s: %q stands after the syntax", name, lines)
	}
	return directive
}

// parseOptions parses lines up to the end of the block. Lines for one option
// with different arguments are one.
func parseOptions(lines *[]string) (options []*option) {
	for len(*lines) > 0 {
		line := (*lines)[0]
		*lines = (*lines)[1:]
		if line == "}" {
			break
		}
		line, block := strings.CutSuffix(line, " {")
		name, usage, _ := strings.Cut(line, " ")
		o := &option{name: name, usage: usage, block: block || usage == "<policy>"}
		if block {
			o.options = parseOptions(lines)
		}
		known := slices.ContainsFunc(options, func(other *option) bool { return other.name == name })
		if !known && !strings.HasPrefix(line, "<") {
			options = append(options, o)
		}
	}
	return options
}

// line returns the option with valid arguments.
func (o *option) line(t *testing.T) string {
	t.Helper()
	usage, ok := values[o.name+" "+o.usage]
	if !ok {
		usage = regexp.MustCompile(` ?\[[^]]*\]|\.\.\.|\|\S*`).ReplaceAllString(o.usage, "")
	}
	usage = regexp.MustCompile(`<[^>]*>`).ReplaceAllStringFunc(usage, func(placeholder string) string {
		value, ok := values[placeholder]
		if !ok {
			t.Errorf("%s %s: this test has no value for %s", o.name, o.usage, placeholder)
		}
		return value
	})
	return strings.TrimSpace(o.name + " " + usage)
}

// walk calls visit for each block, with the options that it is in.
func (o *option) walk(path []*option, visit func(path []*option)) {
	path = append(slices.Clip(path), o)
	if len(o.options) > 0 {
		visit(path)
	}
	for _, inner := range o.options {
		inner.walk(path, visit)
	}
}

// adapt adapts a Caddyfile with lines in the last block of path, and returns
// the number of the first of them and the error.
func adapt(t *testing.T, frame string, path []*option, lines string) (first int, err error) {
	t.Helper()
	text := path[0].name + " {\n"
	for _, o := range path[1:] {
		text += o.line(t) + " {\n"
	}
	before, _, _ := strings.Cut(frame, "%s")
	first = strings.Count(before+text, "\n") + 1
	_, err = caddytest.Adapt(fmt.Sprintf(frame, text+lines+strings.Repeat("\n}", len(path))))
	return first, err
}

// forEachBlock calls visit for each block of each directive.
func forEachBlock(t *testing.T, visit func(t *testing.T, path []*option, refuse func(lines string) (int, error), repeats func(name string) bool)) {
	all := syntaxes(t)
	for _, directive := range directives {
		parseSyntax(t, directive.name, all[directive.name]).walk(nil, func(path []*option) {
			var names []string
			for _, o := range path {
				names = append(names, o.name)
			}
			t.Run(strings.Join(names, " "), func(t *testing.T) {
				refuse := func(lines string) (int, error) { return adapt(t, directive.frame, path, lines) }
				repeats := func(name string) bool {
					return slices.Contains(directive.lists, strings.Join(append(names[1:len(names):len(names)], name), " "))
				}
				visit(t, path, refuse, repeats)
			})
		})
	}
}

// No directive with a block is left out of these tests.
func TestSyntaxesAreTested(t *testing.T) {
	for name, syntax := range syntaxes(t) {
		tested := slices.ContainsFunc(directives, func(d directive) bool { return d.name == name })
		if strings.Contains(syntax, "{\n") && !tested {
			t.Errorf("%s is not tested", name)
		}
	}
}

// The parser knows the options of the syntax and no others.
func TestSyntaxIsParsed(t *testing.T) {
	forEachBlock(t, func(t *testing.T, path []*option, refuse func(string) (int, error), _ func(string) bool) {
		var want []string
		for _, o := range path[len(path)-1].options {
			want = append(want, o.name)
		}
		_, err := refuse("no_such_option")
		_, list, found := strings.Cut(fmt.Sprint(err), "unknown option no_such_option of ")
		_, list, _ = strings.Cut(list, "; there ")
		list, _, _ = strings.Cut(list, ", at Caddyfile:")
		got := strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' })
		got = slices.DeleteFunc(got, func(word string) bool { return word == "is" || word == "are" || word == "and" })
		slices.Sort(want)
		slices.Sort(got)
		if !found || !slices.Equal(got, want) {
			t.Errorf("the parser knows  %s\nthe syntax has     %s\n%v", got, want, err)
		}
	})
}

// An option given twice is a mistake, but for lists.
func TestOptionsGivenTwice(t *testing.T) {
	forEachBlock(t, func(t *testing.T, path []*option, refuse func(string) (int, error), repeats func(string) bool) {
		for _, o := range path[len(path)-1].options {
			line := o.line(t)
			first, err := refuse(line + "\n" + line)
			says := fmt.Sprintf("%s is given twice, first in line %d; keep one of the two, at Caddyfile:%d", o.name, first, first+1)
			switch refused := err != nil && strings.Contains(err.Error(), o.name+" is given twice, first in line"); {
			case repeats(o.name) && refused:
				t.Errorf("%s is a list: %v", o.name, err)
			case !repeats(o.name) && (!refused || !strings.HasSuffix(err.Error(), says)):
				t.Errorf("%s: got %v, want %s", line, err, says)
			}
		}
	})
}

// An option without its value, with too many, or with a block that it does not
// have is a mistake that says what to write.
func TestOptionsGivenWrongly(t *testing.T) {
	forEachBlock(t, func(t *testing.T, path []*option, refuse func(string) (int, error), _ func(string) bool) {
		for _, o := range path[len(path)-1].options {
			check := func(line, says string) {
				t.Helper()
				at, err := refuse(line)
				if err == nil || !strings.Contains(err.Error(), says) || !strings.HasSuffix(err.Error(), fmt.Sprintf(", at Caddyfile:%d", at)) {
					t.Errorf("%s: got %v, want an error that says %q, in line %d", line, err, says, at)
				}
			}
			if !o.block {
				check(o.line(t)+" {\na\n}", o.name+" takes no block")
				check(o.line(t)+" {\n}", o.name+" takes no block")
			}
			switch {
			case o.usage == "":
				check(o.name+" a", o.name+" takes no value")
			case !strings.HasPrefix(o.usage, "["):
				check(o.name, "write: "+o.name+" ")
			}
			if o.usage != "" && o.usage != "<policy>" && !strings.Contains(o.usage, "...") {
				check(o.line(t)+strings.Repeat(" a", 6), "too many values for "+o.name)
			}
		}
	})
}

// The pages, in English and in Chinese, have the syntax as the doc comments have
// it, and their tables explain each option.
func TestSyntaxIsDocumented(t *testing.T) {
	all := syntaxes(t)
	known := make(map[string][]string) // options, by page
	for _, directive := range directives {
		parseSyntax(t, directive.name, all[directive.name]).walk(nil, func(path []*option) {
			for _, o := range path[len(path)-1].options {
				known[directive.page] = append(known[directive.page], o.name)
			}
		})
	}
	for _, directive := range directives {
		if directive.page == "" {
			continue
		}
		for _, page := range []string{directive.page, strings.Replace(directive.page, "docs/", "docs/zh/", 1)} {
			t.Run(directive.name+" in "+page, func(t *testing.T) {
				content, err := os.ReadFile(page)
				if err != nil {
					t.Fatal(err)
				}
				if !strings.Contains(normal(string(content)), all[directive.name]) {
					t.Errorf("%s does not have the syntax\n%s", page, all[directive.name])
				}
				explained := explainedIn(string(content))
				for _, name := range known[directive.page] {
					if !slices.Contains(explained, name) {
						t.Errorf("the table of %s does not have `%s`", page, name)
					}
				}
				for _, name := range explained {
					if !slices.Contains(known[directive.page], name) {
						t.Errorf("the table of %s has `%s`, which is no option", page, name)
					}
				}
			})
		}
	}
}

// explainedIn returns the names in the first column of a page's tables of
// options.
func explainedIn(page string) (names []string) {
	inTable := false
	for line := range strings.SplitSeq(page, "\n") {
		isHead := strings.HasPrefix(line, "| option |") || strings.HasPrefix(line, "| 选项 |")
		inTable = isHead || (inTable && strings.HasPrefix(line, "|"))
		if inTable {
			column := strings.Split(line, "|")[1]
			for _, name := range regexp.MustCompile("`([a-z_]+)`").FindAllStringSubmatch(column, -1) {
				names = append(names, name[1])
			}
		}
	}
	return names
}
