package llmgateway

import "github.com/caddy-freetier/caddy-freetier/internal/llm/conversation"

// conversation identifies the conversation that the request is a part of. It is
// found out when it is first asked for: a gateway with one key has no use for it.
func (as *attempts) conversation() conversation.Identity {
	if !as.knowsTalk {
		q := conversation.Request{Client: as.client.Name, Header: as.header, Body: as.body, Places: as.places}
		as.talk, as.knowsTalk = q.Identity(), true
	}
	return as.talk
}
