"""A short torture: faults on every side, and nothing lost, doubled or out of order. `make torture` runs longer ones."""

import json
import subprocess
import sys

import pytest

from belfry import PATIENCE, ROOT, binary, dies_with_parent, environment


@pytest.mark.parametrize("seed", [11, 12])
def test_nothing_is_lost_whatever_is_killed(seed, tmp_path):
    figures = tmp_path / "figures.json"
    run = subprocess.run(
        dies_with_parent([sys.executable, str(ROOT / "tests" / "torture" / "torture.py"), "--seed", str(seed),
                          "--seconds", "12", "--clients", "100", "--crowds", "1", "--json", str(figures)]),
        env=environment({"BELFRY_BINARY": binary(), "TEST_PATIENCE": PATIENCE}), capture_output=True, text=True,
        timeout=80 * PATIENCE)
    assert run.returncode == 0, run.stdout[-6000:] + run.stderr[-3000:]
    found = json.loads(figures.read_text())
    # It has really been a torture.
    assert found["faults"] >= 6 and found["acknowledged_deliveries"] > 3000 and found["connections"] > 200
