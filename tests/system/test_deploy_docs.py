"""docs/deploy.md: its unit file is one that systemd takes, its variables are belfry's, what it points to is there."""

import re
import shutil
import subprocess

import pytest

from belfry import ROOT, SECRET, binary, environment

TEXT = (ROOT / "docs" / "deploy.md").read_text()


def unit():
    (text,) = re.findall(r"```ini\n(\[Unit\]\n.*?)```", TEXT, re.S)
    return text


def table():
    return set(re.findall(r"^\| `([A-Z_]+)` \|", (ROOT / "docs" / "configuration.md").read_text(), re.M))


def test_belfry_takes_the_environment_of_the_unit(tmp_path):
    settings = dict(line.split("=", 2)[1:] for line in unit().splitlines() if line.startswith("Environment="))
    assert len(settings) >= 4 and set(settings) <= table()
    keys = tmp_path / "keys"
    keys.write_text("k1:" + SECRET.replace(":", "-"))
    run = subprocess.run([binary(), "check"], env=environment({**settings, "SECRET_KEY_FILE": keys}), capture_output=True,
                         text=True)
    assert run.returncode == 0, run.stderr


def test_the_unit_leaves_time_for_the_drain():
    drain = int(re.search(r"`DRAIN_SECONDS` \| `(\d+)s`", (ROOT / "docs" / "configuration.md").read_text()).group(1))
    assert int(re.search(r"^TimeoutStopSec=(\d+)$", unit(), re.M).group(1)) == drain + 15


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd on this machine")
def test_systemd_takes_the_unit(tmp_path):
    file = tmp_path / "belfry.service"
    file.write_text(unit().replace("/usr/local/bin/belfry", str(binary())))
    run = subprocess.run(["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", file], capture_output=True, text=True)
    complaints = [line for line in (run.stdout + run.stderr).splitlines() if "belfry.service" in line]
    assert run.returncode == 0 and complaints == [], run.stderr
    security = subprocess.run(["systemd-analyze", "security", "--offline=yes", "--threshold=20", file], capture_output=True, text=True)
    assert security.returncode == 0, security.stdout[-400:]


def test_every_variable_it_names_is_belfrys():
    named = set(re.findall(r"`([A-Z]+(?:_[A-Z]+)+)(?:=[^`]*)?`", TEXT))
    assert len(named) > 12 and named <= table(), named - table()


def test_every_link_leads_somewhere():
    anchors = {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in re.findall(r"^#+ (.*)$", TEXT, re.M)}
    links = re.findall(r"\]\(([^)]+)\)", TEXT)
    assert len(links) > 8
    for link in links:
        file, _, anchor = link.partition("#")
        assert (not file or (ROOT / "docs" / file).is_file()) and (file or anchor in anchors), link


def test_the_readme_leads_here():
    assert "(docs/deploy.md)" in (ROOT / "README.md").read_text()
