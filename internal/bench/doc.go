// Command bench measures what our modules cost compared with plain Caddy, and with
// other servers that are installed, and prints a Markdown table:
//
//	go run ./internal/bench
//	go run ./internal/bench -rounds 10 -bench 'Chat|DoH' >table.md
//
// The benchmarks are Go's, in the package's tests; one of them alone, as often as it
// takes, is
//
//	go test -run '^$' -bench Chat1KB ./internal/bench
//
// Each side is a Caddy process of its own, so that its CPU time and memory can
// be read apart from the load and the upstream, which live in the process of
// the benchmark. Within a benchmark rounds alternate between the sides, so that
// whatever else the machine does falls on both. The command runs all benchmarks
// again in each of its rounds, and takes medians.
//
// The figures are CPU microseconds a request (`plain-µs`, `ours-µs`), their ratio
// (`cpu-ratio`), and the largest resident memory in megabytes (`plain-MB`,
// `ours-MB`).
//
// With FREETIER_BENCH_PROFILE set to a folder each Caddy writes a CPU profile
// there when it ends.
package main
