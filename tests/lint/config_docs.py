#!/usr/bin/env python3
"""Holds the configuration table of the documentation to the one in the code.

Without arguments it compares, and exits 1 where they differ; --write puts the code's table into the files.
--self-test shows that a planted difference is found."""
import argparse
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
BEGIN = "<!-- configuration:begin -->"
END = "<!-- configuration:end -->"
REQUIRED = ["docs/configuration.md"]
OPTIONAL = ["README.md"]  # only if it is there; but if it is, it has the table


class Problem(Exception):
    pass


def replace_table(text: str, table: str, name: str) -> str:
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise Problem(f"{name}: needs one line {BEGIN} and after it one line {END}")
    head, rest = text.split(BEGIN)
    _, tail = rest.split(END)
    return f"{head}{BEGIN}\n{table}{END}{tail}"


def table_of(binary: str) -> str:
    try:
        out = subprocess.run([binary, "--help-markdown"], check=True, capture_output=True, timeout=30).stdout.decode()
    except (OSError, subprocess.SubprocessError) as e:
        raise Problem(f"{binary} --help-markdown: {e}") from e
    if out.count("\n| `") < 20:
        raise Problem(f"{binary} --help-markdown prints no table of all variables")
    return out


def run(binary: str, write: bool, root: pathlib.Path = ROOT) -> int:
    table = table_of(binary)
    names = REQUIRED + [name for name in OPTIONAL if (root / name).exists()]
    differing = 0
    for name in names:
        path = root / name
        if not path.exists():
            raise Problem(f"{name} is missing")
        old = path.read_text(encoding="utf-8")
        new = replace_table(old, table, name)
        if old == new:
            continue
        if write:
            path.write_text(new, encoding="utf-8")
            print(f"{name}: written")
        else:
            differing += 1
            print(f"{name}: the configuration table is not the code's; run tests/lint/config_docs.py --write")
    if differing == 0:
        print(f"configuration table: {len(names)} file(s) hold the code's")
    return 1 if differing else 0


def self_test() -> int:
    good = f"a\n{BEGIN}\n| x |\n{END}\nb\n"
    assert replace_table(good, "| x |\n", "f") == good
    assert replace_table(good, "| y |\n", "f") != good
    assert replace_table(f"{BEGIN}{END}", "t\n", "f") == f"{BEGIN}\nt\n{END}"
    for bad in ("", BEGIN, END, END + BEGIN, good + good):
        try:
            replace_table(bad, "t\n", "f")
        except Problem:
            continue
        raise AssertionError(f"accepted: {bad!r}")
    print("configuration table: self-test passed")
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="update the files")
    parser.add_argument("--self-test", action="store_true", help="show that differences are found")
    parser.add_argument("--binary", default=str(ROOT / "build" / "belfry"))
    args = parser.parse_args()
    try:
        return self_test() if args.self_test else run(args.binary, args.write)
    except Problem as e:
        print(e, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
