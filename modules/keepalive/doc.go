// Package keepalive keeps instances awake that a platform puts to sleep when
// no request has come for a while: the app `keepalive` pings them by a
// schedule.
//
// # A ping
//
// The way of a ping, and the file of each step:
//
//	schedule   when is the next tick, and where in its jitter?   schedule.go, cron.go
//	state      is it due, and is it needed?                      state.go
//	  window     not at this time of day                         window.go
//	  awakeTime  the account's hours do not allow it             hours.go, package hours
//	  quota      the account's requests are used up              quota.go
//	  awake      requests of users keep it awake by themselves   package awake
//	lease      does another instance of Caddy send it?           lease.go
//	run        one ping of a target at a time                    run.go
//	exchange   send, wait for the instance to wake up, judge     cold.go, check.go, redirect.go
//	record     count, report what has changed                    run.go, report.go
//	queue      keep messages until their receiver takes them     notify.go, outbox.go, deliver.go
//
// # The health of a target
//
//	           failure                 failures = Failures
//	up ────────────────▶ failing ────────────────────────▶ down
//	 ▲                     │  ▲ failure: again after 30 s,   │
//	 │                     │  └ 60 s, ... up to the interval │
//	 ├──────── healthy ────┘                                 │
//	 └──────────────── healthy: "is up again" ───────────────┘
//
// One failed ping is repeated soon, since it must not let an instance sleep, and is not
// reported. The change to down and back is reported once: logged, emitted as an event,
// sent to the receivers of `notify`, and published for the other instances of Caddy.
//
// # What outlives what
//
// An App, its Targets and their pingers belong to one configuration. The state of a target
// (its ticks, the ping under way, its health) is in the usage pool states, by what is
// pinged: a reload neither repeats nor drops a ping. While two configurations overlap
// during a reload, the later one pings, and the former goes on if the later one fails to
// start. The queue of a receiver is in a pool as well. What instances of Caddy on one
// storage must know of each other, and what must outlive a restart, is in the storage: a
// record for each target (lease.go) and a file for each receiver and process (outbox.go).
//
// # Goroutines and locks
//
// A timer of the state fires ticks, under the state's lock; it never waits. Each ping has
// a goroutine, of which a target has one at most; it ends with the ping, or when the last
// configuration that has the target has gone. Tasks of the app "freetier" look at the
// traffic (hours.go) and deliver messages. The storage is never waited for under a lock,
// and a storage that takes longer than five seconds is given up for that ping: each
// instance then goes on by itself.
package keepalive
