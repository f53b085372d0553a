# Sourced by the scripts beside it: what is released, and when it was committed.

# The commit's tag, or the version that Go gives to a commit without one.
version=$(git describe --tags --exact-match --match 'v*' 2>/dev/null ||
	TZ=UTC git log -1 --date=format-local:%Y%m%d%H%M%S --abbrev=12 --format=v0.0.0-%cd-%h)
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH
