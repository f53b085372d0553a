package runtime_test

import (
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

// unset takes a variable away for the rest of the test.
func unset(t *testing.T, name string) {
	t.Helper()
	t.Setenv(name, "") // so that its old value comes back after the test
	os.Unsetenv(name)
}

// A configuration that was read without variables of the server is refused
// when it would replace another one. What runs goes on.
func TestReloadWithoutVariables(t *testing.T) {
	addr := caddytest.Addr(t)
	caddyfile := "{\n\tfreetier {\n\t\tvariables SITE_TEXT\n\t\tvariables OTHER_TEXT SITE_TEXT\n\t}\n}\nhttp://" + addr + " {\n\trespond \"{$SITE_TEXT:demo} {$OTHER_TEXT:demo}\"\n}\n"
	unset(t, "OTHER_TEXT")
	t.Setenv("SITE_TEXT", "mine")
	c := caddytest.Start(t, caddyfile)
	c.Logs.Wait(t, "variables of the Caddyfile are not set", `"variables":["OTHER_TEXT"]`)
	answer := func() string {
		t.Helper()
		resp, err := c.Client().Get("http://" + addr)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text := make([]byte, 100)
		n, _ := resp.Body.Read(text)
		return string(text[:n])
	}

	// As a shell without the variable would read it.
	os.Unsetenv("SITE_TEXT")
	cfg, err := caddytest.Adapt(caddyfile)
	if err != nil {
		t.Fatal(err)
	}
	os.Setenv("SITE_TEXT", "mine")
	err = c.TryLoad(cfg)
	if err == nil {
		t.Fatal("the configuration was accepted")
	}
	for _, text := range []string{"Caddyfile:2: ", "without SITE_TEXT, which this server was started with", "systemctl reload caddy"} {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("the error does not contain %q: %v", text, err)
		}
	}
	if got := answer(); got != "mine demo" {
		t.Errorf("now the site answers %q", got)
	}

	// Other values, and variables that the server lacks, are fine.
	os.Setenv("OTHER_TEXT", "other")
	os.Setenv("SITE_TEXT", "new")
	if cfg, err = caddytest.Adapt(caddyfile); err != nil {
		t.Fatal(err)
	}
	os.Setenv("SITE_TEXT", "mine")
	os.Unsetenv("OTHER_TEXT")
	if err := c.TryLoad(cfg); err != nil {
		t.Fatal(err)
	}
	c.Client().CloseIdleConnections()
	if got := answer(); got != "new other" {
		t.Errorf("now the site answers %q", got)
	}
}

// What a server begins with is only warned of: it replaces nothing, and a
// server that does not start is worse.
func TestStartWithoutVariables(t *testing.T) {
	caddyfile := "{\n\tfreetier {\n\t\tvariables SITE_TEXT\n\t}\n}\nhttp://" + caddytest.Addr(t) + " {\n\trespond \"{$SITE_TEXT:demo}\"\n}\n"
	unset(t, "SITE_TEXT")
	cfg, err := caddytest.Adapt(caddyfile)
	if err != nil {
		t.Fatal(err)
	}
	c := caddytest.Start(t, "{\n\tfreetier {\n\t}\n}\n")
	c.Stop()
	os.Setenv("SITE_TEXT", "mine")
	if err := c.TryLoad(cfg); err != nil {
		t.Fatal(err)
	}
	c.Logs.Wait(t, "was read without variables that this server was started with", `"variables":["SITE_TEXT"]`, `"source":"Caddyfile:2"`)
	if status, _ := c.Admin(http.MethodGet, "/config/"); status != http.StatusOK {
		t.Errorf("status %d", status)
	}
}

func TestCaddyfileMistakes(t *testing.T) {
	caddytest.Mistakes(t, []caddytest.Mistake{
		{Name: "no name", Caddyfile: "{\n\tfreetier {\n\t\tvariables\n\t}\n}\n", Line: 3, Says: []string{"variables AI_DOMAIN PAID_URL"}},
		{Name: "placeholder", Caddyfile: "{\n\tfreetier {\n\t\tvariables $AI_DOMAIN\n\t}\n}\n", Line: 3, Says: []string{`"$AI_DOMAIN"`, "without $ and braces"}},
		{Name: "comma", Caddyfile: "{\n\tfreetier {\n\t\tvariables A, B\n\t}\n}\n", Line: 3, Says: []string{`"A,"`}},
		{Name: "unknown option", Caddyfile: "{\n\tfreetier {\n\t\tvariable A\n\t}\n}\n", Line: 3, Says: []string{"unknown option variable of freetier", "there is variables"}},
		{Name: "argument", Caddyfile: "{\n\tfreetier A\n}\n", Line: 2, Says: []string{"freetier takes no value", "block"}},
		{Name: "twice", Caddyfile: "{\n\tfreetier {\n\t}\n\tfreetier {\n\t}\n}\n", Line: 4, Says: []string{"given twice"}},
	})
}

// A variable that nobody has set, and one that looks like it, are named.
func TestMisspeltVariables(t *testing.T) {
	for set, says := range map[string]string{
		"AI_DOMAN": "AI_DOMAIN", "AI_DOMIAN": "AI_DOMAIN", "AI_DOMAINS": "AI_DOMAIN", "AI-DOMAIN": "AI_DOMAIN",
		"CLIENT_KEY": "CLIENT_KEYS", "API_DOMAIN": "", "API_URL_3": "", "MY_DOMAIN": "", "AI_DOMAIN_OLD": "", "AI": "",
	} {
		t.Run(set, func(t *testing.T) {
			for _, name := range []string{"AI_DOMAIN", "CLIENT_KEYS", "API_URL_2", "AO", "API_DOMAIN"} {
				unset(t, name)
			}
			t.Setenv(set, "a.example.com")
			c := caddytest.Start(t, "{\n\tfreetier {\n\t\tvariables AI_DOMAIN CLIENT_KEYS API_URL_2 AO API_DOMAIN\n\t}\n}\n")
			n := c.Logs.Count(`"level":"warn"`, `"set":"`+set+`"`, `"unset":"`+says+`"`, "Caddyfile:2")
			if all := c.Logs.Count("misspelt"); all != n || (n == 1) != (says != "") {
				t.Errorf("%d warnings, %d of them right", all, n)
			}
		})
	}
}
