"""The image, without an engine: the Dockerfile's own steps collect its root, and what is in there starts and serves."""

import json
import os
import pathlib
import re
import shlex
import shutil
import signal
import stat
import subprocess
import sys
import tempfile

import pytest

import container
from belfry import PATIENCE, ROOT, SECRET, Belfry, binary, environment, free_port, wait_for
from clients import Client, user

LIMIT = 40 * 1024 * 1024
pytestmark = pytest.mark.skipif(binary() != (ROOT / "build" / "belfry").resolve(), reason="the image holds the plain build")


def instructions():
    """The Dockerfile as stages: [[(instruction, its text), …], …]."""
    text = re.sub(r"\\\n\s*", "", "\n".join(
        line for line in (ROOT / "Dockerfile").read_text().splitlines() if not line.startswith("#")))
    stages = []
    for line in filter(None, text.splitlines()):
        name, _, rest = line.partition(" ")
        if name == "FROM":
            stages.append([])
        stages[-1].append((name, rest.strip()))
    return stages


def told(name, stage=-1):
    return [text for instruction, text in instructions()[stage] if instruction == name]


def only(name, stage=-1):
    (text,) = told(name, stage)
    return text


@pytest.fixture(scope="module")
def collected():
    """What COPY --from takes, made by the build stage's own command."""
    with tempfile.TemporaryDirectory(prefix="image-") as folder:
        os.chmod(folder, 0o755)
        stage, source = re.fullmatch(r"--from=(\w+) (/\w+)/ /", only("COPY")).groups()
        assert instructions()[0][0] == ("FROM", f"debian:12-slim AS {stage}")
        (command,) = [text for text in told("RUN", 0) if "collect.sh" in text]
        root = pathlib.Path(folder) / "root"
        argv = [part.replace(source, str(root)) for part in shlex.split(command)]
        assert str(root) in argv
        subprocess.run(argv, cwd=ROOT, check=True)
        yield root


def everything(root):
    return sorted(p for p in root.rglob("*") if p.is_symlink() or not p.is_dir())


def elf_files(root):
    return [p for p in everything(root) if not p.is_symlink() and p.read_bytes()[:4] == b"\x7fELF"]


def dynamic(path, tag):
    text = subprocess.run(["readelf", "-dW", path], check=True, capture_output=True, text=True).stdout
    return set(re.findall(rf"\({tag}\).*\[(.*)\]", text))


# ---- what is in it


def test_the_root_is_small(collected):
    size = sum(p.lstat().st_size for p in everything(collected))
    print(f"the image's root: {size / 1048576:.1f} MB in {len(everything(collected))} files")
    assert 1024 * 1024 < size <= LIMIT


def test_nothing_else_is_in_it(collected):
    others = {str(p.relative_to(collected)) for p in everything(collected)} - \
        {str(p.relative_to(collected)) for p in elf_files(collected)}
    assert others == {"etc/nsswitch.conf", "etc/ssl/certs/ca-certificates.crt", "usr/lib/ssl/cert.pem"}
    names = {p.name for p in elf_files(collected)}
    needed = set().union(*(dynamic(p, "NEEDED") for p in elf_files(collected)))
    # Each library is needed by something in there, and nothing that is needed is missing.
    assert needed <= names and names - needed <= {"belfry"} | {n for n in names if n.startswith("ld-linux")}
    assert not any(name.startswith(("libasan", "libtsan", "libcmocka")) for name in names)


def test_the_loader_is_where_the_binary_asks_for_it(collected):
    text = subprocess.run(["readelf", "-lW", collected / "usr/bin/belfry"], check=True, capture_output=True, text=True).stdout
    loader = re.search(r"interpreter: (/\S+)\]", text).group(1)
    assert os.access(collected / loader[1:], os.X_OK)
    sections = subprocess.run(["readelf", "-SW", collected / "usr/bin/belfry"], check=True, capture_output=True, text=True).stdout
    assert ".text" in sections and ".debug_info" not in sections and ".symtab" not in sections


def test_modes_give_nothing_away(collected):
    for path in [collected, *collected.rglob("*")]:
        mode = path.lstat().st_mode
        assert path.is_symlink() or not mode & (stat.S_ISUID | stat.S_ISGID | stat.S_IWGRP | stat.S_IWOTH), path
        assert path.is_symlink() or mode & stat.S_IROTH, path


def test_openssl_finds_the_certificates_by_itself(collected):
    folder = re.search(r'"(.*)"', subprocess.run(["openssl", "version", "-d"], check=True, capture_output=True, text=True).stdout).group(1)
    link = collected / folder[1:] / "cert.pem"
    assert link.is_symlink() and not os.readlink(link).startswith("/")
    assert link.resolve() == (collected / "etc/ssl/certs/ca-certificates.crt").resolve()
    assert link.read_text().count("BEGIN CERTIFICATE") > 50


@pytest.mark.parametrize("arguments, complaint", [
    ([], "usage"), (["/nonexistent", "/tmp/x"], "not there"), ([sys.executable, "/"], "exists already")])
def test_collect_says_what_is_wrong(arguments, complaint):
    run = subprocess.run([ROOT / "helm/image/collect.sh", *arguments], capture_output=True, text=True)
    assert run.returncode == 2 and complaint in run.stderr


