"""The proxy that breaks the path to Redis does what its rules say: otherwise the tests on it prove nothing."""

import socket
import threading
import time

import pytest

from belfry import wait_for
from proxy import Proxy


@pytest.fixture(params=[False, True], ids=["tcp", "unix"])
def path(request, redis_server):
    with Proxy(redis_server.url if request.param else redis_server.tcp_url, unix=request.param, seed=1) as proxy:
        yield proxy


class Line:
    """A bare connection through the proxy."""

    def __init__(self, proxy):
        self.sock = socket.socket(socket.AF_UNIX if proxy.path else socket.AF_INET)
        self.sock.settimeout(10)
        self.sock.connect(proxy.path or ("127.0.0.1", proxy.port))

    def ask(self, *words):
        self.send(*words)
        return self.sock.recv(1 << 20)

    def send(self, *words):
        self.sock.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w.encode()) for w in words))

    def silent(self, seconds=0.3):
        self.sock.settimeout(seconds)
        try:
            got = self.sock.recv(65536)
        except TimeoutError:
            return True
        finally:
            self.sock.settimeout(10)
        raise AssertionError(f"not silent: {got!r}")

    def ended(self):
        try:
            return self.sock.recv(65536) == b""
        except ConnectionError:
            return True


def test_bytes_pass_both_ways(path):
    line = Line(path)
    assert line.ask("PING") == b"+PONG\r\n"
    line.send("ECHO", "x" * 3_000_000)
    got = b""
    while len(got) < 3_000_012:
        got += line.sock.recv(1 << 20)
    assert got == b"$3000000\r\n" + b"x" * 3_000_000 + b"\r\n"


def test_only_the_subscriber_is_late(path):
    commands, subscriber = Line(path), Line(path)
    assert b"subscribe" in subscriber.ask("SUBSCRIBE", "c")
    wait_for(lambda: path.count("subscriber") == 1)
    path.shape("down", who="subscriber", delay=0.4)
    began = time.monotonic()
    assert commands.ask("PUBLISH", "c", "hello") == b":1\r\n"
    assert time.monotonic() - began < 0.3
    assert b"hello" in subscriber.sock.recv(65536)
    assert time.monotonic() - began >= 0.4
    path.heal()
    assert commands.ask("PUBLISH", "c", "again") == b":1\r\n"
    assert b"again" in subscriber.sock.recv(65536)


def test_torn_writes_arrive_whole_and_in_pieces(path):
    line = Line(path)
    assert line.ask("PING") == b"+PONG\r\n"
    path.shape(torn=True)
    line.send("ECHO", "y" * 400)
    before, got = path.pieces, b""
    while len(got) < 408:
        got += line.sock.recv(65536)
    assert got == b"$400\r\n" + b"y" * 400 + b"\r\n"
    assert path.pieces - before >= 408 / 7


def test_held_bytes_arrive_later(path):
    line = Line(path)
    assert line.ask("PING") == b"+PONG\r\n"
    path.shape("down", hold=True)
    line.send("ECHO", "late")
    assert line.silent()
    fresh = Line(path)
    fresh.send("PING")
    assert fresh.silent()
    path.heal()
    assert line.sock.recv(100) == b"$4\r\nlate\r\n" and fresh.sock.recv(100) == b"+PONG\r\n"


def test_a_black_hole_accepts_swallows_and_is_cut_by_healing(path, redis_server):
    line = Line(path)
    assert line.ask("PING") == b"+PONG\r\n"
    path.shape(swallow=True)
    line.send("SET", "k", "v")
    fresh = Line(path)
    fresh.send("PING")
    assert line.silent() and fresh.silent(0.1)
    assert redis_server.client().get("k") is None
    path.heal()
    assert line.ended() and fresh.ended()
    assert Line(path).ask("PING") == b"+PONG\r\n"


def test_refusing_leaves_what_stands_and_cutting_does_not(path):
    line = Line(path)
    assert line.ask("PING") == b"+PONG\r\n"
    path.refuse()
    with pytest.raises(OSError):
        Line(path)
    assert line.ask("PING") == b"+PONG\r\n"
    assert path.cut() == 1 and line.ended() and path.count() == 0
    path.heal()
    assert Line(path).ask("PING") == b"+PONG\r\n"


def test_cut_behind_a_command_redis_has_it_and_no_answer_comes(path, redis_server):
    line, other = Line(path), Line(path)
    path.cut_after(b"marked")
    line.send("SET", "k", "marked")
    assert line.ended()
    wait_for(lambda: redis_server.client().get("k") == "marked")
    assert path.sprung == 1 and other.ask("SET", "k", "marked") == b"+OK\r\n"


def test_a_server_that_goes_ends_its_connections_and_one_that_is_away_refuses(path, redis_server):
    line = Line(path)
    assert line.ask("PING") == b"+PONG\r\n"
    redis_server.kill()
    assert line.ended() and Line(path).ended()
    redis_server.start()
    assert Line(path).ask("PING") == b"+PONG\r\n"


def test_many_connections_at_once(path):
    answers = []

    def chat():
        line = Line(path)
        answers.extend(line.ask("PING") for _ in range(20))

    threads = [threading.Thread(target=chat) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert answers == [b"+PONG\r\n"] * 400
