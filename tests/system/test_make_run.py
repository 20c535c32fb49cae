"""`make run` from the first line to Ctrl-C, and what happens where libraries are missing."""

import os
import re
import signal
import subprocess

import pytest
import requests

import belfry as processes
from belfry import PATIENCE, ROOT, wait_for


def make_arguments():
    """Those that name the binary under test; skips where make has not made it."""
    binary = processes.binary()
    for san in ("", "address", "thread"):
        if binary == ROOT / "build" / san / "belfry":
            return [f"SAN={san}"]
    pytest.skip(f"{binary} is not one that make run would serve")


class MakeRun(processes.Process):
    def __init__(self, port, **env):
        super().__init__("run")
        self.port = port
        clean = processes.environment({"LOG_FORMAT": "text", **env})
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(["make", *make_arguments(), f"PORT={port}", "run"], cwd=ROOT, env=clean,
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)

    def page(self):
        return wait_for(lambda: re.search(r"^Demo page: (\S+)#token=(\S+)$", self.output(), re.MULTILINE), 20, "the page's address")

    def serves(self):
        try:
            return requests.get(f"http://127.0.0.1:{self.port}/ws/health", timeout=2).json()["status"] == "healthy"
        except requests.RequestException:
            assert self.running, self.output()
            return False

    def interrupt(self):
        """As Ctrl-C in a terminal does it: to make, its shell and belfry at once."""
        os.killpg(self.pid, signal.SIGINT)
        self.process.wait(20 * PATIENCE)
        return self.output()


@pytest.fixture
def make_run():
    started = []

    def start(port, **env):
        started.append(MakeRun(port, **env))
        return started[-1]

    yield start
    for run in started:
        if run.running:
            run.interrupt()
        run.remove()


def redis_of(run):
    return int(re.search(r"embedded_redis.*?pid=(\d+)", run.output()).group(1))


def test_make_run_serves_a_page_with_a_token_that_publishes(make_run):
    run = make_run(processes.free_port())
    url, token = run.page().groups()
    assert url == f"http://127.0.0.1:{run.port}/"
    wait_for(run.serves, 20, "a healthy server")
    assert "text/html" in requests.get(url, timeout=5).headers["Content-Type"]
    posted = requests.post(f"{url}tasks/1/broadcast-update", json={"status": "running"}, timeout=5,
                           headers={"Authorization": f"Bearer {token}"})
    assert posted.status_code == 202, posted.text
    redis = redis_of(run)
    said = run.interrupt()
    assert re.search(r"stopped.*code=0", said), said
    wait_for(lambda: not os.path.exists(f"/proc/{redis}"), 5, "the end of redis-server")


def test_two_run_beside_each_other(make_run):
    runs = [make_run(processes.free_port()) for _ in range(2)]
    for run in runs:
        wait_for(run.serves, 20, "a healthy server")
    assert len({run.page().group(2) for run in runs}) == 2  # each with a secret of its own


def test_make_run_takes_the_callers_settings(make_run):
    port = processes.free_port()
    run = make_run(1, LISTEN=f"127.0.0.1:{port}", BASE_PATH="/push", SECRET_KEY=processes.SECRET, METRICS_LISTEN="off")
    run.port = f"{port}/push"
    wait_for(run.serves, 20, "a healthy server")
    url, token = run.page().groups()
    assert url == f"http://127.0.0.1:{port}/push/"
    processes.jwt.decode(token, processes.SECRET, algorithms=["HS256"])


@pytest.fixture
def machine(tmp_path):
    """deps(*groups, **programs) runs deps.sh where only `programs` exist, given as lines of shell."""
    def deps(*groups, **programs):
        for name, line in programs.items():
            file = tmp_path / name.replace("_", "-")
            file.write_text(f"#!/bin/sh\n{line}\n")
            file.chmod(0o755)
        return subprocess.run(["/bin/sh", ROOT / "tests/deps.sh", *groups], env={"PATH": str(tmp_path)}, capture_output=True,
                              text=True, timeout=20)
    return deps


ALL_BUT_YAJL = 'shift 3; for p; do [ $p = libyajl-dev ] || echo -n "installed:$p "; done; exit 1'


def test_nothing_missing_says_nothing(machine):
    done = machine("build", dpkg_query='shift 3; for p; do echo -n "installed:$p "; done', apt_get="exit 9")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_who_may_not_install_is_told_the_one_line(machine):
    for sudo in ({}, {"sudo": "exit 1"}):
        done = machine("build", dpkg_query=ALL_BUT_YAJL, apt_get="exit 9", id="echo 1000", **sudo)
        assert done.returncode == 2
        assert done.stderr.splitlines()[-1] == "  apt-get install -y libyajl-dev"


def test_a_package_of_two_groups_is_named_once(machine):
    done = machine("test", "gateway", dpkg_query="exit 1", apt_get="exit 9", id="echo 1000")
    packages = done.stderr.splitlines()[-1].split()[3:]
    assert "openssl" in packages and len(packages) == len(set(packages))


def test_another_system_is_told_the_libraries(machine):
    done = machine("build")
    assert done.returncode == 2
    for name in ("libh2o", "hiredis", "libjwt", "yajl", "OpenSSL", "redis-server"):
        assert name in done.stderr


def test_an_unknown_group_is_a_mistake(machine):
    assert machine("everything").returncode == 2
