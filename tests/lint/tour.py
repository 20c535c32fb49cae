#!/usr/bin/env python3
"""Checks that the paths which CONTRIBUTING.md and README.md name are there: a tour must not send readers to no house.

What stands in backticks or as the target of a link and looks like a path of this tree is looked up. Finding none is a
failure too. Exit code 0 or 1. --self-test shows that it can fail.
"""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGES = ["CONTRIBUTING.md", "README.md"]
FOLDERS = {".ci", "api", "bench", "clients", "core", "docs", "h2o-conf", "handlers", "helm", "pubsub", "server", "tests"}
CODE = re.compile(r"`([^`\s]+)`")
COMMAND = re.compile(r"`(?:[^`]*?[\s=])?((?:" + "|".join(re.escape(f) for f in sorted(FOLDERS)) + r")/[A-Za-z0-9_./-]+)[^`]*`")
LINK = re.compile(r"\]\((?![a-z]+:|#)([^)#\s]+)[^)]*\)")
TOP = re.compile(r"[A-Za-z.-]+\.(?:md|yaml|c|h|supp)|Makefile|Dockerfile|LICENSE|\.clang-format")


def paths(text):
    """The paths that a page names, once each, in its order."""
    named = [p for p in CODE.findall(text) if p.split("/")[0] in FOLDERS and "/" in p or TOP.fullmatch(p)]
    return list(dict.fromkeys(named + COMMAND.findall(text) + LINK.findall(text)))


def check(name, text, root):
    named = paths(text)
    if not named:
        return [f"{name} names no path: nothing was checked"]
    return [f"{name} names {path}, which is not there" for path in named if not (root / path).exists()]


def self_test():
    here = "`tests/lint` `tests/lint/tour.py` [x](README.md) `make system X=tests/lint/tour.py -k y` `Makefile` `core/`"
    assert check("f", here, ROOT) == [], check("f", here, ROOT)
    for bad in ("`tests/lint/gone.py`", "[x](docs/gone.md)", "`make X=tests/gone.py y`", "`run tests/gone.sh`", "`gone.yaml`", "`core/str.x`"):
        assert len(check("f", here + bad, ROOT)) == 1, bad
    for other in ("[x](https://example.com/y)", "[x](#core)", "`/ws/health`", "`build/tests/test_gone`", "`?token=`", "`make test`"):
        assert len(check("f", other, ROOT)) == 1 and "names no path" in check("f", other, ROOT)[0], other
    print("tour: self-test passed")
    return 0


def main():
    if sys.argv[1:] == ["--self-test"]:
        return self_test()
    found = []
    for page in PAGES:
        found += check(page, (ROOT / page).read_text(encoding="utf-8"), ROOT)
    print("\n".join(found + [f"tour: {len(PAGES)} pages, {len(found)} complaints"]))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
