#!/usr/bin/env python3
"""Checks that includes point down only: server -> handlers, api -> pubsub -> core.

handlers/ and api/ never include each other, h2o and hiredis stay out of core/, and hiredis out of handlers/ and api/ too.
All tracked C files are read; finding none, or none of a layer, is a failure too. Exit code 0 or 1. --self-test shows
that it can fail.
"""

import os
import posixpath
import re
import subprocess
import sys
import tempfile

# What a layer may include beside itself. Other folders (tests/, bench/) may include everything.
BELOW = {
    "core": set(),
    "pubsub": {"core"},
    "handlers": {"pubsub", "core"},
    "api": {"pubsub", "core"},
    "server": {"handlers", "api", "pubsub", "core"},
}
# The libraries that are kept to some layers.
LIBRARIES = {
    "h2o": {"pubsub", "handlers", "api", "server"},
    "hiredis": {"pubsub", "server"},  # server: `belfry check` asks a Redis once, before there is any loop
}

# Strings are matched too, so that "*/*" in one does not begin a comment.
TOKEN = re.compile(r'"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'|/\*.*?\*/|//[^\n]*', re.DOTALL)
INCLUDE = re.compile(r"^[ \t]*#[ \t]*(?:include|include_next|import)\b[ \t]*(.*?)[ \t]*$", re.MULTILINE)
TARGET = re.compile(r'"([^"]+)"$|<([^>]+)>$')


def without_comments(text):
    """The text with each comment replaced by the newlines in it, so that line numbers stay."""

    def replace(match):
        token = match.group(0)
        return token if token[0] in "\"'" else " " + "\n" * token.count("\n")

    return TOKEN.sub(replace, text.replace("\\\n", " \n"))


def included_path(path, target, paths):
    """An include's path from the root of the tree. Quotes look beside the including file first, as the compiler does."""
    beside = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
    if beside in paths or target.startswith("."):
        return beside
    return posixpath.normpath(target)


def complaint(layer, path):
    """Why `layer` may not include `path`, or None."""
    other = path.split("/")[0]
    if other in BELOW:
        if other != layer and other not in BELOW[layer]:
            return f"{layer}/ must not include {other}/"
        return None
    library = other.removesuffix(".h")
    if library in LIBRARIES and layer not in LIBRARIES[library]:
        return f"{layer}/ must not include {library}"
    return None


def check_file(path, text, paths):
    layer = path.split("/")[0]
    if layer not in BELOW:
        return []
    clean = without_comments(text)
    found = []
    for match in INCLUDE.finditer(clean):
        line = clean.count("\n", 0, match.start()) + 1
        target = TARGET.match(match.group(1))
        if target is None:
            found.append(f"{path}:{line}: an include that names no file cannot be checked: {match.group(1)}")
            continue
        quoted, angled = target.groups()
        why = complaint(layer, included_path(path, quoted, paths) if quoted else posixpath.normpath(angled))
        if why is not None:
            found.append(f"{path}:{line}: {why} ({quoted or angled})")
    return found


def check(files):
    """Complaints about {path: text}."""
    if not files:
        return ["no tracked C file was found: nothing was checked"]
    found = [f"{layer}/ has no tracked C file: nothing of it was checked"
             for layer in BELOW if not any(path.startswith(layer + "/") for path in files)]
    for path in sorted(files):
        found += check_file(path, files[path], files)
    return found


def tracked_files(root):
    """The tracked C sources and headers below `root`, {path: text}."""
    listing = subprocess.run(["git", "-C", root, "ls-files", "-z", "--", "*.c", "*.h"], check=True, stdout=subprocess.PIPE)
    files = {}
    for path in filter(None, listing.stdout.decode().split("\0")):
        full = os.path.join(root, path)
        if os.path.isfile(full):  # removed, and not committed yet
            with open(full, encoding="utf-8", errors="replace") as f:
                files[path] = f.read()
    return files


def run(name, check_files, root):
    files = tracked_files(root)
    found = check_files(files)
    for line in found:
        print(line)
    print(f"{name}: {len(files)} files, {len(found)} complaints")
    return 1 if found else 0


def expect(condition, what):
    if not condition:
        sys.exit(f"self-test failed: {what}")


def self_test_repository(check_files, good, bad):
    """The whole way, through git: an empty repository and one with `bad` in it fail, one with `good` only passes."""
    with tempfile.TemporaryDirectory() as root:
        subprocess.run(["git", "init", "-q", root], check=True)
        expect(run("self-test", check_files, root) == 1, "an empty tree passes")
        for files, code in ((good, 0), (bad, 1)):
            for path, text in files.items():
                os.makedirs(os.path.join(root, os.path.dirname(path)), exist_ok=True)
                with open(os.path.join(root, path), "w", encoding="utf-8") as f:
                    f.write(text)
            subprocess.run(["git", "-C", root, "add", "."], check=True)
            expect(run("self-test", check_files, root) == code, f"exit code is not {code} with {sorted(files)}")


GOOD = {
    "core/a.c": '#include "core/a.h"\n#include <string.h>\n/* #include "api/x.h"\n */\n// #include <h2o.h>\n',
    "core/a.h": '#include "b.h"\n',
    "core/b.h": 'static const char *any = "*/*";\n',
    "pubsub/p.c": '#include <h2o.h>\n#include <hiredis/hiredis.h>\n#include "core/a.h"\n#include "../core/b.h"\n',
    "handlers/h.c": '#include <h2o.h>\n#include "pubsub/p.h"\n#include "core/a.h"\n#include "api/own.h"\n',
    "handlers/api/own.h": "\n",
    "api/r.c": '#include "pubsub/p.h"\n#include "core/a.h"\n#include <h2o/socket.h>\n',
    "server/main.c": '#include "api/r.h"\n#include "handlers/h.h"\n#include "pubsub/p.h"\n#include "core/a.h"\n',
    "tests/unit/test_a.c": '#include "api/r.h"\n#include "handlers/h.h"\n#include <hiredis/hiredis.h>\n',
}
BAD = [
    ("core/x.c", '#include "pubsub/p.h"\n', "core/x.c:1: core/ must not include pubsub/"),
    ("core/x.c", '\n\n#  include  "api/r.h" /* why */\n', "core/x.c:3: core/ must not include api/"),
    ("core/x.c", '#include <handlers/h.h>\n', "core/x.c:1: core/ must not include handlers/"),
    ("core/x.h", "#include <h2o.h>\n", "core/x.h:1: core/ must not include h2o"),
    ("core/x.h", "#include <h2o/socket.h>\n", "core/x.h:1: core/ must not include h2o"),
    ("core/x.h", "/* two\nlines */\n#include <hiredis/read.h>\n", "core/x.h:3: core/ must not include hiredis"),
    ("core/x.c", "#include <hiredis.h>\n", "core/x.c:1: core/ must not include hiredis"),
    ("core/x.c", 'char *any = "*/*";\n#include "server/s.h"\n', "core/x.c:2: core/ must not include server/"),
    ("core/deep/x.c", '#include "../../api/r.h"\n', "core/deep/x.c:1: core/ must not include api/"),
    ("pubsub/x.c", '#include "../handlers/h.h"\n', "pubsub/x.c:1: pubsub/ must not include handlers/"),
    ("pubsub/x.c", '#include "server/s.h"\n', "pubsub/x.c:1: pubsub/ must not include server/"),
    ("handlers/x.c", '#include "api/r.h"\n', "handlers/x.c:1: handlers/ must not include api/"),
    ("handlers/x.c", '#include "server/s.h"\n', "handlers/x.c:1: handlers/ must not include server/"),
    ("handlers/x.c", "#include <hiredis/hiredis.h>\n", "handlers/x.c:1: handlers/ must not include hiredis"),
    ("api/x.c", '#include "handlers/h.h"\n', "api/x.c:1: api/ must not include handlers/"),
    ("api/x.c", '#include \\\n"handlers/h.h"\n', "api/x.c:1: an include that names no file"),
    ("api/x.c", "#include <hiredis/hiredis.h>\n", "api/x.c:1: api/ must not include hiredis"),
    ("server/x.c", "#include PLATFORM_HEADER\n", "server/x.c:1: an include that names no file"),
]


def self_test():
    expect(check(GOOD) == [], f"a clean tree has complaints: {check(GOOD)}")
    for path, text, start in BAD:
        found = check({**GOOD, path: text})
        expect(len(found) == 1 and found[0].startswith(start), f"planted {text!r} in {path}: {found}")
    for layer in BELOW:
        found = check({path: text for path, text in GOOD.items() if not path.startswith(layer + "/")})
        expect(any(line.startswith(f"{layer}/ has no") for line in found), f"a tree without {layer}/ passes")
    self_test_repository(check, GOOD, {BAD[0][0]: BAD[0][1]})
    print("includes: self-test passed")
    return 0


def main(name, check_files, own_self_test, arguments):
    if arguments == ["--self-test"]:
        return own_self_test()
    if arguments:
        sys.exit(f"usage: {name}.py [--self-test]")
    here = os.path.dirname(os.path.abspath(__file__))
    return run(name, check_files, os.path.dirname(os.path.dirname(here)))


if __name__ == "__main__":
    sys.exit(main("includes", check, self_test, sys.argv[1:]))
