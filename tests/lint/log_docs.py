#!/usr/bin/env python3
"""Holds the table of docs/logs.md to the log lines in the code: each event with its level and its fields, and no other.

A row is `| event | level | fields | meaning |`. Finding no call is a failure too. --self-test shows that it can fail.
"""

import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGE = "docs/logs.md"
ROW = re.compile(r"^\| `(\w+)` \| ([a-z, ]+) \| ([^|]*) \| [^|]{5,} \|$", re.MULTILINE)
CALL = re.compile(r"\b(log_event|log_fields)\(")
FIELD = re.compile(r"\bLOG_[SZIUB]\(\"(\w+)\"")
MACRO = re.compile(r"^#define (LOG_[A-Z]{2,})\(\w+\)((?:.*\\\n)*.*)$", re.MULTILINE)
FUNCTION = re.compile(r"^[a-z][^;{}()]*?(\w+)\([^;{}]*\)\n\{\n", re.MULTILINE)
ANY = "any"


def arguments(text, start):
    """The arguments of the call whose parenthesis opens just before `start`."""
    depth, quoted, out, at = 1, False, [], start
    for i in range(start, len(text)):
        c = text[i]
        if c == '"' and text[i - 1] != "\\":
            quoted = not quoted
        if quoted:
            continue
        depth += (c in "({") - (c in ")}")
        if depth == 0 or (depth == 1 and c == ","):
            out.append(text[at:i].strip())
            at = i + 1
        if depth == 0:
            return out
    raise ValueError("a call without an end")


def enclosing(text, at):
    """(name, text) of the function around `at`."""
    head = [m for m in FUNCTION.finditer(text, 0, at)][-1]
    return head.group(1), text[head.start():text.index("\n}\n", head.start())]


def fields_of(text, macros):
    for name, inside in macros.items():
        text = re.sub(rf"\b{name}\(\w+\)", lambda _: inside, text)
    return set(FIELD.findall(text))


def level_of(text):
    literal = re.fullmatch(r"LOG_LEVEL_(\w+)", text)
    return literal.group(1).lower() if literal else ANY


def calls(text):
    """(event, level, text with the fields) of each log line that a file writes."""
    for m in CALL.finditer(text):
        given = arguments(text, m.end())
        if given[0].startswith("enum "):
            continue  # a declaration
        function, body = enclosing(text, m.start())
        inside = ",".join(given[2:]) if m.group(1) == "log_event" else body
        if given[1].startswith('"'):
            yield given[1].strip('"'), level_of(given[0]), inside
        else:  # named by who calls this function
            for caller in re.finditer(rf'\b{function}\("(\w+)"', text):
                yield caller.group(1), level_of(given[0]), inside


def written(files):
    """{event: (levels, fields)} of the code."""
    macros = {name: inside for text in files.values() for name, inside in MACRO.findall(text)}
    events = {}
    for path, text in files.items():
        if path in ("core/log.h", "core/log.c"):
            continue
        for event, level, inside in calls(text):
            levels, fields = events.setdefault(event, (set(), set()))
            levels.add(level)
            fields |= fields_of(inside, macros)
    return events


def check(files, page):
    code = written(files)
    rows = ROW.findall(page)
    if not code or not rows:
        return ["no log line in the code, or no row in the table: nothing was checked"]
    found = [f"{PAGE}: {event} twice" for event in {r[0] for r in rows} if [r[0] for r in rows].count(event) > 1]
    told = {event: (set(levels.split(", ")), set(re.findall(r"`(\w+)`", fields))) for event, levels, fields in rows}
    found += [f"{PAGE} lacks the event {event}" for event in code.keys() - told.keys()]
    found += [f"{PAGE} tells of {event}, which nobody writes" for event in told.keys() - code.keys()]
    for event in code.keys() & told.keys():
        (levels, fields), (told_levels, told_fields) = code[event], told[event]
        if fields != told_fields:
            found.append(f"{PAGE}: {event} has the fields {sorted(fields)}, not {sorted(told_fields)}")
        if ANY not in levels and levels != told_levels:
            found.append(f"{PAGE}: {event} is of level {sorted(levels)}, not {sorted(told_levels)}")
    return sorted(found)


def tracked(root):
    listing = subprocess.run(["git", "-C", root, "ls-files", "-z", "--", "core", "handlers", "api", "pubsub", "server"],
                             check=True, capture_output=True, text=True).stdout
    paths = [pathlib.Path(root, p) for p in listing.split("\0") if p.endswith((".c", ".h"))]
    return {str(p.relative_to(root)): p.read_text(encoding="utf-8") for p in paths if p.is_file()}


GOOD_CODE = {
    "core/log.h": "#define log_event(level, event, ...)\n#define LOG_WHO(c) LOG_S(\"user\", c)\n",
    "server/a.c": "static int complain(const char *event, int n)\n{\n    log_event(LOG_LEVEL_ERROR, event, LOG_I(\"n\", n));\n}\n"
                  "\nint a(void)\n{\n    complain(\"rope_torn\", 1);\n    log_event(LOG_LEVEL_INFO, \"rung\", LOG_WHO(c),\n"
                  "              LOG_Z(\"bell\", x ? \"a, (b\" : \"c\"));\n}\n",
    "server/b.c": "void b(int level)\n{\n    x[n++] = LOG_I(\"status\", 1);\n    log_fields(level, \"asked\", x, n);\n}\n",
}
GOOD_PAGE = ("| `rope_torn` | error | `n` | a rope is torn |\n| `rung` | info | `user`, `bell` | a bell has rung |\n"
             "| `asked` | info, debug | `status` | somebody asks |\n")


def self_test():
    code = GOOD_CODE
    assert check(code, GOOD_PAGE) == [], check(code, GOOD_PAGE)
    for old, new in (("`rung`", "`rang`"), ("`n`", "`m`"), ("| info | ", "| warn | "), ("`asked`", "`rung`"), ("`status`", "")):
        assert check(code, GOOD_PAGE.replace(old, new)), f"passes with {new} for {old}"
    assert check({}, GOOD_PAGE) and check(code, "")
    more = {**code, "api/c.c": "void c(void)\n{\n    log_event(LOG_LEVEL_WARN, \"cracked\", LOG_U(\"bells\", 1));\n}\n"}
    assert check(more, GOOD_PAGE) == [f"{PAGE} lacks the event cracked"]
    print("log lines: self-test passed")
    return 0


def main():
    if sys.argv[1:] == ["--self-test"]:
        return self_test()
    if sys.argv[1:]:
        sys.exit("usage: log_docs.py [--self-test]")
    page = ROOT / PAGE
    found = check(tracked(ROOT), page.read_text(encoding="utf-8") if page.exists() else "")
    print("\n".join(found) if found else f"log lines: {PAGE} tells of all")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
