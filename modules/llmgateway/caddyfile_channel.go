package llmgateway

import (
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-freetier/caddy-freetier/internal/caddyfileutil"
	"github.com/caddy-freetier/caddy-freetier/internal/ledger"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/capability"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/fields"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/preset"
	"github.com/caddy-freetier/caddy-freetier/internal/quota"
)

// options are those of a channel's block. Options that repeat add to a list; any other
// one that is given twice is an error of caddyfileutil. Parsing fills the exported
// fields, which are also the JSON form: what depends on other options, or on values of
// placeholders, is left to Provision, so that JSON gets the same checks.
func (c *Channel) options() []caddyfileutil.Option {
	return []caddyfileutil.Option{
		{Name: "provider", Parse: caddyfileutil.Args("<provider> [<region>]", "dashscope intl", c.setProvider)},
		{Name: "api_key", Repeats: true, Parse: c.parseKeys},
		{Name: "models", Repeats: true, Block: true, Parse: c.parseModels},
		{Name: "quota", Repeats: true, Parse: caddyfileutil.Args(quotaUsage, "200/day", c.addQuota)},
		{Name: "concurrency", Parse: caddyfileutil.Args("<n> [per model]", "4 per model", c.setConcurrency)},
		{Name: "fields", Block: true, Parse: parseFields(&c.Fields)},
		{Name: "key_policy", Parse: parseKeyPolicy(&c.KeyPolicy)},
		{Name: "weight", Parse: caddyfileutil.Number(&c.Weight, 1, math.MaxInt)},
		{Name: "tier", Parse: caddyfileutil.Number(&c.Tier, 1, math.MaxInt)},
		{Name: "auth", Parse: caddyfileutil.Args("<scheme> [<parameter>]", "x-api-key", c.setAuth)},
		{Name: "header_up", Repeats: true, Parse: caddyfileutil.Header(&c.Headers)},
		{Name: "allow_header", Repeats: true, Parse: allowHeaders(&c.AllowHeaders)},
		{Name: "include_usage", Parse: caddyfileutil.OnOff(func(on bool) { c.NoIncludeUsage = !on })},
		{Name: "refusal", Repeats: true, Parse: parseRefusal(&c.Refusals)},
		{Name: "speaks", Repeats: true, Parse: caddyfileutil.Args("<chat|responses|messages|gemini>... [<base URL>] [auth <style>]", "chat", c.addSpeaks)},
		{Name: "proxy", Parse: caddyfileutil.Args("<url>", "socks5://127.0.0.1:1080", c.setProxy)},
		{Name: "transport", Block: true, Parse: c.parseTransport},
	}
}

// setProvider looks the preset up to refuse an unknown name or region with its line. It
// takes nothing from it: useProvider does that in Provision, when all options are
// known.
func (c *Channel) setProvider(args []string) error {
	p, err := preset.Lookup(args[0])
	if err != nil {
		return err
	}
	c.Provider = args[0]
	if len(args) > 1 {
		c.Region = args[1]
		_, err = p.Region(c.Region)
	}
	return err
}

// parseKeys adds keys as they are written, with their placeholders unresolved, so that
// `caddy adapt` prints {env.NAME} and no key. An empty word is what an unset {$NAME} of
// the Caddyfile leaves behind, which Caddy replaces before it parses. Each key's line
// is kept for errors at load, when only the JSON is left.
func (c *Channel) parseKeys(d *caddyfile.Dispenser) error {
	keys, err := caddyfileutil.Arguments(d, "<key>...", "{env.GROQ_KEY} (is an environment variable unset?)")
	if err != nil {
		return err
	}
	for _, key := range keys {
		if key == "" {
			return d.Errf("channel %s: an api_key is empty", c.Name)
		}
		if slices.Contains(c.APIKeys, key) {
			return d.Errf("channel %s has the same api_key twice", c.Name)
		}
		if err := checkKeyWord(key); err != nil {
			return d.WrapErr(keyPlace{owner: "channel " + c.Name, number: len(c.APIKeys) + 1}.error("", err))
		}
		c.APIKeys = append(c.APIKeys, key)
		c.setKeySource(len(c.APIKeys)-1, sourceOf(d))
	}
	return nil
}

