#!/bin/sh
# Puts the CRDs of ServiceMonitor and PrometheusRule, as the Prometheus Operator's release has them, into build/crds; they
# come with its Go module. Needs the Go that get_helm.sh has found.
set -eu
cd "$(dirname "$0")/../.."
version=v0.79.2
build=${1:-build}
kinds='servicemonitors prometheusrules'
mkdir -p "$build/crds"
exec 9>"$build/crds/.lock"
flock 9
[ "$(cat "$build/crds/.version" 2>/dev/null)" != $version ] || exit 0
go=go
[ ! -x "$build/go/bin/go" ] || go=$build/go/bin/go
go=$(command -v "$go")
case $go in /*) ;; *) go=$PWD/$go ;; esac
empty=$(mktemp -d)
trap 'rm -rf "$empty"' EXIT
folder=$(cd "$empty" && "$go" mod download -json "github.com/prometheus-operator/prometheus-operator@$version" |
    sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')
for kind in $kinds; do
    cp "$folder/example/prometheus-operator-crd/monitoring.coreos.com_$kind.yaml" "$build/crds/$kind.yaml"
    chmod u+w "$build/crds/$kind.yaml"
done
echo $version >"$build/crds/.version"
