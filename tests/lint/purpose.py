#!/usr/bin/env python3
"""Checks that every tracked C file begins with a comment that says in its first line what the file is for.

Finding no file is a failure too. Exit code 0 or 1. --self-test shows that it can fail.
"""

import re
import sys

from includes import expect, main, self_test_repository

# At the very first byte, with at least two words: a file name or a licence tag alone says nothing.
PURPOSE = re.compile(r"/\* \S+ \S+")
NOT_A_PURPOSE = re.compile(r"/\* *(copyright|\(c\)|spdx|licen[cs]e|todo|fixme)", re.IGNORECASE)


def says_its_purpose(text):
    first_line = text.split("\n", 1)[0].removesuffix("*/")
    return PURPOSE.match(first_line) is not None and NOT_A_PURPOSE.match(first_line) is None


def check(files):
    """Complaints about {path: text}."""
    if not files:
        return ["no tracked C file was found: nothing was checked"]
    return [f"{path}:1: does not begin with a comment that says what it is for"
            for path in sorted(files) if not says_its_purpose(files[path])]


GOOD = {"core/a.c": "/* Counts the bells. */\nint bells;\n", "core/b.h": "/* The bells, and\n * their ropes. */\n"}
BAD = [
    "",
    "int bells;\n",
    "\n/* Counts the bells. */\n",
    "\ufeff/* Counts the bells. */\n",
    "#ifndef A_H\n/* Counts the bells. */\n",
    "/* */\n",
    "/*\n * Counts the bells.\n */\n",
    "/* a.c */\n",
    "// Counts the bells.\n",
    "/* Copyright 2026 by somebody. */\n",
    "/* SPDX-License-Identifier: MIT or so */\n",
    "/* TODO say what this is */\n",
]


def self_test():
    expect(check(GOOD) == [], f"good files have complaints: {check(GOOD)}")
    for text in BAD:
        expect(len(check({**GOOD, "core/x.c": text})) == 1, f"{text!r} passes")
    self_test_repository(check, GOOD, {"core/x.c": BAD[1]})
    print("purpose: self-test passed")
    return 0


if __name__ == "__main__":
    sys.exit(main("purpose", check, self_test, sys.argv[1:]))
