#!/usr/bin/env python3
"""Runs a command as a container's engine would, without one: container.py ROOT UID:GID COMMAND…

ROOT becomes the root folder, mounted read-only in a mount namespace of its own, without /proc, /sys and /dev; the
command is that uid and gid with no other group and no capability, and cannot gain any. Who is not root gets the uid by
a user namespace. Exit code 77: this machine does not allow namespaces.
"""

import ctypes
import os
import signal
import sys

LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNS, CLONE_NEWUSER = 0x20000, 0x10000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 1, 2, 4, 32, 4096, 16384, 1 << 18
PR_SET_PDEATHSIG, PR_CAPBSET_READ, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 1, 23, 24, 38
NOT_ALLOWED = 77


def check(result, what):
    if result != 0:
        raise OSError(ctypes.get_errno(), f"{what}: {os.strerror(ctypes.get_errno())}")


def mount(source, target, flags):
    check(LIBC.mount(os.fsencode(source), os.fsencode(target), None, flags, None), f"mount {target}")


def own_namespaces(uid, gid):
    euid, egid = os.geteuid(), os.getegid()
    check(LIBC.unshare(CLONE_NEWNS | (CLONE_NEWUSER if euid else 0)), "unshare")
    if euid:
        for name, text in (("setgroups", "deny"), ("gid_map", f"{gid} {egid} 1"), ("uid_map", f"{uid} {euid} 1")):
            with open(f"/proc/self/{name}", "w") as file:
                file.write(text)
    mount("none", "/", MS_REC | MS_PRIVATE)


def enter(root):
    mount(root, root, MS_BIND)
    mount(root, root, MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV)
    os.chroot(root)
    os.chdir("/")


def become(uid, gid):
    capability = 0
    while LIBC.prctl(PR_CAPBSET_READ, capability, 0, 0, 0) >= 0:
        check(LIBC.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0), "prctl")
        capability += 1
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    check(LIBC.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl")
    # Another uid has lost what was set before.
    check(LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0), "prctl")


def main(root, user, *command):
    uid, gid = (int(number) for number in user.split(":"))
    try:
        own_namespaces(uid, gid)
    except OSError as refusal:
        print(f"container.py: {refusal}", file=sys.stderr)
        return NOT_ALLOWED
    enter(root)
    become(uid, gid)
    os.execve(command[0], command, os.environ)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
