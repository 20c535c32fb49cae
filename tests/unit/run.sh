#!/bin/sh
# Runs the unit tests given, as many at a time as there are CPUs; shows what failed, and at last how many passed.
set -u
[ $# -gt 0 ] || { echo "no unit test to run" >&2; exit 1; }
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
export logs
# shellcheck disable=SC2016
one='log=$logs/$(basename "$1"); "$1" >"$log" 2>&1 || touch "$log.failed"'
printf '%s\n' "$@" | xargs -P "$(nproc)" -I{} sh -c "$one" _ {}
for failed in "$logs"/*.failed; do
    [ -e "$failed" ] || continue
    echo "--- $(basename "$failed" .failed)"
    cat "${failed%.failed}"
done
passed=$(cat "$logs"/test_* | grep -c '^\[ *OK *\]')
failed=$(cat "$logs"/test_* | grep -c '^\[  FAILED  \] [a-z].*[^:]$')
broken=$(find "$logs" -name '*.failed' | wc -l)
[ "$failed" -ge "$broken" ] || failed=$broken
echo "unit: $passed passed, $failed failed"
[ "$broken" = 0 ] && [ "$passed" -gt 0 ]
