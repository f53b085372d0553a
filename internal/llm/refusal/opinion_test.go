package refusal

import (
	"testing"
	"time"
)

func classify(status int, body string) Verdict {
	return Classify(Input{Status: status, Body: []byte(body), Dialect: DialectChat, Now: now})
}

func TestSettle(t *testing.T) {
	var (
		answered  = classify(200, `{"choices":[{"finish_reason":"stop"}]}`)
		forbidden = classify(403, `{"error":{"message":"Forbidden (request id: 8a7b)"}}`)
		again     = classify(403, `{"error":{"message":"Forbidden (request id: 99cc)"}}`)
		otherway  = classify(403, `{"error":{"message":"Not today"}}`)
		busy      = classify(429, `{"status":429,"title":"Too Many Requests"}`)
		flagged   = classify(403, `{"error":{"metadata":{"reasons":["x"]}}}`)
		limited   = classify(429, `{"error":{"code":"rate_limit_exceeded"}}`)
		crash     = classify(500, `{"error":{"message":"Internal error 123"}}`)
		crash2    = classify(500, `{"error":{"message":"Internal error 456"}}`)
		broken    = classify(500, `{"error":{"message":"disk full"}}`)
		gone      = classify(502, `<html><title>502 Bad Gateway</title></html>`)
		empty     = NoOutput()
		timeout   = NoResponse(true)
		noAccess  = classify(404, `{"error":{"message":"The model m1 does not exist or you do not have access to it.","code":"model_not_found"}}`)
		dead      = classify(401, `{"error":{"code":"invalid_api_key"}}`)
	)
	for _, tc := range []struct {
		name          string
		first, second Verdict
		want          [2]Kind
	}{
		{"403, the same", forbidden, again, [2]Kind{KindRequestHere, KindRequestHere}},
		{"403, then a response", forbidden, answered, [2]Kind{KindSuspect, KindAnswered}},
		{"403, then another 403", forbidden, otherway, [2]Kind{KindUnclear, KindRequestHere}},
		{"403, then the other account says why", forbidden, flagged, [2]Kind{KindRequestHere, KindRequest}},
		{"403, then a rate limit", forbidden, limited, [2]Kind{KindUnclear, KindRateLimit}},
		{"403, then a dead key", forbidden, dead, [2]Kind{KindUnclear, KindDead}},
		{"403, then a failure", forbidden, crash, [2]Kind{KindUnclear, KindChannel}},
		{"429, the same", busy, busy, [2]Kind{KindRequestHere, KindCapacity}},
		{"429, then a response", busy, answered, [2]Kind{KindSuspect, KindAnswered}},
		{"500, the same", crash, crash2, [2]Kind{KindRequestHere, KindRequestHere}},
		{"500, then another one", crash, broken, [2]Kind{KindChannel, KindChannel}},
		{"500, then a response", crash, answered, [2]Kind{KindChannel, KindAnswered}},
		{"502, the same", gone, gone, [2]Kind{KindChannel, KindRequestHere}},
		{"no output, twice", empty, empty, [2]Kind{KindRequestHere, KindRequestHere}},
		{"timeout, twice", timeout, timeout, [2]Kind{KindChannel, KindChannel}},
		{"no access, the same", noAccess, noAccess, [2]Kind{KindModel, KindRequestHere}},
		{"no access, then a response", noAccess, answered, [2]Kind{KindPlan, KindAnswered}},
		{"no access, then a rate limit", noAccess, limited, [2]Kind{KindPlan, KindRateLimit}},
		{"a clear refusal", limited, answered, [2]Kind{KindRateLimit, KindAnswered}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			first, second := Settle(tc.first, tc.second)
			if got := [2]Kind{first.Kind, second.Kind}; got != tc.want {
				t.Errorf("%s and %s", kindNames[got[0]], kindNames[got[1]])
			}
		})
	}
	configured := crash
	configured.Reason, configured.Length = ReasonConfigured, time.Hour
	if first, _ := Settle(configured, crash2); first.Kind != KindChannel {
		t.Error("a rule of the user was overruled")
	}
}

