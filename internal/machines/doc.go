// Package machines has the tests with several Caddy processes on one storage: a real
// Redis, which behaves as Caddy's storage plugins do.
package machines
