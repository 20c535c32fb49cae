#!/bin/sh
# Installs the Debian packages that are missing for what is named: build, image, test, gateway, helm, lint, model, fuzz.
set -eu

packages() {
    case $1 in
    build) echo gcc libc6-dev make libh2o-evloop-dev libhiredis-dev libjwt-dev libyajl-dev libssl-dev zlib1g-dev redis-server ;;
    test) echo libcmocka-dev prometheus python3 python3-venv openssl procps util-linux binutils git chromium nodejs ;;
    image) echo binutils ca-certificates ;;
    gateway) echo h2o nginx haproxy openssl ;;
    helm) echo ca-certificates curl python3 python3-venv prometheus ;;
    lint) echo clang-format cppcheck pyflakes3 shellcheck git ;;
    model) echo spin gcc libc6-dev python3 ;;
    fuzz) echo clang libclang-rt-14-dev ;;
    *) echo "deps.sh: unknown group $1" >&2; exit 2 ;;
    esac
}

wanted=
for group in "$@"; do
    wanted="$wanted $(packages "$group")"
done

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    echo "This is no Debian. belfry needs: a C compiler and make, libh2o 2.2.5 (evloop), hiredis 0.14 or later, libjwt 1.10," \
        "yajl 2.1, OpenSSL 3, zlib, and redis-server 6.2 or later; its tests cmocka, Python 3 with venv, Node.js and Chromium." >&2
    exit 2
fi

# shellcheck disable=SC2086
installed=" $(dpkg-query -W -f '${db:Status-Status}:${Package} ' $wanted 2>/dev/null || true)"
missing=
for package in $wanted; do
    case "$installed $missing " in
    *" installed:$package "* | *" $package "*) ;;
    *) missing="$missing $package" ;;
    esac
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" = 0 ]; then
    sudo=
elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
    sudo="sudo -n"
else
    echo "Please install what is missing:" >&2
    echo "  apt-get install -y$missing" >&2
    exit 2
fi
echo "installing:$missing"
# Servers are started by belfry and by the tests themselves: what is installed does not have to run beside them.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
    trap '$sudo rm -f $policy' EXIT
    trap 'exit 1' HUP INT TERM
    printf '#!/bin/sh\nexit 101\n' | $sudo tee $policy >/dev/null
    $sudo chmod 755 $policy
fi
export DEBIAN_FRONTEND=noninteractive
$sudo apt-get update -qq
# shellcheck disable=SC2086
$sudo apt-get install -y -qq --no-install-recommends $missing >/dev/null
