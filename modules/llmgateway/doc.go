// Package llmgateway puts many LLM accounts behind one endpoint: it checks the
// client's key, maps the model's name to the channels that have it, swaps in
// the channel's own key and leaves the rest of the request as it is.
//
// # A request
//
// The types below follow a request through the package. Each has the one before it in
// it, by embedding, and adds what is decided next:
//
//	location    the endpoint that the path stands for       locate.go, endpoint.go
//	request     client, body, model; never changes again     request.go, read.go
//	attempts    candidates, tried one after the other        attempts.go
//	  call      what one candidate is asked                  call.go
//	  reply     what came of it                              response.go
//	  attempt   what that means                              attempt.go, judge.go
//	delivery    what the client gets                         respond.go
//
// Handler.ServeHTTP reads as that list does. WebSockets take the same way, but for the
// last step: a reverse_proxy whose transport makes the attempts carries what follows the
// handshake (upgrade.go). An upload that goes on at a URL of ours has one candidate, the
// key that has begun it (resumable.go).
//
// attempts leaves each of its questions to one type, which has the request and what it
// needs to remember between two attempts, and nothing else:
//
//	candidates  which key comes next?                        candidates.go, exclusion.go
//	verdicts    what does a refusal say about the key,       refusals.go, judge.go
//	            the model, the channel?
//	ownership   which account has made what is named?        references.go
//	translator  how does the channel's dialect say it?       translator.go
//	charges     what is the client charged?                  charges.go, estimate.go
//	identity    which conversation is this?                  conversation.go
//
// # A candidate
//
// A candidate is a key of a channel together with the model to ask it for. It can be used
// unless one of these keeps it from that:
//
//	a quota of the configuration is exhausted    limits, modelLimits     until its period ends
//	a header has stated that nothing is left     learnedLimits           until the stated reset
//	a cooldown of the key, or of the key's       key.cooldowns           until it ends; a guess may
//	model                                                                be tried for want of better
//	a cooldown of the model at the channel       Channel.cooldowns       likewise
//	all slots of the key are taken               slots                   until a response has ended
//
// A cooldown of the channel as a whole does not: it only puts the channel last, since an
// account that keeps failing is still better than none.
//
// # What outlives a reload
//
// Handler and everything it provisions (gateway, Channel, Client, plan) belong to one
// configuration. What a provider or a client would notice belongs to the process, in
// usage pools under keys that name what it is about: cooldowns, counters, learned limits
// and slots of a key (histories, by URL and key), the list of a channel's models
// (catalogs, by URL), the memory for bodies, the stores of cooldowns and of ids. Quotas
// and limits are in the ledger, which also outlives a restart, as cooldowns of more than
// a minute and ids do.
//
// # Goroutines
//
// A request is read, attempted and answered on its own goroutine. Beside it run only a
// timer for heartbeats (clientWriter, under its lock), one that looks whether the client
// takes what is written (writeWatch), one that reads the beginning of a refusal
// (peekbody) and the transport's own. Tasks of the app "freetier" keep the lists
// of models, watch the files with keys and clients, and write the stores; they end with
// the configuration. No lock is held while a channel or the storage is waited for.
package llmgateway
