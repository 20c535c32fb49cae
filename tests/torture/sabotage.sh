#!/bin/bash
# Shows that the torture can fail: each patch of tests/torture/sabotage breaks the server in one way, in a copy of the
# tree, and the judge has to find just that ("Finds:" in the patch's first line), with one of a few seeds. Arguments: the
# names of patches, without them all. Exit code 1 if one of them goes unnoticed.
set -euo pipefail
cd "$(dirname "$0")/../.."
root=$PWD
export SECONDS_EACH=${SECONDS_EACH:-12}
copy=$(mktemp -d -t sabotage-XXXXXX)
trap 'rm -rf "$copy"' EXIT
failed=0 passed=0

# A copy that shares no file with the tree, and builds only what a patch changes.
git ls-files -z --cached --others --exclude-standard | xargs -0 cp -a --parents -t "$copy"
mkdir -p "$copy/build"
for part in obj libbelfry.a belfry flags parts; do
    [ ! -e "build/$part" ] || cp -a "build/$part" "$copy/build/"
done

# Runs the torture with one seed after the other until it names the violation.
finds() {
    local kind=$1 seed
    for seed in 1 2 3 4; do
        if BELFRY_BINARY=$copy/build/belfry "$root/build/venv/bin/python" "$root/tests/torture/torture.py" \
            --seconds "$SECONDS_EACH" --clients 120 --crowds 1 --rate 100 --seed "$seed" --folder "$copy/runs" \
            --json "$copy/figures.json" >"$copy/output" 2>&1; then
            continue
        fi
        if python3 -c 'import json, sys; sys.exit(not json.load(open(sys.argv[1]))["violations"][sys.argv[2]])' \
            "$copy/figures.json" "$kind" 2>/dev/null; then
            echo "  seed $seed: $(grep '^violations:' "$copy/output")"
            return 0
        fi
        tail -5 "$copy/output"
    done
    return 1
}

names=("$@")
[ $# != 0 ] || mapfile -t names < <(cd tests/torture/sabotage && printf '%s\n' *.patch | sed 's/\.patch$//')
for name in "${names[@]}"; do
    patch=$root/tests/torture/sabotage/$name.patch
    kind=$(sed -n '1s/^Finds: \(.*\)\.$/\1/p' "$patch")
    echo "sabotage: $name, which has to be found as: $kind"
    patch -d "$copy" -p1 -s -i "$patch"
    make -C "$copy" -s all >/dev/null
    if finds "$kind"; then
        passed=$((passed + 1))
    else
        echo "  NOT found"
        failed=$((failed + 1))
    fi
    patch -d "$copy" -p1 -s -R -i "$patch"
done
echo "sabotage: $passed passed, $failed failed"
[ $failed = 0 ] && [ $passed -gt 0 ]