// addModels adds a route, with all words before `as` as clients' names and all behind
// it as the channel's own, in the order in which they are asked for. A second `as` is
// refused, since it is more likely a forgotten line break than a model's name.
func (c *Channel) addModels(args []string) error {
	route := &ModelRoute{Names: args}
	if n := slices.Index(args, "as"); n >= 0 {
		route.Names, route.As = args[:n], args[n+1:]
		if len(route.As) == 0 || slices.Contains(route.As, "as") {
			return caddyfileutil.ErrUsage
		}
	}
	if len(route.Names) == 0 {
		return caddyfileutil.ErrUsage
	}
	var before []string
	for _, other := range c.Models {
		before = append(before, other.Names...)
	}
	c.Models = append(c.Models, route)
	return checkRoute(route, before)
}

// parseModels parses a line of models and its block.
func (c *Channel) parseModels(d *caddyfile.Dispenser) error {
	parse := caddyfileutil.Args("<name or pattern>... [as <model>...]", "gpt-4 gpt-4-turbo as gpt-4-0125-preview", c.addModels)
	if err := parse(d); err != nil {
		return err
	}
	return caddyfileutil.ParseBlock(d, "models", c.Models[len(c.Models)-1].options())
}

// options are those of a block of models. They apply to each of the route's models by
// itself, and override what the channel has.
func (r *ModelRoute) options() []caddyfileutil.Option {
	return []caddyfileutil.Option{
		{Name: "quota", Repeats: true, Parse: caddyfileutil.Args(quotaUsage, "20/day", r.addQuota)},
		{Name: "fields", Block: true, Parse: parseFields(&r.Fields)},
		{Name: "context", Parse: parseTokens(&r.Context)},
		{Name: "output", Parse: parseTokens(&r.Output)},
		{Name: "takes", Parse: caddyfileutil.Args("<text|image|audio|video|file>...", "text image", r.setTakes)},
		{Name: "tools", Parse: caddyfileutil.OnOff(func(on bool) { r.NoTools = !on })},
		{Name: "price", Parse: caddyfileutil.Args("<input> <output>", "0.15 0.60", r.setPrice)},
	}
}

// setConcurrency sets how many requests each key answers at once.
func (c *Channel) setConcurrency(args []string) error {
	args, perModel := withoutPerModel(args)
	if len(args) != 1 {
		return caddyfileutil.ErrUsage
	}
	n, err := strconv.Atoi(args[0])
	if err != nil || n < 1 {
		return fmt.Errorf("%q is not a whole number from 1; write one such as 4", args[0])
	}
	c.Concurrency = &Concurrency{Requests: n, PerModel: perModel}
	return nil
}

// parseTokens parses a number of tokens.
func parseTokens(field *int64) caddyfileutil.Parser {
	return caddyfileutil.One("<tokens>", "128k", func(arg string) (err error) {
		*field, err = capability.ParseTokens(arg)
		return err
	})
}

// setTakes replaces the list: what it does not name, the model does not take.
func (r *ModelRoute) setTakes(args []string) error {
	r.Takes = nil
	for _, arg := range args {
		r.Takes = append(r.Takes, capability.Medium(arg))
	}
	return r.Check()
}

const quotaUsage = "<n> [tokens]/<period> [per model] [<account>] [<zone>]"

// addQuota adds a quota of each key, or with `per model` of each key and model.
func (c *Channel) addQuota(args []string) error {
	args, perModel := withoutPerModel(args)
	list := &c.Quotas
	if perModel {
		list = &c.ModelQuotas
	}
	return addQuota(list, args)
}

// addQuota adds a quota of the models, each of which has it by itself, whether
// that is written or not.
func (r *ModelRoute) addQuota(args []string) error {
	args, _ = withoutPerModel(args)
	return addQuota(&r.Quotas, args)
}

