package llmgateway

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"

	"github.com/caddy-freetier/caddy-freetier/internal/keycheck"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/neutral"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/refusal"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/usage"
	"github.com/caddy-freetier/caddy-freetier/internal/reqbody"
)

// mostCheckModels is how many models a key is asked for when the first ones are
// unknown or not in its plan.
const mostCheckModels = 3

// otherModels are names of models that take no chat.
var otherModels = regexp.MustCompile(`(?i)embed|bge-|whisper|tts|speech|audio|image|imagen|dall-e|flux|diffusion|rerank|moderation|guard|veo|video|sora`)

// checkModels are the models of a channel that its keys are asked for.
type checkModels struct {
	channel *Channel
	gateway *gateway

	mu     sync.Mutex
	models []string
	lists  int // how many keys were asked for a list
}

// Models that take no chat come last, since the call is one of chat, or of embeddings.
// A channel that has only others is still asked. Patterns name no model.
func newCheckModels(c *Channel, g *gateway) *checkModels {
	m := &checkModels{channel: c, gateway: g}
	var others []string
	for _, route := range c.Models {
		for _, name := range route.own() {
			switch {
			case isPattern(name):
			case otherModels.MatchString(name):
				others = append(others, name)
			default:
				m.models = append(m.models, name)
			}
		}
	}
	m.models = append(m.models, others...)
	return m
}

// of returns the models to ask for. Where the configuration has patterns only they
// come from the channel's own list, which is asked for with the key.
//
// The lock is held while the list is asked for, so that 16 keys of a channel do not ask
// for it at the same time. A key that is refused the list may be the bad one, so
// another key may try, mostCheckModels times in all.
func (m *checkModels) of(ctx context.Context, k *keyToCheck) []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.models) == 0 {
		listed := m.channel.catalog.names()
		for ; len(listed) == 0 && m.lists < mostCheckModels; m.lists++ {
			listed, _ = m.channel.listWith(ctx, k.candidate, m.gateway.clock.Now())
		}
		m.models = m.matching(listed)
	}
	return m.models[:min(len(m.models), mostCheckModels)]
}

// matching returns the listed models that clients can ask for.
func (m *checkModels) matching(listed []string) (models []string) {
	for _, name := range listed {
		for _, route := range m.channel.Models {
			for _, pattern := range route.Names {
				if len(route.As) == 0 && reqbody.Match(pattern, name) && !otherModels.MatchString(name) && len(models) < mostCheckModels {
					models = append(models, name)
				}
			}
		}
	}
	return models
}

// keyCalls are the calls about the key itself, which some providers have and which
// cost nothing. They are the only ones that tell a bad key where a chat is also
// answered without one. {account} stands for the account in the channel's URL.
// Sources: https://openrouter.ai/docs/api-reference/api-keys/get-current-api-key,
// https://developers.cloudflare.com/api/resources/user/subresources/tokens/methods/verify/
// and https://github.com/pollinations/pollinations/blob/main/APIDOCS.md (read
// 2026-11-26).
var keyCalls = map[refusal.Provider][]string{
	refusal.OpenRouter:  {"/api/v1/key"},
	refusal.Cloudflare:  {"/client/v4/user/tokens/verify", "/client/v4/accounts/{account}/tokens/verify"},
	refusal.Pollination: {"/account/key"},
}

// cloudflareAccount finds the account in the path of a channel's URL.
var cloudflareAccount = regexp.MustCompile(`/accounts/([^/]+)/`)

