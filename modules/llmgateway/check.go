package llmgateway

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/caddy-freetier/caddy-freetier/internal/cooldown"
	"github.com/caddy-freetier/caddy-freetier/internal/keycheck"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/refusal"
)

const (
	// checkCalls is how many keys are checked at a time.
	checkCalls = 16
	// checkTimeout is how long a call may take.
	checkTimeout = 30 * time.Second
)

// checks has an entry while a check is under way. It belongs to the process, so
// that a reload begins no second one.
//
// LoadOrStore is the lock: whoever stores the entry runs the check. Loading it raises
// its count, so that a refused second check has to give it back.
var checks = caddy.NewUsagePool()

type checkUnderWay struct{}

func (checkUnderWay) Destruct() error { return nil }

var errCheckUnderWay = errors.New("another check of the keys is under way; wait for its end")

// serveCheck checks the keys of all channels, or of one, and reports what came of
// each as soon as it is known, as a line of JSON. It ends when the client leaves.
//
// A check calls each provider once or more for each key and uses its quota, hence POST
// and no second one beside it. Lines are flushed one by one: with many keys the whole
// takes minutes.
func (a *Admin) serveCheck(w http.ResponseWriter, r *http.Request) error {
	if err := allowMethods(w, r, http.MethodPost); err != nil {
		return err
	}
	query, err := adminQuery(r, "channel")
	if err != nil {
		return err
	}
	work, names := []keyToCheck(nil), []string(nil)
	for _, g := range loadedGateways() {
		for _, c := range g.channels {
			names = append(names, c.Name)
		}
		work = append(work, keysToCheck(g, query["channel"])...)
	}
	if _, given := query["channel"]; given && len(work) == 0 {
		return caddy.APIError{HTTPStatus: http.StatusNotFound, Err: noneOf("channel", names)}
	}
	if _, busy := checks.LoadOrStore(checkUnderWay{}, checkUnderWay{}); busy {
		_, _ = checks.Delete(checkUnderWay{})
		return caddy.APIError{HTTPStatus: http.StatusConflict, Err: errCheckUnderWay}
	}
	defer func() { _, _ = checks.Delete(checkUnderWay{}) }()
	w.Header().Set("Content-Type", "application/jsonl")
	control := http.NewResponseController(w)
	checkKeys(r.Context(), work, func(line any) {
		if json.NewEncoder(w).Encode(line) == nil {
			_ = control.Flush()
		}
	})
	return nil
}

// CheckKeys checks the keys of the channel with a name, "" for all, for a configuration that does not
// run. It calls report with a keycheck.Start and then with a keycheck.Result for
// each key, one at a time. It counts nothing and puts nothing in cooldown, since
// nobody would save that.
func (h *Handler) CheckKeys(ctx context.Context, channel string, report func(line any)) {
	work := keysToCheck(h.gateway, channel)
	for i := range work {
		work[i].record = false
	}
	checkKeys(ctx, work, report)
}

// keyToCheck is a key of a channel, or a channel without keys.
type keyToCheck struct {
	candidate
	gateway *gateway
	models  *checkModels
	record  bool // whether the calls are counted, and verdicts recorded
}

// keysToCheck returns the keys of the channel with a name, "" for all: one of each
// channel, then another one of each, so that all providers are asked at the same
// time.
func keysToCheck(g *gateway, channel string) (work []keyToCheck) {
	type list struct {
		channel *Channel
		models  *checkModels
		keys    []*key
	}
	var lists []*list
	for _, c := range g.channels {
		if channel != "" && c.Name != channel {
			continue
		}
		keys := c.keys()
		if len(keys) == 0 {
			keys = []*key{nil}
		}
		lists = append(lists, &list{c, newCheckModels(c, g), keys})
	}
	for left := true; left; {
		left = false
		for _, l := range lists {
			if len(l.keys) == 0 {
				continue
			}
			work = append(work, keyToCheck{candidate{channel: l.channel, key: l.keys[0]}, g, l.models, true})
			l.keys = l.keys[1:]
			left = true
		}
	}
	return work
}

// checkKeys checks keys, several at a time, and reports one result at a time.
// Refusals that no rule knows come last: then it is known whether the same call
// works with another key of the channel.
//
// mu protects works and unclear, and makes report safe to write to one connection.
// report is not called after ctx has ended: then results say more about the end than
// about keys.
func checkKeys(ctx context.Context, work []keyToCheck, report func(line any)) {
	report(keycheck.Start{Keys: len(work)})
	var (
		mu      sync.Mutex
		works   = make(map[string]bool) // channels of which a key is good
		unclear []keycheck.Result
		calls   errgroup.Group
	)
	calls.SetLimit(checkCalls)
	for _, k := range work {
		if ctx.Err() != nil {
			break
		}
		calls.Go(func() error {
			result := k.check(ctx)
			mu.Lock()
			defer mu.Unlock()
			works[result.Channel] = works[result.Channel] || result.Verdict == keycheck.Good
			if result.Verdict == keycheck.Unclear {
				unclear = append(unclear, result)
			} else if ctx.Err() == nil {
				report(result)
			}
			return nil
		})
	}
	_ = calls.Wait() // no call returns an error
	for _, result := range unclear {
		if result.Status == http.StatusUnauthorized && works[result.Channel] {
			result.Verdict = keycheck.Dead // the account is what differs
		}
		if ctx.Err() == nil {
			report(result)
		}
	}
}

