#!/usr/bin/env python3
"""Makes the tables of the chart's README.md from the comments of its values.yaml.

Without arguments it compares, and exits 1 where they differ; --write puts the tables into README.md. Every value needs a
comment above it; a map without comments inside is one value. Lines that begin with two hashes head the sections."""

import json
import pathlib
import sys

import yaml

CHART = pathlib.Path(__file__).resolve().parents[2] / "helm" / "belfry"
BEGIN = "<!-- values:begin -->"
END = "<!-- values:end -->"


class Problem(Exception):
    pass


def comment_above(lines, number):
    """The comment that ends just above line `number`, as one line; "" if there is none."""
    words = []
    for line in reversed(lines[:number]):
        text = line.strip()
        if not text.startswith("#") or text.startswith("##"):
            break
        words.insert(0, text.lstrip("# "))
    return " ".join(words)


def last_line(node):
    """Where the last key or item inside begins; a map's own end mark lies behind the comments that follow it."""
    inner = [n for pair in node.value for n in pair] if isinstance(node, yaml.MappingNode) else node.value
    return max(map(last_line, inner)) if inner and not isinstance(node, yaml.ScalarNode) else node.start_mark.line


def has_comments(lines, key, node):
    return any(line.strip().startswith("#") for line in lines[key.start_mark.line:last_line(node)])


def leaves(lines, node, path=()):
    """(line, path, default, description) of every value, in order."""
    for key, value in node.value:
        name = (*path, key.value)
        if isinstance(value, yaml.MappingNode) and value.value and has_comments(lines, key, value):
            yield from leaves(lines, value, name)
            continue
        description = comment_above(lines, key.start_mark.line)
        if not description:
            raise Problem(f"values.yaml:{key.start_mark.line + 1}: {'.'.join(name)} has no comment")
        default = yaml.safe_load(yaml.serialize(value))
        yield key.start_mark.line, ".".join(name), default, description


def sections(lines):
    """(line, title, text below the title) of every section."""
    for number, line in enumerate(lines):
        if line.startswith("## "):
            text = []
            for following in lines[number + 1:]:
                if not following.startswith("# "):
                    break
                text.append(following[2:].strip())
            yield number, line[3:].strip(), text


def rows(text):
    lines = text.splitlines()
    values = list(leaves(lines, yaml.compose(text)))
    heads = list(sections(lines))
    if not values or not heads:
        raise Problem("values.yaml has no value, or no section")
    return values, heads


def cell(text):
    return text.replace("|", "\\|")


def tables(text):
    values, heads = rows(text)
    described = {description for _, _, _, description in values}
    out = []
    for i, (start, title, below) in enumerate(heads):
        end = heads[i + 1][0] if i + 1 < len(heads) else float("inf")
        out.append(f"### {title}\n")
        if below and " ".join(below) not in described:
            out.append("\n".join(below) + "\n")
        out.append("| value | default | meaning |\n|---|---|---|")
        for line, name, default, description in values:
            if start < line < end:
                out.append(f"| `{name}` | `{cell(json.dumps(default, ensure_ascii=False))}` | {cell(description)} |")
        out.append("")
    return "\n".join(out)


def replaced(readme, table):
    if readme.count(BEGIN) != 1 or readme.count(END) != 1 or readme.index(BEGIN) > readme.index(END):
        raise Problem(f"README.md needs one line {BEGIN} and after it one line {END}")
    head, rest = readme.split(BEGIN)
    return f"{head}{BEGIN}\n{table}{END}{rest.split(END)[1]}"


def run(write, chart=CHART):
    path = chart / "README.md"
    old = path.read_text(encoding="utf-8")
    new = replaced(old, tables((chart / "values.yaml").read_text(encoding="utf-8")))
    if old != new and write:
        path.write_text(new, encoding="utf-8")
        print("README.md: written")
    elif old != new:
        print("the chart's README.md is not what values.yaml says; run tests/helm/readme.py --write")
        return 1
    return 0


if __name__ == "__main__":
    try:
        sys.exit(run(sys.argv[1:] == ["--write"]))
    except Problem as problem:
        sys.exit(str(problem))
