#!/usr/bin/env python3
"""A rolling restart behind the shipped HAProxy: every belfry is ended and started again, one after the other, while clients
stay and publishers go on. Then the judge of the torture: nothing lost, nothing twice, nobody told to resync."""

import asyncio
import signal
import sys

import torture  # which also makes the folders of the harness known

from belfry import PATIENCE
from cluster import Cluster
from gateways import Gateway
from record import now_us

# What a rollout calls minReadySeconds: HAProxy's checks have seen the new one before the next one goes.
SETTLE_SECONDS = 2.5


class Front(Gateway):
    """HAProxy with every belfry as a server of its own."""

    def __init__(self, nodes):
        lines = [f"server belfry{i} {node.address()} check port {node.address('metrics').rsplit(':', 1)[1]}"
                 for i, node in enumerate(nodes[1:], 2)]
        first = "server belfry1 127.0.0.1:8000 check port 9464"
        super().__init__("haproxy", nodes[0], edits=[(first, "\n    ".join([first, *lines]))])


class Roller:
    """Restarts all, one after the other."""

    def __init__(self, cluster, drain, say):
        self.cluster, self.drain, self.say = cluster, drain, say
        self.faults, self.failures = [], []

    async def run(self, until):
        for i, node in enumerate(self.cluster.nodes):
            self.faults.append((now_us(), "belfry restarted"))
            self.say(f"SIGTERM to belfry {i}")
            node.asked_to_end = True
            node.signal(signal.SIGTERM)
            if not await node.until_ended(self.drain + 10):
                self.failures.append(f"belfry {i} does not end")
                node.kill()
            elif node.process.returncode != 0:
                self.failures.append(f"belfry {i} ended with {node.process.returncode}")
            self.say(f"belfry {i} has ended")
            node.spawn_again()
            await node.until_ready()
            await asyncio.sleep(SETTLE_SECONDS * PATIENCE)


class RollingRestart(torture.Torture):
    characters = ("steady",)

    def front(self, cluster):
        self.gateway = Front(cluster.nodes)
        return [["127.0.0.1", self.gateway.port]], str(self.gateway.ca)

    def make_nemesis(self, cluster):
        return Roller(cluster, self.options.drain, self.say)

    async def run(self, cluster):
        try:
            await super().run(cluster)
        finally:
            (self.folder / "haproxy.log").write_text(self.gateway.output())
            self.gateway.finish()


def main():
    parser = torture.parser_of(__doc__)
    parser.set_defaults(clients=150, crowds=1, seconds=0)
    parser.add_argument("--drain", type=int, default=3, help="DRAIN_SECONDS")
    options = parser.parse_args()
    env = {"DRAIN_SECONDS": f"{options.drain}s", "TRUSTED_PROXIES": "127.0.0.1"}
    return torture.carry_out(options, lambda: Cluster(options.seed, options.processes, env=env, proxies=False),
                             RollingRestart)


if __name__ == "__main__":
    sys.exit(main())