# ---- what the Dockerfile says


def test_the_final_stage_is_scratch_and_runs_nothing():
    assert instructions()[-1][0] == ("FROM", "scratch") and told("RUN") == told("ADD") == []
    assert only("USER") == "65532:65532" and only("EXPOSE") == "8000 9464"
    labels = dict(re.findall(r'org\.opencontainers\.image\.(\w+)="([^"]*)"', only("LABEL")))
    assert {"title", "description", "licenses", "version", "revision"} <= set(labels)
    version = re.search(r"^VERSION := (\S+)$", (ROOT / "Makefile").read_text(), re.M).group(1)
    assert f"VERSION={version}" in told("ARG") and labels["version"] == "${VERSION}"


def test_the_build_stage_installs_by_the_list_that_make_deps_uses():
    runs = told("RUN", 0)
    assert runs[0] == "tests/deps.sh build image" and runs[1].startswith("make ") and len(runs) == 3
    groups = re.search(r"deps\.sh (.*)", next(line for line in (ROOT / "Makefile").read_text().splitlines()
                                              if line.startswith("\t@tests/deps.sh") and " test " in line)).group(1)
    assert "image" in groups.split()


# ---- that it runs


@pytest.fixture(scope="module")
def root(collected):
    """The root as an engine completes it: with the machine's /etc/hosts and /etc/resolv.conf."""
    with tempfile.TemporaryDirectory(prefix="root-") as folder:
        os.chmod(folder, 0o755)
        copy = pathlib.Path(folder) / "root"
        shutil.copytree(collected, copy, symlinks=True)
        (copy / "etc/hosts").write_text("127.0.0.1 localhost redis.internal\n")
        (copy / "etc/resolv.conf").write_text("")
        yield copy


def inside(root, command):
    return [sys.executable, container.__file__, root, only("USER"), *command]


def run_inside(root, command, env):
    run = subprocess.run([str(a) for a in inside(root, command)], env=environment(env), capture_output=True, text=True,
                         timeout=20 * PATIENCE)
    if run.returncode == container.NOT_ALLOWED:
        pytest.skip(f"no namespaces on this machine: {run.stderr.strip()}")
    return run


class ContainedBelfry(Belfry):
    """A Belfry that lives in the image's root, started as the Dockerfile says."""

    def __init__(self, root, env):
        self.root = root
        super().__init__({"LISTEN": f"127.0.0.1:{free_port()}", "METRICS_LISTEN": f"127.0.0.1:{free_port()}", **env})

    def spawn(self, argv, env):
        super().spawn(inside(self.root, json.loads(only("ENTRYPOINT")) + json.loads(only("CMD"))), env)


@pytest.fixture
def contained(root, redis_server):
    run_inside(root, ["/usr/bin/belfry", "--version"], {})
    server = ContainedBelfry(root, {"REDIS_URL": redis_server.tcp_url.replace("127.0.0.1", "redis.internal"),
                                    "DRAIN_SECONDS": "1s"})
    yield server
    server.finish()


async def test_it_serves_without_rights_on_a_read_only_root(contained, token):
    status = dict(line.split(":\t", 1) for line in pathlib.Path(f"/proc/{contained.pid}/status").read_text().splitlines()
                  if ":\t" in line)
    assert {status[name].strip() for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}
    assert status["NoNewPrivs"] == "1"
    if os.geteuid() == 0:
        assert set(status["Uid"].split()) == set(status["Gid"].split()) == {"65532"} and status["Groups"].strip() == ""
    with pytest.raises(OSError, match="Read-only file system"):
        pathlib.Path(f"/proc/{contained.pid}/root/etc/x").write_text("")

    me = user()
    async with await Client.connect(contained, token(me)) as client:
        await client.welcome()
        contained.publish("bell", {"n": 1}, {"user": me})
        assert (await client.next("bell"))["data"] == {"n": 1}
        contained.signal(signal.SIGTERM)
        await client.next("reconnect")
        assert (await client.closed())[0] == 1012
    wait_for(lambda: not contained.running, 10)
    assert contained.process.returncode == 0


def test_the_health_check_asks_the_server_inside(contained, root):
    check = re.search(r"CMD (\[.*\])$", only("HEALTHCHECK")).group(1)
    command = json.loads(check)
    # The environment of the container is the check's too.
    assert run_inside(root, command, contained.env).returncode == 0
    assert contained.stop() == 0
    assert run_inside(root, command, contained.env).returncode == 1


def test_without_redis_it_says_what_to_set(root):
    run = run_inside(root, json.loads(only("ENTRYPOINT")) + json.loads(only("CMD")),
                     {"SECRET_KEY": SECRET, "LISTEN": "127.0.0.1:0", "METRICS_LISTEN": "off"})
    assert run.returncode in (1, 2) and "REDIS_URL" in run.stderr, run


def test_a_token_can_be_made_in_it(root):
    run = run_inside(root, ["/usr/bin/belfry", "token", "--user", "alice"], {"SECRET_KEY": SECRET})
    assert run.returncode == 0 and run.stdout.count(".") == 2
