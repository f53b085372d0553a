#!/usr/bin/env bash
# Makes the release archives in dist/, and their checksums in dist/SHA256SUMS.
#
#   release/archives.sh [ARCHITECTURE]...   (default: amd64 arm64)
#
# It builds the current commit, without what is not committed, and gives the same
# bytes wherever and whenever it is built by the same version of Go. Needs Go, git,
# GNU tar and gzip.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source release/version.sh
[ $# -gt 0 ] || set -- amd64 arm64

# What an archive has besides the program: the lines of the README work in it as
# they do in a clone.
files=(LICENSE README.md Caddyfile.example docs examples)

dist=$PWD/dist
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
rm -rf "$dist"
mkdir "$dist"
git clone -q . "$stage/source"
cd "$stage/source"
for arch; do
	name=caddy-freetier_${version}_linux_$arch
	mkdir "$stage/$name"
	cp -r "${files[@]}" "$stage/$name"
	CGO_ENABLED=0 GOOS=linux GOARCH=$arch go build -trimpath -buildvcs=true -ldflags '-s -w' \
		-tags nobadger,nomysql,nopgx -o "$stage/$name/caddy" ./cmd/caddy
	tar -C "$stage" --format=gnu --sort=name --mtime="@$SOURCE_DATE_EPOCH" --mode=u=rwX,go=rX \
		--owner=0 --group=0 --numeric-owner -cf - "$name" | gzip -n -9 >"$dist/$name.tar.gz"
done
cd "$dist"
sha256sum -- *.tar.gz >SHA256SUMS
cat SHA256SUMS
