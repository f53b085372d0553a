package capacity

import (
	"testing"

	"github.com/caddy-freetier/caddy-freetier/internal/ledger"
	"github.com/caddy-freetier/caddy-freetier/internal/quota"
)

func TestTotal(t *testing.T) {
	day := func(amount int64, account string) *quota.Quota {
		return &quota.Quota{Amount: amount, Period: ledger.Day, Account: account}
	}
	tokens := &quota.Quota{Amount: 1, Period: ledger.Day, Unit: ledger.Tokens}
	ofModels := Of("a", 2, day(5, ""))
	ofModels.Model = EachModel
	for name, tc := range map[string]struct {
		quotas  []Quota
		total   int64
		bounded bool
	}{
		"none":                      {nil, 0, false},
		"two accounts":              {[]Quota{Of("a", 2, day(5, ""))}, 310, true},
		"one account of two keys":   {[]Quota{Of("a", 2, day(5, "x"))}, 155, true},
		"one account of two names":  {[]Quota{Of("a", 2, day(5, "x")), Of("b", 1, day(5, "x"))}, 155, true},
		"two of two names":          {[]Quota{Of("a", 2, day(5, "x")), Of("b", 1, day(5, "y"))}, 310, true},
		"the smallest counts":       {[]Quota{Of("a", 1, day(5, "")), Of("a", 1, &quota.Quota{Amount: 100, Period: ledger.Month})}, 100, true},
		"one without":               {[]Quota{Of("a", 1, day(5, "")), Of("b", 1, nil)}, 0, false},
		"one with tokens only":      {[]Quota{Of("a", 1, tokens)}, 0, false},
		"one with models' only":     {[]Quota{ofModels}, 0, false},
		"models' beside all models": {[]Quota{ofModels, Of("a", 2, day(7, ""))}, 434, true},
		"more than there is":        {[]Quota{Of("a", 1000, &quota.Quota{Amount: 1e15, Period: ledger.Second})}, most, true},
	} {
		if total, bounded := Total(tc.quotas); total != tc.total || bounded != tc.bounded {
			t.Errorf("%s: %d, %t, want %d, %t", name, total, bounded, tc.total, tc.bounded)
		}
	}
}
