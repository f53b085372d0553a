package preset

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/fields"
)

// Markdown returns docs/providers.md, made from the table.
func Markdown() string {
	var b strings.Builder
	b.WriteString(intro)
	for i := range table {
		table[i].writeBases(&b)
	}
	b.WriteString(quotaIntro)
	for i := range table {
		p := &table[i]
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", p.Name, cmp.Or(string(p.Pool), "–"), cmp.Or(p.Zone, "–"), p.changes(), cmp.Or(p.about(), "–"))
	}
	b.WriteString(sourceIntro)
	for i := range table {
		p := &table[i]
		var sources []string
		for _, s := range p.Sources {
			sources = append(sources, s.Place+", "+s.Read)
		}
		fmt.Fprintf(&b, "| %s | %s |\n", p.Title, cmp.Or(strings.Join(sources, "; "), "–"))
	}
	b.WriteString(goneIntro)
	for _, name := range slices.Sorted(maps.Keys(retired)) {
		fmt.Fprintf(&b, "- `%s`: %s.\n", name, retired[name])
	}
	for _, host := range slices.Sorted(maps.Keys(movedHosts)) {
		fmt.Fprintf(&b, "- `%s`: %s.\n", host, movedHosts[host])
	}
	return b.String()
}

func (p *Preset) writeBases(b *strings.Builder) {
	if len(p.Regions) == 0 {
		fmt.Fprintf(b, "| `%s` | %s | your own | – | – | – |\n", p.Name, p.Title)
	}
	for _, r := range p.Regions {
		name := strings.TrimSpace(string(p.Name) + " " + r.Name)
		fmt.Fprintf(b, "| `%s` | %s |", name, p.Title)
		for d, base := range r.Bases {
			text := "–"
			switch {
			case base.URL == "":
			case Dialect(d) == Responses && base == r.Bases[Chat]:
				text = "same"
			default:
				text = strings.TrimPrefix(base.URL, "https://")
			}
			if base.Auth != "" {
				text += " (" + base.Auth + ")"
			}
			fmt.Fprintf(b, " %s |", text)
		}
		b.WriteByte('\n')
	}
}

// changes describes the changes of fields.
func (p *Preset) changes() string {
	var parts []string
	for _, r := range p.Fields {
		text := string(r.Op) + " `" + strings.Join(r.Paths, "` `") + "`"
		if r.Op == fields.Rename {
			text += " `" + r.To + "`"
		}
		parts = append(parts, text)
	}
	return cmp.Or(strings.Join(parts, "; "), "–")
}

// about is what the documentation says besides.
func (p *Preset) about() string {
	if p.Warning != "" {
		return strings.TrimSpace(p.Warning + ". " + p.Note)
	}
	return p.Note
}

const intro = `<!-- Made by internal/llm/preset from its table. To make it anew: UPDATE_GOLDEN=1 go test ./internal/llm/preset -->

# Providers

With ` + "`provider <name> [<region>]`" + ` a channel of [llm_gateway](llm_gateway.md) takes from the table below what was read at the
provider: its URL for each dialect, how it is shown the key, the fields that it refuses, how it refuses, and where its day ends. The
channel's URL may then be left out. What the channel itself says overrides the preset: a URL (all dialects are asked there), ` + "`auth`" + `,
` + "`fields`" + ` for the same fields, the zone of a ` + "`quota`" + `.

` + "```caddyfile" + `
ai.example.com {
	llm_gateway {
		client me {env.MY_KEY}
		channel gemini {
			provider gemini
			api_key  {env.GEMINI_KEYS}
			models   gemini-*
		}
		channel qwen {
			provider dashscope intl
			api_key  {env.DASHSCOPE_KEY}
			models   qwen*
		}
	}
}
` + "```" + `

What no source states is empty here and stays up to you. Quotas and names of models are not in the table: they change within weeks, and
the gateway learns what it needs from responses. Whether an account may be pooled or used by others is for its provider's terms to say.

## URLs

A request in a dialect that the provider serves itself goes there as it is, with the key in the header in brackets, else as
` + "`Authorization: Bearer`" + `. Messages are what ` + "`ANTHROPIC_BASE_URL`" + ` takes. Without a region the first one counts.

| provider | | chat, and the rest of OpenAI's API | Responses | Messages | Gemini |
|---|---|---|---|---|---|
`

const quotaIntro = `
## Quotas and fields

*Shared by* is what has one free quota together: with several accounts of one pool the quotas add up, with several keys of one account
they do not. *Day* is the zone of a ` + "`quota`" + ` of days or months that names none. *Fields* are changed in chat completions only.

| provider | shared by | day | fields | |
|---|---|---|---|---|
`

const sourceIntro = `
## Sources

Each with the day of what was read: the date of the document where it has one.

| provider | read |
|---|---|
`

const goneIntro = `
## Gone

These names are an error with ` + "`provider`" + `, and their hosts are warned of at load.

`
