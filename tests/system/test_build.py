"""The Makefile, on a small tree of its own; and what it has to put into the binary."""

import json
import os
import re
import shutil
import subprocess

import pytest

import belfry as processes
from belfry import PATIENCE, ROOT

LAYERS = ["core", "pubsub", "handlers", "api", "server"]
EMBEDS = re.compile(r'^EMBED\(\w+, "([^"]+)"\)', re.MULTILINE)


def make(*arguments, cwd=ROOT):
    """Runs make as from a fresh shell: nothing of a make that runs these tests reaches it."""
    env = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "CI", "SAN", "BUILD", "V")}
    return subprocess.run(["make", "--no-print-directory", "V=1", *arguments], cwd=cwd, env=env, capture_output=True, text=True,
                          timeout=60 * PATIENCE)


def made(*arguments, cwd):
    """The objects that a successful make has compiled, without their folder."""
    done = make(*arguments, cwd=cwd)
    assert done.returncode == 0, done.stdout + done.stderr
    return sorted(re.findall(r"-o build/\S*?obj/(\S+)\.o ", done.stdout))


@pytest.fixture
def tree(tmp_path):
    """A program of two files in the layers of the real one, with the real Makefile."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    for layer in LAYERS:
        (tmp_path / layer).mkdir()
    (tmp_path / "core/bells.h").write_text("/* Counts bells. */\nint bells_count(void);\n")
    (tmp_path / "core/bells.c").write_text('#include "core/bells.h"\nint bells_count(void)\n{\n    return 8;\n}\n')
    (tmp_path / "core/rope.c").write_text("int rope_length(void);\nint rope_length(void)\n{\n    return 1;\n}\n")
    (tmp_path / "server/main.c").write_text('#include "core/bells.h"\nint main(void)\n{\n    return bells_count();\n}\n')
    return tmp_path


def test_a_second_make_does_nothing(tree):
    assert made("-j4", cwd=tree) == ["core/bells", "core/rope", "server/main"]
    assert subprocess.run([tree / "build/belfry"]).returncode == 8
    second = make(cwd=tree)
    assert second.returncode == 0 and second.stdout == "make: Nothing to be done for 'all'.\n"
    assert make("-q", cwd=tree).returncode == 0


def test_a_header_rebuilds_what_includes_it_and_nothing_else(tree):
    made(cwd=tree)
    (tree / "core/bells.h").write_text("/* Counts many bells. */\nint bells_count(void);\n")
    assert made(cwd=tree) == ["core/bells", "server/main"]


def test_other_flags_rebuild_everything(tree):
    made(cwd=tree)
    assert made("CFLAGS=-O1", cwd=tree) == ["core/bells", "core/rope", "server/main"]
    assert made("CFLAGS=-O1", cwd=tree) == []


def test_a_file_that_is_gone_leaves_the_binary(tree):
    made(cwd=tree)
    (tree / "core/bells.c").unlink()
    gone = make(cwd=tree)
    assert gone.returncode != 0 and "bells_count" in gone.stderr


def test_sanitizers_build_beside_each_other(tree):
    made(cwd=tree)
    assert made("SAN=address", cwd=tree) == ["core/bells", "core/rope", "server/main"]
    assert made(cwd=tree) == []
    assert "__asan_init" in symbols(tree / "build/address/belfry") - symbols(tree / "build/belfry")
    unknown = make("SAN=adress", cwd=tree)
    assert unknown.returncode == 2 and "address, thread or nothing" in unknown.stderr


def test_a_warning_fails_the_build_in_ci_only(tree):
    (tree / "core/rope.c").write_text("int rope_length(void)\n{\n    return 1;\n}\n")
    assert made(cwd=tree)
    (tree / "build/obj/core/rope.o").unlink()
    strict = make("CI=1", cwd=tree)
    assert strict.returncode != 0 and "-Werror=missing-prototypes" in strict.stderr


def test_editors_are_told_each_command(tree):
    made("CFLAGS=-DQUOTED='\"a b\"'", cwd=tree)
    commands = json.loads((tree / "compile_commands.json").read_text())
    assert sorted(c["file"] for c in commands) == ["core/bells.c", "core/rope.c", "server/main.c"]
    for command in commands:
        assert command["directory"] == str(tree)
        assert "-DQUOTED='\"a b\"'" in command["command"] and command["command"].endswith(f"-c {command['file']}")
        assert subprocess.run(command["command"] + " -o /dev/null", shell=True, cwd=tree).returncode == 0


def test_install_and_clean(tree):
    (tree / "LICENSE").write_text("free\n")
    done = make("install", f"DESTDIR={tree}/stage", "PREFIX=/opt/belfry", cwd=tree)
    assert done.returncode == 0, done.stderr
    files = sorted(str(p.relative_to(tree / "stage")) for p in (tree / "stage").rglob("*") if p.is_file())
    assert files == ["opt/belfry/bin/belfry", "opt/belfry/share/doc/belfry/LICENSE"]
    assert os.access(tree / "stage/opt/belfry/bin/belfry", os.X_OK)
    assert make("clean", cwd=tree).returncode == 0 and not (tree / "build").exists()


def test_help_lists_the_targets():
    shown = make("help").stdout
    listed = re.findall(r"^  make (\S+) +\S", shown, re.MULTILINE)
    assert {"all", "deps", "run", "test", "unit", "system", "lint", "fmt", "fuzz", "bench", "check-full", "install", "clean",
            "help"} <= set(listed)
    assert "$" not in shown


def embedded():
    """Each file that is put into the binary, with the object that holds it."""
    found = []
    for layer in LAYERS:
        for source in sorted((ROOT / layer).glob("*.c")):
            found += [(path, str(source.relative_to(ROOT).with_suffix(""))) for path in EMBEDS.findall(source.read_text())]
    return found


def test_files_in_the_binary_are_found():
    assert {"openapi.yaml", "asyncapi.yaml", "handlers/demo.html", "pubsub/publish.lua"} <= {path for path, _ in embedded()}


@pytest.mark.parametrize("path, holder", embedded())
def test_a_changed_file_is_put_into_the_binary_again(path, holder):
    planned = make("-n", "-W", path, f"build/obj/{holder}.o").stdout
    assert f"-o build/obj/{holder}.o {holder}.c" in planned


def symbols(binary):
    """What a binary imports, without versions."""
    listing = subprocess.run(["readelf", "-W", "--dyn-syms", binary], capture_output=True, text=True, check=True).stdout
    return {line.split()[7].split("@")[0] for line in listing.splitlines() if " UND " in line and len(line.split()) > 7}


def test_the_binary_is_hardened():
    def readelf(option):
        return subprocess.run(["readelf", "-W", option, processes.binary()], capture_output=True, text=True, check=True).stdout

    assert re.search(r"Type: +DYN \(Position-Independent", readelf("-h"))
    dynamic, segments = readelf("-d"), readelf("-l")
    assert re.search(r"\(FLAGS_1\).*NOW.*PIE", dynamic) or ("BIND_NOW" in dynamic and "PIE" in dynamic)
    assert "GNU_RELRO" in segments
    assert re.search(r"GNU_STACK .* RW  ", segments)
    assert "TEXTREL" not in dynamic and "RPATH" not in dynamic and "RUNPATH" not in dynamic
    imported = symbols(processes.binary())
    assert "__stack_chk_fail" in imported
    if not imported & {"__asan_init", "__tsan_init"}:  # they replace what is fortified
        assert any(name.endswith("_chk") and name.startswith("__") for name in imported)


def test_nothing_but_what_is_needed_is_linked():
    needed = re.findall(r"\(NEEDED\).*\[lib([a-z0-9-]+)\.",
                        subprocess.run(["readelf", "-d", processes.binary()], capture_output=True, text=True, check=True).stdout)
    assert set(needed) - {"asan", "ubsan", "tsan", "gcc_s"} <= {"h2o-evloop", "hiredis", "jwt", "yajl", "ssl", "crypto", "z", "m", "c"}
