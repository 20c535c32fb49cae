#!/usr/bin/env python3
"""Measures belfry beside a bare epoll + send loop, in one run, and prints the figures beside their targets.

Figures of two runs on a shared machine do not compare; ratios within one do, so the two take turns, round by round.
A server's CPU is user and system time of all its threads, in ns, as the kernel's scheduler counts it. The clients and
redis-server run on the same cores and are not counted.
"""

import argparse
import base64
import contextlib
import hashlib
import hmac
import json
import pathlib
import platform
import socket
import statistics
import subprocess
import sys
import tempfile
import time

import requests

SECRET = "a secret of the bench, long enough for HS256: 0123456789abcdef"
PAYLOAD_BYTES = 200


def token(user, scope=None):
    def part(value):
        return base64.urlsafe_b64encode(value).rstrip(b"=")
    claims = {"sub": user, "exp": int(time.time()) + 3600}
    if scope:
        claims["scope"] = scope
    signed = part(b'{"alg":"HS256","typ":"JWT"}') + b"." + part(json.dumps(claims).encode())
    return (signed + b"." + part(hmac.digest(SECRET.encode(), signed, hashlib.sha256))).decode()


def free_port(kind=socket.SOCK_STREAM):
    with socket.socket(socket.AF_INET, kind) as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_until(condition, what, seconds=15):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            sys.exit(f"bench: waited {seconds} s in vain for {what}")
        time.sleep(0.02)


class Child:
    """A process of the bench, killed when its block is left."""

    def __init__(self, argv, env=None, **options):
        self.process = subprocess.Popen([str(a) for a in argv], env=env, **options)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def cpu_ns(self):
        tasks = pathlib.Path(f"/proc/{self.process.pid}/task")
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks.iterdir())

    def rss(self):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return 1024 * int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS")))


class Redis(Child):
    def __init__(self, folder):
        self.path = f"{folder}/redis.sock"
        super().__init__(["redis-server", "--port", "0", "--unixsocket", self.path, "--save", "", "--dir", folder],
                         stdout=subprocess.DEVNULL)
        wait_until(self.answers, "redis-server")

    def answers(self):
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as s:
            s.connect(self.path)
            return True
        return False


class Floor(Child):
    def __init__(self, options, folder):
        self.port, self.control = free_port(), free_port(socket.SOCK_DGRAM)
        super().__init__([options.floor, self.port, self.control, PAYLOAD_BYTES], stdout=subprocess.PIPE, text=True)
        self.process.stdout.readline()

    def client_arguments(self):
        return [self.port, "floor", self.control]


class Belfry(Child):
    def __init__(self, options, folder, users, redis):
        self.port, self.metrics, self.folder = free_port(), free_port(), folder
        self.tokens = f"{folder}/tokens-{users}"
        if not pathlib.Path(self.tokens).exists():
            with open(self.tokens, "w") as file:
                file.writelines(token(f"user-{i:05}") + "\n" for i in range(users))
        env = {"LISTEN": f"127.0.0.1:{self.port}", "METRICS_LISTEN": f"127.0.0.1:{self.metrics}", "WORKERS": "1",
               "REDIS_URL": f"unix://{redis.path}", "SECRET_KEY": SECRET, "MAX_CONNECTIONS_PER_USER": "0",
               "LOG_LEVEL": "warn", "PATH": "/usr/bin:/bin"}
        super().__init__([options.binary], env=env)
        wait_until(self.ready, "belfry")

    def ready(self):
        try:
            return requests.get(f"http://127.0.0.1:{self.metrics}/readyz", timeout=2).ok
        except requests.RequestException:
            return False

    def client_arguments(self):
        return [self.port, "belfry", token("publisher", "events:publish"), self.tokens, PAYLOAD_BYTES]