// addQuota refuses hours, which hosting platforms count and providers of LLMs do not.
func addQuota(list *[]*quota.Quota, args []string) error {
	q, err := quota.Parse(args)
	if err == nil && q.Unit == ledger.Seconds {
		err = errHours
	}
	*list = append(*list, q)
	return err
}

// withoutPerModel cuts the words `per model` out of a quota, and reports whether
// they were there.
func withoutPerModel(args []string) (rest []string, found bool) {
	for i := 1; i < len(args); i++ {
		if args[i-1] == "per" && args[i] == "model" {
			return slices.Delete(slices.Clone(args), i-1, i+1), true
		}
	}
	return args, false
}

// parseFields parses a block of rules for fields of bodies.
func parseFields(rules *[]fields.Rule) caddyfileutil.Parser {
	option := func(op fields.Op, usage, example string) caddyfileutil.Option {
		return caddyfileutil.Option{Name: string(op), Repeats: true, Parse: caddyfileutil.Args(usage, example, func(args []string) error {
			rule, err := fields.Parse(op, args)
			if err == nil {
				err = checkFieldRule(rule)
			}
			*rules = append(*rules, rule)
			return err
		})}
	}
	return func(d *caddyfile.Dispenser) error {
		if err := caddyfileutil.NoArguments(d); err != nil {
			return err
		}
		at := *d
		err := caddyfileutil.ParseBlock(d, "fields", []caddyfileutil.Option{
			option(fields.Drop, "<field>...", "logprobs messages[].name"),
			option(fields.Rename, "<field> <name>", "max_completion_tokens max_tokens"),
			option(fields.Default, "<field> <value>", "max_tokens 4096"),
			option(fields.Set, "<field> <value>", "chat_template_kwargs.enable_thinking false"),
			option(fields.AtMost, "<field> <number>", "max_tokens 8192"),
			option(fields.Role, "<role> <role>", "developer system"),
		})
		if err != nil {
			return err
		}
		if _, err := fields.Compile(*rules); err != nil {
			return at.Errf("fields: %w", err)
		}
		return nil
	}
}

// setAuth accepts a second word for `query` only, where it is the parameter's name.
func (c *Channel) setAuth(args []string) error {
	c.Auth.Scheme = args[0]
	if len(args) == 2 {
		if c.Auth.Scheme != "query" {
			return fmt.Errorf("auth %s takes no further word; auth is one of %s", c.Auth.Scheme, authSchemes)
		}
		c.Auth.Parameter = args[1]
	}
	return c.Auth.check()
}

func (c *Channel) addSpeaks(args []string) error {
	s, err := parseSpeaks(args)
	c.Speaks = append(c.Speaks, s)
	return err
}

// setProxy checks the address already here, where the line is known. transportOf makes
// a network_proxy of it, and refuses it beside one.
func (c *Channel) setProxy(args []string) error {
	if len(args) != 1 {
		return caddyfileutil.ErrUsage
	}
	c.Proxy = args[0]
	return checkProxy(c.Proxy)
}

// parseTransport has Caddy parse the block and then checks what of it makes no sense
// here. The block is read a second time only for an error, to find the line of the
// option.
func (c *Channel) parseTransport(d *caddyfile.Dispenser) error {
	ahead := *d // Caddy's parser would ignore a value, and the block with it
	if err := caddyfileutil.NoArguments(&ahead); err != nil {
		return err
	}
	block := d.NewFromNextSegment()
	c.Transport = new(reverseproxy.HTTPTransport)
	if err := c.Transport.UnmarshalCaddyfile(block); err != nil {
		return err
	}
	mistake := checkTransport(c.Transport, c.base.Scheme == "https")
	if mistake == nil {
		return nil
	}
	// The error points to the option.
	for block.Reset(); block.Next() && block.Val() != mistake.option; {
		continue
	}
	return block.Errf("channel %s: %w", c.Name, mistake.err)
}
