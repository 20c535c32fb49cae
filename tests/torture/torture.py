#!/usr/bin/env python3
"""Many clients, publishers that never stop, and a nemesis; then a judge: was anything lost, doubled, or out of order?

The seed decides the faults, the characters and what is published (not the machine's timing). BELFRY_BINARY is the server.
Exit code 0: nothing was found; 1: a violation; its folder, which is named, holds all logs and diaries."""

import argparse
import asyncio
import collections
import json
import pathlib
import random
import shutil
import ssl
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "system")]

import judge  # noqa: E402
import record  # noqa: E402
from belfry import PATIENCE, binary, dies_with_parent, token  # noqa: E402
from cluster import Cluster  # noqa: E402
from crowd import CHARACTERS  # noqa: E402
from nemesis import Nemesis  # noqa: E402
from publishers import Publishers  # noqa: E402

END_SECONDS = 40  # for everybody to reach the end, once everything is healed


class CrowdProcess:
    """A process full of clients."""

    def __init__(self, plan, identities):
        self.plan, self.identities = plan, identities
        self.done = set()
        self.saved = False

    async def start(self):
        self.process = await asyncio.create_subprocess_exec(
            *dies_with_parent([sys.executable, str(HERE / "crowd.py")]), stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE)
        self.tell(json.dumps(self.plan))
        self.listening = asyncio.create_task(self.listen())

    async def listen(self):
        while words := (await self.process.stdout.readline()).decode().split():
            if words[0] == "identity":
                self.identities[words[1]] = words[2]
            elif words[0] == "done":
                self.done.add(words[1])
            elif words[0] == "saved":
                self.saved = True

    def tell(self, line):
        self.process.stdin.write(line.encode() + b"\n")

    async def end(self):
        """Its exit code, once the diaries are written."""
        self.tell("end")
        await asyncio.wait((self.listening,), timeout=30 * PATIENCE)
        if self.process.returncode is None and not self.saved:
            self.process.kill()
        return await self.process.wait()


def plan_crowds(options, servers, folder, characters=CHARACTERS, ca=None):
    """One plan for each process; the users of all."""
    rng = random.Random(f"{options.seed}-crowd")
    members = []
    for i in range(options.clients):
        # Every tenth is a second device of the one before.
        user = f"user-{i - 1 if i % 10 == 9 else i}"
        members.append((f"client-{i:04}", user, rng.choice(characters)))
    users = sorted({user for _, user, _ in members})
    plans = []
    for k in range(options.crowds):
        part = members[k::options.crowds]
        plans.append({"seed": options.seed, "folder": str(folder / "diaries"), "servers": servers, "members": part,
                      "acks": not options.no_acks, "ca": ca,
                      "tokens": {user: token(user, ttl=86400) for user in {user for _, user, _ in part}}})
    return plans, users


