package llmgateway

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/neutral"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/strictprovider"
)

func needAgents(t *testing.T) {
	t.Helper()
	if _, err := os.Stat(filepath.Join(agentsDir, "node_modules")); err != nil && os.Getenv("CI") == "" {
		t.Skip("the agents take 1.1 GB: npm ci --ignore-scripts in " + agentsDir)
	}
	caddytest.InstallPackages(t, agentsDir)
}

const (
	greeting = "Hello from the channel"
	pixel    = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
	notes    = "caf\u00e9 \U0001F600 \\ \"q\""
	patched  = "*** Begin Patch\n*** Add File: made.txt\n+" + notes + "\n*** End Patch"
)

// realModels are what the channels call their models: much depends on the name.
var realModels = map[neutral.Dialect]string{
	neutral.Chat: "deepseek-v4", neutral.Responses: "gpt-5.4", neutral.Messages: "claude-opus-5", neutral.Gemini: "gemini-3-flash",
}

// agentTask is what a model has an agent do: calls of its tools, some of them in
// parallel, one whose result is an image.
type agentTask struct {
	agent, model string
	steps        []strictprovider.Step
	results      int
	native       neutral.Dialect
}

// agentTasks returns the tasks of all agents, with two models each that change what
// the agent sends.
func agentTasks(home string) []agentTask {
	calls := func(list ...string) (step strictprovider.Step) {
		for i := 0; i < len(list); i += 2 {
			step.Calls = append(step.Calls, strictprovider.Call{Tool: list[i], Arguments: list[i+1]})
		}
		return step
	}
	in := func(name string) string { return filepath.Join(home, name) }
	claude := []strictprovider.Step{
		calls("TaskList", `{}`, "Read", `{"file_path":"`+in("note.txt")+`"}`),
		calls("Read", `{"file_path":"`+in("pixel.png")+`"}`),
	}
	gemini := []strictprovider.Step{
		calls("list_directory", `{"dir_path":"."}`, "read_file", `{"file_path":"note.txt"}`),
		calls("read_file", `{"file_path":"pixel.png"}`),
	}
	return []agentTask{
		{"Codex", "gpt-5.5", []strictprovider.Step{
			calls("get_goal", `{}`, "apply_patch", patched), calls("view_image", `{"path":"`+in("pixel.png")+`"}`),
		}, 3, neutral.Responses},
		{"Codex", "gpt-6-sol", []strictprovider.Step{
			calls("functions__exec", `text("caf`+"\u00e9 \U0001F600"+` \\ done")`), calls("collaboration__list_agents", `{}`),
			calls("functions__exec", `image("data:image/png;base64,`+pixel+`")`),
		}, 3, neutral.Responses},
		{"Claude Code", "claude-sonnet-5-5", claude, 3, neutral.Messages},
		{"Claude Code", "claude-opus-5", claude, 3, neutral.Messages},
		{"Gemini CLI", "gemini-2.5-pro", gemini, 3, neutral.Gemini},
		{"Gemini CLI", "gemini-3.8-flash", gemini, 3, neutral.Gemini},
	}
}

var allDialects = []neutral.Dialect{neutral.Chat, neutral.Responses, neutral.Messages, neutral.Gemini}

// baseOf is the base URL of an upstream in a dialect.
func baseOf(up *caddytest.Upstream, d neutral.Dialect) string {
	return up.URL + map[neutral.Dialect]string{neutral.Chat: "/v1", neutral.Responses: "/v1", neutral.Gemini: "/v1beta"}[d]
}

