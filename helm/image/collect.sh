#!/bin/sh
# Collects the root file system of the image: collect.sh BINARY FOLDER. The binary, the loader, the shared libraries it
# is linked with, whom to trust in TLS, and how names are looked up; no shell, no package manager, nothing else.
#
# The Dockerfile runs it in its build stage, and the tests run it without Docker. Needs ldd, strip (binutils) and the
# packages that the binary was built with, on the same machine.
set -eu
umask 022

[ $# = 2 ] || { echo "usage: collect.sh BINARY FOLDER" >&2; exit 2; }
binary=$1 root=$2
[ -x "$binary" ] || { echo "collect.sh: $binary is not there; make builds it" >&2; exit 2; }
[ ! -e "$root" ] || { echo "collect.sh: $root exists already" >&2; exit 2; }

# Copies what a path leads to, under that path, readable by all and writable by its owner.
put() { # FILE PATH MODE
    mkdir -p "$root$(dirname "$2")"
    cp -L "$1" "$root$2"
    chmod "$3" "$root$2"
}

put "$binary" /usr/bin/belfry 755
strip --strip-all "$root/usr/bin/belfry"

# `name => /path (address)` is a library, `/path (address)` the loader; linux-vdso has no path: the kernel brings it.
closure=$(ldd "$binary")
case $closure in
*"not found"*)
    echo "collect.sh: a library is missing:" "$closure" >&2
    exit 1
    ;;
esac
libraries=$(echo "$closure" | sed -nE 's,^[[:space:]]*([^[:space:]]+ => )?(/[^[:space:]]+) \(0x[0-9a-f]+\)$,\2,p')
[ -n "$libraries" ] || { echo "collect.sh: ldd names no library of $binary" >&2; exit 1; }
for library in $libraries; do
    put "$library" "$library" 755
done

# Where Debian's OpenSSL looks by itself, so that nobody has to name it.
put /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt 644
mkdir -p "$root/usr/lib/ssl"
ln -s ../../../etc/ssl/certs/ca-certificates.crt "$root/usr/lib/ssl/cert.pem"

# Without it the C library asks DNS first, and not the /etc/hosts that a container is given.
mkdir -p "$root/etc"
echo 'hosts: files dns' >"$root/etc/nsswitch.conf"
