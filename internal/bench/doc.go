// Package bench holds the side-by-side benchmarks: what our modules cost
// compared with plain Caddy, as a ratio measured in one run.
//
//	go test -run '^$' -bench . ./internal/bench
//
// Each side is a Caddy process of its own, so that its CPU time and memory can
// be read apart from the load and the upstream, which live in the process of
// the benchmark. Rounds alternate between the sides, so that whatever else the
// machine does falls on both. The figures are CPU microseconds a request
// (`plain-µs`, `ours-µs`), their ratio (`cpu-ratio`), and the largest resident
// memory in megabytes (`plain-MB`, `ours-MB`).
//
// With FREETIER_BENCH_PROFILE set to a folder each Caddy writes a CPU profile
// there when it ends.
package bench
