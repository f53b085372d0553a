package llmgateway

import (
	"fmt"
	"strings"
	"testing"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

func TestGolden(t *testing.T) { caddytest.Golden(t) }

// goodChannel is a channel without a mistake.
const goodChannel = "channel a https://a.example {\n\t\t\tapi_key k\n\t\t\tmodels m\n\t\t}"

// mistakeAt is a mistake in a block llm_gateway with these options, in the line that has
// #HERE in it.
func mistakeAt(name, options string, says ...string) caddytest.Mistake {
	line := 3
	for i, text := range strings.Split(options, "\n") {
		if strings.Contains(text, "#HERE") {
			line = 3 + i
		}
	}
	options = strings.ReplaceAll(options, "#HERE", "")
	return caddytest.Mistake{
		Name:      name,
		Caddyfile: fmt.Sprintf("http://127.0.0.1:1 {\n\tllm_gateway {\n%s\n\t}\n}\n", options),
		Line:      line,
		Says:      says,
	}
}

// marked says that the mistake stands in the first of the lines, unless they say
// otherwise.
func marked(lines string) string {
	if strings.Contains(lines, "#HERE") {
		return lines
	}
	first, rest, more := strings.Cut(lines, "\n")
	if more {
		rest = "\n" + rest
	}
	return first + "#HERE" + rest
}

// channelMistake is a mistake in an option of a channel.
func channelMistake(name, line string, says ...string) caddytest.Mistake {
	return mistakeAt(name, "client x y\nchannel a https://a.example {\napi_key k\nmodels m\n"+marked(line)+"\n}", says...)
}

// optionMistake is a mistake in an option of the gateway.
func optionMistake(name, line string, says ...string) caddytest.Mistake {
	return mistakeAt(name, "client x y\n"+marked(line)+"\n"+goodChannel, says...)
}

// blockMistake is one of the block as a whole.
func blockMistake(name, options, says string) caddytest.Mistake {
	m := mistakeAt(name, options, says)
	m.Line = 2
	return m
}

func TestCaddyfileMistakes(t *testing.T) {
	caddytest.Mistakes(t, []caddytest.Mistake{
		blockMistake("no client", goodChannel, "Add a client with a key, or anonymous"),
		blockMistake("no channel", "client x y", "at least one channel"),
		optionMistake("unknown option", "chanel a https://a.example", "unknown option chanel", "channel, fallback"),
		optionMistake("client without a key", "client z", "client <name> <key>", "environment variable"),
		optionMistake("client with an empty key", `client z ""`, "client z: a key is empty"),
		optionMistake("client twice", "client x z", "two clients named x"),
		optionMistake("key of another client", "client z y", "clients x and z have the same key"),
		optionMistake("unknown option of a client", "client z k {\nlimits 1/day#HERE\n}", "unknown option limits", "models and limit"),
		optionMistake("client's models without a name", "client z k {\nmodels#HERE\n}", "models gpt-4o gpt-4*"),
		mistakeAt("anonymous beside clients", "client x y\nanonymous #HERE\n"+goodChannel, "anonymous excludes client in line 3", "keep one"),
		mistakeAt("clients beside anonymous", "anonymous\nclient x y #HERE\n"+goodChannel, "client excludes anonymous in line 3", "keep one"),
		mistakeAt("anonymous with an argument", "anonymous yes #HERE\n"+goodChannel, "anonymous takes no value"),
		optionMistake("channel without a URL", "channel b {\nmodels m\n}", "channel b: the channel has no URL", "https://api.example.com/v1", "provider"),
		optionMistake("channel with a URL that is none", "channel b api.example.com {\nmodels m\n}", "channel b", "https://api.example.com/v1"),
		optionMistake("channel of another scheme", "channel b ftp://a.example {\nmodels m\n}", "channel b", "https://api.example.com/v1"),
		optionMistake("channel with a key in the URL", "channel b https://a.example/?key=1 {\nmodels m\n}", "keys go into api_key"),
		optionMistake("channel with a user in the URL", "channel b https://u:p@a.example {\nmodels m\n}", "keys go into api_key"),
		mistakeAt("channel without models", "client x y\nchannel b https://a.example { #HERE\napi_key k\n}", "channel b", "models <name>"),
		mistakeAt("channel without a key", "client x y\nchannel b https://a.example { #HERE\nmodels m\n}", "channel b has no api_key", "auth none"),
		mistakeAt("channel twice", "client x y\n"+goodChannel+"\nchannel a https://b.example { #HERE\nmodels m\n}", "two channels named a"),
		optionMistake("limit without a period", "client z k {\nlimit 100#HERE\n}", "the period is missing", "1000/day"),
		optionMistake("limit of hours", "client z k {\nlimit 750h/month#HERE\n}", "requests or tokens"),
		optionMistake("allow_path without a path", "allow_path", "allow_path /api/chat"),
		optionMistake("allow_path without a slash", "allow_path api/chat", "begins with a slash"),
		optionMistake("allow_path with dot segments", "allow_path /api/../x", "dot segments"),
		optionMistake("allow_path with a query", "allow_path /api/x?y=z", "query"),
		optionMistake("allow_path that is escaped", "allow_path /api/x%2Fy", "not escaped"),
		optionMistake("allow_path with a slash at the end", "allow_path /api/chat/", "at the end"),
		optionMistake("channel whose URL is an endpoint", "channel b https://b.example/v1/chat/completions {\nmodels m\n}", "channel b", "/chat/completions", "write https://b.example/v1"),
		optionMistake("allow_header without a name for all", "allow_header", "allow_header HTTP-Referer"),
		optionMistake("allow_header of an address", "allow_header X-Forwarded-For", "says who the client is"),
		optionMistake("allow_header of an account", "allow_header OpenAI-Project", "use header_up"),
		optionMistake("fallback without a model", "fallback a b", "fallback gpt-4* to"),
		optionMistake("fallback to a wildcard", "fallback a to b*", "no wildcard"),
		optionMistake("unknown default_channel", "default_channel z", "no channel of this name"),
		optionMistake("unknown policy", "lb_policy nonsense", "nonsense"),
		optionMistake("retries that are no number", "retries x", "whole number from 1"),
		optionMistake("bad duration", "try_duration 30", `try_duration: "30" is not a duration`, "30s"),
		optionMistake("bad first_byte_timeout", "first_byte_timeout soon", `first_byte_timeout: "soon" is not a duration`, "30s"),
		optionMistake("retry_on without a status", "retry_on", "429 or 5xx"),
		optionMistake("retry_on a success", "retry_on 200", "429 or 5xx"),
		optionMistake("retry_on nonsense", "retry_on 5x", "429 or 5xx"),
		optionMistake("bad size", "max_body big", "64MB"),
		optionMistake("bad origin", "cors chat.example.com", "https://chat.example.com"),
		optionMistake("cors without an origin", "cors", "write: cors <origin>...|*|off", "https://chat.example.com"),
	})
}

func TestCaddyfileMistakesOfChannels(t *testing.T) {
	caddytest.Mistakes(t, []caddytest.Mistake{
		channelMistake("unknown option of a channel", "quotas 3", "unknown option quotas", "api_key, models"),
		channelMistake("api_key without a key", "api_key", "environment variable"),
		channelMistake("empty api_key", `api_key ""`, "api_key is empty"),
		channelMistake("api_key twice", "api_key z k", "same api_key twice"),
		channelMistake("models without a name", "models", "models gpt-4"),
		channelMistake("models as nothing", "models m as", "models gpt-4"),
		channelMistake("a context without a number", "models z {\ncontext long #HERE\n}", "8192 or 128k"),
		channelMistake("a medium that is none", "models z {\ntakes text films #HERE\n}", "text, image, audio, video and file"),
		channelMistake("tools that are neither on nor off", "models z {\ntools yes #HERE\n}", "on"),
		channelMistake("several models with a wildcard", "models a* as b c*", "none has a *"),
		channelMistake("a model twice behind a name", "models auto as b b", "given twice"),
		channelMistake("as twice", "models auto as b as c", "models gpt-4"),
		channelMistake("models as a wildcard", "models z as gpt*", "have exactly one"),
		channelMistake("models as two wildcards", "models a/* as b/*/c*", "have exactly one"),
		channelMistake("one of several models without a wildcard", "models a/* b as *", "have exactly one"),
		channelMistake("fields with a value", "fields drop {\n}", "fields takes no value"),
		channelMistake("an unknown rule", "fields {\nremove a#HERE\n}", "unknown option remove of fields; there are drop, rename"),
		channelMistake("no path", "fields {\ndrop messages[0]#HERE\n}", "no path of a field"),
		channelMistake("the model's field", "fields {\nset model x#HERE\n}", "there are no rules for the fields model and stream"),
		channelMistake("a name of the model's field", "fields {\nrename a model#HERE\n}", "there are no rules for the fields model and stream"),
		channelMistake("rules that exclude each other", "fields {\ndrop a\nset a.b 1\n}", "a rule for a and one for a field in it"),
		channelMistake("rules of models", "models n {\nfields {\nat_most a x#HERE\n}\n}", "is not a number"),
		channelMistake("an option of models", "models n {\nweight 1#HERE\n}", "unknown option weight of models; there are quota, fields, context, output, takes, tools and price"),
		channelMistake("a quota of models", "models n {\nquota 10h/day#HERE\n}", "requests or tokens"),
		channelMistake("a quota a model without a period", "quota 10 per model", "the period is missing"),
		channelMistake("no requests at once", "concurrency 0", "concurrency", "whole number from 1"),
		channelMistake("requests at once in words", "concurrency four", "concurrency", "whole number from 1"),
		channelMistake("requests at once for something else", "concurrency 4 per key", "concurrency <n> [per model]"),
		channelMistake("quota in an unknown period", "quota 100/week", "unknown period", "day or month"),
		channelMistake("quota of hours", "quota 750h/month", "requests or tokens"),
		channelMistake("weight that is no number", "weight many", "whole number from 1"),
		channelMistake("weight of zero", "weight 0", "whole number from 1"),
		channelMistake("tier without a number", "tier", "write: tier <number>"),
		channelMistake("unknown auth", "auth basic", "bearer, x-api-key"),
		channelMistake("query auth without a parameter", "auth query", "query <name>"),
		channelMistake("auth with too many words", "auth bearer x", "takes no further word"),
		channelMistake("header_up without a value", "header_up X-Title", "header_up X-Title"),
		channelMistake("allow_header without a name", "allow_header", "allow_header HTTP-Referer"),
		channelMistake("allow_header of a key", "allow_header X-Title authorization", "allow_header authorization", "shows the client's key"),
		channelMistake("include_usage without a value", "include_usage", "write: include_usage on|off"),
		channelMistake("include_usage as a number", "include_usage 1", `"1" is not one of on and off`),
		channelMistake("transport with a name", "transport http {\ndial_timeout 3s\n}", "transport takes no value", "block"),
		channelMistake("unknown transport option", "transport {\nnonsense#HERE\n}", "nonsense"),
	})
}

// What only shows when the values are known names the place, and no key.
func TestLoadErrors(t *testing.T) {
	t.Setenv("LINES", "a\nb")
	t.Setenv("SAME", "very-secret-key")
	for _, tc := range []struct{ name, options, says string }{
		{"unset variable of a client", "client x {env.NOT_SET}\nchannel a https://a.example {\napi_key k\nmodels m\n}", "client x"},
		{"unset variable of a channel", "client x y\nchannel a https://a.example {\napi_key {env.NOT_SET}\nmodels m\n}", "channel a"},
		{"header with a line break", "client x y\nchannel a https://a.example {\napi_key k\nmodels m\nheader_up X-A {env.LINES}\n}", "header X-A"},
		{"no such file", "client x y\nchannel a https://a.example {\napi_key {file./does/not/exist}\nmodels m\n}", "channel a"},
		{"one key for two clients", "client x very-secret-key\nclient z {env.SAME}\nchannel a https://a.example {\napi_key k\nmodels m\n}", "client z"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := caddytest.Validate(site("127.0.0.1:1", tc.options))
			if err == nil || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("got %v, want an error that says %s", err, tc.says)
			}
			if err != nil && strings.Contains(err.Error(), "very-secret") {
				t.Errorf("the error shows a key: %v", err)
			}
		})
	}
}

// Names that no channel has load, with a warning: they are not asked for in vain
// silently.
func TestUnknownModelsAreWarnedOf(t *testing.T) {
	const channels = "\nchannel a https://a.example {\napi_key some-key\nmodels m gpt-4* vendor/*\n}\n"
	for options, warnings := range map[string]int{
		"client x x-client-key {\nmodels m gpt-4o gpt-* vendor/one\n}\nfallback m to gpt-4o vendor/two":     0,
		"client x x-client-key {\nmodels old\n}\nfallback old to middle\nfallback middle to m":              0,
		"client x x-client-key {\nmodels nope\n}":                                                           1,
		"client x x-client-key {\nmodels m claude-*\n}\nfallback m to nope gpt-4o\nfallback gpt-4o to typo": 3,
	} {
		g := start(t, options+channels)
		if got := g.Logs.Count(`"level":"warn"`, "that no channel has"); got != warnings {
			t.Errorf("%s: %d warnings, want %d", options, got, warnings)
		}
	}
}