// askAboutKey asks the provider about the key and reports whether it has said
// something. Of several calls one that accepts the key is enough.
//
// Cloudflare has one call for tokens of a user and one for those of an account; neither
// knows tokens of the other kind, hence one acceptance is enough. 404 and 405 say that
// the call has gone, and nothing about the key.
func (k *keyToCheck) askAboutKey(ctx context.Context, result *keycheck.Result) (asked bool) {
	if k.key == nil {
		return false
	}
	var refused *refusal.Verdict
	for _, path := range keyCalls[k.channel.provider] {
		if strings.Contains(path, accountInPath) {
			account := cloudflareAccount.FindStringSubmatch(k.channel.target(&url.URL{Path: "/v1/x"}, k.key).Path)
			if account == nil {
				continue
			}
			path = strings.Replace(path, accountInPath, account[1], 1)
		}
		call := checkCall{method: http.MethodGet, url: &url.URL{Scheme: k.channel.base.Scheme, Host: k.channel.base.Host, Path: path}}
		v, text := k.send(ctx, call, result)
		switch {
		case v.Kind == refusal.KindAnswered:
			v = aboutKey(text)
		case v.Status == http.StatusUnauthorized && v.Kind == refusal.KindUnclear:
			v.Kind, v.Reason = refusal.KindDead, refusal.ReasonDead
		case v.Status == http.StatusNotFound || v.Status == http.StatusMethodNotAllowed:
			continue // the provider has no such call any more
		}
		if refused == nil || v.Kind == refusal.KindAnswered {
			refused = &v
		}
		if v.Kind == refusal.KindAnswered {
			break
		}
	}
	if refused == nil {
		return false
	}
	k.model = ""
	if refused.Kind == refusal.KindAnswered {
		result.Verdict, result.Status = keycheck.Good, http.StatusOK // counted with the call of a model
		return true
	}
	k.finish(result, *refused)
	return true
}

// aboutKey reads a response about a key: of Cloudflare's its status, of
// OpenRouter's what is left of its credit.
//
// Fields that are absent prove nothing, and a response in another form counts as
// accepted: its status was a success. limit_remaining is null for an OpenRouter key
// without a limit of its own.
func aboutKey(text []byte) refusal.Verdict {
	var about struct {
		Result struct{ Status string }
		Data   struct {
			LimitRemaining *float64 `json:"limit_remaining"`
		}
	}
	v := refusal.Verdict{Kind: refusal.KindAnswered, Status: http.StatusOK}
	if json.Unmarshal(text, &about) != nil {
		return v
	}
	switch left := about.Data.LimitRemaining; {
	case about.Result.Status != "" && about.Result.Status != "active":
		v.Kind, v.Reason, v.NamedByField = refusal.KindDead, refusal.ReasonDead, true
	case left != nil && *left <= 0:
		v.Kind, v.Reason = refusal.KindNoCredit, refusal.ReasonNoCredit
	}
	return v
}

// askModel asks the model for one token.
//
// OpenAI's reasoning models refuse max_tokens and want max_completion_tokens, of which
// they use some before the first visible token. That is tried once, and only if the
// refusal is about the request.
func (k *keyToCheck) askModel(ctx context.Context, result *keycheck.Result) {
	call := k.modelCall()
	v, text := k.send(ctx, call, result)
	if bound := []byte(`"max_tokens":1,`); v.Scope() == refusal.ScopeRequestHere || v.Scope() == refusal.ScopeRequest {
		if bytes.Contains(call.body, bound) {
			// Models that think take another field, and more than one token.
			call.body = bytes.Replace(call.body, bound, []byte(`"max_completion_tokens":16,`), 1)
			v, text = k.send(ctx, call, result)
		}
	}
	k.charge(v, text)
	k.finish(result, v)
}

// charge counts an answered call against the key's quotas.
//
// A request counts even if it was refused, since it may have counted at the provider;
// of tokens those that the response states, at least one.
func (k *keyToCheck) charge(v refusal.Verdict, text []byte) {
	if !k.record || k.key == nil {
		return
	}
	for _, m := range k.key.requests {
		m.Add(1)
	}
	if v.Kind == refusal.KindAnswered && len(k.key.tokens) > 0 {
		meter := usage.NewMeter(usage.JSON, false)
		meter.Write(text)
		meter.End()
		k.key.chargeTokens(max(1, meter.Usage.Sum()))
	}
}

// checkCall is a call of a check.
type checkCall struct {
	method  string
	spoken  spoken // the channel's dialect, empty for none
	path    string // canonical, "" for one that is no API of models
	url     *url.URL
	body    []byte
	dialect refusal.Dialect
}

