package llmgateway

import (
	"github.com/cespare/xxhash/v2"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/conversation"
)

// conversation identifies the conversation that the request is a part of. It is
// found out when it is first asked for: a gateway with one key has no use for it.
func (as *attempts) conversation() conversation.Identity {
	if !as.knowsTalk {
		q := conversation.Request{Client: as.client.Name, Header: as.header, Body: as.body, Places: as.places}
		as.talk, as.knowsTalk = q.Identity(), true
	}
	return as.talk
}

// comparedBody is how much of a body tells requests apart that belong to no
// conversation, in bytes.
const comparedBody = 16 << 10

// failureOf tells the failures of a channel apart: those of one conversation, and of
// repetitions of one request, may be the request's own.
func (as *attempts) failureOf() uint64 {
	talk := as.conversation()
	if talk.Kind != conversation.None {
		return talk.Hash
	}
	hash := talk.Hash ^ xxhash.Sum64String(as.location.path)
	if as.hasBody() && as.body.Len() > 0 {
		as.body.Peek(0, min(as.body.Len(), comparedBody), func(text []byte) { hash ^= xxhash.Sum64(text) })
	}
	return hash
}
