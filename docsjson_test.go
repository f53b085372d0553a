package freetier_test

import (
	"encoding/json"
	"os"
	"reflect"
	"regexp"
	"testing"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

var jsonSection = regexp.MustCompile("(?s)\n##+ Configuration in JSON\n.*?```caddyfile\n(.*?)```.*?```json\n(.*?)```")

// The page of each module has a Caddyfile and the JSON that it is adapted to,
// which is valid as it stands.
func TestDocumentedJSON(t *testing.T) {
	for _, page := range []string{"llm_gateway", "doh", "keepalive", "fastest-swagger", "model-field", "status_page"} {
		t.Run(page, func(t *testing.T) {
			content, err := os.ReadFile("docs/" + page + ".md")
			if err != nil {
				t.Fatal(err)
			}
			match := jsonSection.FindSubmatch(content)
			if match == nil {
				t.Fatal("no section with a Caddyfile and its JSON")
			}
			for _, name := range regexp.MustCompile(`\{env\.(\w+)\}`).FindAllSubmatch(match[1], -1) {
				t.Setenv(string(name[1]), "value-of-"+string(name[1]))
			}
			var config caddy.Config
			if err := caddy.StrictUnmarshalJSON(match[2], &config); err != nil {
				t.Fatal(err)
			}
			if err := caddy.Validate(&config); err != nil {
				t.Errorf("the JSON is not valid: %v", err)
			}
			adapted, err := caddytest.Adapt(string(match[1]))
			if err != nil {
				t.Fatal(err)
			}
			var got, want any
			if err := json.Unmarshal(match[2], &got); err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(adapted, &want); err != nil {
				t.Fatal(err)
			}
			withoutLines(want)
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got JSON that differs from the adapted Caddyfile; want\n%s", adapted)
			}
		})
	}
}

// withoutLines removes what the adapter records for error texts: the lines of
// the Caddyfile. JSON that is written by hand has none.
func withoutLines(value any) {
	switch value := value.(type) {
	case map[string]any:
		delete(value, "source")
		delete(value, "key_sources")
		for _, child := range value {
			withoutLines(child)
		}
	case []any:
		for _, child := range value {
			withoutLines(child)
		}
	}
}