// What differs each time does not count; everything else does.
func TestFingerprint(t *testing.T) {
	same := []string{
		`{"error":{"message":"Bad thing for key sk-abcDEF****wxyz at 2026-11-26T12:00:00Z (request id: 20250423020142736330894dLoIRrS6)","code":"x"}}`,
		`{"error":{"message":"Bad thing for key sk-zzzYYY****1234 at 2027-01-02T03:04:05Z (request id: 20250423020142736330894dLoIRrS7)","code":"x"},"request_id":"q"}`,
		`{"error":{"code":"x","message":"bad  thing for key 'whatever it is' at 1 (request id: 7f3c)"}}`,
	}
	want := classify(403, same[0]).Fingerprint
	for _, body := range same {
		if got := classify(403, body).Fingerprint; got != want || got == 0 {
			t.Errorf("%x, want %x: %s", got, want, body)
		}
	}
	for _, other := range []struct {
		status int
		body   string
	}{
		{402, same[0]},
		{403, `{"error":{"message":"Bad thing for key sk-abcDEF****wxyz at 2026-11-26T12:00:00Z (request id: 1)","code":"y"}}`},
		{403, `{"error":{"message":"Good thing for key sk-abcDEF****wxyz at 2026-11-26T12:00:00Z (request id: 1)","code":"x"}}`},
		{403, ``},
		{403, `<title>Bad thing</title>`},
	} {
		if got := classify(other.status, other.body).Fingerprint; got == want {
			t.Errorf("the same as %d %s", other.status, other.body)
		}
	}
	a := classify(502, `<html><title>502 Bad Gateway</title>Ray ID: 123</html>`)
	b := classify(502, `<html><title>502 Bad Gateway</title>Ray ID: 456</html>`)
	if a.Fingerprint != b.Fingerprint {
		t.Error("the id of a page counts")
	}
}

// kindNames name kinds in messages of tests.
var kindNames = [numKinds]string{
	"answered", "request", "request here", "dead", "no credit", "rate limit", "day quota", "plan", "capacity",
	"model", "degraded", "channel", "block page", "region", "page", "unclear", "suspect",
}

func TestCooldowns(t *testing.T) {
	const configured = time.Minute
	for kind, want := range map[Kind][]time.Duration{
		KindDead:      {10 * time.Minute, 20 * time.Minute, 40 * time.Minute, 80 * time.Minute, 160 * time.Minute, 320 * time.Minute, 640 * time.Minute, 1280 * time.Minute, day, day},
		KindNoCredit:  {time.Hour, 2 * time.Hour, 4 * time.Hour, 8 * time.Hour, 16 * time.Hour, day, day},
		KindRateLimit: {5 * time.Second, 10 * time.Second, 20 * time.Second, 40 * time.Second, time.Minute, time.Minute},
		KindDayQuota:  {time.Hour, 2 * time.Hour, 4 * time.Hour, 8 * time.Hour, 16 * time.Hour, day},
		KindPlan:      {time.Hour, 2 * time.Hour, 4 * time.Hour, 8 * time.Hour, 16 * time.Hour, day},
		KindCapacity:  {15 * time.Second, 30 * time.Second, time.Minute, 2 * time.Minute, 4 * time.Minute, 5 * time.Minute, 5 * time.Minute},
		KindModel:     {10 * time.Minute, 20 * time.Minute},
		KindDegraded:  {2 * time.Minute, 4 * time.Minute, 8 * time.Minute, 16 * time.Minute, 30 * time.Minute, 30 * time.Minute},
		KindChannel:   {30 * time.Second, time.Minute, 2 * time.Minute, 4 * time.Minute, 5 * time.Minute, 5 * time.Minute},
		KindRegion:    {time.Hour, time.Hour},
		KindPage:      {5 * time.Minute, 5 * time.Minute},
		KindUnclear:   {5 * time.Second, 10 * time.Second, 20 * time.Second, 40 * time.Second, time.Minute, time.Minute},
		KindSuspect:   {time.Minute, time.Minute},
	} {
		var last time.Duration
		for i, length := range want {
			until, stated := Verdict{Kind: kind}.Cooldown(now, last, configured)
			if last = until.Sub(now); last != length || stated {
				t.Errorf("%s, cooldown %d: %v, want %v", kindNames[kind], i+1, last, length)
			}
		}
	}
	if got := KindRateLimit.Policy().Cooldown.Following(0, time.Second); got != time.Second {
		t.Errorf("cooldown 1s: %v", got)
	}
	for k := range numKinds {
		if p := k.Policy(); p.Cooldown.Target != TargetNone && p.Cooldown.Factor == 0 {
			t.Errorf("%s has no factor", kindNames[k])
		}
		_ = k.Scope().String()
	}
}

func TestMoreUseful(t *testing.T) {
	request, here := Verdict{Kind: KindRequest}, Verdict{Kind: KindRequestHere}
	limited, dead := Verdict{Kind: KindRateLimit}, Verdict{Kind: KindDead}
	for _, tc := range []struct{ earlier, later, want Verdict }{
		{limited, dead, dead},
		{dead, limited, limited},
		{here, limited, here},
		{limited, here, here},
		{request, here, request},
		{here, request, request},
	} {
		if got := MoreUseful(tc.earlier, tc.later); got != tc.want {
			t.Errorf("%s, then %s: %s", kindNames[tc.earlier.Kind], kindNames[tc.later.Kind], kindNames[got.Kind])
		}
	}
	for body, want := range map[string]string{
		`{"error":{"code":"invalid_api_key"}}`: "channel_key_refused",
		``:                                     "channel_key_refused",
		`{"error":{"code":"model_not_found"}}`: "",
	} {
		if got := classify(401, body).ClientCode(); got != want {
			t.Errorf("%s: %q, want %q", body, got, want)
		}
	}
}
