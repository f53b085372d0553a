package llmgateway

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

// modelsAsked notes what an upstream is asked for, as "channel model", and refuses
// some of the models.
type modelsAsked struct {
	asked   []string
	refuses string // models, and of these all keys
	status  int
	body    string
}

func (m *modelsAsked) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	text, _ := io.ReadAll(r.Body)
	var body struct{ Model string }
	_ = json.Unmarshal(text, &body)
	if body.Model == "" { // Gemini, and Azure
		_, body.Model, _ = strings.Cut(strings.ReplaceAll(r.URL.Path, "/deployments/", "/models/"), "/models/")
	}
	channel := strings.Split(r.URL.Path, "/")[1]
	m.asked = append(m.asked, channel+" "+body.Model)
	if slices.Contains(strings.Fields(m.refuses), body.Model) {
		caddytest.JSON(m.status, m.body)(w, r)
		return
	}
	caddytest.JSON(200, completion)(w, r)
}

// take returns what was asked since the last call.
func (m *modelsAsked) take() string {
	asked := strings.Join(m.asked, ", ")
	m.asked = nil
	return asked
}

// Of several models behind one name each is asked for when the ones before it cannot
// answer: at all channels of the tier before the next model, and at one tier before
// the next tier.
func TestSeveralModels(t *testing.T) {
	overloaded := `{"error":{"code":503,"message":"The model is overloaded. Please try again later.","status":"UNAVAILABLE"}}`
	for refuses, want := range map[string]struct{ asked, model string }{
		"":          {"a m1", "m1"},
		"m1":        {"a m1, b m1, a m2", "m2"},
		"m1 m2":     {"a m1, b m1, a m2, b m3", "m3"},
		"m1 m2 m3":  {"a m1, b m1, a m2, b m3, a m4", "m4"},
		"m1 m2 m4":  {"a m1, b m1, a m2, b m3", "m3"},
		"m1 m2 m34": {"a m1, b m1, a m2, b m3", "m3"},
	} {
		asked := &modelsAsked{refuses: refuses, status: 503, body: overloaded}
		up := caddytest.NewUpstream(t, asked.ServeHTTP)
		g := start(t, `
			lb_policy first
			channel late `+up.URL+`/late {
				api_key k
				models  auto
				tier    2
			}
			channel a `+up.URL+`/a {
				api_key k
				models  auto coder as m1 m2 m4
			}
			channel b `+up.URL+`/b {
				api_key k
				models  a* as m1 m3
			}`)
		a := g.chat(t, "auto")
		a.wantStatus(t, 200)
		if got := asked.take(); got != want.asked || a.Header.Get("X-Gateway-Model") != want.model {
			t.Errorf("%q refused: asked %s, answered by %s, want %s", refuses, got, a.Header.Get("X-Gateway-Model"), want.asked)
		}
	}
}

// Each of the models has its own quota and its own cooldown.
func TestQuotasOfSeveralModels(t *testing.T) {
	asked := new(modelsAsked)
	up := caddytest.NewUpstream(t, asked.ServeHTTP)
	g, clock, _ := startAt(t, `
		channel a `+up.URL+`/a {
			api_key key-number-0001 key-number-0002
			models  auto as m1 m2 {
				quota 1/day
			}
			models  m1 {
				quota 1/day
			}
		}`)
	for range 4 {
		g.chat(t, "auto").wantStatus(t, 200)
	}
	if got := asked.take(); got != "a m1, a m1, a m2, a m2" {
		t.Errorf("asked %s", got)
	}
	a := g.chat(t, "auto")
	a.wantError(t, 429, "rate_limit_exceeded")
	if want := "All candidates for auto are unavailable: 2 out of quota (first free in 12 h)."; !strings.Contains(a.text, want) {
		t.Errorf("%s, want %s", a.text, want)
	}
	g.chat(t, "m1").wantStatus(t, 429) // it is the same model

	clock.Advance(toMidnight)
	asked.refuses, asked.status, asked.body = "m1", 429, fmt.Sprintf(gemini429, "", "Day", `,"quotaValue":"20"`, "34s")
	g.chat(t, "auto").wantStatus(t, 200)
	g.chat(t, "auto").wantStatus(t, 200)
	if got := asked.take(); got != "a m1, a m1, a m2, a m2" {
		t.Errorf("with m1 refused: asked %s", got)
	}
}

