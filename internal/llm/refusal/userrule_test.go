package refusal

import (
	"strings"
	"testing"
	"time"
)

func TestParseRule(t *testing.T) {
	for args, want := range map[string]UserRule{
		"403 client":                   {Status: "403", Action: "client"},
		"4xx next_channel":             {Status: "4xx", Action: "next_channel"},
		"* overloaded capacity":        {Status: "*", Text: "overloaded", Action: "capacity"},
		"429 key_model 30s":            {Status: "429", Action: "key_model", Duration: 30 * time.Second},
		"403 leaked key 1d":            {Status: "403", Text: "leaked", Action: "key", Duration: day},
		"403 key key":                  {Status: "403", Text: "key", Action: "key"},
		"403 key key 10m":              {Status: "403", Text: "key", Action: "key", Duration: 10 * time.Minute},
		"404 model":                    {Status: "404", Action: "model"},
		"5xx channel 1h30m":            {Status: "5xx", Action: "channel", Duration: 90 * time.Minute},
		"402 insufficient channel 31d": {Status: "402", Text: "insufficient", Action: "channel", Duration: 31 * day},
	} {
		got, err := ParseRule(strings.Fields(args))
		if err != nil || got != want {
			t.Errorf("%s: %+v, %v", args, got, err)
		}
	}
	for args, want := range map[string]string{
		"":                         "two to four arguments",
		"403":                      "two to four arguments",
		"403 a client 1s more":     "two to four arguments",
		"200 client":               "300 to 599",
		"600 client":               "300 to 599",
		"2xx client":               "300 to 599",
		"0429 client":              "300 to 599",
		"4x client":                "300 to 599",
		"forbidden client":         "300 to 599",
		"403 retry":                "use client, next_channel",
		"403 leaked keys":          "use client, next_channel",
		"403 leaked keys 10m":      "use client, next_channel",
		"403 key soon":             "write it like",
		"403 leaked key soon":      "write it like",
		"403 key -5s":              "write it like",
		"403 key 0s":               "1s to 31d",
		"403 key 32d":              "1s to 31d",
		"403 client 10m":           "leave out the duration",
		"403 text next_channel 1h": "leave out the duration",
		"403 key 10m 20m":          "only a duration may follow",
	} {
		_, err := ParseRule(strings.Fields(args))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want one with %q", args, err, want)
		}
	}
	if _, err := ParseRule([]string{"403", " ", "key"}); err == nil || !strings.Contains(err.Error(), "leave it out") {
		t.Errorf("empty text: %v", err)
	}
}

func TestUserRules(t *testing.T) {
	var rules []UserRule
	for _, args := range [][]string{
		{"403", "Geo-Block", "channel", "2h"},
		{"429", "per team", "key"},
		{"4xx", "try another", "next_channel"},
		{"503", "capacity"},
		{"403", "client"},
		{"*", "weird", "model", "1h"},
	} {
		r, err := ParseRule(args)
		if err != nil {
			t.Fatal(err)
		}
		rules = append(rules, r)
	}
	for _, tc := range []struct {
		name   string
		status int
		body   string
		kind   Kind
		length time.Duration
	}{
		{"text, in any case", 403, `{"fault":{"text":"this is a GEO-BLOCK"}}`, KindChannel, 2 * time.Hour},
		{"text with escapes", 403, `{"fault":"geo\u002dblock"}`, KindChannel, 2 * time.Hour},
		{"the first one", 403, `{"error":{"code":"invalid_api_key"}}`, KindRequest, 0},
		{"before built-in ones", 429, `{"error":{"code":"rate_limit_exceeded","message":"10 per team"}}`, KindDead, 0},
		{"class of statuses", 418, `please try another server`, KindRequestHere, 0},
		{"another status", 500, `please try another server`, KindChannel, 0},
		{"no text", 503, ``, KindCapacity, 0},
		{"a page", 403, `<html>geo-block</html>`, KindChannel, 2 * time.Hour},
		{"any status", 500, `weird`, KindModel, time.Hour},
		{"an error inside a 200", 200, `{"error":{"code":503,"message":"x"}}`, KindCapacity, 0},
		{"an error inside a 200 without a status", 200, `{"error":"weird"}`, KindModel, time.Hour},
		{"a response with output", 200, `{"choices":[{"message":{"content":"weird geo-block"},"finish_reason":"stop"}]}`, KindAnswered, 0},
		{"a prompt that is repeated", 402, `{"error":{"message":"x","flagged_input":"weird"},"input":{"a":["weird"]}}`, KindUnclear, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			v := Classify(Input{Status: tc.status, Body: []byte(tc.body), Dialect: DialectChat, Now: now, Rules: rules})
			if v.Kind != tc.kind || v.Length != tc.length {
				t.Errorf("kind %v for %v by %s", v.Kind, v.Length, v.Rule)
			}
			if tc.kind == KindModel {
				if until, stated := v.Cooldown(now, 0, time.Minute); !stated || !until.Equal(now.Add(time.Hour)) || v.Reason != ReasonConfigured {
					t.Errorf("until %v (%v), reason %s", until, stated, v.Reason)
				}
			}
		})
	}
}
