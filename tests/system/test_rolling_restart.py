"""Three belfries behind the shipped HAProxy are restarted one after the other: nothing is lost, nothing comes twice."""

import json
import subprocess
import sys

from belfry import PATIENCE, ROOT, binary, dies_with_parent, environment


def test_a_rolling_restart_loses_nothing(tmp_path):
    figures = tmp_path / "figures.json"
    run = subprocess.run(
        dies_with_parent([sys.executable, str(ROOT / "tests" / "torture" / "rolling.py"), "--seed", "1", "--clients", "150",
                          "--rate", "50", "--json", str(figures)]),
        env=environment({"BELFRY_BINARY": binary(), "TEST_PATIENCE": PATIENCE}), capture_output=True, text=True,
        timeout=85 * PATIENCE)
    assert run.returncode == 0, run.stdout[-6000:] + run.stderr[-3000:]
    found = json.loads(figures.read_text())
    assert found["faults"] == 3 and found["resyncs"] == {}
    # Every client was handed over at least twice (three times, but for those that came to one that had been restarted).
    assert found["back_after_1012_ms"]["n"] >= 150 and found["acknowledged_deliveries"] > 10000
    assert found["back_after_1012_ms"]["p99"] < 2000 * PATIENCE
