package llmgateway

import (
	"net/url"
	"path"
	"strings"
	"testing"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

// sloppy reads a path as the least careful server would: it decodes as long as
// anything changes, cuts path parameters off and takes backslashes for slashes.
func sloppy(text string) string {
	for range 10 {
		decoded, err := url.PathUnescape(text)
		if err != nil || decoded == text {
			break
		}
		text = decoded
	}
	segments := strings.Split(strings.ReplaceAll(text, `\`, "/"), "/")
	for i, segment := range segments {
		segments[i], _, _ = strings.Cut(segment, ";")
	}
	return path.Clean("/" + strings.Join(segments, "/"))
}

// Whatever a client sends, what the channel gets is the canonical path of the
// endpoint that was decided on: locating it again leads to the same place, and
// no reader of paths sees another one in it.
func FuzzLocate(f *testing.F) {
	for _, line := range append(append([]string{}, inference...), account...) {
		_, target, _ := strings.Cut(line, " ")
		for _, base := range []string{"", "/", "/v1", "/v1/v1", "/api/v1", "/openai/v1"} {
			f.Add(base+target, true)
			f.Add(base+strings.TrimPrefix(target, "/v1")+"/", false)
		}
	}
	for _, s := range spellings {
		f.Add("/v1/files/"+s, false)
		f.Add("/v1/"+s+"/models/m:generateContent", true)
		f.Add("/api/"+s+"/chat", true)
	}
	f.Fuzz(func(t *testing.T, target string, isPost bool) {
		u, err := url.ParseRequestURI(target)
		if err != nil || !strings.HasPrefix(target, "/") {
			return
		}
		method := get
		if isPost {
			method = post
		}
		allowed := []string{"/api/*", "/x/*/y"}
		l, plain := locate(u, method, allowed)
		if !plain || l.endpoint == nil {
			return
		}
		sent := &url.URL{Path: l.path, RawPath: l.rawPath}
		if got := sent.EscapedPath(); l.rawPath != "" && got != l.rawPath {
			t.Fatalf("%q: net/url sends %q in place of %q", target, got, l.rawPath)
		}
		again, plain := locate(sent, method, allowed)
		if !plain || again.path != l.path || again.rawPath != l.rawPath || again.methods(false) != l.methods(false) {
			t.Fatalf("%q leads to %+v, and that to %+v", target, l, again)
		}
		if read := sloppy(sent.EscapedPath()); read != l.path {
			t.Fatalf("%q leads to %q, which may be read as %q", target, l.path, read)
		}
		if strings.Contains(l.path, "//") || strings.HasSuffix(l.path, "/") || !strings.HasPrefix(l.path, "/") {
			t.Fatalf("%q leads to %q", target, l.path)
		}
	})
}

// A channel's URL that ends in an endpoint is a copy from an example.
func TestEndpointAtEnd(t *testing.T) {
	for typed, write := range map[string]string{
		"https://api.example.com/v1/chat/completions":                            "https://api.example.com/v1",
		"https://api.example.com/v1/chat/completions/":                           "https://api.example.com/v1",
		"https://api.example.com/openai/v1//chat/completions":                    "https://api.example.com/openai/v1/",
		"https://api.example.com/v1/messages":                                    "https://api.example.com/v1",
		"https://api.example.com/v1/responses":                                   "https://api.example.com/v1",
		"https://api.example.com/v1/embeddings":                                  "https://api.example.com/v1",
		"https://api.example.com/v1/completions":                                 "https://api.example.com/v1",
		"https://api.example.com/v1/models":                                      "https://api.example.com/v1",
		"https://api.example.com/v1/images/generations":                          "https://api.example.com/v1",
		"https://api.example.com/v1/audio/transcriptions":                        "https://api.example.com/v1",
		"https://api.example.com/chat/completions":                               "https://api.example.com",
		"https://api.example.com/v1beta/models/gemini-2.5-flash:generateContent": "https://api.example.com/v1beta",
		"https://api.example.com/v1beta/openai/chat/completions":                 "https://api.example.com/v1beta/openai",
		"https://x.openai.azure.com/openai/deployments/gpt/chat/completions":     "https://x.openai.azure.com/openai/deployments/gpt",
		"https://api.example.com/v1":                                             "", "https://api.example.com": "", "https://api.example.com/": "", "https://x.services.ai.azure.com/models": "",
		"https://api.example.com/v1beta/openai/": "", "https://router.example/models/org/name/v1": "", "https://api.example.com/responses/v1": "",
		"https://api.example.com/mychat/completionsx": "",
	} {
		config := "http://127.0.0.1:1 {\n\tllm_gateway {\nclient x client-key\nchannel a " + typed + " {\napi_key k\nmodels m\n}\n}\n}\n"
		_, err := caddytest.Adapt(config)
		switch {
		case write == "" && err != nil:
			t.Errorf("%s: %v", typed, err)
		case write == "":
		case err == nil:
			t.Errorf("%s is taken", typed)
		default:
			if text := err.Error(); !strings.Contains(text, "Caddyfile:4") || !strings.Contains(text, "channel a") || !strings.HasSuffix(strings.SplitN(text, ", at ", 2)[0], "write "+write) {
				t.Errorf("%s: %v", typed, err)
			}
		}
	}
}
