package llmgateway

import (
	"testing"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

// Loading warns when an access log would show clients' keys.
func TestWarnsOfAccessLogs(t *testing.T) {
	const filter = `format filter {
			request>headers>X-Api-Key delete
			request>headers>Api-Key delete
			request>headers>X-Goog-Api-Key delete
			request>headers>Sec-Websocket-Protocol delete
			request>uri query {
				delete key
			}
		}`
	for _, tc := range []struct {
		name, global, log string
		warns             bool
	}{
		{"no access log", "", "", false},
		{"plain", "", "log", true},
		{"console", "", "log {\nformat console\n}", true},
		{"filtered", "", "log {\n" + filter + "\n}", false},
		{"all headers deleted", "", "log {\nformat filter {\nrequest>headers delete\nrequest>uri delete\n}\n}", false},
		{"filtered in part", "", "log {\nformat filter {\nrequest>headers>X-Api-Key delete\n}\n}", true},
		{"two, of which one is filtered", "", "log one {\n" + filter + "\n}\nlog two", true},
		{"plain default log, filtered access log", "log default {\nformat json\n}", "log {\noutput discard\n" + filter + "\n}", false},
		{"filtered default log", "log default {\n" + filter + "\n}", "log", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := caddytest.Start(t, "{\n"+tc.global+"\n}\nhttp://"+caddytest.Addr(t)+" {\n"+tc.log+"\nllm_gateway {\nanonymous\nchannel a http://127.0.0.1:1 {\napi_key k\nmodels m\n}\n}\n}")
			if got := c.Logs.Count("an access log shows clients' keys") > 0; got != tc.warns {
				t.Errorf("warned: %v, want %v\n%s", got, tc.warns, c.Logs)
			}
		})
	}
}
