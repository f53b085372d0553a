package keepalive

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"
)

const (
	// gatherTime is how long a message waits for others that belong to the same
	// trouble. They become one.
	gatherTime = 5 * time.Second

	// messageGap is the shortest time between two messages to a receiver.
	messageGap = 30 * time.Second

	// A message that was not taken is sent again after sendAgain, then after
	// twice as long and so on, up to sendAgainMost.
	sendAgain     = 15 * time.Second
	sendAgainMost = time.Hour

	// eventSummary is the name of what stands for several events.
	eventSummary = "keepalive.summary"

	// maxSummary is how long a summary is at most, in bytes. Pushover takes 1024.
	maxSummary = 900
)

// run sends what is in the outbox, until ctx ends.
func (n *Notification) run(ctx context.Context) {
	wait := gatherTime
	for n.await(ctx, wait) {
		sent, err := n.deliver(ctx)
		if ctx.Err() != nil {
			break
		}
		wait = messageGap
		if err != nil {
			wait = min(sendAgain<<min(n.failures, 20), sendAgainMost)
		}
		n.log(err)
		if err == nil {
			n.outbox.remove(sent)
		}
		n.outbox.save(ctx, storageLimit)
	}
	ended := context.WithoutCancel(ctx)
	if uses, _ := queues.References(n.key); uses == 1 {
		n.outbox.release(ended) // no configuration follows
		return
	}
	n.outbox.save(ended, farewellLimit)
	n.outbox.signal() // for the configuration that follows
}

// await returns true when there is a message to send and the wait is over, and
// false when ctx has ended. Messages that come meanwhile are stored at once.
func (n *Notification) await(ctx context.Context, wait time.Duration) bool {
	over := n.clock.Now().Add(wait)
	for {
		n.outbox.tend(ctx)
		now, pending := n.clock.Now(), len(n.outbox.waiting()) > 0
		if pending && !now.Before(over) {
			return true
		}
		next := tendEvery
		if pending {
			next = min(next, over.Sub(now))
		}
		timer := n.clock.NewTimer(next)
		select {
		case <-timer.Chan():
		case <-n.outbox.changed:
			over = n.hasten(over, pending)
			n.outbox.save(ctx, storageLimit)
		case <-ctx.Done():
			timer.Stop()
			return false
		}
		timer.Stop()
	}
}

// hasten returns when to send, after a message has come. pending says that
// others have waited before: what has changed may be that the network is back.
func (n *Notification) hasten(over time.Time, pending bool) time.Time {
	now := n.clock.Now()
	if pending {
		if soon := now.Add(messageGap); soon.Before(over) {
			return soon
		}
		return over
	}
	if gathered := now.Add(gatherTime); gathered.After(over) {
		return gathered
	}
	return over
}

// deliver sends what waits as one message, and returns what that was.
func (n *Notification) deliver(ctx context.Context) ([]message, error) {
	select {
	case n.outbox.sending <- struct{}{}:
		defer func() { <-n.outbox.sending }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	waiting := n.outbox.waiting()
	if len(waiting) == 0 {
		return nil, nil // the configuration before has sent it
	}
	fields := waiting[0].Fields
	if len(waiting) > 1 {
		fields = summarize(waiting)
	}
	return waiting, n.send(ctx, fields)
}

// log logs once that a receiver takes no messages.
func (n *Notification) log(err error) {
	switch {
	case err != nil && n.failures == 0:
		n.logger.Warn("a notification could not be sent; it is kept and sent again", zap.String("receiver", n.host), zap.Error(err))
	case err == nil && n.failures > 0:
		n.logger.Info("notifications can be sent again", zap.String("receiver", n.host))
	}
	n.failures++
	if err == nil {
		n.failures = 0
	}
}

// summarize makes one event of several. Those that ask for something come first.
func summarize(messages []message) map[string]string {
	var parts, targets []string
	name := messages[0].Fields["name"]
	for _, kind := range []struct{ event, one, many string }{
		{eventDown, "1 target is down", "%d targets are down"},
		{eventHoursLow, "1 account has few hours left", "%d accounts have few hours left"},
		{eventUp, "1 target is up again", "%d targets are up again"},
		{eventColdStart, "1 target was asleep", "%d targets were asleep"},
	} {
		var items []string
		for _, m := range messages {
			if m.Fields["name"] != kind.event {
				continue
			}
			item := m.Fields["target"]
			if kind.event == eventDown {
				item += " (" + m.Fields["error"] + ")"
			}
			items = append(items, item)
			if !slices.Contains(targets, m.Fields["target"]) {
				targets = append(targets, m.Fields["target"])
			}
		}
		if len(items) == 0 {
			continue
		}
		if kind.event != name {
			name = eventSummary
		}
		head := kind.one
		if len(items) > 1 {
			head = fmt.Sprintf(kind.many, len(items))
		}
		parts = append(parts, head+": "+enumerate(items, maxSummary/4))
	}
	text := strings.Join(parts, "\n")
	return map[string]string{"name": name, "target": enumerate(targets, maxSummary/8), "message": text}
}

// enumerate lists what fits into a number of bytes, and at least one.
func enumerate(items []string, most int) string {
	list := strings.ToValidUTF8(items[0][:min(len(items[0]), most)], "")
	for i, item := range items[1:] {
		if len(list)+len(item) > most {
			return fmt.Sprintf("%s and %d more", list, len(items)-1-i)
		}
		list += ", " + item
	}
	return list
}