// Embeddings of one model cannot be compared with those of another.
func TestNoOtherEmbeddings(t *testing.T) {
	asked := &modelsAsked{refuses: "m1 m1:embedContent m1/embeddings", status: 503, body: "{}"}
	up := caddytest.NewUpstream(t, asked.ServeHTTP)
	g := start(t, "fallback auto to other\nchannel a "+up.URL+"/a {\napi_key k\nmodels auto as m1 m2\nmodels other\n}")
	for path, body := range map[string]string{
		"/v1/embeddings":                      `{"model":"auto","input":"x"}`,
		"/v1beta/models/auto:embedContent":    `{"content":{"parts":[{"text":"x"}]}}`,
		"/openai/deployments/auto/embeddings": `{"input":"x"}`,
		"/v1beta/openai/embeddings":           `{"model":"auto","input":"x"}`,
	} {
		asked.take()
		if a := g.do(t, http.MethodPost, path, body); a.StatusCode == 200 {
			t.Errorf("%s: answered with %s", path, asked.take())
		} else if got := asked.take(); strings.Contains(got, "m2") || strings.Contains(got, "other") {
			t.Errorf("%s: asked %s", path, got)
		}
	}
	g.chat(t, "auto").wantStatus(t, 200)
	if got := asked.take(); got != "a m1, a m2" {
		t.Errorf("chats: asked %s", got)
	}
}

// Clients see the name, the admin API and the log what stands behind it.
func TestSeveralModelsAreShown(t *testing.T) {
	asked := &modelsAsked{refuses: "m1", status: 500, body: "{}"}
	up := caddytest.NewUpstream(t, asked.ServeHTTP)
	g := start(t, "channel a "+up.URL+"/a {\napi_key k\nmodels auto coder as m1 m2\nmodels plain\n}")
	var list struct{ Data []struct{ ID string } }
	if err := json.Unmarshal([]byte(g.do(t, http.MethodGet, "/v1/models", "").text), &list); err != nil || fmt.Sprint(list.Data) != "[{auto} {coder} {plain}]" {
		t.Errorf("the list of models is %v, %v", list.Data, err)
	}
	var channels []struct{ Models json.RawMessage }
	_, body := g.Admin(http.MethodGet, "/llm-gateway/channels")
	if err := json.Unmarshal(body, &channels); err != nil || string(channels[0].Models) != `[{"names":["auto","coder"],"as":["m1","m2"]},{"names":["plain"]}]` {
		t.Errorf("%v, %s", err, body)
	}
	g.chat(t, "coder").wantStatus(t, 200)
	g.Logs.Wait(t, "http.log.access", `"model":"coder"`, `"sent_model":"m2"`, `"attempts":2`)
}

// Fallbacks are asked in order, those of fallbacks after them, and a client gets
// those that it may use.
func TestFallbackLists(t *testing.T) {
	asked := &modelsAsked{refuses: "m1 m2 m3 m4", status: 503, body: "{}"}
	up := caddytest.NewUpstream(t, asked.ServeHTTP)
	g, clock, _ := startAt(t, `
		client bob bob-key {
			models m1 m3
		}
		channel a `+up.URL+`/a {
			api_key k
			models  m1 m2 m3 m4 m5
		}
		fallback m1* to m2 m3
		fallback m2  to m1 m4
		fallback m4  to m5`)
	g.chat(t, "m1").wantStatus(t, 200)
	if got := asked.take(); got != "a m1, a m2, a m3, a m4, a m5" {
		t.Errorf("asked %s", got)
	}
	clock.Advance(toMidnight)
	g.chat(t, "m1", "Authorization", "Bearer bob-key").wantStatus(t, 503)
	if got := asked.take(); got != "a m1, a m3" {
		t.Errorf("for a client that may not use all: asked %s", got)
	}
}
