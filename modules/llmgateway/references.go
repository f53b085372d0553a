package llmgateway

import (
	"bytes"
	"net/http"
	"slices"

	"github.com/caddy-freetier/caddy-freetier/internal/idstore"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/refusal"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/resource"
	"github.com/caddy-freetier/caddy-freetier/internal/reqbody"
)

// What a provider keeps, such as a file, a batch or a response, belongs to the
// account that has made it. Its id is learned from the response, for the client
// that has asked, and a later request of that client that names it goes to the same
// key and to no other. An id that is not known, such as one of a dashboard or of
// another client, is asked of one candidate after the other: that it is unknown to
// one of them says nothing about its key.

// maxReferences bounds the ids in a request that are looked up.
const maxReferences = 16

// references are the ids that a request names.
type references struct {
	ids    []string // in their plain form
	inPath string   // the one of them that the path names
	store  reqbody.Span
}

// ownership finds the account that has made what a request names, and learns from the
// response what the account has made.
type ownership struct {
	*request
	pinned bool // only the key may be asked that has made what the request names
	missed bool // an account did not know what the request names
}

// addFrom adds the ids that a JSON body names: texts are the values of its fields that
// may be one, and kept is what it says of the conversation that the account keeps.
func (r *references) addFrom(texts []string, kept string, store reqbody.Span) {
	r.store = store
	for _, text := range texts {
		r.add(resource.Plain(text))
	}
	r.add(resource.Plain(kept))
}

// addPath adds the id in the path.
func (r *references) addPath(l location) {
	if e := l.endpoint; e != nil {
		r.inPath = resource.InPath(e.path, l.path)
		r.add(r.inPath)
	}
}

func (r *references) add(id string) {
	if id != "" && len(r.ids) < maxReferences && !slices.Contains(r.ids, id) {
		r.ids = append(r.ids, id)
	}
}

// any reports whether the request names an id.
func (r *references) any() bool { return len(r.ids) > 0 }

// keepsResponse reports whether the request lets the provider keep its response.
func (o *ownership) keepsResponse() bool {
	s := o.references.store
	return s.End == 0 || string(bytes.TrimSpace(o.body.Slice(s.Start, s.End))) != "false"
}

// owner returns the key that has made what the request names, and its channel. Of a
// key that several channels have, one counts that has the model.
func (o *ownership) owner() (channel *Channel, k *key) {
	for _, id := range o.references.ids {
		owner, ok := o.gateway.ids.Find(o.client.Name, id, o.gateway.clock.Now())
		if !ok {
			continue
		}
		for _, c := range o.gateway.channels {
			set := c.keySet()
			if i, ok := set.owned()[owner]; ok && (o.model == "" || c.has(o.model)) {
				return c, set.at(i)
			}
		}
	}
	return nil, nil
}

// pin returns a plan of the one key that has made what the request names, and false
// if none is known to have.
func (o *ownership) pin() (p *plan, ok bool) {
	channel, k := o.owner()
	if k == nil || o.model == "" && o.client.restricted() {
		return nil, false
	}
	sent, m := o.model, (*measures)(nil)
	if o.model != "" {
		sent, m = channel.sentModel(o.model)
	}
	o.pinned = true
	return pinnedPlan(channel, k, sent, m), true
}

// isMissing reports whether an attempt was refused since the account does not know
// what the request names: another account may. So does a status of "not found"
// where no model is asked, and a refusal that repeats the id. Gemini says 403.
func (o *ownership) isMissing(a *attempt) bool {
	if o.pinned || !o.references.any() || a.res == nil {
		return false
	}
	switch a.status {
	case http.StatusNotFound:
		if a.model == "" {
			return true
		}
	case http.StatusBadRequest, http.StatusForbidden:
	default:
		return false
	}
	return slices.ContainsFunc(o.references.ids, func(id string) bool { return resource.Names(a.failure, id) })
}

// missingVerdict is that on an attempt whose account does not know an id.
func missingVerdict(status int) refusal.Verdict {
	return refusal.Verdict{Kind: refusal.KindRequestHere, Status: status, ClientStatus: status}
}

// passOver lets the next candidate be asked, whatever an attempt's refusal would
// mean otherwise.
func (o *ownership) passOver(a *attempt) {
	a.missing, a.verdict, o.missed = true, missingVerdict(a.status), true
	a.count()
	a.candidate.release()
}

// learnsIDs reports whether the response of a request may tell ids that the account
// keeps, and whether it is about one of them only.
func (o *ownership) learnsIDs(method string) (learns, onlyOne bool) {
	e := o.location.endpoint
	switch {
	case e == nil:
		return true, false // an upload that goes on
	case e == responsesEndpoint:
		return method == http.MethodPost && o.keepsResponse(), true
	case e == allowedPath || e.isModelList():
		return false, false
	}
	return e.own != 0 && (method != http.MethodPost || e.all&post == 0) || e.makesVideos(), false
}

// makesVideos reports whether a request for output makes something that is asked
// for later.
func (e *endpoint) makesVideos() bool {
	switch e.path {
	case "videos", "video/generations", "videos/generations", "videos/edits", "videos/extensions":
		return true
	}
	return false
}

// learnIDs lets the response to the client pass what learns the ids in it.
func (o *ownership) learnIDs(res *http.Response, a *attempt) {
	if res != a.res || a.candidate.key == nil || res.StatusCode > 299 || a.translation.isSet() || a.content.failed || !o.hasAccounts() {
		return
	}
	now, owner := o.gateway.clock.Now(), idstore.Owner(a.candidate.key.id)
	for _, id := range o.references.ids {
		if o.provesOwner(id) {
			o.gateway.ids.Learn(o.client.Name, id, owner, now)
		}
	}
	learns, onlyOne := o.learnsIDs(o.method)
	if !learns || a.content.source == nil || res.Header["Content-Encoding"] != nil {
		return
	}
	limit := maxSearched
	if onlyOne {
		limit = headStep
	}
	finder := resource.Finder{OnlyFirst: onlyOne}
	a.content.addStage(&idStage{limit: limit, show: func(beginning []byte) {
		for _, id := range finder.Find(beginning) {
			o.gateway.ids.Learn(o.client.Name, id, owner, now)
		}
	}})
}

// provesOwner reports whether the success of a request shows that an id that it names
// is one, and of this account: where the path names it, or another account did not know
// it. What else stands in a body may be the argument of a tool's call, such as
// "fileName": "main.go", and every account takes that.
func (o *ownership) provesOwner(id string) bool {
	return !o.pinned && (o.missed || id == o.references.inPath)
}

// hasAccounts reports whether there is more than one key.
func (o *ownership) hasAccounts() bool {
	keys := 0
	for _, c := range o.gateway.channels {
		if keys += max(1, len(c.keys())); keys > 1 {
			return true
		}
	}
	return false
}

// maxSearched is how much of a response is looked at for ids.
const maxSearched = 64 << 10

// idStage shows the beginning of a response as soon as there is enough of it.
type idStage struct {
	limit int
	show  func(beginning []byte)
	seen  []byte
	done  bool
}

// pass implements stage. It changes nothing.
func (s *idStage) pass(p []byte, then continuation) []byte {
	if s.done {
		return p
	}
	s.seen = append(s.seen, p[:min(len(p), s.limit-len(s.seen))]...)
	if len(s.seen) == s.limit || then != more {
		s.done = true
		s.show(s.seen)
		s.seen = nil
	}
	return p
}
