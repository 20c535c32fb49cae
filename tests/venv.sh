#!/bin/sh
# Makes build/venv from tests/requirements.txt when it is missing or the requirements have changed.
set -eu
cd "$(dirname "$0")/.."
venv=${1:-build/venv}
mkdir -p "$(dirname "$venv")"
exec 9>"$venv.lock"
flock 9
if [ -f "$venv/requirements.txt" ] && cmp -s tests/requirements.txt "$venv/requirements.txt"; then
    exit 0
fi
rm -rf "$venv"
python=python3
[ -x /usr/bin/python3 ] && python=/usr/bin/python3
"$python" -m venv "$venv"
"$venv/bin/pip" install --quiet --disable-pip-version-check -r tests/requirements.txt
# Last, so that an interrupted installation is done again.
cp tests/requirements.txt "$venv/requirements.txt"