// check asks the provider about the key, if it has a call for that, and then a
// model. A list of models proves nothing: some providers show it to anybody.
//
// An exhausted quota of the configuration ends it before a model is asked: a check must
// not use what requests may not. Further models are asked only if the one before is
// unknown or not in the key's plan, which says nothing about the key.
func (k *keyToCheck) check(ctx context.Context) keycheck.Result {
	result := keycheck.Result{Channel: k.channel.Name, Key: "(no key)"}
	if k.key != nil {
		result.Key = k.key.name()
	}
	asked := k.askAboutKey(ctx, &result)
	if asked && result.Verdict != keycheck.Good {
		return result
	}
	if k.key != nil {
		if exhausted := k.key.exhausted(); exhausted != nil {
			result.Verdict, result.Reason, result.Until = keycheck.Limited, "quota of the configuration", exhausted.Renews()
			return result
		}
	}
	models := k.models.of(ctx, k)
	if len(models) == 0 && !asked {
		result.Verdict, result.Reason = keycheck.Unclear, "no model to ask is known: give one by its name in models"
	}
	for _, model := range models {
		k.model, result.Model = model, model
		k.askModel(ctx, &result)
		if result.Verdict != keycheck.NoModel && result.Verdict != keycheck.NotInPlan {
			break
		}
	}
	return result
}

// finish sets what a verdict says of the key, and records it.
//
// A cooldown begins only if a field of the response names the reason (NamedByField). A
// text that merely looks like a refusal of the key is in the result, for people to
// judge.
func (k *keyToCheck) finish(result *keycheck.Result, v refusal.Verdict) {
	now := k.gateway.clock.Now()
	result.Status, result.Reason, result.Until = v.Status, string(v.Reason), time.Time{}
	result.Verdict = verdictOf(v)
	if until, stated := v.Cooldown(now, 0, k.gateway.cooldown); stated && result.Verdict != keycheck.Good {
		result.Until = until
	}
	if v.Reason == refusal.ReasonNetwork || v.Reason == refusal.ReasonTimeout {
		result.Status = 0 // ours
	}
	if !k.record {
		return
	}
	k.recordOutcome(v, now)
	if k.key == nil {
		return
	}
	about := []zap.Field{zap.String("channel", k.channel.Name), zap.String("key", k.key.name())}
	if v.Kind == refusal.KindAnswered && k.key.cooldowns.Succeed(k.model, now) {
		k.gateway.logger.Info("API key works again", about...)
	}
	if !v.NamedByField {
		return
	}
	name, cool := k.model, newCooldown(k.gateway, v, false)
	switch v.Kind.Target() {
	case refusal.TargetKey:
		name = cooldown.All
	case refusal.TargetKeyModel:
		if v.Models != "" {
			name = v.Models
		}
		if name == "" || name == "*" {
			name = cooldown.All
		}
	default:
		return
	}
	if k.key.cooldowns.Start(name, cool, now) {
		k.gateway.logger.Info("API key in cooldown", append(about,
			zap.String("model", name), zap.String("reason", string(v.Reason)), zap.Int("status", v.Status))...)
		if name == cooldown.All {
			k.gateway.reportKey(&k.candidate, v)
		}
	}
}

// verdictOf says in a few words what a verdict of the classifier means for a key.
//
// Kinds that are not about the key fall through to the status, so that a 429 or 402
// which no rule knows is still more than unclear.
func verdictOf(v refusal.Verdict) keycheck.Verdict {
	switch v.Kind {
	case refusal.KindAnswered:
		return keycheck.Good
	case refusal.KindDead:
		return keycheck.Dead
	case refusal.KindNoCredit:
		return keycheck.NoCredit
	case refusal.KindRateLimit, refusal.KindDayQuota:
		return keycheck.Limited
	case refusal.KindPlan:
		return keycheck.NotInPlan
	case refusal.KindCapacity, refusal.KindDegraded:
		return keycheck.Overloaded
	case refusal.KindModel:
		return keycheck.NoModel
	case refusal.KindRegion, refusal.KindPage, refusal.KindBlockPage:
		return keycheck.Blocked
	case refusal.KindChannel:
		if v.Reason == refusal.ReasonNetwork || v.Reason == refusal.ReasonTimeout {
			return keycheck.Unreachable
		}
		return keycheck.Failing
	}
	switch v.Status {
	case http.StatusTooManyRequests:
		return keycheck.Limited
	case http.StatusPaymentRequired:
		return keycheck.NoCredit
	}
	return keycheck.Unclear
}
