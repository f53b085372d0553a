package llmgateway

import (
	"fmt"
	"strings"
	"testing"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

func TestGolden(t *testing.T) { caddytest.Golden(t) }

func TestCaddyfileMistakes(t *testing.T) {
	const good = "channel a https://a.example {\n\t\t\tapi_key k\n\t\t\tmodels m\n\t\t}"
	// mark says that the mistake stands in the first of the lines, unless they
	// say otherwise.
	mark := func(lines string) string {
		if strings.Contains(lines, "#HERE") {
			return lines
		}
		first, rest, more := strings.Cut(lines, "\n")
		if more {
			rest = "\n" + rest
		}
		return first + "#HERE" + rest
	}
	at := func(name, options string, says ...string) caddytest.Mistake {
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
	channel := func(name, line string, says ...string) caddytest.Mistake {
		return at(name, "client x y\nchannel a https://a.example {\napi_key k\nmodels m\n"+mark(line)+"\n}", says...)
	}
	option := func(name, line string, says ...string) caddytest.Mistake {
		return at(name, "client x y\n"+mark(line)+"\n"+good, says...)
	}
	whole := func(name, options, says string) caddytest.Mistake {
		m := at(name, options, says)
		m.Line = 2
		return m
	}
	caddytest.Mistakes(t, []caddytest.Mistake{
		whole("no client", good, "Add a client with a key, or anonymous"),
		whole("no channel", "client x y", "at least one channel"),
		option("unknown option", "chanel a https://a.example", "unknown option chanel", "channel, fallback"),
		option("client without a key", "client z", "client <name> <key>", "environment variable"),
		option("client with an empty key", `client z ""`, "client z: a key is empty"),
		option("client twice", "client x z", "two clients named x"),
		option("key of another client", "client z y", "clients x and z have the same key"),
		option("unknown option of a client", "client z k {\nlimits 1/day#HERE\n}", "unknown option limits", "models and limit"),
		option("client's models without a name", "client z k {\nmodels#HERE\n}", "models gpt-4o gpt-4*"),
		at("anonymous beside clients", "client x y\nanonymous #HERE\n"+good, "anonymous excludes client in line 3", "keep one"),
		at("clients beside anonymous", "anonymous\nclient x y #HERE\n"+good, "client excludes anonymous in line 3", "keep one"),
		at("anonymous with an argument", "anonymous yes #HERE\n"+good, "anonymous takes no value"),
		option("channel without a URL", "channel b {\nmodels m\n}", "channel b: the channel has no URL", "https://api.example.com/v1", "provider"),
		option("channel with a URL that is none", "channel b api.example.com {\nmodels m\n}", "channel b", "https://api.example.com/v1"),
		option("channel of another scheme", "channel b ftp://a.example {\nmodels m\n}", "channel b", "https://api.example.com/v1"),
		option("channel with a key in the URL", "channel b https://a.example/?key=1 {\nmodels m\n}", "keys go into api_key"),
		option("channel with a user in the URL", "channel b https://u:p@a.example {\nmodels m\n}", "keys go into api_key"),
		at("channel without models", "client x y\nchannel b https://a.example { #HERE\napi_key k\n}", "channel b", "models <name>"),
		at("channel without a key", "client x y\nchannel b https://a.example { #HERE\nmodels m\n}", "channel b has no api_key", "auth none"),
		at("channel twice", "client x y\n"+good+"\nchannel a https://b.example { #HERE\nmodels m\n}", "two channels named a"),
		channel("unknown option of a channel", "quotas 3", "unknown option quotas", "api_key, models"),
		channel("api_key without a key", "api_key", "environment variable"),
		channel("empty api_key", `api_key ""`, "api_key is empty"),
		channel("api_key twice", "api_key z k", "same api_key twice"),
		channel("models without a name", "models", "models gpt-4"),
		channel("models as nothing", "models m as", "models gpt-4"),
		channel("a context without a number", "models z {\ncontext long #HERE\n}", "8192 or 128k"),
		channel("a medium that is none", "models z {\ntakes text films #HERE\n}", "text, image, audio, video and file"),
		channel("tools that are neither on nor off", "models z {\ntools yes #HERE\n}", "on"),
		channel("several models with a wildcard", "models a* as b c*", "none has a *"),
		channel("a model twice behind a name", "models auto as b b", "given twice"),
		channel("as twice", "models auto as b as c", "models gpt-4"),
		channel("models as a wildcard", "models z as gpt*", "have exactly one"),
		channel("models as two wildcards", "models a/* as b/*/c*", "have exactly one"),
		channel("one of several models without a wildcard", "models a/* b as *", "have exactly one"),
		channel("fields with a value", "fields drop {\n}", "fields takes no value"),
		channel("an unknown rule", "fields {\nremove a#HERE\n}", "unknown option remove of fields; there are drop, rename"),
		channel("no path", "fields {\ndrop messages[0]#HERE\n}", "no path of a field"),
		channel("the model's field", "fields {\nset model x#HERE\n}", "there are no rules for the fields model and stream"),
		channel("a name of the model's field", "fields {\nrename a model#HERE\n}", "there are no rules for the fields model and stream"),
		channel("rules that exclude each other", "fields {\ndrop a\nset a.b 1\n}", "a rule for a and one for a field in it"),
		channel("rules of models", "models n {\nfields {\nat_most a x#HERE\n}\n}", "is not a number"),
		channel("an option of models", "models n {\nweight 1#HERE\n}", "unknown option weight of models; there are quota, fields, context, output, takes, tools and price"),
		channel("a quota of models", "models n {\nquota 10h/day#HERE\n}", "requests or tokens"),
		channel("a quota a model without a period", "quota 10 per model", "the period is missing"),
		option("limit without a period", "client z k {\nlimit 100#HERE\n}", "the period is missing", "1000/day"),
		option("limit of hours", "client z k {\nlimit 750h/month#HERE\n}", "requests or tokens"),
		channel("no requests at once", "concurrency 0", "concurrency", "whole number from 1"),
		channel("requests at once in words", "concurrency four", "concurrency", "whole number from 1"),
		channel("requests at once for something else", "concurrency 4 per key", "concurrency <n> [per model]"),
		channel("quota in an unknown period", "quota 100/week", "unknown period", "day or month"),
		channel("quota of hours", "quota 750h/month", "requests or tokens"),
		channel("weight that is no number", "weight many", "whole number from 1"),
		channel("weight of zero", "weight 0", "whole number from 1"),
		channel("tier without a number", "tier", "write: tier <number>"),
		channel("unknown auth", "auth basic", "bearer, x-api-key"),
		channel("query auth without a parameter", "auth query", "query <name>"),
		channel("auth with too many words", "auth bearer x", "takes no further word"),
		channel("header_up without a value", "header_up X-Title", "header_up X-Title"),
		channel("allow_header without a name", "allow_header", "allow_header HTTP-Referer"),
		channel("allow_header of a key", "allow_header X-Title authorization", "allow_header authorization", "shows the client's key"),
		option("allow_path without a path", "allow_path", "allow_path /api/chat"),
		option("allow_path without a slash", "allow_path api/chat", "begins with a slash"),
		option("allow_path with dot segments", "allow_path /api/../x", "dot segments"),
		option("allow_path with a query", "allow_path /api/x?y=z", "query"),
		option("allow_path that is escaped", "allow_path /api/x%2Fy", "not escaped"),
		option("allow_path with a slash at the end", "allow_path /api/chat/", "at the end"),
		option("channel whose URL is an endpoint", "channel b https://b.example/v1/chat/completions {\nmodels m\n}", "channel b", "/chat/completions", "write https://b.example/v1"),
		option("allow_header without a name for all", "allow_header", "allow_header HTTP-Referer"),
		option("allow_header of an address", "allow_header X-Forwarded-For", "says who the client is"),
		option("allow_header of an account", "allow_header OpenAI-Project", "use header_up"),
		channel("include_usage without a value", "include_usage", "write: include_usage on|off"),
		channel("include_usage as a number", "include_usage 1", `"1" is not one of on and off`),
		channel("transport with a name", "transport http {\ndial_timeout 3s\n}", "transport takes no value", "block"),
		channel("unknown transport option", "transport {\nnonsense#HERE\n}", "nonsense"),
		option("fallback without a model", "fallback a b", "fallback gpt-4* to"),
		option("fallback to a wildcard", "fallback a to b*", "no wildcard"),
		option("unknown default_channel", "default_channel z", "no channel of this name"),
		option("unknown policy", "lb_policy nonsense", "nonsense"),
		option("retries that are no number", "retries x", "whole number from 1"),
		option("bad duration", "try_duration 30", `try_duration: "30" is not a duration`, "30s"),
		option("bad first_byte_timeout", "first_byte_timeout soon", `first_byte_timeout: "soon" is not a duration`, "30s"),
		option("retry_on without a status", "retry_on", "429 or 5xx"),
		option("retry_on a success", "retry_on 200", "429 or 5xx"),
		option("retry_on nonsense", "retry_on 5x", "429 or 5xx"),
		option("bad size", "max_body big", "64MB"),
		option("bad origin", "cors chat.example.com", "https://chat.example.com"),
		option("cors without an origin", "cors", "write: cors <origin>...|*|off", "https://chat.example.com"),
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
