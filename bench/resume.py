#!/usr/bin/env python3
"""Measures what it costs that all clients of a process come back at once after its restart, some broadcasts behind.

Two rounds, each with a fresh Redis: in one MONITOR counts the commands and the logs that are read, in the other nothing
disturbs, and time and CPU are taken. The clients run on the same cores and are not counted.
"""

import argparse
import collections
import contextlib
import json
import pathlib
import re
import signal
import socket
import sys
import tempfile
import threading
import time

import redis
import requests

import run

LOG = re.compile(r'"(?i:(xrange|xrevrange))" "ws:log:(broadcast|user|conn)')


class Monitor:
    """Counts the commands that Redis carries out, and the reads of each kind of log."""

    def __init__(self, path):
        self.commands, self.reads = collections.Counter(), collections.Counter()
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(path)
        self.sock.sendall(b"MONITOR\r\n")
        self.thread = threading.Thread(target=self.count, daemon=True)
        self.thread.start()

    def count(self):
        with contextlib.suppress(OSError), self.sock.makefile(errors="replace") as lines:
            for line in lines:
                found = LOG.search(line)
                if found and " lua]" not in line:
                    self.reads[found[2]] += 1
                name = re.search(r'\] "(\w+)"', line)
                if name:
                    self.commands[name[1].lower()] += 1

    def stop(self):
        time.sleep(0.5)
        self.sock.shutdown(socket.SHUT_RDWR)
        self.thread.join(5)


class Server(run.Belfry):
    def stop(self):
        self.process.send_signal(signal.SIGINT)  # without slots
        self.process.wait(30)

    def publish(self, n):
        """Broadcasts, in batches."""
        headers = {"Authorization": f"Bearer {run.token('publisher', 'events:publish')}"}
        event = {"type": "bell", "data": {"pad": "x" * run.PAYLOAD_BYTES}, "audience": "broadcast"}
        for begin in range(0, n, 50):
            answer = requests.post(f"http://127.0.0.1:{self.port}/events/batch", headers=headers, timeout=10,
                                   json={"events": [event] * min(50, n - begin)})
            answer.raise_for_status()


def one_round(options, monitored):
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, run.Redis(folder) as server:
        admin = redis.Redis(unix_socket_path=server.path, decode_responses=True)
        with Server(options, folder, options.clients_n, server) as stays:
            with Server(options, folder, options.clients_n, server) as old, run.Clients(options, old) as before:
                before.ask(f"connect {options.clients_n} {options.rate}")
                position = "-".join(admin.hmget("ws:head", "epoch", "seq"))
                old.stop()
            stays.publish(options.behind)
            with Server(options, folder, options.clients_n, server) as fresh, run.Clients(options, fresh) as back:
                monitor = Monitor(server.path) if monitored else None
                cpu, redis_cpu = fresh.cpu_ns(), server.cpu_ns()
                answer = back.ask(f"resume {options.clients_n} {position}")
                cpu, redis_cpu = fresh.cpu_ns() - cpu, server.cpu_ns() - redis_cpu
                report = back.ask("report")
                result = {"seconds": answer["seconds"], "caught_up": answer["caught_up"], "resyncs": answer["resyncs"],
                          "lost": answer["lost"], "delivered": answer["delivered"], "each_ms": report["delivery"],
                          "server_us_a_client": cpu / options.clients_n / 1000,
                          "redis_us_a_client": redis_cpu / options.clients_n / 1000, "server_rss_mb": fresh.rss() / 1e6}
                if monitor:
                    monitor.stop()
                    result["reads"], result["commands"] = dict(monitor.reads), dict(monitor.commands.most_common(12))
                return result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("binary", "clients", "json"):
        parser.add_argument(f"--{name}", required=True, type=pathlib.Path)
    parser.add_argument("--clients-n", type=int, default=10000)
    parser.add_argument("--behind", type=int, default=100, help="broadcasts that they have missed")
    parser.add_argument("--rate", type=int, default=4000, help="connections opened a second before the restart")
    options = parser.parse_args()
    counted, timed = one_round(options, True), one_round(options, False)
    options.json.write_text(json.dumps({"counted": counted, "timed": timed}, indent=2) + "\n")
    print(f"{options.clients_n} clients resume at once, {options.behind} broadcasts behind")
    print(f"reads of the logs: broadcast {counted['reads'].get('broadcast', 0)}, user {counted['reads'].get('user', 0)}, "
          f"connection {counted['reads'].get('conn', 0)}; commands: {counted['commands']}")
    print(f"all live after {timed['seconds']:.2f} s; each after p50 {timed['each_ms']['p50_ms']:.0f} ms, "
          f"p99 {timed['each_ms']['p99_ms']:.0f} ms")
    print(f"CPU a client: server {timed['server_us_a_client']:.0f} us, Redis {timed['redis_us_a_client']:.0f} us; "
          f"server RSS {timed['server_rss_mb']:.0f} MB")
    complete = all(r["caught_up"] == options.clients_n and r["delivered"] == options.clients_n * options.behind
                   for r in (counted, timed))
    print("every client got every broadcast" if complete else f"NOT complete: {counted} {timed}")
    return 0 if complete else 1


if __name__ == "__main__":
    sys.exit(main())
