#!/usr/bin/env bash
# Builds ./caddy: Caddy with all modules of caddy-freetier.
#
#   ./xcaddy.sh [--with MODULE]...       build it
#   ./xcaddy.sh run [--with MODULE]...   build it and run Caddyfile.example
#
# --with adds other plugins, such as a DNS provider: it is passed on to xcaddy.
# `run` without --with keeps the plugins of the last build; a build without --with
# has none. GOOS and GOARCH build for another machine.
# Needs Go and nothing else. Rebuilds only when something has changed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

stamp=.caddy.stamp # the fingerprint, and in the lines that follow the arguments
caddy=github.com/caddyserver/caddy/v2

fail() {
	echo "xcaddy.sh: $*" >&2
	exit 1
}

check_go() {
	local wanted have
	wanted=$(awk '$1 == "go" { print $2 }' go.mod)
	command -v go >/dev/null || fail "Go is not installed. Get Go $wanted or newer: https://go.dev/dl/"
	have=$(GOTOOLCHAIN=local go env GOVERSION)
	have=${have#go}
	if [ "$(printf '%s\n' "$wanted" "${have%%[!0-9.]*}" | sort -V | head -n 1)" != "$wanted" ]; then
		fail "Go $have is too old: Go $wanted or newer is needed. Get it: https://go.dev/dl/"
	fi
}

# What the binary depends on: the arguments, Go, its target and all sources.
fingerprint() {
	{
		printf '%s\n' "$@"
		go version
		go env GOOS GOARCH GOARM GOARM64 GOAMD64 GO386 GOMIPS GOMIPS64 GOPPC64 GORISCV64 GOFLAGS GOEXPERIMENT CGO_ENABLED
		find . -type f \( -name '*.go' -o -name go.mod -o -name go.sum -o -path './modules/*' \) \
			-not -name '*_test.go' -not -path '*/testdata/*' -not -path './.git/*' -print0 |
			sort -z | xargs -0 cksum
	} | cksum
}

build() {
	local now
	now=$(fingerprint "$@")
	if [ -x caddy ] && [ "$now" = "$(head -n 1 $stamp 2>/dev/null)" ]; then
		return
	fi
	echo "Building ./caddy; the first time this takes some minutes."
	rm -f $stamp
	# The tool runs here, whatever it builds for.
	tools=$(mktemp -d)
	trap 'rm -rf "$tools"' EXIT
	GOOS=$(go env GOHOSTOS) GOARCH=$(go env GOHOSTARCH) go build -o "$tools/xcaddy" github.com/caddyserver/xcaddy/cmd/xcaddy
	"$tools/xcaddy" build "$(awk -v m=$caddy '$1 == m { print $2; exit }' go.mod)" \
		--with github.com/caddy-freetier/caddy-freetier@v0.0.0=. "$@" --output caddy
	rm -rf "$tools"
	printf '%s\n' "$now" "$@" >$stamp
}

# The arguments of the last build.
last_arguments() { tail -n +2 $stamp 2>/dev/null; }

run=
if [ "${1-}" = run ]; then
	run=yes
	shift
fi
check_go
target=$(go env GOOS)/$(go env GOARCH)
host=$(go env GOHOSTOS)/$(go env GOHOSTARCH)
if [ -n "$run" ] && [ "$target" != "$host" ]; then
	fail "a build for $target does not run here ($host): build it without run, or unset GOOS and GOARCH"
fi
if [ -n "$run" ] && [ $# = 0 ]; then
	while IFS= read -r argument; do
		set -- "$@" "$argument"
	done < <(last_arguments)
fi
build "$@"
if [ -z "$run" ] && [ "$target" != "$host" ]; then
	echo "Built ./caddy for $target."
	exit
fi
if [ -z "$run" ]; then
	echo "Built ./caddy ($(./caddy version | cut -d ' ' -f 1)). Try it: ./xcaddy.sh run"
	exit
fi
cat <<'EOF'
Try it from another terminal (README.md says what the answers mean):

  curl http://127.0.0.1:8080/v1/chat/completions -H 'Authorization: Bearer demo-key' \
    -d '{"model":"gpt-4","messages":[{"role":"user","content":"Hi"}]}'
  curl http://127.0.0.1:8080/v1/models -H 'Authorization: Bearer demo-key'
  curl http://127.0.0.1:8081/hello
  curl http://127.0.0.1:2019/keepalive/targets
  dig @127.0.0.1 -p 8443 +https demo.test

Ctrl-C ends it.

EOF
exec ./caddy run --config Caddyfile.example --adapter caddyfile
