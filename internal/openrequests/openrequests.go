// Package openrequests lets a handler that makes its own requests tell a
// selection policy how many of them are open at each upstream. reverse_proxy
// counts its own in Host, whose method for that is not exported.
package openrequests

import (
	"net/http"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

// Counter returns how many requests are open at an upstream.
type Counter func(*reverseproxy.Upstream) int

// counterVar is the request variable that holds the Counter.
const counterVar = "freetier.open_requests"

// Set makes count the source for the selections of this request.
func Set(r *http.Request, count Counter) { caddyhttp.SetVar(r.Context(), counterVar, count) }

// CounterOf returns the counter that was set for the request. Without one it
// returns reverse_proxy's own count.
func CounterOf(r *http.Request) Counter {
	if count, ok := caddyhttp.GetVar(r.Context(), counterVar).(Counter); ok {
		return count
	}
	return (*reverseproxy.Upstream).NumRequests
}
