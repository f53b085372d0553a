package refusal

import "time"

// Scope is the subject of a refusal.
type Scope uint8

const (
	// ScopeAnswered: a response with output.
	ScopeAnswered Scope = iota
	// ScopeRequest: nobody would serve this request.
	ScopeRequest
	// ScopeRequestHere: this channel cannot serve this request, another one may.
	ScopeRequestHere
	// ScopeKey: the key, or the account behind it, for all models.
	ScopeKey
	// ScopeKeyModel: the key for one model, or for the models that share a quota.
	ScopeKeyModel
	// ScopeCapacity: the model is overloaded for every key of the channel.
	ScopeCapacity
	// ScopeChannelModel: the model is missing for every key of the channel.
	ScopeChannelModel
	// ScopeChannel: the channel fails.
	ScopeChannel
	// ScopeAddress: the provider does not serve this server's address.
	ScopeAddress
	// ScopeUnclear: no rule matches; a second opinion decides.
	ScopeUnclear
)

var scopeNames = [...]string{
	"answered", "request", "request here", "key", "key and model", "capacity",
	"channel and model", "channel", "address", "unclear",
}

// String returns the scope's name as docs, logs and metrics show it.
func (s Scope) String() string { return scopeNames[s] }

// Kind is a scope, divided further where cooldowns differ. See the table in
// docs/refusals.md, which is made from policies.
type Kind uint8

const (
	// KindAnswered: output, no refusal.
	KindAnswered Kind = iota
	// KindRequest: malformed, flagged, or with an invalid parameter.
	KindRequest
	// KindRequestHere: too large for this channel, or with a field that it lacks.
	KindRequestHere
	// KindDead: a dead, leaked or restricted key.
	KindDead
	// KindNoCredit: the account has no credit.
	KindNoCredit
	// KindRateLimit: a limit of a second or a minute.
	KindRateLimit
	// KindDayQuota: a quota of hours, a day or a month is exhausted.
	KindDayQuota
	// KindPlan: the account's plan does not include the model.
	KindPlan
	// KindCapacity: the model is overloaded for everybody.
	KindCapacity
	// KindModel: an unknown or withdrawn model.
	KindModel
	// KindDegraded: the model exists and does not work at present.
	KindDegraded
	// KindChannel: a server error, a timeout, or no output.
	KindChannel
	// KindBlockPage: a firewall's page. It may be about the request, so no
	// second key is tried and the channel only counts a failure.
	KindBlockPage
	// KindRegion: the provider does not serve this server's country.
	KindRegion
	// KindPage: a challenge, or a block of this server's address.
	KindPage
	// KindUnclear: no rule matches the response. It is recorded as it is only if
	// there was no second account to ask.
	KindUnclear
	// KindSuspect: an unclear refusal of one account, after another account has
	// answered the same request. Only [Settle] returns it.
	KindSuspect

	numKinds // number of kinds; not a kind
)

// Target is the thing that is put in cooldown.
type Target uint8

const (
	// TargetNone: nothing.
	TargetNone Target = iota
	// TargetKey: the key, for all models.
	TargetKey
	// TargetKeyModel: the key for the model, or for the models that match
	// [Verdict.Models].
	TargetKeyModel
	// TargetChannelModel: the model on this channel, for all keys.
	TargetChannelModel
	// TargetChannel: the channel.
	TargetChannel
)

// Next is a choice of the candidates that are tried after a refusal.
type Next uint8

const (
	// NextNo: none.
	NextNo Next = iota
	// NextYes: any.
	NextYes
	// NextOne: one more.
	NextOne
	// NextOneIfAsked: one more if [Verdict.AskAnotherKey] is set, else none.
	NextOneIfAsked
	// NextOneOtherAccount: one more, of another account.
	NextOneOtherAccount
	// NextLast: only when no key of this channel is left.
	NextLast
	// NextLarger: any, those with a larger context first.
	NextLarger
)

// Cooldown is what is put in cooldown, and for how long when the provider states
// no time: Start, multiplied by Factor after each failed trial, at most Cap.
//
//	in use ── refused ──▶ in cooldown ── time over ──▶ trial ── answered ──▶ in use
//	                          ▲                          │
//	                          └── length × Factor ≤ Cap ─┘ refused
type Cooldown struct {
	Target Target

	// Start is the first cooldown. Zero means the gateway's option `cooldown`.
	Start time.Duration

	// Factor multiplies the length after a failed trial. 0 and 1 keep it.
	Factor int

	// Cap is the longest cooldown. Zero means the gateway's option `cooldown`.
	Cap time.Duration

	// LongestStated bounds the cooldown if the provider states a time. Zero means
	// the gateway's option `max_cooldown`.
	LongestStated time.Duration

	// After is the number of failures in a row that start a cooldown.
	// Conversations is how many different conversations they must come from.
	// Zero: the first failure starts it.
	After, Conversations int

	// TriedLast reports whether the target is still tried in cooldown, after all
	// others.
	TriedLast bool
}

