package quota

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/caddy-freetier/caddy-freetier/internal/ledger"
)

func TestParse(t *testing.T) {
	for line, want := range map[string]Quota{
		"300000/month":               {Amount: 300_000, Period: ledger.Month},
		"300000/month acct":          {Amount: 300_000, Period: ledger.Month, Account: "acct"},
		"1M tokens/month acct":       {Amount: 1_000_000, Unit: ledger.Tokens, Period: ledger.Month, Account: "acct"},
		"1.5M tokens/month":          {Amount: 1_500_000, Unit: ledger.Tokens, Period: ledger.Month},
		"0.3k/day":                   {Amount: 300, Period: ledger.Day},
		"1.1k requests/hour":         {Amount: 1100, Period: ledger.Hour},
		"20K/minute":                 {Amount: 20_000, Period: ledger.Minute},
		"50/second":                  {Amount: 50, Period: ledger.Second},
		"750h/month workspace-1":     {Amount: 2_700_000, Unit: ledger.Seconds, Period: ledger.Month, Account: "workspace-1"},
		"1h30m/day":                  {Amount: 5400, Unit: ledger.Seconds, Period: ledger.Day},
		"31d/month":                  {Amount: 2_678_400, Unit: ledger.Seconds, Period: ledger.Month},
		"100/day UTC":                {Amount: 100, Period: ledger.Day, Zone: "UTC"},
		"100/day Asia/Shanghai":      {Amount: 100, Period: ledger.Day, Zone: "Asia/Shanghai"},
		"100/day a Asia/Shanghai":    {Amount: 100, Period: ledger.Day, Account: "a", Zone: "Asia/Shanghai"},
		"100/day Asia/Shanghai a":    {Amount: 100, Period: ledger.Day, Account: "a", Zone: "Asia/Shanghai"},
		"1M tokens/month a Etc/GMT":  {Amount: 1_000_000, Unit: ledger.Tokens, Period: ledger.Month, Account: "a", Zone: "Etc/GMT"},
		"1 token/day":                {Amount: 1, Unit: ledger.Tokens, Period: ledger.Day},
		"999999999999999 tokens/day": {Amount: 999_999_999_999_999, Unit: ledger.Tokens, Period: ledger.Day},
	} {
		got, err := Parse(strings.Fields(line))
		if err != nil {
			t.Errorf("%s: %v", line, err)
			continue
		}
		if *got != want {
			t.Errorf("%s: got %+v, want %+v", line, *got, want)
		}
		if err := got.Validate(); err != nil {
			t.Errorf("%s: parsed but not valid: %v", line, err)
		}
		again, err := Parse(strings.Fields(got.String()))
		if err != nil || *again != want {
			t.Errorf("%s: written as %q, which is read as %+v (%v)", line, got, again, err)
		}
		raw, err := json.Marshal(got)
		if err != nil {
			t.Fatal(err)
		}
		var back Quota
		if err := json.Unmarshal(raw, &back); err != nil || back != want {
			t.Errorf("%s: %s is read as %+v (%v)", line, raw, back, err)
		}
	}
}

func TestParseMistakes(t *testing.T) {
	for line, says := range map[string]string{
		"":                             "300000/month",
		"300000":                       "period is missing",
		"1M tokens":                    "period is missing",
		"300000/fortnight":             "second, minute, hour, day or month",
		"300000/":                      "unknown period \"\"",
		"300000/month/day":             "unknown period",
		"many/month":                   "neither a number like 300000",
		"-5/month":                     "neither a number",
		"1e9/month":                    "neither a number",
		"1,000/day":                    "neither a number",
		"0x10/day":                     "neither a number",
		"3G/day":                       "neither a number",
		"/day":                         "neither a number",
		"./day":                        "neither a number",
		"0/day":                        "the least is 1",
		"0k/day":                       "the least is 1",
		"1.5/day":                      "not a whole number",
		"1.0005k/day":                  "not a whole number",
		"9999999999M/day":              "too large",
		"-750h/month":                  "above zero",
		"100ms/day":                    "whole seconds",
		"1M bytes/month":               "requests or tokens",
		"750h awake/month":             "unknown unit \"awake\"",
		"750h requests/month":          "write 750h/month",
		"100/day tokens":               "the unit belongs before the period",
		"100 /day":                     "the unit is missing before /day",
		"100/day a b":                  "two accounts, a and b",
		"100/day UTC Asia/Shanghai":    "two time zones",
		"100/day Asia/Atlantis":        "write UTC or one like Asia/Shanghai",
		"100/day ../../etc/passwd":     "unknown time zone",
		"1M tokens/month a Nowhere/No": "unknown time zone",
	} {
		q, err := Parse(strings.Fields(line))
		if err == nil {
			t.Errorf("%q was read as %+v", line, q)
			continue
		}
		if !strings.Contains(err.Error(), says) {
			t.Errorf("%q: the error does not contain %q: %v", line, says, err)
		}
	}
}

func TestParseLimit(t *testing.T) {
	for line, want := range map[string]Quota{
		"1000/day":        {Amount: 1000, Period: ledger.Day},
		"1M tokens/month": {Amount: 1_000_000, Unit: ledger.Tokens, Period: ledger.Month},
		"50/second":       {Amount: 50, Period: ledger.Second},
	} {
		got, err := ParseLimit(strings.Fields(line))
		if err != nil || *got != want {
			t.Errorf("%s: got %+v (%v), want %+v", line, got, err, want)
		}
	}
	for line, says := range map[string]string{
		"":                "1000/day",
		"1000":            "period is missing",
		"10h/day":         "requests or tokens",
		"1000/day acct":   "neither an account nor a time zone",
		"1000/day UTC":    "neither an account nor a time zone",
		"1000/year":       "second, minute, hour, day or month",
		"lots tokens/day": "neither a number",
	} {
		if _, err := ParseLimit(strings.Fields(line)); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: got %v, want an error with %q", line, err, says)
		}
	}
}

func TestValidate(t *testing.T) {
	for raw, says := range map[string]string{
		`{"amount":0,"period":"day"}`:                   "at least 1",
		`{"amount":-1,"period":"day"}`:                  "at least 1",
		`{"amount":1000000000000001,"period":"day"}`:    "at most",
		`{"amount":9223372036854775807,"period":"day"}`: "at most",
		`{"amount":1}`:                                       "unknown period",
		`{"amount":1,"period":"week"}`:                       "unknown period",
		`{"amount":1,"period":"day","unit":"bytes"}`:         "unknown unit",
		`{"amount":1,"period":"day","zone":"Asia/Atlantis"}`: "unknown time zone",
	} {
		q := new(Quota)
		if err := json.Unmarshal([]byte(raw), q); err != nil {
			t.Fatal(err)
		}
		if err := q.Validate(); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: got %v, want an error with %q", raw, err, says)
		}
		if _, err := q.Open(nil, ""); err == nil {
			t.Errorf("%s was opened", raw)
		}
	}
}