class Torture:
    characters = CHARACTERS

    def __init__(self, options, folder):
        self.options, self.folder = options, folder
        self.failures = []
        self.began = time.monotonic()
        self.log_file = open(folder / "nemesis.log", "w")

    def say(self, words):
        line = f"{record.now_us() / 1e6:.6f} +{time.monotonic() - self.began:.3f} {words}"
        print(line, file=self.log_file, flush=True)
        if self.options.verbose:
            print(line, flush=True)

    def front(self, cluster):
        """Where clients and publishers go: addresses, and the CA's file where they are to speak TLS."""
        return cluster.servers, None

    def make_nemesis(self, cluster):
        return Nemesis(self.options.seed, cluster, self.options.profile == "failover", self.options.only,
                       self.options.calm, self.say)

    async def run(self, cluster):
        options = self.options
        (self.folder / "diaries").mkdir()
        servers, ca = self.front(cluster)
        plans, users = plan_crowds(options, servers, self.folder, self.characters, ca)
        publishers = Publishers(options.seed, servers, users, options.rate, broadcasts=options.broadcasts,
                                tls=ssl.create_default_context(cafile=ca) if ca else None)
        self.crowds = [CrowdProcess(plan, publishers.identities) for plan in plans]
        self.nemesis = self.make_nemesis(cluster)
        watch = asyncio.create_task(self.watch(cluster))
        for crowd in self.crowds:
            await crowd.start()
        publishers.start()
        await self.everybody_here(publishers.identities)
        await self.nemesis.run(asyncio.get_running_loop().time() + options.seconds)
        self.say("healing")
        try:
            await cluster.heal()
        except TimeoutError:
            self.failures.append("not everything became healthy again")
        await publishers.stop()
        self.say("publishers stopped")
        end = None
        try:
            async with asyncio.timeout(20 * PATIENCE):
                end = await publishers.send_last()
        except TimeoutError:
            self.failures.append("the last event was never acknowledged")
        await self.finish(end)
        watch.cancel()
        epochs = await cluster.epochs()
        await cluster.stop()
        self.failures += publishers.failures[:20] + self.nemesis.failures + cluster.complaints
        self.repeats = publishers.repeats
        self.keep(publishers.events, epochs, end)

    async def everybody_here(self, identities):
        """Every client has been welcomed once."""
        deadline = time.monotonic() + 60 * PATIENCE
        while len(identities) < self.options.clients:
            if time.monotonic() > deadline:
                self.failures.append(f"only {len(identities)} clients were ever welcomed")
                break
            await asyncio.sleep(0.05)
        self.say("everybody is here")

    async def watch(self, cluster):
        while True:
            cluster.look()
            await asyncio.sleep(0.05)

    async def finish(self, end):
        """Every client stays until it has reached the end."""
        if end:
            for crowd in self.crowds:
                crowd.tell(f"finish {end[0]} {end[1]}")
            deadline = time.monotonic() + END_SECONDS * PATIENCE
            while time.monotonic() < deadline and sum(len(c.done) for c in self.crowds) < self.options.clients:
                await asyncio.sleep(0.05)
            self.say(f"{sum(len(c.done) for c in self.crowds)} clients have reached the end")
        for code in await asyncio.gather(*(crowd.end() for crowd in self.crowds)):
            if code != 0:
                self.failures.append(f"a process of clients ended with {code}")

    def keep(self, events, epochs, end):
        with open(self.folder / "published.jsonl", "w") as file:
            file.writelines(event.line() for event in events.values())
        (self.folder / "run.json").write_text(json.dumps({
            "options": vars(self.options), "durable": self.options.profile == "alone", "epochs": epochs, "end": end, "allow_resync": self.options.allow_resync,
            "faults": self.nemesis.faults, "failures": self.failures}, default=str, indent=1))


def percentile(gaps, share):
    return gaps[min(len(gaps) - 1, int(len(gaps) * share))] / 1000 if gaps else 0.0


def report(torture, run, summary):
    """The figures, as a dictionary; also what is printed."""
    gaps, away = sorted(summary.gaps), sorted(summary.away)
    faults = collections.Counter(kind for _, kind in torture.nemesis.faults)
    return {
        "seed": torture.options.seed, "seconds": torture.options.seconds, "profile": torture.options.profile,
        "clients": torture.options.clients, "connections": summary.connections,
        "acknowledged_events": sum(event.acked is not None for event in run.events.values()),
        "repeated_requests": torture.repeats, "acknowledged_deliveries": summary.deliveries,
        "faults": sum(faults.values()), "faults_by_kind": dict(sorted(faults.items())),
        "replays": summary.caught_up, "resyncs": dict(summary.resyncs),
        "identities": {"kept": summary.resumed, "not_kept": summary.refused},
        "back_after_1012_ms": {"n": len(away), "p50": percentile(away, 0.5), "p99": percentile(away, 0.99),
                               "worst": percentile(away, 1)},
        "gap_ms": {"p50": percentile(gaps, 0.5), "p99": percentile(gaps, 0.99), "worst": percentile(gaps, 1)},
        "worst_gap_ms_by_fault": {kind: us / 1000 for kind, us in sorted(summary.worst_of_fault.items())},
        "worst_gaps": [f"{us / 1000:.0f} ms: event {n} to {client}" for us, n, client in sorted(summary.worst, reverse=True)[:3]],
        "violations": summary.counts(), "failures": torture.failures,
    }


