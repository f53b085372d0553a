package llmgateway

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/neutral"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/strictprovider"
)

const clientPages = "../../docs/clients"

// clientPage is a page of the documentation, whose Caddyfile runs before a strict
// provider in the place of the one that it names.
type clientPage struct {
	text     string
	gateway  *testGateway
	provider *strictprovider.Provider
}

var codeBlock = regexp.MustCompile("(?s)```(\\w+)\n(.*?)```")

// startPage runs the Caddyfile of a page.
func startPage(t *testing.T, page string) *clientPage {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(clientPages, page))
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("ALICE_KEY", "the-client-key")
	t.Setenv("GROQ_KEYS", "groq-key-1")
	p := &clientPage{
		text: string(content),
		// The Gemini CLI's choice of a model wants JSON, and all others take it.
		provider: &strictprovider.Provider{Dialect: neutral.Chat, Vendor: "v", Text: `{"complexity_reasoning":"` + greeting + `","complexity_score":1}`},
	}
	const channel = "channel groq https://api.groq.com/openai/v1 {"
	caddyfile, addr := p.block(t, "caddyfile"), caddytest.Addr(t)
	if !strings.Contains(caddyfile, channel) {
		t.Fatalf("%s has another channel than the others", page)
	}
	up := caddytest.NewUpstream(t, p.provider.ServeHTTP)
	caddyfile = strings.Replace(caddyfile, channel, "channel groq "+up.URL+"/v1 {", 1)
	caddyfile = strings.Replace(caddyfile, "llm.example.com {", "http://"+addr+" {\n\tlog", 1)
	c := caddytest.Start(t, caddyfile)
	p.gateway = &testGateway{Caddy: c, URL: "http://" + addr, client: c.Client()}
	p.text = strings.ReplaceAll(p.text, "https://llm.example.com", p.gateway.URL)
	return p
}

// block returns the page's block in a language.
func (p *clientPage) block(t *testing.T, language string) string {
	t.Helper()
	for _, match := range codeBlock.FindAllStringSubmatch(p.text, -1) {
		if match[1] == language {
			return match[2]
		}
	}
	t.Fatalf("the page has no block in %s", language)
	return ""
}

// asked returns the models that the provider was asked for.
func (p *clientPage) asked(t *testing.T) (models []string) {
	t.Helper()
	for _, seen := range p.provider.Seen() {
		var body struct{ Model string }
		if err := json.Unmarshal(seen.Body, &body); err != nil {
			t.Fatal(err)
		}
		if !slices.Contains(models, body.Model) {
			models = append(models, body.Model)
		}
	}
	slices.Sort(models)
	return models
}

// pageClient is a client that is an npm package, and what its page sets it up with.
type pageClient struct {
	page    string
	program string // below agentsDir
	args    []string
	files   map[string]string // where a block in a language goes, in the client's home
	replace []string          // in the page's text, for variants that it describes
	env     []string
	models  []string // that the provider must have been asked for
}

func pageClients() map[string]pageClient {
	large, small := "openai/gpt-oss-120b", "llama-3.1-8b-instant"
	opencode := func(name, base string) pageClient {
		return pageClient{
			page: "opencode.md", program: "node_modules/opencode-linux-x64-baseline/bin/opencode", args: []string{"run", "Say hello."},
			files: map[string]string{"json": "opencode.json"}, env: []string{"GATEWAY_KEY=the-client-key"}, models: []string{small, large},
			replace: []string{"openai-compatible", name, `/v1"`, base + `"`},
		}
	}
	return map[string]pageClient{
		"Codex": {
			page: "codex.md", program: "node_modules/.bin/codex", args: []string{"exec", "--skip-git-repo-check", "Say hello."},
			files: map[string]string{"toml": ".codex/config.toml"}, env: []string{"GATEWAY_KEY=the-client-key"}, models: []string{large},
		},
		"Claude Code": {
			page: "claude-code.md", program: "node_modules/@anthropic-ai/claude-code-" + npmPlatform() + "/claude", args: []string{"-p", "Say hello."},
			env: []string{"DISABLE_AUTOUPDATER=1", "IS_SANDBOX=1"}, models: []string{large},
		},
		"Gemini CLI": {
			page: "gemini-cli.md", program: "node_modules/.bin/gemini", args: []string{"-p", "Say hello."},
			files: map[string]string{"json": ".gemini/settings.json"}, env: []string{"GEMINI_CLI_TRUST_WORKSPACE=true", "NO_BROWSER=1"}, models: []string{large},
		},
		"opencode":                opencode("openai-compatible", "/v1"),
		"opencode with responses": opencode("openai", "/v1"),
		"opencode with messages":  opencode("anthropic", "/v1"),
		"opencode with gemini":    opencode("google", "/v1beta"),
		"Cline": {
			page: "cline.md", program: "node_modules/@cline/cli-linux-x64/bin/cline", args: []string{"Say hello."},
			env: []string{"CLINE_SESSION_BACKEND_MODE=local", "CLINE_NO_AUTO_UPDATE=1"}, models: []string{large},
		},
	}
}

