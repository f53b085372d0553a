#!/usr/bin/env bash
# Makes container images from the archives in dist/, which `docker load` and
# `podman load` take and name caddy-freetier:latest.
#
#   release/image.sh [ARCHITECTURE]...   (default: amd64 arm64)
#
# Needs root, and buildah and the files of ca-certificates and media-types from
# Debian's packages. No container engine runs, and nothing is downloaded.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source release/version.sh
[ $# -gt 0 ] || set -- amd64 arm64

work=$(mktemp -d)
# buildah, with a storage of its own, which ends with this script.
storage=(--storage-driver vfs --root "$work/storage" --runroot "$work/run")
trap 'rm -rf "$work"' EXIT

for arch; do
	name=caddy-freetier_${version}_linux_$arch
	context=$work/$arch
	mkdir -p "$context"/{system,state}
	(
		cd "$context/system"
		install -d usr/bin etc/caddy etc/ssl/certs srv usr/share/doc/caddy-freetier
		install -d -m 1777 tmp
		tar -xzf "$OLDPWD/dist/$name.tar.gz" -C "$context"
		install -m 755 "$context/$name/caddy" usr/bin/caddy
		install -m 644 "$context/$name/LICENSE" usr/share/doc/caddy-freetier/LICENSE
		install -m 644 "$OLDPWD/release/Caddyfile" etc/caddy/Caddyfile
		install -m 644 /etc/ssl/certs/ca-certificates.crt etc/ssl/certs/ca-certificates.crt
		install -m 644 /etc/mime.types etc/mime.types
		echo caddy:x:65532:65532:Caddy:/data:/ >etc/passwd
		echo caddy:x:65532: >etc/group
		rm -r "${context:?}/$name"
		install -d "$context/state/data" "$context/state/config"
	)
	buildah "${storage[@]}" bud --quiet --isolation chroot --platform "linux/$arch" --format oci \
		--timestamp "$SOURCE_DATE_EPOCH" --label "org.opencontainers.image.version=$version" \
		--file release/Containerfile --tag caddy-freetier:latest "$context" >/dev/null
	buildah "${storage[@]}" push --quiet caddy-freetier:latest \
		"docker-archive:$work/image.tar:caddy-freetier:latest" >/dev/null
	gzip -n -9 <"$work/image.tar" >"dist/$name.image.tar.gz"
	rm -rf "$context" "$work/image.tar"
done
cd dist
sha256sum -- *.tar.gz >SHA256SUMS
cat SHA256SUMS