def show(figures, summary, out=print):
    for name, value in figures.items():
        if isinstance(value, dict):
            value = ", ".join(f"{k} {v:.0f}" if isinstance(v, float) else f"{k} {v}" for k, v in value.items()) or "none"
        elif isinstance(value, list):
            value = "; ".join(value) or "none"
        out(f"{name.replace('_', ' ')}: {value}")
    for violation in summary.violations[:15]:
        out(f"  {violation.when / 1e6:.6f} {violation.client} {violation.kind}: {violation.text}")


def parser_of(description):
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", default=str(random.SystemRandom().randrange(1000000)))
    parser.add_argument("--seconds", type=float, default=60, help="how long things are broken")
    parser.add_argument("--processes", type=int, default=3, help="belfries, of two workers each")
    parser.add_argument("--clients", type=int, default=240)
    parser.add_argument("--crowds", type=int, default=2, help="processes that hold the clients")
    parser.add_argument("--rate", type=float, default=60, help="events published a second")
    parser.add_argument("--broadcasts", type=float, default=0.5, help="the share of them that is for everybody")
    parser.add_argument("--allow-resync", action="store_true", help="do not judge whether a resync_required was needed")
    parser.add_argument("--no-acks", action="store_true", help="clients acknowledge nothing")
    parser.add_argument("--json", type=pathlib.Path, help="write the figures here too")
    parser.add_argument("--folder", type=pathlib.Path, default=HERE.parents[1] / "build" / "torture",
                        help="where the folder of a failed run is kept")
    parser.add_argument("--keep", action="store_true", help="keep it in any case")
    parser.add_argument("--verbose", action="store_true")
    parser.set_defaults(profile="alone")
    return parser


def carry_out(options, make_cluster, kind=Torture):
    """The whole run, and the verdict: an exit code."""
    options.folder.mkdir(parents=True, exist_ok=True)
    folder = pathlib.Path(tempfile.mkdtemp(prefix=f"seed-{options.seed}-", dir=options.folder))
    print(f"seed {options.seed}, {options.seconds:.0f} s, {options.profile}, {binary()}", flush=True)
    torture = kind(options, folder)
    cluster = make_cluster()
    try:
        asyncio.run(torture.run(cluster))
    finally:
        cluster.keep_logs(folder)
        cluster.remove()
    run, diaries = judge.load(folder)
    summary = judge.judge(run, diaries)
    figures = report(torture, run, summary)
    show(figures, summary)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")
    failed = bool(summary.violations or torture.failures)
    if failed or options.keep:
        with open(folder / "verdict.txt", "w") as file:
            show(figures, summary, lambda line: print(line, file=file))
        print(f"kept in {folder}")
    else:
        shutil.rmtree(folder)
    print("torture: 0 passed, 1 failed" if failed else "torture: 1 passed, 0 failed")
    return 1 if failed else 0


def main():
    parser = parser_of(__doc__)
    parser.add_argument("--profile", choices=("alone", "failover"), default="alone",
                        help="one Redis that is durable, each belfry behind a proxy; or a master, a replica and Sentinels")
    parser.add_argument("--only", help="nothing but this fault, as it is called in nemesis.py: redis_killed, ...")
    parser.add_argument("--calm", type=float, default=0, help="seconds without a fault before each")
    options = parser.parse_args()
    return carry_out(options, lambda: Cluster(options.seed, options.processes, options.profile == "failover"))


if __name__ == "__main__":
    sys.exit(main())