// Each client that is an npm package says what the channel has answered, set up with
// nothing but its page.
func TestClientPages(t *testing.T) {
	needAgents(t)
	for name, client := range pageClients() {
		t.Run(name, func(t *testing.T) {
			program, err := filepath.Abs(filepath.Join(agentsDir, client.program))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat(program); err != nil {
				t.Skip("it is not installed on this platform")
			}
			page := startPage(t, client.page)
			page.text = strings.NewReplacer(client.replace...).Replace(page.text)
			home := t.TempDir()
			for language, file := range client.files {
				file = filepath.Join(home, file)
				if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(file, []byte(page.block(t, language)), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			run := func(args []string, env []string) string {
				ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
				defer cancel()
				cmd := exec.CommandContext(ctx, program, args...)
				cmd.Dir, cmd.WaitDelay = home, 5*time.Second
				cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, "NO_PROXY=*", "TERM=dumb"}, env...)
				said, _ := cmd.CombinedOutput()
				return string(said)
			}
			env := client.env
			if strings.Contains(page.text, "```sh\n") {
				for line := range strings.Lines(page.block(t, "sh")) {
					words := strings.Fields(line)
					if words[0] == "export" {
						env = append(env, words[1])
						continue
					}
					run(words[1:], client.env) // a command that sets the client up
				}
			}
			if said := run(client.args, env); !strings.Contains(said, greeting) {
				t.Errorf("it says %q", said)
			}
			if got := page.asked(t); !slices.Equal(got, client.models) {
				t.Errorf("the provider was asked for %q, want %q", got, client.models)
			}
			if refusals := page.provider.Refusals(); len(refusals) > 0 {
				t.Errorf("refused: %q", refusals)
			}
		})
	}
}

// settings of clients that are no npm packages: where the page says the base URL and
// names the models.
var pageSettings = map[string]struct {
	base   *regexp.Regexp
	suffix string // that the client adds
	names  *regexp.Regexp
	want   []string
}{
	"open-webui.md":    {regexp.MustCompile(`OPENAI_API_BASE_URL=(\S+)`), "", regexp.MustCompile(`TASK_MODEL_EXTERNAL=(\w+)`), []string{"helper"}},
	"lobechat.md":      {regexp.MustCompile(`OPENAI_PROXY_URL=(\S+)`), "", regexp.MustCompile(`(?:=openai/|\+|;model=)(\w+)`), []string{"chat", "helper"}},
	"cherry-studio.md": {regexp.MustCompile("API Host \\| `([^`]+)`"), "/v1", regexp.MustCompile("Model[^|]*\\) \\| `(\\w+)`|Model \\| `(\\w+)`"), []string{"chat", "helper"}},
}

// The other clients' pages name models that their Caddyfile serves, at a base URL that
// works, in each dialect.
func TestClientSettings(t *testing.T) {
	for name, settings := range pageSettings {
		t.Run(name, func(t *testing.T) {
			page := startPage(t, name)
			base := settings.base.FindStringSubmatch(page.text)
			if base == nil {
				t.Fatal("the page says no base URL")
			}
			url, ok := strings.CutPrefix(base[1]+settings.suffix, page.gateway.URL)
			if !ok {
				t.Fatalf("the base URL is %s", base[1])
			}
			list := page.gateway.do(t, http.MethodGet, url+"/models", "", "Authorization", "Bearer the-client-key")
			list.wantStatus(t, 200)
			var models []string
			for _, match := range settings.names.FindAllStringSubmatch(page.text, -1) {
				model := match[1] + strings.Join(match[2:], "")
				if !slices.Contains(models, model) {
					models = append(models, model)
				}
			}
			slices.Sort(models)
			if !slices.Equal(models, settings.want) {
				t.Fatalf("the page names the models %q, want %q", models, settings.want)
			}
			for _, model := range models {
				if !strings.Contains(list.text, `"id":"`+model+`"`) {
					t.Errorf("%s is not listed: %s", model, list.text)
				}
				for client := range requestsIn {
					path, body := requestIn(client, false)
					path = strings.Replace(path, "models/m:", "models/"+model+":", 1)
					body = string(bytes.Replace([]byte(body), []byte(`"model":"m"`), []byte(`"model":"`+model+`"`), 1))
					a := page.gateway.do(t, http.MethodPost, path, body, "Authorization", "Bearer the-client-key")
					if a.wantStatus(t, 200); !strings.Contains(a.text, greeting) {
						t.Errorf("%s in %s: %s", model, client, a.text)
					}
				}
			}
			a := page.gateway.do(t, http.MethodPost, url+"/chat/completions", `{"model":"none","messages":[]}`, "Authorization", "Bearer the-client-key")
			a.wantStatus(t, 404)
			if refusals := page.provider.Refusals(); len(refusals) > 0 {
				t.Errorf("refused: %q", refusals)
			}
		})
	}
}

// Each page of a client is run by a test.
func TestAllClientPagesRun(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(clientPages, "*.md"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no pages (%v)", err)
	}
	run := make(map[string]bool)
	for _, client := range pageClients() {
		run[client.page] = true
	}
	for page := range pageSettings {
		run[page] = true
	}
	for _, file := range files {
		if !run[filepath.Base(file)] {
			t.Errorf("%s is run by no test", file)
		}
	}
	if len(run) != len(files) {
		t.Errorf("there are %d pages, and tests for %d", len(files), len(run))
	}
}
