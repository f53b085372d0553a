package llmgateway

import (
	"github.com/cespare/xxhash/v2"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/conversation"
)

// conversationIdentity says which conversation a request is a part of. That is found out when it is
// first asked for: a gateway with one key has no use for it.
type conversationIdentity struct {
	*request
	known bool
	found conversation.Identity // once it is known
}

// conversation returns the conversation.
func (i *conversationIdentity) conversation() conversation.Identity {
	if !i.known {
		q := conversation.Request{Client: i.client.Name, Header: i.header, Body: i.body, Places: i.places}
		i.found, i.known = q.Identity(), true
	}
	return i.found
}

// comparedBody is how much of a body tells requests apart that belong to no
// conversation, in bytes.
const comparedBody = 16 << 10

// ofFailure tells the failures of a channel apart: those of one conversation, and of
// repetitions of one request, may be the request's own.
func (i *conversationIdentity) ofFailure() uint64 {
	talk := i.conversation()
	if talk.Kind != conversation.None {
		return talk.Hash
	}
	hash := talk.Hash ^ xxhash.Sum64String(i.location.path)
	if i.hasBody() && i.body.Len() > 0 {
		i.body.Peek(0, min(i.body.Len(), comparedBody), func(text []byte) { hash ^= xxhash.Sum64(text) })
	}
	return hash
}
