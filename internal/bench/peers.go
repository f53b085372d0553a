package main

import "strings"

const (
	// peersVar, set to "off", leaves out the benchmarks against other servers.
	peersVar = "FREETIER_BENCH_PEERS"

	// These name the gateway of another program, see gatewayPeer.
	gatewayURLVar      = "FREETIER_BENCH_GATEWAY"
	gatewayKeyVar      = "FREETIER_BENCH_GATEWAY_KEY"
	gatewayModelVar    = "FREETIER_BENCH_GATEWAY_MODEL"
	gatewayPIDVar      = "FREETIER_BENCH_GATEWAY_PID"
	gatewayUpstreamVar = "FREETIER_BENCH_GATEWAY_UPSTREAM"
)

// dnsPeers are the DNS servers that are measured where their program is installed.
var dnsPeers = []string{"dnsdist", "dnsproxy", "routedns", "unbound"}

func peerNames() string { return strings.Join(dnsPeers, ", ") }

// gatewayPeer is a gateway that somebody has started and set up to forward a model to
// the benchmark's upstream.
type gatewayPeer struct {
	URL, Key, Model string
	PID             string // "": its CPU time is not known
	Upstream        string // the address at which the upstream listens
}

// environment passes it on to the benchmarks.
func (g gatewayPeer) environment() []string {
	if g.URL == "" {
		return nil
	}
	return []string{
		gatewayURLVar + "=" + g.URL, gatewayKeyVar + "=" + g.Key, gatewayModelVar + "=" + g.Model,
		gatewayPIDVar + "=" + g.PID, gatewayUpstreamVar + "=" + g.Upstream,
	}
}
