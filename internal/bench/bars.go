package main

// bars are what the figures should be. Ratios are CPU time a request, ours to the
// other side's.
var bars = []bar{
	{what: "1 KB chat", benchmark: "Chat1KB", unit: "cpu-ratio", limit: 0.85},
	{what: "5 MB chat", benchmark: "Chat5MB", unit: "cpu-ratio", limit: 1.10},
	{what: "5 MB chat, 8 clients: peak memory, MB", benchmark: "Chat5MB", unit: "ours-MB", limit: 110},
	{what: "stream of 200 events", benchmark: "ChatStreamed", unit: "cpu-ratio", limit: 1.00},
	{what: "translated 1 KB chat", benchmark: "Translated1KB", unit: "cpu-ratio", limit: 1.15},
	{what: "translated stream", benchmark: "TranslatedStreamed", unit: "cpu-ratio", limit: 1.5},
	{what: "10,000 keys to one, by affinity", benchmark: "Keys/,quotas=false", unit: "cpu-ratio", limit: 1.25},
	{what: "10,000 keys to one, by affinity, with quotas", benchmark: "Keys/,quotas=true", unit: "cpu-ratio", limit: 1.25},
	{what: "10,000 keys to one, round_robin, with quotas", benchmark: "Keys/round_robin,quotas=true", unit: "cpu-ratio", limit: 1.25},
	{what: "10,000 keys to one, by quota", benchmark: "Keys/quota,quotas=true", unit: "cpu-ratio", limit: 1.25},
	{what: "10,000 keys, nearly all in cooldown, to one", benchmark: "KeysInCooldown", unit: "cpu-ratio", limit: 1.25},
	{what: "1,000 channels to one", benchmark: "Channels", unit: "cpu-ratio", limit: 1.25},
	{what: "10,000 clients to one", benchmark: "Clients", unit: "cpu-ratio", limit: 1.25},
	{what: "1,000 DoH upstreams to one", benchmark: "DoHUpstreams", unit: "cpu-ratio", limit: 1.25},
	{what: "simulation at 50 % of the quotas: answered, % of an oracle", benchmark: "KeysSimulation/50%", unit: "%-of-oracle", limit: 98, atLeast: true},
	{what: "simulation at 80 %: answered, % of an oracle", benchmark: "KeysSimulation/80%", unit: "%-of-oracle", limit: 98, atLeast: true},
	{what: "simulation at 80 %: upstream calls an answer", benchmark: "KeysSimulation/80%", unit: "calls/answer", limit: 1.05},
	{what: "simulation at 80 %: turns on the first one's key, %", benchmark: "KeysSimulation/80%", unit: "%-on-first-key", limit: 90, atLeast: true},
	{what: "DoH query, not in the cache", benchmark: "DoHMiss", unit: "cpu-ratio", limit: 0.68},
	{what: "DoH query, from the cache, to a static response", benchmark: "DoHHit", unit: "cpu-ratio", limit: 0.92},
	{what: "DoT query, from the cache, to dnsproxy", benchmark: "PeerDoTHit/dnsproxy", unit: "cpu-ratio", limit: 1.00},
	{what: "choice of 8 upstreams, ns", benchmark: "Select", unit: "ns/op", limit: 100},
	{what: "choice of 8 upstreams, allocations", benchmark: "Select", unit: "allocs/op", limit: 0},
	{what: "start to first response, ms", benchmark: "Start", unit: "ms", limit: 150},
}
