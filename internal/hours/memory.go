package hours

import "time"

const (
	// remembered is how long spans are stored. They are compared with what was
	// counted, so the storage may be unavailable for this long without an error
	// in the count.
	remembered = 48 * time.Hour

	// late is how long after its end an hour is learned, so that other processes
	// have stored what they have observed.
	late = 10 * time.Minute

	// unseen is the gap without a call of learn after which the hours in it are
	// skipped: nobody has observed them, which is not the same as no traffic.
	unseen = 3 * time.Hour
)

// Memory is the awake time of a target and its demand. It is in storage, and shared
// by the processes that have the target. Spans are merged by union and times by
// maximum, so that merging the same state again changes nothing.
type Memory struct {
	// When the instance was awake. The last span may end in the future.
	Awake Spans `json:"awake,omitempty"`

	// When traffic alone would have kept it awake.
	Traffic Spans `json:"traffic,omitempty"`

	// Until when Awake has been added to the quota's count, in Unix seconds.
	Counted int64 `json:"counted,omitempty"`

	// Until when Demand has been learned, in Unix seconds.
	Learned int64 `json:"learned,omitempty"`

	Demand Demand `json:"demand"`
}

// merge merges what a process has observed, and returns how much awake time since
// the beginning of the period was not counted before.
func (m *Memory) merge(seen *Memory, zone *time.Location, began, now time.Time) time.Duration {
	fresh := m.uncounted(seen, began, now)
	horizon := now.Add(-remembered)
	m.Awake = m.Awake.Union(seen.Awake).Since(horizon)
	m.Traffic = m.Traffic.Union(seen.Traffic).Since(horizon)
	m.Counted = max(m.Counted, now.Unix())
	m.learn(zone, now)
	return fresh
}

// absorb merges an earlier state, in case the storage has lost it.
func (m *Memory) absorb(known *Memory) {
	m.Awake = m.Awake.Union(known.Awake)
	m.Traffic = m.Traffic.Union(known.Traffic)
	m.Counted = max(m.Counted, known.Counted)
	if m.Learned < known.Learned {
		m.Learned, m.Demand = known.Learned, known.Demand
	}
}

// uncounted returns how much awake time merge would return.
func (m *Memory) uncounted(seen *Memory, began, now time.Time) time.Duration {
	if horizon := now.Add(-remembered); began.Before(horizon) {
		began = horizon
	}
	before := m.Awake.Within(began, time.Unix(min(m.Counted, now.Unix()), 0))
	return m.Awake.Union(seen.Awake).Within(began, now) - before
}

// learn adds the hours that have ended to Demand.
func (m *Memory) learn(zone *time.Location, now time.Time) {
	from, until := hourOf(time.Unix(m.Learned, 0).In(zone))
	if m.Learned < now.Add(-unseen).Unix() {
		// Begin with the next hour: the current one was not observed from its
		// beginning.
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
