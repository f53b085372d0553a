#!/usr/bin/env bash
# Builds ./caddy: Caddy with all modules of caddy-freetier.
#
#   ./xcaddy.sh [--with MODULE]...       build it
#   ./xcaddy.sh run [--with MODULE]...   build it and run Caddyfile.example
#
# --with adds other plugins, such as a DNS provider: it is passed on to xcaddy.
# Needs Go and nothing else. Rebuilds only when something has changed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

stamp=.caddy.stamp
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

# What the binary depends on: the arguments, the Go version and all sources.
fingerprint() {
	{
		printf '%s\n' "$@"
		go version
		find . -type f \( -name '*.go' -o -name go.mod -o -name go.sum -o -path './modules/*' \) \
			-not -name '*_test.go' -not -path '*/testdata/*' -not -path './.git/*' -print0 |
			sort -z | xargs -0 cksum
	} | cksum
}

build() {
	local now
	now=$(fingerprint "$@")
	if [ -x caddy ] && [ "$now" = "$(cat $stamp 2>/dev/null)" ]; then
		return
	fi
	echo "Building ./caddy; the first time this takes some minutes."
	rm -f $stamp
	go tool xcaddy build "$(awk -v m=$caddy '$1 == m { print $2; exit }' go.mod)" \
		--with github.com/caddy-freetier/caddy-freetier@v0.0.0=. "$@" --output caddy
	echo "$now" >$stamp
}

run=
if [ "${1-}" = run ]; then
	run=yes
	shift
fi
check_go
build "$@"
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
