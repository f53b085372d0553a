package status_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/caddy-freetier/caddy-freetier/internal/status"
)

func TestExhaustedOn(t *testing.T) {
	from := time.Date(2027, 3, 1, 0, 0, 0, 0, time.UTC)
	until := from.AddDate(0, 0, 30)
	day := func(n float64) time.Time { return from.Add(time.Duration(n * 24 * float64(time.Hour))) }
	for _, c := range []struct {
		used, limit, now float64
		want             time.Time
	}{
		{0, 100, 10, time.Time{}},          // nothing used
		{10, 100, .1, time.Time{}},         // too early to tell
		{50, 100, 10, day(20)},             // twice too fast
		{33, 100, 10, time.Time{}},         // enough
		{100, 100, 10, day(10)},            // all used
		{140, 100, 10, day(10)},            // more than all
		{1, 1e18, 10, time.Time{}},         // far away
		{99.999, 100, 29.99, day(29.9903)}, // at the end
	} {
		got := status.ExhaustedOn(c.used, c.limit, from, until, day(c.now))
		if diff := got.Sub(c.want).Abs(); diff > time.Minute || got.IsZero() != c.want.IsZero() {
			t.Errorf("%v: got %v, want %v", c, got, c.want)
		}
	}
}

// Lists are cut off after those who use most have come first.
func TestBounds(t *testing.T) {
	var r status.Registry
	r.Describe(func(_ time.Time, s *status.Status) {
		for i := range 3 * status.MaxClients {
			s.Clients = append(s.Clients, status.Client{Name: fmt.Sprint(i), Requests: int64(i % 100)})
			s.DNS.Clients = append(s.DNS.Clients, status.DNSClient{Name: fmt.Sprint(i), Queries: int64(i)})
			s.Events = append(s.Events, status.Event{})
		}
	})
	s := r.Collect(time.Now())
	if len(s.Clients) != status.MaxClients || s.ClientsTotal != 3*status.MaxClients || s.Clients[0].Requests != 99 {
		t.Errorf("%d clients of %d, the first is %+v", len(s.Clients), s.ClientsTotal, s.Clients[0])
	}
	if len(s.DNS.Clients) != status.MaxClients || s.DNS.Clients[0].Queries != 3*status.MaxClients-1 || len(s.Events) != status.MaxEvents {
		t.Errorf("%d clients of doh, %d events", len(s.DNS.Clients), len(s.Events))
	}
}
