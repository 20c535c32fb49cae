"""The real processes of a system test: belfry, redis-server, and the tokens that users bring."""

import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import jwt
import redis
import requests
from redis.backoff import NoBackoff
from redis.retry import Retry

ROOT = pathlib.Path(__file__).resolve().parents[2]
SECRET = "a secret of the system tests, long enough for HS256 to HS512: 0123456789"
SANITIZER = re.compile(r"ERROR: (Address|Leak)Sanitizer|WARNING: ThreadSanitizer|runtime error:|==ABORTING|double free|corrupted")
# Signals that no test sends.
CRASHES = (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL)
# What of the caller's environment a started process may see; all else would make runs differ from machine to machine.
PASSED_ON = re.compile(r"^(PATH|HOME|LANG|TMPDIR|(ASAN|UBSAN|LSAN|TSAN)_OPTIONS|MALLOC_.*)$")
# Sanitizers, and two cores shared by everything, make things slower: one factor for all patience.
PATIENCE = float(os.environ.get("TEST_PATIENCE", "1"))


def binary():
    return pathlib.Path(os.environ.get("BELFRY_BINARY") or ROOT / "build" / "belfry").resolve()


def wait_for(condition, timeout=5.0, what=None):
    """Polls until condition() is true and returns that value; fails the test after `timeout` seconds."""
    deadline = time.monotonic() + timeout * PATIENCE
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout * PATIENCE:.1f} s in vain for {what or condition}")
        time.sleep(0.01)


def token(sub="alice", scopes=(), key=SECRET, algorithm="HS256", ttl=3600, headers=None, **claims):
    """A signed JWT. A claim given as None is left out, so that tests can omit sub or exp."""
    scopes = scopes.split() if isinstance(scopes, str) else scopes
    payload = {"sub": sub, "exp": int(time.time()) + ttl, "scope": " ".join(scopes) or None, **claims}
    payload = {name: value for name, value in payload.items() if value is not None}
    return jwt.api_jws.encode(json.dumps(payload).encode(), key, algorithm=algorithm, headers=headers)


def dies_with_parent(argv):
    """The command, ended by the kernel too when the test process is killed. It follows the thread that starts it: the
    main one, please."""
    return ["setpriv", "--pdeathsig", "KILL", *argv] if shutil.which("setpriv") else argv


