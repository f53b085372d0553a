package statuspage

import (
	"context"
	"fmt"
	"net/http"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/jonboulle/clockwork"

	"github.com/caddy-freetier/caddy-freetier/internal/status"
)

// One client keeps no other out, however many pages it opens, and what is known of
// those who have left is forgotten.
func TestViewersOfAnAddress(t *testing.T) {
	b := newBoard(new(status.Registry), clockwork.NewFakeClock())
	for i := range maxViewersOf {
		if !b.enter(english, "192.0.2.1") {
			t.Fatalf("viewer %d of an address is refused", i)
		}
	}
	if b.enter(chinese, "192.0.2.1") {
		t.Error("an address has more viewers than it may have")
	}
	if !b.enter(english, "192.0.2.2") {
		t.Error("a viewer of another address is refused")
	}
	b.leave(english, "192.0.2.1")
	if !b.enter(english, "192.0.2.1") {
		t.Error("a viewer is refused although another has left")
	}
	for range maxViewersOf {
		b.leave(english, "192.0.2.1")
	}
	b.leave(english, "192.0.2.2")
	if len(b.addresses) > 0 || b.viewers[english] != 0 {
		t.Errorf("nobody looks, but there are viewers %v of %v", b.viewers, b.addresses)
	}
	for i := range maxViewers {
		if !b.enter(english, fmt.Sprint(i)) {
			t.Fatalf("viewer %d is refused", i)
		}
	}
	if b.enter(english, "another") {
		t.Error("there are more viewers than there may be")
	}
}

func TestAddressOf(t *testing.T) {
	for client, want := range map[string]string{
		"192.0.2.1": "192.0.2.1", "2001:db8:1:2::3": "2001:db8:1::/48", "fe80::1%eth0": "fe80::/48", "::ffff:192.0.2.1": "::ffff:192.0.2.1", "": "", "@": "@",
	} {
		vars := map[string]any{caddyhttp.ClientIPVarKey: client}
		r := (&http.Request{}).WithContext(context.WithValue(t.Context(), caddyhttp.VarsCtxKey, vars))
		if got := addressOf(r); got != want {
			t.Errorf("%s: got %s, want %s", client, got, want)
		}
	}
}
