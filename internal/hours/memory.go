package hours

import "time"

const (
	// remembered is for how long spans are kept. What was counted is compared
	// with them, so a storage can be away for this long without harm.
	remembered = 48 * time.Hour

	// late is how long after its end an hour is learned from, so that other
	// processes have told what they have seen.
	late = 10 * time.Minute

	// unseen is after how long without a look nothing is learned from what has
	// not been seen.
	unseen = 3 * time.Hour
)

// Memory is what is known of a target's awake time. It is kept in storage and
// shared by the processes that have the target.
type Memory struct {
	// When the instance was awake, and until when it will be.
	Awake Spans `json:"awake,omitempty"`

	// When traffic alone kept it awake.
	Traffic Spans `json:"traffic,omitempty"`

	// Until when Awake is counted, in seconds since 1970.
	Counted int64 `json:"counted,omitempty"`

	// Until when Demand has been learned, in seconds since 1970.
	Learned int64 `json:"learned,omitempty"`

	Demand Demand `json:"demand"`
}

// merge takes in what a process has seen. It returns how much awake time since
// the beginning of the period that adds to what was counted before.
func (m *Memory) merge(seen *Memory, zone *time.Location, began, now time.Time) time.Duration {
	fresh := m.uncounted(seen, began, now)
	horizon := now.Add(-remembered)
	m.Awake = m.Awake.Union(seen.Awake).Since(horizon)
	m.Traffic = m.Traffic.Union(seen.Traffic).Since(horizon)
	m.Counted = max(m.Counted, now.Unix())
	m.learn(zone, now)
	return fresh
}

// absorb makes good that a storage has lost what was known before.
func (m *Memory) absorb(known *Memory) {
	m.Awake = m.Awake.Union(known.Awake)
	m.Traffic = m.Traffic.Union(known.Traffic)
	m.Counted = max(m.Counted, known.Counted)
	if m.Learned < known.Learned {
		m.Learned, m.Demand = known.Learned, known.Demand
	}
}

// uncounted returns how much awake time merge would count.
func (m *Memory) uncounted(seen *Memory, began, now time.Time) time.Duration {
	if horizon := now.Add(-remembered); began.Before(horizon) {
		began = horizon
	}
	before := m.Awake.Within(began, time.Unix(min(m.Counted, now.Unix()), 0))
	return m.Awake.Union(seen.Awake).Within(began, now) - before
}

// learn learns from the hours that are over.
func (m *Memory) learn(zone *time.Location, now time.Time) {
	from, until := hourOf(time.Unix(m.Learned, 0).In(zone))
	if m.Learned < now.Add(-unseen).Unix() {
		// The present hour is not whole.
		_, until = hourOf(now.In(zone))
		m.Learned = until.Unix()
		return
	}
	for !until.Add(late).After(now) {
		busy := float64(m.Traffic.Within(from, until)) / float64(until.Sub(from))
		m.Demand.learn(slotOf(from), m.Traffic.Starts(from, until), busy)
		m.Learned = until.Unix()
		from, until = hourOf(until)
	}
}
