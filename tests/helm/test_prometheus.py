"""A real Prometheus reads a real belfry: every rule is evaluated, every panel shows something, and alerts notice what breaks."""

import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import time

import pytest
import requests
import yaml

import test_alerts
import test_monitoring

SECRET = "a secret of the chart's tests that is long enough"
PATIENCE = float(os.environ.get("TEST_PATIENCE", 1))


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for(condition, seconds, what):
    deadline = time.monotonic() + seconds * PATIENCE
    while not (value := condition()):
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.1)
    return value


class Running:
    """belfry, its Redis, and a Prometheus that reads it once a second, evaluating the rules as they are."""

    def __init__(self, folder):
        self.processes = []
        self.folder = folder
        self.redis_port, self.port, self.metrics_port, self.prometheus_port = (free_port() for _ in range(4))
        try:
            self.start_belfry()
            self.start_prometheus()
        except BaseException:
            self.stop()
            raise

    def start_belfry(self):
        self.redis = self.spawn("redis-server", "--port", self.redis_port, "--bind", "127.0.0.1", "--save", "", "--dir", self.folder, "--maxmemory", "100mb",
                                "--maxmemory-policy", "noeviction")
        wait_for(lambda: self.connects(self.redis_port), 10, "redis-server")
        env = {"LISTEN": f"127.0.0.1:{self.port}", "METRICS_LISTEN": f"127.0.0.1:{self.metrics_port}", "SECRET_KEY": SECRET, "WORKERS": "2",
               "REDIS_URL": f"redis://127.0.0.1:{self.redis_port}/0", "DRAIN_SECONDS": "0"}
        self.spawn(test_monitoring.BINARY, env=env)
        wait_for(lambda: self.connects(self.metrics_port) and requests.get(f"http://127.0.0.1:{self.metrics_port}/readyz", timeout=2).ok, 15, "belfry")

    def start_prometheus(self):
        config = self.folder / "prometheus.yaml"
        config.write_text(yaml.safe_dump({
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"}, "rule_files": [str(test_alerts.FILE)],
            "scrape_configs": [{"job_name": "belfry", "static_configs": [{"targets": [f"127.0.0.1:{self.metrics_port}"]}]}]}))
        self.spawn("prometheus", f"--config.file={config}", f"--storage.tsdb.path={self.folder / 'data'}", f"--web.listen-address=127.0.0.1:{self.prometheus_port}")
        wait_for(lambda: self.connects(self.prometheus_port), 20, "prometheus")

    def spawn(self, *argv, env=None):
        log = open(self.folder / f"{len(self.processes)}.log", "wb")
        env = {"PATH": os.environ["PATH"], **(env or {})}
        process = subprocess.Popen([str(a) for a in argv], env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.processes.append((process, log))
        return process

    @staticmethod
    def connects(port):
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", port)) == 0

    def ask(self, path, **query):
        answer = requests.get(f"http://127.0.0.1:{self.prometheus_port}/api/v1/{path}", params=query, timeout=10).json()
        assert answer["status"] == "success", answer
        return answer["data"]

    def value(self, expr):
        found = self.ask("query", query=expr)["result"]
        return float(found[0]["value"][1]) if found else None

    def alerts(self):
        """Those that are pending or fire."""
        return {a["labels"]["alertname"] for a in self.ask("alerts")["alerts"]}

    def stop(self):
        for process, log in reversed(self.processes):
            process.send_signal(signal.SIGCONT)
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            log.close()


@pytest.fixture
def running(tmp_path):
    if not shutil.which("prometheus"):
        pytest.fail("no prometheus: tests/deps.sh helm installs it")
    server = Running(tmp_path)
    yield server
    server.stop()


def publisher(port):
    """Publishes to itself over a token until the returned function is called."""
    token = subprocess.run([test_monitoring.BINARY, "token", "--user", "u", "--scope", "events:publish"], check=True, text=True,
                           capture_output=True, env={"SECRET_KEY": SECRET, "REDIS_URL": "embedded"}, timeout=30).stdout.strip()
    client = subprocess.Popen(["curl", "-sN", "--http1.1", "-o", "/dev/null", "-H", "Connection: Upgrade", "-H", "Upgrade: websocket", "-H", "Sec-WebSocket-Version: 13",
                               "-H", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", "-H", f"Authorization: Bearer {token}", f"http://127.0.0.1:{port}/ws"])
    over = threading.Event()

    def run():
        with requests.Session() as session:
            while not over.is_set():
                session.post(f"http://127.0.0.1:{port}/events", data=json.dumps({"type": "tick", "data": {}, "audience": "broadcast"}),
                             headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"}, timeout=10)
                over.wait(0.05)

    thread = threading.Thread(target=run)
    thread.start()

    def stop():
        over.set()
        thread.join()
        client.terminate()
        client.wait()

    return stop


def empty_panels(running):
    """Queries of panels that show nothing; histograms without a single value are NaN, which is something."""
    found = []
    for title, expr, _ in test_monitoring.EXPRESSIONS[:-1]:
        concrete = expr.replace("$__rate_interval", "10s")
        for name in ("namespace", "job", "instance"):
            concrete = concrete.replace(f"${name}", ".*")
        if not running.ask("query", query=concrete)["result"]:
            found.append(f"{title}: {concrete}")
    return found


def test_prometheus_reads_belfry_and_notices_what_breaks(running):
    stop = publisher(running.port)
    try:
        wait_for(lambda: (running.value('sum(rate(belfry_messages_sent_total{type="event"}[5s]))') or 0) > 5, 20, "deliveries in Prometheus")
        wait_for(lambda: not (empty := empty_panels(running)) or print(empty), 15, "a value in every panel (see what was printed)")
        rules = [rule for group in running.ask("rules")["groups"] for rule in group["rules"]]
        assert {rule["name"] for rule in rules} == set(test_alerts.RULES)
        wait_for(lambda: all(rule["health"] == "ok" for group in running.ask("rules")["groups"] for rule in group["rules"]), 10, "healthy rules")
        assert running.alerts() == set(), "something is wrong with a belfry that is well"

        running.redis.send_signal(signal.SIGSTOP)
        wait_for(lambda: "BelfryRedisDown" in running.alerts() or "BelfryDeliveryNotProven" in running.alerts(), 40, "an alert of Redis that stands still")
        running.redis.send_signal(signal.SIGCONT)
        wait_for(lambda: not running.alerts() & {"BelfryRedisDown", "BelfryDeliveryNotProven"}, 30, "the end of the alert")
        subprocess.run(["redis-cli", "-p", str(running.redis_port), "CONFIG", "SET", "maxmemory-policy", "allkeys-lru"], check=True, capture_output=True, timeout=10)
        wait_for(lambda: "BelfryRedisMayEvict" in running.alerts(), 30, "the alert of the eviction policy")
    finally:
        stop()