// Following returns the length of the cooldown after one of length last. It is
// the first one if last is zero. configured is the gateway's option `cooldown`.
func (c Cooldown) Following(last, configured time.Duration) time.Duration {
	start, longest := c.Start, c.Cap
	if longest == 0 {
		longest = configured
	}
	if start == 0 {
		start = configured
	}
	if last <= 0 {
		return min(start, longest)
	}
	if last >= longest/time.Duration(max(c.Factor, 1)) {
		return longest
	}
	return max(start, last*time.Duration(max(c.Factor, 1)))
}

// Policy is what a gateway does about a kind of refusal.
type Policy struct {
	Scope        Scope
	OtherKey     Next // other keys of the same channel
	OtherChannel Next // keys of other channels
	Cooldown     Cooldown
}

const (
	day = 24 * time.Hour

	// longestQuota bounds a stated reset of a quota or credit. A month's quota is
	// reset at most a month later.
	longestQuota = 31 * day

	// DefaultMaxCooldown bounds a stated reset of a rate limit.
	DefaultMaxCooldown = time.Hour
)

// Policy returns what is done about a refusal of this kind.
func (k Kind) Policy() Policy { return policies[k] }

// Scope returns the scope that the kind belongs to.
func (k Kind) Scope() Scope { return policies[k].Scope }

// Target returns what the kind puts in cooldown.
func (k Kind) Target() Target { return policies[k].Cooldown.Target }

var policies = [numKinds]Policy{
	KindAnswered:    {Scope: ScopeAnswered},
	KindRequest:     {Scope: ScopeRequest},
	KindRequestHere: {Scope: ScopeRequestHere, OtherChannel: NextLarger},
	KindDead: {
		Scope: ScopeKey, OtherKey: NextYes, OtherChannel: NextLast,
		Cooldown: Cooldown{Target: TargetKey, Start: 10 * time.Minute, Factor: 2, Cap: day, LongestStated: day},
	},
	KindNoCredit: {
		Scope: ScopeKey, OtherKey: NextYes, OtherChannel: NextLast,
		Cooldown: Cooldown{Target: TargetKey, Start: time.Hour, Factor: 2, Cap: day, LongestStated: longestQuota},
	},
	KindRateLimit: {
		Scope: ScopeKeyModel, OtherKey: NextYes, OtherChannel: NextLast,
		Cooldown: Cooldown{Target: TargetKeyModel, Start: 5 * time.Second, Factor: 2},
	},
	KindDayQuota: {
		Scope: ScopeKeyModel, OtherKey: NextYes, OtherChannel: NextLast,
		Cooldown: Cooldown{Target: TargetKeyModel, Start: time.Hour, Factor: 2, Cap: day, LongestStated: longestQuota},
	},
	KindPlan: {
		Scope: ScopeKeyModel, OtherKey: NextYes, OtherChannel: NextLast,
		Cooldown: Cooldown{Target: TargetKeyModel, Start: time.Hour, Factor: 2, Cap: day, LongestStated: longestQuota},
	},
	KindCapacity: {
		Scope: ScopeCapacity, OtherChannel: NextYes,
		Cooldown: Cooldown{Target: TargetChannelModel, Start: 15 * time.Second, Factor: 2, Cap: 5 * time.Minute},
	},
	KindModel: {
		Scope: ScopeChannelModel, OtherKey: NextOneIfAsked, OtherChannel: NextYes,
		Cooldown: Cooldown{Target: TargetChannelModel, Start: 10 * time.Minute, Factor: 2, Cap: day},
	},
	KindDegraded: {
		Scope: ScopeChannelModel, OtherKey: NextOneIfAsked, OtherChannel: NextYes,
		Cooldown: Cooldown{Target: TargetChannelModel, Start: 2 * time.Minute, Factor: 2, Cap: 30 * time.Minute},
	},
	KindChannel: {
		Scope: ScopeChannel, OtherKey: NextOne, OtherChannel: NextYes,
		Cooldown: failing,
	},
	KindBlockPage: {
		Scope: ScopeChannel, OtherChannel: NextYes,
		Cooldown: failing,
	},
	KindRegion: {
		Scope: ScopeAddress, OtherChannel: NextYes,
		Cooldown: Cooldown{Target: TargetChannel, Start: time.Hour, Factor: 1, Cap: time.Hour},
	},
	KindPage: {
		Scope: ScopeAddress, OtherChannel: NextYes,
		Cooldown: Cooldown{Target: TargetChannel, Start: 5 * time.Minute, Factor: 1, Cap: 5 * time.Minute},
	},
	KindUnclear: {
		Scope: ScopeUnclear, OtherKey: NextOneOtherAccount, OtherChannel: NextYes,
		Cooldown: Cooldown{Target: TargetKeyModel, Start: 5 * time.Second, Factor: 2},
	},
	KindSuspect: {
		Scope:    ScopeUnclear,
		Cooldown: Cooldown{Target: TargetKeyModel, Factor: 1},
	},
}

// failing is the cooldown of a channel that fails. The failures must come from
// more than one conversation, so that a request that crashes a backend and is
// repeated by an SDK is not taken for an outage. The channel is still tried last.
var failing = Cooldown{
	Target: TargetChannel, Start: 30 * time.Second, Factor: 2, Cap: 5 * time.Minute,
	After: 3, Conversations: 2, TriedLast: true,
}
