#!/bin/sh
# Runs the unit tests given, two at a time; shows what failed, and at last how many passed.
set -u
[ $# -gt 0 ] || { echo "no unit test to run" >&2; exit 1; }
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
export logs
printf '%s\n' "$@" | xargs -P 2 -I{} sh -c '"$1" >"$logs/$(basename "$1")" 2>&1 || touch "$logs/$(basename "$1").failed"' _ {}
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
