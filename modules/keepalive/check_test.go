package keepalive

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

// A response is checked by what it says, and the error says what came.
func TestChecks(t *testing.T) {
	long := strings.Repeat("x", 2*maxBody)
	for name, test := range map[string]struct {
		option, body, err string
	}{
		"contains":                   {`contains "is well"`, "all is well", ""},
		"two texts":                  {"contains all\n\t\t\tcontains well", "all is well", ""},
		"one of two texts":           {"contains all\n\t\t\tcontains bad", "all is well", `the response does not contain "bad"; it begins with all is well`},
		"an error with 200":          {`not_contains error`, `{"error":"Database connection failed"}`, `the response contains "error"; it begins with {"error":"Database connection failed"}`},
		"no error":                   {`not_contains error`, `{}`, ""},
		"an empty response":          {`contains ok`, " \n", `the response does not contain "ok"; it is empty`},
		"far from the beginning":     {`contains ok`, strings.Repeat(" ", maxBody-2) + "ok", ""},
		"beyond what is read":        {`contains ok`, long + "ok", `the response does not contain "ok"; it begins with ` + "…"},
		"JSON":                       {`json database.status ok`, `{"database":{"status":"ok"}}`, ""},
		"JSON that says no":          {`json database.status ok`, `{"database":{"status":"down"}}`, `database.status is "down", expected ok`},
		"JSON without the member":    {`json database.status ok`, `{"status":"ok"}`, `the JSON has no database.status; it begins with {"status":"ok"}`},
		"no JSON":                    {`json status ok`, "<html>", "the response is not JSON; it begins with <html>"},
		"a number":                   {`json 0.n 3`, `[{"n":3.0}]`, ""},
		"a number as a text":         {`json 0.n 3`, `[{"n":"3"}]`, ""},
		"a boolean":                  {`json ok true`, `{"ok":false}`, "ok is false, expected true"},
		"any value":                  {`json id *`, `{"id":0}`, ""},
		"any value, but null":        {`json id *`, `{"id":null}`, "id is null, expected *"},
		"an array":                   {"json . `[]`", "[]", ""},
		"an array that is an object": {"json . `[]`", `{"a":1}`, `. is {"a":1}, expected []`},
		"out of an array":            {`json 1 a`, `["a"]`, `the JSON has no 1; it begins with ["a"]`},
		"into a text":                {`json a.b c`, `{"a":"b"}`, `the JSON has no a.b; it begins with {"a":"b"}`},
	} {
		t.Run(name, func(t *testing.T) {
			up := caddytest.NewUpstream(t, caddytest.Answer(http.StatusOK, "text/plain", test.body))
			b := startAt(t, "\t\tjitter 0%\n\t\ttarget a "+up.URL+" {\n\t\t\t"+test.option+"\n\t\t}")
			err := b.settled("a", 1).err
			if test.err == "" && err != nil {
				t.Errorf("got %v, want healthy", err)
			}
			if want, isLong := strings.CutSuffix(test.err, "…"); test.err != "" && !isLong && fmt.Sprint(err) != test.err || isLong && !strings.HasPrefix(fmt.Sprint(err), want) {
				t.Errorf("got %v, want %s", err, test.err)
			}
			if err != nil && len(err.Error()) > 300 {
				t.Errorf("an error of %d bytes", len(err.Error()))
			}
			if said := b.target("a").LastError; err != nil && said != err.Error() {
				t.Errorf("the admin API says %q, want %q", said, err)
			}
		})
	}
}

