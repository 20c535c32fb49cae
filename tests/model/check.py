#!/usr/bin/env python3
"""Checks docs/model/delivery.pml: the true model breaks no property at any of the bounds below, and each planted fault
breaks the property that the table names. --full adds greater bounds. --only NAME runs one configuration and keeps its
folder. Exit code 0 or 1; spin and gcc are needed.
"""

import argparse
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

MODEL = pathlib.Path(__file__).resolve().parents[2] / "docs" / "model" / "delivery.pml"

# Bounds; and the faults that are shown at them, with the property that the checker sees broken first.
SMALL = {
    "resume": ("EVENTS=3 KINDS=11 PINGS=1 DROPS=1", {
        "L_ignores_mark": "skipped",
        "L_ignores_full_page": "skipped",
        "targeted_raises_mark_to_itself": "position_right",
        "overflow_forgets_dropped": "skipped",
        "overflow_keeps_list_open": "skipped",
        "reach_not_checked_while_writing": "skipped",
        "reach_not_checked_when_live": "skipped",
        "ahead_judged_by_mark": "needless",
        "position_moves_to_L_early": "position_right",
        "position_is_mark_while_waiting": "position_right",
        "live_after_full_page": "skipped",
        "welcome_carries_head": "position_right",
        "welcome_from_before_confirmation": "skipped",
        "head_read_before_confirmation": "skipped",
    }),
    "loss": ("EVENTS=2 LOSSES=1 DROPS=1 BREAKS=1", {}),
    "loss and drop": ("EVENTS=3 LOSSES=1 DROPS=1", {
        "page_before_confirmation": "skipped",
        "read_in_gap": "skipped",
        "mark_kept_across_loss": "skipped",
        "gap_closed_by_full_page": "skipped",
        "user_not_resubscribed": "stuck",
        "live_across_loss": "skipped",
    }),
    "retention": ("EVENTS=3 TRIMS=1 FLOORS=1 DROPS=1", {
        "floor_ignored": "skipped",
        "prev_ignored": "skipped",
        "tape_log_judged": "needless",
        "resync_does_not_skip": "position_goes_back",
    }),
    "erasure": ("EVENTS=3 ERASES=1 SEQS=5 DROPS=1", {"erased_without_marker": "skipped"}),
    "failover": ("EVENTS=2 SEQS=3 EPOCHS=2 FAILOVERS=1 DROPS=1", {
        "ends_ignored": "history_told",
        "every_old_epoch_refused": "needless",
        "end_not_noted": "needless",
        "epoch_by_seq_only": "history_told",
        "tape_not_cut": "history_told",
    }),
    "another replid": ("EVENTS=2 EPOCHS=2 REPLIDS=1 DROPS=1", {}),
    "head deleted": ("EVENTS=2 SEQS=4 EPOCHS=2 DELETES=1 DROPS=1", {}),
    "two audiences": ("EVENTS=3 KINDS=49 DROPS=1", {"merge_writes_twice": "once"}),
    "unfollowed": ("EVENTS=3 UNFOLLOWS=1 DROPS=1", {"unfollowed_still_ready": "skipped"}),
    "head deleted, pings": ("EVENTS=2 SEQS=4 EPOCHS=2 DELETES=1 PINGS=1", {"frame_of_new_epoch_passes": "history_told"}),
    "others": ("EVENTS=2 KINDS=7 TAPE=1 PINGS=2 DROPS=1", {
        "position_forgets_ping": "position_goes_back",
        "other_users_frame": "addressee",
    }),
    "page of two": ("EVENTS=3 TAPE=1 PAGE=2 DROPS=1", {"live_above_L_ignored": "skipped"}),
    "hole": ("EVENTS=3 KINDS=1 TRIMS=1 LOSSES=1 PINGS=1", {"hole_ignored": "skipped"}),
    "two workers": ("EVENTS=2 WORKERS=2 DROPS=1", {}),
    "own log": ("EVENTS=2 OWN_LOG=1 KINDS=131 DROPS=1", {}),
}
FULL = {
    "two workers, loss": ("EVENTS=2 WORKERS=2 LOSSES=1 DROPS=1", {}),
    "retention and loss": ("EVENTS=3 TRIMS=1 FLOORS=1 LOSSES=1 PINGS=1", {}),
    "two workers, pings": ("EVENTS=2 WORKERS=2 PINGS=1 DROPS=1", {}),
    "failover, 3 events": ("EVENTS=3 EPOCHS=2 FAILOVERS=1 DROPS=1", {}),
    "another replid, 3 events": ("EVENTS=3 EPOCHS=2 REPLIDS=1 DROPS=1", {}),
    "head deleted, 3 events": ("EVENTS=3 SEQS=5 EPOCHS=2 DELETES=1 DROPS=1", {}),
}