class Clients(Child):
    def __init__(self, options, server):
        super().__init__([options.clients, *server.client_arguments()], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                         text=True)
        self.server = server

    def ask(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"bench: the clients ended at: {command}")
        answer = json.loads(line)
        if answer.get("error") or answer.get("refused"):
            sys.exit(f"bench: {command}: {answer}")
        return answer

    def connect(self, n, rate):
        """Opens n idle connections, `rate` a second; returns what each cost the server."""
        self.ask("connect 1 100")  # what the first one touches is not counted
        time.sleep(0.3)
        rss, cpu = self.server.rss(), self.server.cpu_ns()
        self.rss_at_start, self.connected = rss, n - 1
        answer = self.ask(f"connect {n - 1} {rate}")
        cpu = self.server.cpu_ns() - cpu
        time.sleep(1)
        report = self.ask("report")
        return {"bytes": self.bytes_each(), "cpu_us": cpu / (n - 1) / 1000,
                "rate": (n - 1) / answer["seconds"], "welcome_ms": report["connect"]}

    def bytes_each(self):
        """By how much the server has grown, for each connection, since before the first."""
        return (self.server.rss() - self.rss_at_start) / self.connected

    def broadcast(self, n, every_ms):
        """Returns the server's CPU in µs for each delivery."""
        before, cpu = self.ask("broadcast 0 1")["delivered"], self.server.cpu_ns()
        answer = self.ask(f"broadcast {n} {every_ms}")
        return (self.server.cpu_ns() - cpu) / (answer["delivered"] - before) / 1000


def measure_many(options, folder, redis, users):
    """Many idle connections; then, with distinct users, one broadcast a second, belfry and floor in turn."""
    with Belfry(options, folder, users, redis) as belfry, Clients(options, belfry) as to_belfry:
        result = {"belfry": to_belfry.connect(options.connections, options.rate)}
        if users == 1:
            return result
        with Floor(options, folder) as floor, Clients(options, floor) as to_floor:
            result["floor"] = to_floor.connect(options.connections, options.rate)
            sides, rounds = {"belfry": to_belfry, "floor": to_floor}, {"belfry": [], "floor": []}
            for clients in sides.values():
                clients.broadcast(1, 1000)  # the first one is not counted
                clients.ask("report")
            for _ in range(options.rounds):
                for name, clients in sides.items():
                    started = time.monotonic()
                    rounds[name].append(clients.broadcast(1, 1000))
                    time.sleep(max(0, started + 0.5 - time.monotonic()))
            for name, clients in sides.items():
                report = clients.ask("report")
                result[name].update(delivery_us=statistics.median(rounds[name]), delivery_us_rounds=rounds[name],
                                    last_ms=report["last"], bytes_later=clients.bytes_each())
        return result


def measure_connects(options, folder, redis, rate):
    """CPU for each connection that opens, belfry and floor in turn, each time a fresh process: medians in µs."""
    cpu = {"belfry": [], "floor": []}
    for _ in range(options.fills):
        for name, start in (("belfry", lambda: Belfry(options, folder, options.fill, redis)),
                            ("floor", lambda: Floor(options, folder))):
            with start() as server, Clients(options, server) as clients:
                cpu[name].append(clients.connect(options.fill, rate)["cpu_us"])
    return {name: {"cpu_us": statistics.median(values), "cpu_us_fills": values} for name, values in cpu.items()}


def measure_latency(options, folder, redis):
    """1,000 clients, ten broadcasts a second, belfry and floor in turn."""
    with Belfry(options, folder, 1000, redis) as belfry, Clients(options, belfry) as to_belfry, \
            Floor(options, folder) as floor, Clients(options, floor) as to_floor:
        sides = {"belfry": to_belfry, "floor": to_floor}
        for clients in sides.values():
            clients.connect(1000, options.rate)
            clients.broadcast(2, 100)
            clients.ask("report")
        cpu = {"belfry": [], "floor": []}
        for _ in range(options.blocks):
            for name, clients in sides.items():
                cpu[name].append(clients.broadcast(20, 100))
        return {name: {**clients.ask("report"), "delivery_us": statistics.median(cpu[name])}
                for name, clients in sides.items()}


