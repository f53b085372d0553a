package quota

import (
	"strings"
	"testing"
)

func TestAccountsThatAreTimeZones(t *testing.T) {
	for word, says := range map[string]string{
		"Shanghai": "written Asia/Shanghai", "shanghai": "written Asia/Shanghai", "los_angeles": "written America/Los_Angeles",
		"Berlin": "written Europe/Berlin", "SYDNEY": "written Australia/Sydney", "Buenos_Aires": "written America/Buenos_Aires",
		"UTC+8": "region and city", "utc+08:00": "region and city", "GMT-3": "region and city", "+0800": "region and city", "-5": "region and city",
		"GMT": "as UTC", "utc": "as UTC", "Z": "as UTC", "CST": "region and city", "EST": "region and city", "CEST": "region and city",
	} {
		_, err := Parse([]string{"100/day", word})
		if err == nil || !strings.Contains(err.Error(), word) || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: got %v, want %s", word, err, says)
		}
	}
	for _, word := range []string{"ws1", "workspace-1", "me", "42", "a", "TEAM", "Best", "best", "main", "上海", "my_account", "8+8", "x+1"} {
		if q, err := Parse([]string{"100/day", word}); err != nil || q.Account != word {
			t.Errorf("%s: got %+v, %v, want an account", word, q, err)
		}
	}
}

func TestAmountsInWords(t *testing.T) {
	for _, words := range []string{"300000 / month", "300000/ month"} {
		_, err := Parse(strings.Fields(words))
		if err == nil || !strings.Contains(err.Error(), "as 300000/month") {
			t.Errorf("%s: got %v, want 300000/month", words, err)
		}
	}
}
