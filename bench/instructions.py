#!/usr/bin/env python3
"""Counts the instructions that the server spends on each delivery of a broadcast, under valgrind's callgrind: unlike times,
such a count hardly depends on what else the machine does. With --against, of two binaries, and the difference.

Counted is what edge_flush does with all that it calls, without the kernel. The same clients get a few broadcasts in one
run and many in another: the difference of the two is what deliveries cost.
"""

import argparse
import contextlib
import pathlib
import re
import signal
import subprocess
import sys
import tempfile

import run

CLIENTS = 200
FEW, MANY = 50, 350
INTERVAL_MS = 20


class Instrumented(run.Belfry):
    """A belfry inside callgrind, which tells the sum when it has ended cleanly."""

    def __init__(self, binary, folder, redis):
        script = pathlib.Path(folder) / "belfry-under-callgrind"
        self.log = pathlib.Path(folder) / "callgrind.log"
        script.write_text("#!/bin/sh\n"
                          "exec valgrind --tool=callgrind --toggle-collect=edge_flush "
                          f"--callgrind-out-file={folder}/callgrind.out "
                          f"--log-file={self.log} '{binary}'\n")
        script.chmod(0o755)
        super().__init__(argparse.Namespace(binary=script), folder, CLIENTS, redis)

    def instructions(self):
        self.process.send_signal(signal.SIGINT)
        self.process.wait(60)
        return int(re.search(r"Collected : (\d+)", self.log.read_text()).group(1))


def measure(binary, clients, broadcasts):
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="belfry-instructions-"))
        redis = stack.enter_context(run.Redis(folder))
        server = stack.enter_context(Instrumented(binary, folder, redis))
        load = stack.enter_context(run.Clients(argparse.Namespace(clients=clients), server))
        load.ask(f"connect {CLIENTS} 100")
        load.ask(f"broadcast {broadcasts} {INTERVAL_MS}")
        return server.instructions()


def per_delivery(binary, clients):
    few, many = (measure(binary, clients, n) for n in (FEW, MANY))
    return (many - few) / (CLIENTS * (MANY - FEW))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binary", default="build/belfry")
    parser.add_argument("--against", help="an older binary")
    parser.add_argument("--clients", default="build/bench/clients")
    options = parser.parse_args()
    if subprocess.run(["valgrind", "--version"], capture_output=True).returncode != 0:
        sys.exit("instructions: needs valgrind")
    now = per_delivery(pathlib.Path(options.binary).resolve(), options.clients)
    print(f"{now:.1f} instructions per delivery: {options.binary}", flush=True)
    if options.against:
        before = per_delivery(pathlib.Path(options.against).resolve(), options.clients)
        print(f"{before:.1f} instructions per delivery: {options.against}")
        print(f"difference: {100 * (now / before - 1):+.1f} %")


if __name__ == "__main__":
    main()