def rows(result):
    """[what, belfry, floor, ratio, target, kept] for the table."""
    many, one, latency = result["distinct_users"], result["one_user"], result["latency"]
    paced, rushed = result["connects"], result["connects_rushed"]

    def row(what, ours, theirs, target, limit, unit):
        return [what, f"{ours:,.1f} {unit}", f"{theirs:,.1f} {unit}" if theirs is not None else "",
                f"{ours / theirs:.2f}" if theirs else "", target, "ok" if ours <= limit else "MISSED"]
    b, f = many["belfry"], many["floor"]
    lb, lf = latency["belfry"]["last"], latency["floor"]["last"]
    db, df = latency["belfry"]["delivery"], latency["floor"]["delivery"]
    return [
        row("memory per idle connection, distinct users", b["bytes"], None, "<= 1,024 B", 1024, "B"),
        row("the same after all broadcasts and pings", b["bytes_later"], None, "<= 1,024 B", 1024, "B"),
        row("memory per idle connection, one user", one["belfry"]["bytes"], None, "<= 1,024 B", 1024, "B"),
        row("CPU per delivery, all clients, once a second", b["delivery_us"], f["delivery_us"], "<= 1.3 x",
            1.3 * f["delivery_us"], "us"),
        row("CPU per connect, token and welcome, paced", paced["belfry"]["cpu_us"], paced["floor"]["cpu_us"],
            "<= 80 us", 80, "us"),
        row("CPU per connect, as fast as they are taken", rushed["belfry"]["cpu_us"], rushed["floor"]["cpu_us"],
            "<= 80 us", 80, "us"),
        row("publish to the last of 1,000, p50", lb["p50_ms"], lf["p50_ms"], "", float("inf"), "ms"),
        row("publish to the last of 1,000, p99", lb["p99_ms"], lf["p99_ms"], "<= 1.3 x + 5 ms",
            1.3 * lf["p99_ms"] + 5, "ms"),
        row("publish to each of 1,000, p50", db["p50_ms"], df["p50_ms"], "", float("inf"), "ms"),
        row("publish to each of 1,000, p99", db["p99_ms"], df["p99_ms"], "", float("inf"), "ms"),
        row("CPU per delivery, 1,000 clients, 10 a second", latency["belfry"]["delivery_us"],
            latency["floor"]["delivery_us"], "", float("inf"), "us"),
    ]


def print_table(table):
    table = [["", "belfry", "bare loop", "ratio", "target", ""], *table]
    widths = [max(len(line[i]) for line in table) for i in range(6)]
    for line in table:
        print("  ".join(cell.ljust(w) if i in (0, 4, 5) else cell.rjust(w)
                        for i, (cell, w) in enumerate(zip(line, widths))).rstrip())


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("binary", "floor", "clients", "json"):
        parser.add_argument(f"--{name}", required=True, type=pathlib.Path)
    parser.add_argument("--connections", type=int, default=10000)
    parser.add_argument("--rate", type=int, default=2500, help="connections opened a second")
    parser.add_argument("--fill", type=int, default=5000, help="connections opened to see what one costs")
    parser.add_argument("--fills", type=int, default=3, help="how often, for each of the two")
    parser.add_argument("--rounds", type=int, default=30, help="broadcasts to all, for each of the two")
    parser.add_argument("--blocks", type=int, default=12, help="of 20 broadcasts to 1,000, for each of the two")
    parser.add_argument("--quick", action="store_true", help="few of everything, to see that it runs")
    options = parser.parse_args()
    if options.quick:
        options.connections, options.rounds, options.blocks, options.fill, options.fills = 2000, 4, 2, 1000, 1
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, Redis(folder) as redis:
        result = {
            "machine": {"cpu": platform.processor() or platform.machine(), "kernel": platform.release()},
            "options": {key: value for key, value in vars(options).items() if isinstance(value, int)},
            "distinct_users": measure_many(options, folder, redis, options.connections),
            "one_user": measure_many(options, folder, redis, 1),
            "connects": measure_connects(options, folder, redis, options.rate),
            "connects_rushed": measure_connects(options, folder, redis, 1000000),
            "latency": measure_latency(options, folder, redis),
        }
    options.json.write_text(json.dumps(result, indent=2) + "\n")
    print_table(rows(result))


if __name__ == "__main__":
    main()
