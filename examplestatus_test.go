package freetier_test

import (
	"strings"
	"testing"
)

// The example's status page has something of each job.
func TestExampleStatusPage(t *testing.T) {
	e := newExample(t, nil)
	e.start(t, "localhost")
	_, page := e.do(t, "http://127.0.0.1:8084/", "", "")
	for _, part := range []string{"<th>one <", "<th>two <", "<b>free</b>", "<b>paid</b>", "/swagger/index.html", "Clients", "DNS"} {
		if !strings.Contains(page, part) {
			t.Errorf("the page lacks %s: %s", part, page)
		}
	}
}
