package hours

import "time"

// Span is a half-open interval of time in Unix seconds: [begin, end).
type Span [2]int64

// Spans are disjoint intervals in ascending order. They are immutable: methods
// return new ones.
type Spans []Span

// Add returns the spans with one more.
func (s Spans) Add(from, to time.Time) Spans {
	return s.Union(Spans{{from.Unix(), to.Unix()}})
}

// Union returns the time that is in s or other. Intervals that touch become one.
func (s Spans) Union(other Spans) Spans {
	switch {
	case len(other) == 0:
		return s
	case len(s) == 0:
		return other
	}
	union := make(Spans, 0, len(s)+len(other))
	for len(s) > 0 || len(other) > 0 {
		if len(s) == 0 || len(other) > 0 && other[0][0] < s[0][0] {
			s, other = other, s
		}
		span, last := s[0], len(union)-1
		s = s[1:]
		if last >= 0 && span[0] <= union[last][1] {
			union[last][1] = max(union[last][1], span[1])
			continue
		}
		union = append(union, span)
	}
	return union
}

// Within returns how much of the time between from and to is in the spans.
func (s Spans) Within(from, to time.Time) time.Duration {
	var sum int64
	for _, span := range s {
		sum += max(0, min(span[1], to.Unix())-max(span[0], from.Unix()))
	}
	return time.Duration(sum) * time.Second
}

// Starts returns how many spans begin between from and to.
func (s Spans) Starts(from, to time.Time) int {
	n := 0
	for _, span := range s {
		if from.Unix() <= span[0] && span[0] < to.Unix() {
			n++
		}
	}
	return n
}

// Covers reports whether a time is in a span.
func (s Spans) Covers(t time.Time) bool {
	return s.Within(t, t.Add(time.Second)) > 0
}

// End returns the end of the last span, the zero time if there is none.
func (s Spans) End() time.Time {
	if len(s) == 0 {
		return time.Time{}
	}
	return time.Unix(s[len(s)-1][1], 0)
}

// Since returns the spans without those that end before t.
func (s Spans) Since(t time.Time) Spans {
	for len(s) > 0 && s[0][1] < t.Unix() {
		s = s[1:]
	}
	return s
}
