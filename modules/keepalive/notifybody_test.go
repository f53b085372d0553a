package keepalive

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

// events are the data of all events, as they are reported, with texts that
// have a meaning in JSON.
var awkwardEvents = []map[string]string{
	{"name": eventDown, "target": `a "b"`, "upstream": "u:443", "message": "it's {down}\n", "status": "0", "error": `no "x"\`, "failures": "3"},
	{"name": eventUp, "target": `a "b"`, "upstream": "u:443", "message": "up, again", "status": "200", "error": "", "failures": "1"},
	{"name": eventColdStart, "target": "{}", "upstream": "u:443", "message": "was asleep", "status": "200", "latency": "1.5e-05"},
	{"name": eventHoursLow, "target": "[]", "upstream": "u:443", "message": `"`, "account": `a,"b"`, "hours_left": "1e+06", "hours_wanted": "2.5", "until": "2026-04-01 00:00:00 +0000 UTC"},
}

// Whatever a body looks like, and whatever an event says: what is sent as JSON
// is JSON. A body that is that for some events only is refused where it stands.
func TestNotifyBodies(t *testing.T) {
	for _, field := range eventFields {
		placeholder := "{event." + field + "}"
		number := slices.Contains(numericFields, field)
		for _, tc := range []struct {
			body    string
			refused bool
			json    bool
		}{
			{`{"raw":` + placeholder + `}`, !number, number},
			{`{"a":"` + placeholder + `","raw":` + placeholder + `}`, !number, number},
			{`[{"raw":[1,` + placeholder + `]}]`, !number, number},
			{`{` + placeholder + `:1}`, false, false},
			{`{"text":"` + placeholder + `"}`, false, true},
			{`{"` + placeholder + `":"` + placeholder + ` and ` + placeholder + `"}`, false, true},
			{`["` + placeholder + `"]`, false, true},
			{`{"text":"` + placeholder + `"`, true, false},
			{`{"text":"` + placeholder + `",}`, true, false},
			{`{"text":'` + placeholder + `'}`, true, false},
			{`[` + placeholder + `] is down`, false, false},
			{placeholder + ` is down`, false, false},
		} {
			caddyfile := keepaliveFile("\t\tinterval 3m\n\t\tnotify https://a.example `" + tc.body + "`")
			if tc.refused {
				says := []string{"JSON"}
				if !strings.Contains(tc.body, "text") {
					says = append(says, placeholder+` is a text, so it needs quotation marks in JSON: "`+placeholder+`"`)
				}
				caddytest.Mistakes(t, []caddytest.Mistake{{Name: tc.body, Caddyfile: caddyfile, Line: 4, Says: says}})
				continue
			}
			if err := caddytest.Validate(caddyfile); err != nil {
				t.Errorf("%s: %v", tc.body, err)
				continue
			}
			n := &Notification{url: "https://a.example", body: tc.body}
			var err error
			if n.json, err = isJSON(tc.body); err != nil || n.json != tc.json {
				t.Errorf("%s: JSON %v (%v), want %v", tc.body, n.json, err, tc.json)
			}
			for _, event := range awkwardEvents {
				req, err := n.request(context.Background(), event)
				if err != nil {
					t.Fatal(err)
				}
				sent, err := io.ReadAll(req.Body)
				if err != nil {
					t.Fatal(err)
				}
				isJSON := req.Header.Get("Content-Type") == "application/json"
				if isJSON != tc.json || isJSON && !json.Valid(sent) {
					t.Errorf("%s sends, of %s, %s", tc.body, event["name"], sent)
				}
				if !isJSON && event[field] != "" && !strings.Contains(string(sent), event[field]) {
					t.Errorf("%s sends, of %s, %s", tc.body, event["name"], sent)
				}
			}
		}
	}
}

// What stands in a variable is looked at when the configuration is loaded, and
// not shown.
func TestNotifyBodyOfVariables(t *testing.T) {
	t.Setenv("NOTIFY_CHAT", "123")
	t.Setenv("NOTIFY_QUOTED", `s3cret "x"`)
	for body, says := range map[string]string{
		`{"chat":{env.NOTIFY_CHAT},"text":"{event.message}"}`:   "",
		`{"chat":"{env.NOTIFY_CHAT}","text":"{event.message}"}`: "",
		`{"chat":"{env.NOTIFY_QUOTED}"}`:                        "is none",
		`{"chat":{env.NOTIFY_QUOTED}}`:                          "is none",
		`{"chat":{env.NOTIFY_CHAT},"text":{event.message}}`:     "{event.message} is a text",
		`{"text":"{target} is down"}`:                           "write {event.target}",
		`{target} is down`:                                      "write {event.target}",
	} {
		err := caddytest.Validate(keepaliveFile("\t\tnotify https://a.example `" + body + "`"))
		if (err == nil) != (says == "") || err != nil && (!strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "s3cret")) {
			t.Errorf("%s: got %v, want %q", body, err, says)
		}
	}
	if err := caddytest.Validate(keepaliveFile("\t\tnotify https://a.example/{message}")); err == nil || !strings.Contains(fmt.Sprint(err), "write {event.message}") {
		t.Errorf("in the URL: %v", err)
	}
}
