package fastestswagger

import (
	"strings"
	"testing"
)

// The word is found wherever writes split the page, and the page's own address
// is not the word.
func TestSwaggerSearch(t *testing.T) {
	for text, want := range map[string]bool{
		"":                                                    false,
		"swagge":                                              false,
		"swagger":                                             true,
		"<title>Swagger UI</title>":                           true,
		`<div id="SWAGGER-UI">`:                               true,
		"no /swagger/index.html here":                         false,
		"/SWAGGER/index.html":                                 false,
		"?next=%2Fswagger%2Findex.html":                       false,
		"?a=%252Fswagger%252Findex.html":                      false,
		`{"path":"\/swagger\/index.html"}`:                    false,
		"&#x2F;swagger&#x2F;index.html":                       false,
		"/swagger/v1/swagger.json":                            true,
		"/swagger/index.html and swagger":                     true,
		"/swagger/index.htm":                                  true,
		"swaggerswagger/index.html":                           true,
		strings.Repeat("swagger/index.html ", 99):             false,
		strings.Repeat("x", 99_999) + "swagger":               true,
		strings.Repeat("swagger/index.html ", 99) + "Swagger": true,
	} {
		for _, size := range []int{1, 7, 64, len(text) + 1} {
			s := new(swaggerSearch)
			for rest := []byte(text); len(rest) > 0; {
				n := min(size, len(rest))
				s.Write(rest[:n])
				rest = rest[n:]
			}
			if got := s.end(); got != want {
				t.Errorf("%.40q in writes of %d bytes: got %v, want %v", text, size, got, want)
			}
		}
	}
}