// A service that echoes what was sent brings no key into errors.
func TestErrorsHoldNoKey(t *testing.T) {
	const key = "sk-s3cret-0123456789"
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte("me:"+key))
	for name, test := range map[string]struct{ path, options string }{
		"header":    {"/", "header Authorization \"Bearer " + key + "\""},
		"basic":     {"/", "header Authorization \"" + basic + "\""},
		"query":     {"/?key=" + key, ""},
		"path":      {"/" + key + "/health", ""},
		"escaped":   {"/%73" + key[1:] + "/health", ""},
		"user":      {"me:" + key + "@", ""},
		"body":      {"/", "body `{\"key\":\"" + key + "\"}`"},
		"many cuts": {"/", "header X-Key " + key},
	} {
		for _, check := range []string{"contains something", "json a.b c", "json key other", "expect 404"} {
			t.Run(name+" "+check, func(t *testing.T) {
				echo := func(w http.ResponseWriter, _ *http.Request) {
					w.Header().Set("Location", "/"+key+"/?key="+key)
					if check == "expect 404" {
						w.WriteHeader(http.StatusFound)
					}
					padding := ""
					if name == "many cuts" {
						padding = strings.Repeat("- ", 45)
					}
					fmt.Fprintf(w, `{"key":"%sno such key: %s (%[2]s)"}`, padding, key)
				}
				up := caddytest.NewUpstream(t, echo)
				address := up.URL + test.path
				if strings.HasSuffix(test.path, "@") {
					address = strings.Replace(up.URL, "http://", "http://"+test.path, 1)
				}
				b := startAt(t, "\t\tjitter 0%\n\t\ttarget a "+address+" {\n\t\t\t"+check+"\n\t\t\t"+test.options+"\n\t\t}")
				err := b.settled("a", 1).err
				if err == nil {
					t.Fatal("healthy")
				}
				for n := 6; n <= len(key); n++ {
					if strings.Contains(err.Error(), key[:n]) {
						t.Fatalf("got %v", err)
					}
				}
				if strings.Contains(b.Logs.String(), key) {
					t.Error("the log holds the key")
				}
			})
		}
	}
}

// Where a redirect leads is said without what was sent.
func TestRedirectIsDescribed(t *testing.T) {
	for name, test := range map[string]struct{ path, location, want string }{
		"a slash":     {"/s3cret", "/s3cret/", "/…/, the same URL with a slash at the end"},
		"no slash":    {"/s3cret/", "/s3cret", "/…, the same URL without the slash at the end"},
		"elsewhere":   {"/s3cret?key=s3cret", "/login?next=s3cret", "/login?…"},
		"to a prefix": {"/s3cret", "/en/s3cret", "/en/…"},
	} {
		t.Run(name, func(t *testing.T) {
			up := caddytest.NewUpstream(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Location", test.location)
				w.WriteHeader(http.StatusTemporaryRedirect)
			})
			b := startAt(t, "\t\tjitter 0%\n\t\ttarget a "+up.URL+test.path)
			want := "status 307, expected 2xx; it redirects to " + up.URL + test.want
			if err := b.settled("a", 1).err; fmt.Sprint(err) != want {
				t.Errorf("got %v, want %s", err, want)
			}
		})
	}
}

