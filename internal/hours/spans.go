package hours

import "time"

// Span is a stretch of time in seconds since 1970, without its end.
type Span [2]int64

// Spans are stretches of time, in order and apart from each other. Their
// methods leave them as they are.
type Spans []Span

// Add returns the spans with one more.
func (s Spans) Add(from, to time.Time) Spans {
	return s.Union(Spans{{from.Unix(), to.Unix()}})
}

// Union returns what lies in one of both.
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

// Within returns how much of the time between from and to the spans cover.
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

// Covers reports whether a time lies in a span.
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

// Since returns the spans without those that were over at t.
func (s Spans) Since(t time.Time) Spans {
	for len(s) > 0 && s[0][1] < t.Unix() {
		s = s[1:]
	}
	return s
}
