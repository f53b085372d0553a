package migrate

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// Place says where the Caddyfile and its keys are to be.
type Place struct {
	Site string // the address of the gateway, and of forwards by path
	Keys string // the folder of the files with keys
}

var (
	siteWord   = regexp.MustCompile(`^(?:https?://)?(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\])?(?::\d{1,5})?$`)
	folderWord = regexp.MustCompile(`^[A-Za-z0-9._/~+@-]+$`)
)

func (p Place) check() error {
	if p.Site == "" || !siteWord.MatchString(p.Site) {
		return errors.New("--site is the address of a site, like ai.example.com or http://localhost:8080")
	}
	if !folderWord.MatchString(p.Keys) {
		return errors.New("--keys is a folder without white space and special characters in its path, like /etc/caddy/keys")
	}
	return nil
}

// Output is a Caddyfile, and the files of keys that it names, by their names in
// Place.Keys.
//
// Keys are apart so that the Caddyfile can be shown, mailed and kept in a repository.
// The command writes them with mode 0600.
type Output struct {
	Caddyfile string
	Keys      map[string]string
}

// Write writes the Caddyfile.
//
// A site with forwards by path and a gateway needs handle blocks, which exclude each
// other; forwards of hosts are sites of their own. The text goes through Caddy's
// formatter and is checked for keys as the last step, whatever it was made of.
func (p *Pool) Write(at Place) (*Output, error) {
	if err := at.check(); err != nil {
		return nil, err
	}
	if err := p.finish(); err != nil {
		return nil, err
	}
	out := &Output{Keys: make(map[string]string)}
	var text strings.Builder
	if gateway := p.gateway(at, out); gateway != "" || slices.ContainsFunc(p.Forwards, Forward.byPath) {
		fmt.Fprintf(&text, "%s {\n", at.Site)
		for _, f := range p.Forwards {
			if f.byPath() {
				text.WriteString(p.forward(f, gateway != ""))
			}
		}
		if gateway != "" && slices.ContainsFunc(p.Forwards, Forward.byPath) {
			gateway = "handle {\n" + gateway + "}\n"
		}
		text.WriteString(gateway + "}\n\n")
	}
	for _, f := range p.Forwards {
		if !f.byPath() {
			fmt.Fprintf(&text, "%s {\n%s}\n\n", f.Host, proxy(f))
		}
	}
	out.Caddyfile = string(caddyfile.Format([]byte(strings.TrimSpace(text.String()) + "\n")))
	if err := p.checkShown(out.Caddyfile); err != nil {
		return nil, err
	}
	return out, nil
}

// checkShown checks that no key is in a text. It is the last line of defence behind the
// checks of names, URLs and models: a model may be called like a key.
func (p *Pool) checkShown(text string) error {
	switch i := p.shown(text); {
	case i == noKeyShown:
		return nil
	case i == len(p.Channels):
		return errors.New("a key of something that is left out is also in a name, a URL or a model's name; change that first")
	default:
		return fmt.Errorf("%s: one of its keys is also in a name, a URL or a model's name; change that first", p.called(i))
	}
}

// called returns what an error calls a channel, whose name can be another one's key.
func (p *Pool) called(i int) string {
	if name := p.Channels[i].Name; p.shown(name) == noKeyShown {
		return "the channel " + name
	}
	return fmt.Sprintf("channel number %d", i+1)
}

const noKeyShown = -1

// shown returns the number of the channel of which a key is in a text, whatever its
// letter case; that behind the last one for a key that is left out. There may be very
// many keys, so it looks for what they begin with first.
func (p *Pool) shown(text string) int {
	text = strings.ToLower(text)
	beginnings := make(map[string]bool, len(text))
	for i := range len(text) - shortestKey + 1 {
		beginnings[text[i:i+shortestKey]] = true
	}
	shows := func(keys []string) bool {
		for secret := range secretsOf(keys) {
			secret = strings.ToLower(secret)
			if beginnings[secret[:shortestKey]] && strings.Contains(text, secret) {
				return true
			}
		}
		return false
	}
	for i, c := range p.Channels {
		if shows(c.Keys) {
			return i
		}
	}
	if shows(p.left) {
		return len(p.Channels)
	}
	return noKeyShown
}

// gateway writes the directive with the channels, "" if there are none.
//
// clients_file is named though the file is not written: a gateway without clients
// refuses everybody, and `caddy freetier client add` makes the file. Each file of keys
// begins with a comment, so that it is never empty and says whose it is.
func (p *Pool) gateway(at Place, out *Output) string {
	if len(p.Channels) == 0 {
		return ""
	}
	var priorities []int64
	for _, c := range p.Channels {
		if !slices.Contains(priorities, c.Priority) {
			priorities = append(priorities, c.Priority)
		}
	}
	slices.Sort(priorities)
	slices.Reverse(priorities)
	var text strings.Builder
	fmt.Fprintf(&text, "llm_gateway {\nclients_file %s\n", path.Join(at.Keys, "clients.json"))
	for _, c := range p.Channels {
		fmt.Fprintf(&text, "channel %s%s {\n", c.Name, before(" ", c.URL))
		if c.Provider != "" {
			fmt.Fprintf(&text, "provider %s%s\n", c.Provider, before(" ", c.Region))
		}
		if c.NoKey {
			text.WriteString("auth none\n")
		} else {
			file := c.Name + ".keys"
			out.Keys[file] = "# channel " + c.Name + "\n" + strings.Join(c.Keys, "\n") + "\n"
			fmt.Fprintf(&text, "api_key {file.%s}\n", path.Join(at.Keys, file))
		}
		for _, m := range c.Models {
			text.WriteString(m.lines())
		}
		if tier := slices.Index(priorities, c.Priority) + 1; tier > 1 {
			fmt.Fprintf(&text, "tier %d\n", tier)
		}
		if c.Weight > 1 {
			fmt.Fprintf(&text, "weight %d\n", c.Weight)
		}
		text.WriteString("}\n")
	}
	text.WriteString("}\n")
	return text.String()
}

func before(separator, text string) string {
	if text == "" {
		return ""
	}
	return separator + text
}

// lines writes the option models, a few names a line; several lines of one target add
// up.
func (m Model) lines() string {
	const perLine = 6
	var text strings.Builder
	for names := range slices.Chunk(m.Names, perLine) {
		fmt.Fprintf(&text, "models %s%s\n", strings.Join(names, " "), before(" as ", m.As))
	}
	return text.String()
}

// byPath reports whether the forward is one of a path of the site.
func (f Forward) byPath() bool { return f.Host == "" }

// forward writes a forward of a path.
func (p *Pool) forward(f Forward, beside bool) string {
	switch {
	case f.Path != "":
		return fmt.Sprintf("handle_path %s/* {\n%s}\n", f.Path, proxy(f))
	case beside:
		p.note("the forward of all paths is left out, since the gateway has its place")
		return ""
	}
	return "handle {\n" + proxy(f) + "}\n"
}

// proxy writes the directives that send requests on. reverse_proxy takes no path in its
// upstream, so the base path of a URL becomes a rewrite before it.
func proxy(f Forward) string {
	scheme, rest, _ := strings.Cut(f.URL, "://")
	host, base, found := strings.Cut(rest, "/")
	text := ""
	if found && base != "" {
		text = "rewrite * /" + base + "{uri}\n"
	}
	return text + "reverse_proxy " + scheme + "://" + host + "\n"
}
