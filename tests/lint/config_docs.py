#!/usr/bin/env python3
"""Holds the tables of variables and of metrics in the documentation to those in the code.

Without arguments it compares, and exits 1 where they differ; --write puts the code's table into the files.
--self-test shows that a planted difference is found."""
import argparse
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]


class Table:
    """A table that a hidden option of the binary prints, and the files that hold it between two marks."""

    def __init__(self, name, option, least_rows, required, optional=()):
        self.name, self.option, self.least_rows = name, option, least_rows
        self.required, self.optional = required, optional  # optional: only if it is there; but if it is, it has the table
        self.begin, self.end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"


TABLES = [
    Table("configuration", "--help-markdown", 20, ["docs/configuration.md"], ["README.md"]),
    Table("metrics", "--metrics-markdown", 40, ["docs/metrics.md"]),
]


class Problem(Exception):
    pass


def replace_table(text: str, table: Table, rows: str, name: str) -> str:
    if text.count(table.begin) != 1 or text.count(table.end) != 1 or text.index(table.begin) > text.index(table.end):
        raise Problem(f"{name}: needs one line {table.begin} and after it one line {table.end}")
    head, rest = text.split(table.begin)
    _, tail = rest.split(table.end)
    return f"{head}{table.begin}\n{rows}{table.end}{tail}"


def rows_of(table: Table, binary: str) -> str:
    try:
        out = subprocess.run([binary, table.option], check=True, capture_output=True, timeout=30).stdout.decode()
    except (OSError, subprocess.SubprocessError) as e:
        raise Problem(f"{binary} {table.option}: {e}") from e
    if out.count("\n| `") < table.least_rows:
        raise Problem(f"{binary} {table.option} prints no table of all {table.name}")
    return out


def hold(table: Table, binary: str, write: bool, root: pathlib.Path = ROOT) -> int:
    """The number of files that differ from the code."""
    rows = rows_of(table, binary)
    names = table.required + [name for name in table.optional if (root / name).exists()]
    differing = 0
    for name in names:
        path = root / name
        if not path.exists():
            raise Problem(f"{name} is missing")
        old = path.read_text(encoding="utf-8")
        new = replace_table(old, table, rows, name)
        if old == new:
            continue
        if write:
            path.write_text(new, encoding="utf-8")
            print(f"{name}: written")
        else:
            differing += 1
            print(f"{name}: the {table.name} table is not the code's; run tests/lint/config_docs.py --write")
    if differing == 0:
        print(f"{table.name} table: {len(names)} file(s) hold the code's")
    return differing


def run(binary: str, write: bool) -> int:
    return 1 if sum(hold(table, binary, write) for table in TABLES) else 0


def self_test() -> int:
    table = Table("t", "--t", 1, [])
    begin, end = table.begin, table.end
    good = f"a\n{begin}\n| x |\n{end}\nb\n"
    assert replace_table(good, table, "| x |\n", "f") == good
    assert replace_table(good, table, "| y |\n", "f") != good
    assert replace_table(f"{begin}{end}", table, "t\n", "f") == f"{begin}\nt\n{end}"
    for bad in ("", begin, end, end + begin, good + good):
        try:
            replace_table(bad, table, "t\n", "f")
        except Problem:
            continue
        raise AssertionError(f"accepted: {bad!r}")
    print("tables of the documents: self-test passed")
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