def environment(extra):
    env = {name: value for name, value in os.environ.items() if PASSED_ON.match(name)}
    env.update({name: str(value) for name, value in extra.items() if value is not None})
    return env


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Process:
    """A child that is ended by its pid and whose output goes to a file."""

    def __init__(self, name):
        # Not pytest's tmp_path: its long names do not fit into the 107 bytes of a unix socket's path.
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix=f"{name}-"))
        self.log_path = self.dir / "log"
        self.process = None

    def spawn(self, argv, env):
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                dies_with_parent([str(a) for a in argv]), env=env, cwd=self.dir,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    @property
    def pid(self):
        return self.process.pid

    @property
    def running(self):
        return self.process is not None and self.process.poll() is None

    def signal(self, number):
        if self.running:
            self.process.send_signal(number)

    def pause(self):
        self.signal(signal.SIGSTOP)

    def resume(self):
        self.signal(signal.SIGCONT)

    def kill(self):
        self.signal(signal.SIGKILL)
        if self.process is not None:
            self.process.wait(10)

    def output(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def remove(self):
        self.kill()
        shutil.rmtree(self.dir, ignore_errors=True)


class RedisServer(Process):
    """A private redis-server on a TCP port of 127.0.0.1 and on a unix socket; `program` is another one's path."""

    def __init__(self, *options, program="redis-server"):
        super().__init__("redis")
        self.options = options
        self.program = program
        self.socket_path = self.dir / "s"
        self.port = None
        try:
            self.start()
        except AssertionError:
            self.remove()
            raise

    def start(self):
        """Starts, or starts again on the same port and with the same data directory."""
        for _ in range(5):
            port = self.port or free_port()
            self.spawn(self.argv(port), environment({}))
            wait_for(lambda: not self.running or self.answers(), 10, "redis-server")
            if self.running:
                self.port = port
                return self
        raise AssertionError(f"redis-server does not start:\n{self.output()[-2000:]}")

    def argv(self, port):
        return [self.program, "--port", port, "--bind", "127.0.0.1", "--unixsocket", self.socket_path,
                "--dir", self.dir, "--save", "", "--appendfsync", "always", *self.options]

    def answers(self):
        try:
            return self.client(socket_timeout=1, retry=Retry(NoBackoff(), 0)).ping()
        except redis.exceptions.RedisError:
            return False

    def restart(self):
        self.stop()
        return self.start()

    def stop(self):
        self.signal(signal.SIGTERM)
        self.process.wait(10)

    def client(self, **options):
        return redis.Redis(unix_socket_path=str(self.socket_path), decode_responses=True, **options)

    @property
    def url(self):
        return f"unix://{self.socket_path}"

    @property
    def tcp_url(self):
        return f"redis://127.0.0.1:{self.port}/0"


class Belfry(Process):
    """One belfry process, started and ready. Addresses are "127.0.0.1:port" by surface: public, api, metrics."""

    def __init__(self, env, arguments=(), ready=True):
        super().__init__("belfry")
        self.env = {
            "LISTEN": "127.0.0.1:0",
            "METRICS_LISTEN": "127.0.0.1:0",
            "SECRET_KEY": SECRET,
            "LOG_FORMAT": "json",
            "WORKERS": "1",
            "DRAIN_SECONDS": "0",  # tests end more often than they look at how a server ends
            **env,
        }
        if self.env.get("SECRET_KEY_FILE"):
            self.env["SECRET_KEY"] = None
        self.arguments = arguments
        self.addresses = {}
        self.expected_exit = 0
        try:
            self.start(ready)
        except AssertionError:
            self.remove()
            raise

    def start(self, ready=True):
        """Starts, or starts again on the addresses it had before."""
        seen = len(self.logs("listening"))
        for variable, surface in (("LISTEN", "public"), ("API_LISTEN", "api"), ("METRICS_LISTEN", "metrics")):
            if surface in self.addresses:
                self.env[variable] = self.addresses[surface]
        self.spawn([binary(), *self.arguments], environment(self.env))
        if not ready:
            return self
        expected = 1 + (self.env["METRICS_LISTEN"] != "off") + bool(self.env.get("API_LISTEN"))
        wait_for(lambda: self.logged(len(self.logs("listening")) >= seen + expected), 15, "the listening lines")
        self.addresses = {line["surface"]: line["address"] for line in self.logs("listening")[seen:]}
        if "metrics" in self.addresses:
            wait_for(lambda: self.logged(self.ready()), 15, "/readyz")
        return self

    def logged(self, value):
        """The value; but a process that ended meanwhile fails the test with what it said."""
        assert self.running, f"belfry ended with {self.process.returncode}:\n{self.output()[-3000:]}"
        return value

    def logs(self, event=None):
        lines = []
        for line in self.output().splitlines():
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            if isinstance(entry, dict) and event in (None, entry.get("event")):
                lines.append(entry)
        return lines

    def wait_log(self, event, timeout=5.0, **fields):
        def find():
            return next((e for e in self.logs(event) if fields.items() <= e.items()), None)
        return wait_for(find, timeout, f"the log line {event} {fields}")

    def ready(self):
        try:
            return requests.get(self.http("/readyz", "metrics"), timeout=2).status_code == 200
        except requests.RequestException:
            return False

    def address(self, surface="public"):
        return self.addresses[surface]

    @property
    def host_port(self):
        host, port = self.address().rsplit(":", 1)
        return host, int(port)

    def http(self, path="/", surface="public"):
        base = "" if surface == "metrics" else self.env.get("BASE_PATH") or ""
        return f"http://{self.address(surface)}{base}{path}"

    def ws(self, query=""):
        return f"ws://{self.address()}{self.env.get('BASE_PATH') or ''}/ws{query}"

    def rest(self, method, path, token=None, surface=None, headers=None, **options):
        """One REST call, a requests.Response; the surface is API_LISTEN's where it is set."""
        headers = dict(headers or {})
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        surface = surface or ("api" if "api" in self.addresses else "public")
        return requests.request(method, self.http(path, surface), headers=headers, timeout=10 * PATIENCE, **options)

    def publish(self, type, data, audience="broadcast", token=None, status=202, **members):
        """POST /events, checked; returns the answer's body."""
        token = token or globals()["token"]("publisher", ["events:publish"])
        body = {"type": type, "data": data, "audience": audience, **members}
        answer = self.rest("POST", "/events", token, json=body)
        assert answer.status_code == status, (answer.status_code, answer.text)
        return answer.json()

    def stop(self, number=signal.SIGTERM, timeout=40):
        """Asks it to end and returns the exit code."""
        self.signal(number)
        try:
            return self.process.wait(timeout * PATIENCE)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"belfry did not end within {timeout} s of signal {number}:\n{self.output()[-3000:]}")

    def finish(self):
        """The end of a test: a clean exit, unless the test ended it in its own way, and no sanitizer's report."""
        try:
            if self.running:
                self.resume()
                code = self.stop()
                assert code == self.expected_exit, f"exit code {code}:\n{self.output()[-3000:]}"
            crash = self.process is not None and -(self.process.returncode or 0) in CRASHES
            assert not crash, f"signal {-self.process.returncode}:\n{self.output()[-3000:]}"
            report = SANITIZER.search(self.output())
            assert not report, self.output()[max(0, report.start() - 200):][:6000]
        finally:
            self.remove()