// workplace makes a folder in which an agent can work.
func workplace(t *testing.T) string {
	home := t.TempDir()
	image, err := base64.StdEncoding.DecodeString(pixel)
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{"note.txt": []byte(notes), "pixel.png": image} {
		if err := os.WriteFile(filepath.Join(home, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return home
}

// agentFor returns the agent of a task, set up for its model.
func agentFor(task agentTask, home string) *agent {
	all := agents()
	a := &all[slices.IndexFunc(all, func(a agent) bool { return a.name == task.agent })]
	a.home = home
	for i, arg := range a.args {
		if arg == "m" {
			a.args[i] = task.model
		}
	}
	for i, variable := range a.env {
		a.env[i] = strings.Replace(variable, "MODEL=m", "MODEL="+task.model, 1)
	}
	if task.agent == "Codex" {
		a.args = slices.Insert(a.args, 1, "--dangerously-bypass-approvals-and-sandbox")
	}
	return a
}

// Codex, Claude Code and the Gemini CLI, with two models each, work over accounts of
// each dialect: all tools arrive, calls come back as they were declared, also two in
// parallel, results and images get to the model, signatures come back byte for byte,
// and no request is refused.
func TestAgentsOverDialects(t *testing.T) {
	needAgents(t)
	for _, dialect := range allDialects {
		t.Run(string(dialect), func(t *testing.T) {
			home := workplace(t)
			var config strings.Builder
			tasks, providers := agentTasks(home), make(map[string]*strictprovider.Provider)
			for i, task := range tasks {
				p := &strictprovider.Provider{Dialect: dialect, Vendor: fmt.Sprint("v", i), Steps: slices.Clone(task.steps), Text: greeting}
				providers[task.model] = p
				up := caddytest.NewUpstream(t, p.ServeHTTP)
				fmt.Fprintf(&config, "channel c%d %s {\napi_key k%d\nmodels %s as %s\nspeaks %s\n}\n", i, baseOf(up, dialect), i, task.model, realModels[dialect], dialect)
			}
			g := start(t, config.String())
			for _, task := range tasks {
				t.Run(task.agent+" "+task.model, func(t *testing.T) {
					t.Parallel()
					own := workplace(t)
					var steps []strictprovider.Step
					for _, step := range task.steps { // paths in the arguments are the agent's own
						steps = append(steps, movedStep(step, home, own))
					}
					providers[task.model].SetSteps(steps)
					checkTask(t, task, providers[task.model], agentFor(task, own).ask(t, g))
					if dialect == task.native {
						record(t, task, providers[task.model], own)
					}
				})
			}
		})
	}
}

func movedStep(step strictprovider.Step, from, to string) strictprovider.Step {
	step.Calls = slices.Clone(step.Calls)
	for i := range step.Calls {
		step.Calls[i].Arguments = strings.ReplaceAll(step.Calls[i].Arguments, from, to)
	}
	return step
}

// checkTask checks what a provider has seen of an agent's task.
func checkTask(t *testing.T, task agentTask, p *strictprovider.Provider, said string) {
	t.Helper()
	if !strings.Contains(said, greeting) {
		t.Errorf("it says %q", said)
	}
	if refusals := refusalsOf(task, p); len(refusals) > 0 {
		t.Errorf("refused: %q", refusals)
	}
	seen := slices.DeleteFunc(p.Seen(), func(s strictprovider.Seen) bool { return s.Tools == 0 })
	if len(seen) == 0 {
		t.Fatal("no request with tools")
	}
	last := seen[len(seen)-1]
	if last.Called != len(task.steps) {
		t.Errorf("the conversation has %d steps with calls, want %d", last.Called, len(task.steps))
	}
	if last.Results != task.results {
		t.Errorf("%d results came back, want %d", last.Results, task.results)
	}
	if last.Images == 0 {
		t.Error("the image did not reach the model")
	}
	// The Gemini CLI drops thoughts, without whose text a signature is none to messages.
	lost := task.native == neutral.Gemini && p.Dialect == neutral.Messages
	if p.Dialect != neutral.Chat && !lost && len(last.Signatures) == 0 {
		t.Error("no signature came back")
	}
	if p.Dialect == task.native {
		return
	}
	for i := range seen[1:] {
		if begin := beforeLast(t, p.Dialect, seen[i].Body); !bytes.HasPrefix(seen[i+1].Body, begin) {
			t.Errorf("request %d does not begin with the bytes of the one before it: %s", i+1, difference(begin, seen[i+1].Body))
		}
	}
}

// refusalsOf returns why requests were refused, but for one that the Gemini CLI
// itself sends beside its conversation and that is passed on as it is: with the result
// of a call that it does not have.
func refusalsOf(task agentTask, p *strictprovider.Provider) []string {
	return slices.DeleteFunc(p.Refusals(), func(refusal string) bool {
		return p.Dialect == task.native && strings.HasPrefix(refusal, "the number of function response parts (1) must be equal to the number of function call parts (0)")
	})
}

// beforeLast returns a body up to its last message.
func beforeLast(t *testing.T, d neutral.Dialect, body []byte) []byte {
	t.Helper()
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(body, &fields); err != nil {
		t.Fatal(err)
	}
	conversation := fields[map[neutral.Dialect]string{neutral.Chat: "messages", neutral.Responses: "input", neutral.Messages: "messages", neutral.Gemini: "contents"}[d]]
	var elements []json.RawMessage
	if err := json.Unmarshal(conversation, &elements); err != nil {
		t.Fatal(err)
	}
	return body[:bytes.LastIndex(body, elements[len(elements)-1])]
}

func difference(a, b []byte) string {
	i := 0
	for i < min(len(a), len(b)) && a[i] == b[i] {
		i++
	}
	return fmt.Sprintf("at %d of %d: %.120q and %.120q", i, len(a), a[max(0, i-60):], b[max(0, i-60):])
}

// A stream that fails in the middle is no response to any agent: it asks again or
// says what has failed.
func TestAgentsAndBrokenStreams(t *testing.T) {
	needAgents(t)
	for _, task := range agentTasks("") {
		if task.model != "gpt-5.5" && task.model != "claude-opus-5" && task.model != "gemini-3.8-flash" {
			continue
		}
		for _, dialect := range []neutral.Dialect{neutral.Chat} {
			p := &strictprovider.Provider{Dialect: dialect, Vendor: "v", Text: greeting}
			var asked atomic.Int64
			broken := &strictprovider.Provider{Dialect: dialect, Vendor: "v", Steps: []strictprovider.Step{{Text: "Half a thought", Breaks: true}}}
			up := caddytest.NewUpstream(t, func(w http.ResponseWriter, r *http.Request) {
				if asked.Add(1) == 1 {
					broken.ServeHTTP(w, r)
					return
				}
				p.ServeHTTP(w, r)
			})
			g := start(t, "channel a "+baseOf(up, dialect)+" {\napi_key k\nmodels * as "+realModels[dialect]+"\nspeaks "+string(dialect)+"\n}")
			t.Run(task.agent+" over "+string(dialect), func(t *testing.T) {
				a := agentFor(task, workplace(t))
				for i, arg := range a.args {
					a.args[i] = strings.Replace(arg, "stream_max_retries=0", "stream_max_retries=1", 1)
				}
				said := a.ask(t, g)
				if !strings.Contains(said, greeting) && !strings.Contains(said, "the model has stopped") {
					t.Errorf("it says %q, want the failure or, asked again, the second response", said)
				}
			})
		}
	}
}

// A conversation goes on over an account of another dialect while the first one is in
// cooldown, and comes back to it: no account gets the other's signatures.
func TestAgentsOverFailover(t *testing.T) {
	needAgents(t)
	pairs := map[string][2]neutral.Dialect{
		"gpt-5.5": {neutral.Responses, neutral.Messages}, "claude-opus-5": {neutral.Messages, neutral.Gemini}, "gemini-3.8-flash": {neutral.Gemini, neutral.Responses},
	}
	for _, task := range agentTasks("") {
		pair, ok := pairs[task.model]
		if !ok {
			continue
		}
		t.Run(fmt.Sprintf("%s over %s and %s", task.agent, pair[0], pair[1]), func(t *testing.T) {
			own := workplace(t)
			i := slices.IndexFunc(agentTasks(own), func(other agentTask) bool { return other.model == task.model })
			task := agentTasks(own)[i]
			first := &strictprovider.Provider{Dialect: pair[0], Vendor: "first", Steps: task.steps, Text: greeting}
			second := &strictprovider.Provider{Dialect: pair[1], Vendor: "second", Steps: task.steps, Text: "This is not the end"}
			first.Intercept = func(w http.ResponseWriter, turns int) bool {
				if turns != 1 {
					return false
				}
				w.Header().Set("Retry-After", "60")
				w.WriteHeader(http.StatusTooManyRequests)
				return true
			}
			var started atomic.Pointer[testGateway] // the agent is another process: nothing else orders its requests after start
			second.Intercept = func(http.ResponseWriter, int) bool {
				started.Load().Admin(http.MethodDelete, "/llm-gateway/cooldowns") // the first one may be asked again
				return false
			}
			var config strings.Builder
			for i, p := range []*strictprovider.Provider{first, second} {
				up := caddytest.NewUpstream(t, p.ServeHTTP)
				fmt.Fprintf(&config, "channel c%d %s {\napi_key k%d\nmodels * as %s\nspeaks %s\ntier %d\n}\n", i, baseOf(up, p.Dialect), i, realModels[p.Dialect], p.Dialect, i+1)
			}
			g := start(t, config.String())
			started.Store(g)
			if said := agentFor(task, own).ask(t, g); !strings.Contains(said, greeting) {
				t.Errorf("it says %q", said)
			}
			for _, p := range []*strictprovider.Provider{first, second} {
				if refusals := refusalsOf(task, p); len(refusals) > 0 {
					t.Errorf("%s refused: %q", p.Dialect, refusals)
				}
				if len(p.Seen()) == 0 {
					t.Errorf("%s was not asked", p.Dialect)
				}
			}
			if seen := first.Seen(); len(seen) > 0 && len(seen[len(seen)-1].Signatures) == 0 {
				t.Errorf("%s did not get its own signature back", first.Dialect)
			}
		})
	}
}