def fault_numbers():
    section = MODEL.read_text().split("--- planted faults")[1].split("--- ids")[0]
    return {name: int(number) for name, number in re.findall(r"^#define (\w+) (\d+)$", section, re.M)}


# No run goes on for ever without anything new, so every run ends, and ends as `rest` of the model asks: live.
ENDING = "always ends"
SMALL[ENDING] = ("EVENTS=2 LOSSES=1 PINGS=1 DROPS=1", {"pages_without_end": "non-progress cycle"})


def build(folder, bounds, search):
    macros = [f"-D{b}" for b in bounds.split()]
    # spin writes its verifier where it is called, and takes no path for it.
    subprocess.run(["spin", "-a", "-DFAULT_AT_RUN", *macros, MODEL], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["gcc", "-O1", "-w", "-DNOFAIR", "-DMEMLIM=3500", *search, "-o", "pan", "pan.c"],
                   cwd=folder, check=True)


def verify(folder, fault, timeout, *options):
    """(what it broke, '' for nothing or None for a search that was not finished; states stored)"""
    command = ["./pan", "-E", "-m100000", "-w22", *options]
    try:
        out = subprocess.run(command, cwd=folder, env=dict(os.environ, FAULT=str(fault)), text=True, timeout=timeout,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT).stdout
    except subprocess.TimeoutExpired:
        return None, 0
    states = int((re.search(r"(\d+) states, stored", out) or [0, 0])[1])
    violated = re.search(r"assertion violated .*\|\|(\w+)\)", out) or re.search(r"pan:\d+: (non-progress cycle)", out)
    if violated:
        return violated[1], states
    whole = "errors: 0" in out and "Search not completed" not in out and "max search depth" not in out and states > 100
    return ("" if whole else None), states


def check(name, bounds, faults, folder, numbers, timeout):
    """(passed, failed) of one configuration."""
    start = time.monotonic()
    options = ["-l"] if name == ENDING else []
    # COLLAPSE is exact, smaller and slower. No search here is approximate.
    build(folder, bounds, ["-DNP"] if name == ENDING else ["-DSAFETY", "-DCOLLAPSE"] if name in FULL else ["-DSAFETY"])
    broken, states = verify(folder, 0, timeout, *options)
    failed = [] if broken == "" else [f"the true model: {broken or 'the search was not finished'}"]
    for fault, expected in faults.items():
        seen, _ = verify(folder, numbers[fault], timeout, *options)
        if seen != expected:
            failed.append(f"{fault}: expected {expected} to break, not {seen or 'nothing'}")
    print(f"{name} ({bounds}): {states:,} states, {len(faults)} faults, {time.monotonic() - start:.0f} s", flush=True)
    for line in failed:
        print(f"  FAILED {line}", flush=True)
    return 1 + len(faults) - len(failed), len(failed)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--only")
    args = parser.parse_args()
    todo = {**SMALL, **(FULL if args.full or args.only else {})}
    if args.only:
        todo = {args.only: todo[args.only]}
    passed = failed = 0
    with tempfile.TemporaryDirectory(prefix="belfry-model-") as scratch:
        for index, (name, (bounds, faults)) in enumerate(todo.items()):
            folder = tempfile.mkdtemp(prefix="belfry-model-") if args.only else os.path.join(scratch, str(index))
            os.makedirs(folder, exist_ok=True)
            p, f = check(name, bounds, faults, folder, fault_numbers(), timeout=300)
            passed, failed = passed + p, failed + f
            if args.only:
                print(f"verifier and trail: {folder}")
    print(f"{passed} passed, {failed} failed")
    return 0 if failed == 0 and passed > 0 else 1


if __name__ == "__main__":
    sys.exit(main())