// With `follow` the end of the redirects is the response. A key and a body stay
// on the host that they are for.
func TestFollow(t *testing.T) {
	other := caddytest.NewUpstream(t, caddytest.Answer(http.StatusOK, "text/plain", "other"))
	up := caddytest.NewUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/same":
			http.Redirect(w, r, "/same/", http.StatusPermanentRedirect)
		case "/other":
			http.Redirect(w, r, other.URL+"/there", http.StatusTemporaryRedirect)
		case "/loop":
			http.Redirect(w, r, "/loop", http.StatusFound)
		default:
			fmt.Fprint(w, "same")
		}
	})
	target := func(path, options string) string {
		return "\t\tjitter 0%\n\t\ttarget a " + up.URL + path + " {\n\t\t\tfollow\n\t\t\theader X-Key s3cret-key\n\t\t\theader Authorization \"Bearer s3cret-key\"\n\t\t\t" + options + "\n\t\t}"
	}

	b := startAt(t, target("/same", "contains same\n\t\t\tbody `{}`"))
	if r := b.settled("a", 1); r.err != nil || r.status != http.StatusOK {
		t.Errorf("on the same host: %+v", r)
	}
	up.Next(t)
	if r := up.Next(t); r.URI != "/same/" || r.Header.Get("X-Key") != "s3cret-key" || string(r.Body) != "{}" {
		t.Errorf("on the same host it sends %+v", r)
	}

	b.reload(target("/other", "contains other"))
	if r := b.settled("a", 1); r.err != nil {
		t.Errorf("on another host: %v", r.err)
	}
	r := other.Next(t)
	if r.URI != "/there" || r.Header.Get("X-Key")+r.Header.Get("Authorization")+r.Header.Get("Referer") != "" {
		t.Errorf("another host gets %+v", r)
	}

	b.reload(target("/other", "body s3cret"))
	if r := b.settled("a", 1); fmt.Sprint(r.err) != "status 307, expected 2xx; it redirects to "+other.URL+"/there" {
		t.Errorf("with a body: %v", r.err)
	}
	if n := len(other.Requests()); n != 1 {
		t.Errorf("another host got %d requests, want 1", n)
	}

	b.reload(target("/loop", ""))
	if r := b.settled("a", 1); fmt.Sprint(r.err) != "10 redirects in a row" {
		t.Errorf("a loop: %v", r.err)
	}
}

// A body makes the method POST, and JSON has its type.
func TestBodies(t *testing.T) {
	for name, test := range map[string]struct{ options, method, kind string }{
		"none":                     {"", "GET", ""},
		"JSON":                     {"body `{\"a\":1}`", "POST", "application/json"},
		"JSON of a placeholder":    {"body `{\"a\":\"{time.now.unix}\"}`", "POST", "application/json"},
		"JSON with its type":       {"body `{\"a\":1}`\n\t\t\theader Content-Type application/vnd.api+json", "POST", "application/vnd.api+json"},
		"JSON with another method": {"body `{\"a\":1}`\n\t\t\tmethod put", "PUT", "application/json"},
		"a text":                   {"body ping", "POST", ""},
		"a form":                   {"body a=1&b=2\n\t\t\theader content-type application/x-www-form-urlencoded", "POST", "application/x-www-form-urlencoded"},
	} {
		t.Run(name, func(t *testing.T) {
			up := counting(t)
			b := startAt(t, "\t\tjitter 0%\n\t\ttarget a "+up.URL+" {\n\t\t\t"+test.options+"\n\t\t}")
			b.settled("a", 1)
			r := up.Next(t)
			if r.Method != test.method {
				t.Errorf("method: got %s, want %s", r.Method, test.method)
			}
			if kind := r.Header.Get("Content-Type"); kind != test.kind {
				t.Errorf("type: got %q, want %q", kind, test.kind)
			}
		})
	}
}

// Targets on a platform that gives its hours to an account share it, and the
// log says so.
func TestPlatformAccountIsShared(t *testing.T) {
	up, other := counting(t), counting(t)
	b := startAt(t, "\t\tjitter 0%\n\t\ttarget a "+up.URL+" {\n\t\t\tplatform render\n\t\t}\n\t\ttarget b "+other.URL+" {\n\t\t\tplatform render\n\t\t}\n"+
		"\t\ttarget c http://"+caddytest.Addr(t)+" {\n\t\t\tplatform heroku\n\t\t}")
	b.settled("a", 1)
	b.settled("b", 1)
	b.settled("c", 1)
	b.wantHours("a", .5, 750)
	b.wantHours("b", .5, 750)
	if n := b.Logs.Count(`"level":"info"`, "share the hours of one account", `"account":"render","targets":["a","b"],"quota":"750h"`); n != 1 {
		t.Errorf("logged %d times that a and b share hours, want 1", n)
	}
	if n := b.Logs.Count("share the hours of one account"); n != 1 {
		t.Errorf("logged %d times that hours are shared, want 1", n)
	}
}