// modelCall is the cheapest call of the candidate's model, in a dialect of the
// channel.
func (k *keyToCheck) modelCall() checkCall {
	c, model := k.channel, k.model
	name, _ := json.Marshal(model)
	call := checkCall{method: http.MethodPost, spoken: c.checkDialect()}
	if strings.Contains(strings.ToLower(model), "embed") || strings.Contains(model, "bge-") {
		call.spoken = spoken{}
		call.path, call.body = "/v1/embeddings", fmt.Appendf(nil, `{"model":%s,"input":"Hi"}`, name)
		call.url = c.target(&url.URL{Path: call.path}, k.key)
		return call
	}
	call.dialect = call.spoken.outputDialect()
	switch call.spoken.dialect {
	case neutral.Messages:
		call.path = "/v1/messages"
		call.body = fmt.Appendf(nil, `{"model":%s,"max_tokens":1,"messages":[{"role":"user","content":"Hi"}]}`, name)
	case neutral.Gemini:
		call.path = "/v1beta/models/" + strings.TrimPrefix(model, "models/") + ":generateContent"
		call.body = []byte(`{"contents":[{"role":"user","parts":[{"text":"Hi"}]}],"generationConfig":{"maxOutputTokens":1}}`)
	case neutral.Responses:
		call.path = "/v1/responses"
		call.body = fmt.Appendf(nil, `{"model":%s,"max_output_tokens":16,"input":"Hi"}`, name)
	default:
		call.path = "/v1/chat/completions"
		call.body = fmt.Appendf(nil, `{"model":%s,"max_tokens":1,"messages":[{"role":"user","content":"Hi"}]}`, name)
	}
	call.url = c.targetIn(&call.spoken, &url.URL{Path: call.path}, k.key)
	return call
}

// longestCheck is how much of a response is read, in bytes.
const longestCheck = 1 << 20

// send makes a call and returns what its response means, and its text.
//
// It sends what an attempt would send: the channel's own headers, those of the preset,
// the key where the dialect has it, over the channel's transport. ctx ends with the
// client of the admin API, or after checkTimeout.
func (k *keyToCheck) send(ctx context.Context, call checkCall, result *keycheck.Result) (refusal.Verdict, []byte) {
	ctx, cancel := context.WithTimeout(ownRequests(ctx), checkTimeout)
	defer cancel()
	c := k.channel
	out := (&http.Request{Method: call.method, URL: call.url, Host: call.url.Host, Header: make(http.Header)}).WithContext(c.dialContext(ctx))
	out.Header.Set("Accept", "application/json")
	if len(call.body) > 0 {
		out.Header.Set("Content-Type", "application/json")
		out.Body, out.ContentLength = io.NopCloser(bytes.NewReader(call.body)), int64(len(call.body))
		out.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(call.body)), nil }
	}
	if call.spoken.dialect == neutral.Messages {
		out.Header.Set("Anthropic-Version", "2023-06-01")
	}
	maps.Copy(out.Header, c.headers.set)
	c.addHeaders(out)
	if k.key != nil {
		c.showKeyIn(out, &call.spoken, call.path, k.key)
	}
	start := k.gateway.clock.Now()
	c.awake.Probe(c.dial, start)
	if k.record {
		k.stats().recordAttempt()
	}
	defer func() { result.Milliseconds = k.gateway.clock.Since(start).Milliseconds() }()
	res, err := c.http.RoundTrip(out)
	if err != nil {
		return refusal.NoResponse(isTimeout(err) || ctx.Err() != nil), nil
	}
	cleanResponse(res, k.mask())
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, longestCheck))
	if err != nil {
		return refusal.NoResponse(isTimeout(err) || ctx.Err() != nil), nil
	}
	return k.meaning(res, text, call), text
}

// meaning classifies the response to a call.
//
// A 200 is not enough: gateways and login pages answer with HTML, and some providers
// send an error in a 200. The same inspection as for attempts finds out.
func (k *keyToCheck) meaning(res *http.Response, text []byte, call checkCall) refusal.Verdict {
	answered := refusal.Verdict{Kind: refusal.KindAnswered, Status: res.StatusCode, ClientStatus: res.StatusCode}
	if res.StatusCode < http.StatusMultipleChoices {
		switch found := refusal.InspectBody(call.dialect, text); {
		case found == refusal.Output && !json.Valid(text):
			v := refusal.NoResponse(false)
			v.Reason, v.Status = refusal.ReasonNotAPI, res.StatusCode
			return v
		case found == refusal.Output:
			return answered
		case found != refusal.Failure:
			return refusal.NoOutput()
		}
	}
	return refusal.Classify(refusal.Input{
		Status: res.StatusCode, Header: res.Header, Body: text, Dialect: call.dialect, Provider: k.channel.provider,
		Model: k.model, Now: k.gateway.clock.Now(), MaxCooldown: k.gateway.maxCooldown, Rules: k.channel.refusals,
	})
}
