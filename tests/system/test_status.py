"""`belfry status`: what it shows of a real server, in a pipe and in a terminal, and what it says when nobody answers."""

import http.server
import os
import pty
import signal
import subprocess
import threading
import time

import pytest

import belfry as processes
from belfry import PATIENCE, token, wait_for
from clients import Client, user
from test_cli import run


def row(page, title):
    """The cells of a line, without its title."""
    line = next(line for line in page.splitlines() if line.startswith(title))
    return line[len(title):].split()


async def test_it_shows_connections_rates_and_redis(belfry):
    server = belfry({"WORKERS": "2"})
    clients = [await Client.connect(server, token(user())) for _ in range(3)]
    for client in clients:
        await client.welcome()
    status = subprocess.Popen([processes.binary(), "status"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              env=processes.environment({"METRICS_LISTEN": server.address("metrics")}))
    ended = time.monotonic() + 20 * PATIENCE
    while status.poll() is None and time.monotonic() < ended:  # rates want something that happens
        server.publish("some.event", {})
    page, complaint = status.communicate(timeout=5)
    assert (status.returncode, complaint) == (0, "")
    assert page.startswith(f"belfry 0.1.0 at {server.address('metrics')}: ready, up ") and "2 workers" in page
    whole, *by_worker = map(int, row(page, "  live"))
    assert whole == 3 and sum(by_worker) == 3 and len(by_worker) == 2
    assert row(page, "Redis connection") == ["up"] * 3
    published, delivered = (float(row(page, title)[0]) for title in ("events published", "deliveries"))
    assert published > 0 and 2 * published < delivered < 4 * published + 30
    assert "half within" in page.split("event to socket")[1].splitlines()[0]
    assert "no limit, policy noeviction" in page and "\033" not in page
    assert max(map(len, page.splitlines())) <= 100
    for client in clients:
        await client.close()


def test_it_says_that_redis_is_down(belfry, redis_server):
    server = belfry()
    redis_server.stop()
    wait_for(lambda: row(run("status", METRICS_LISTEN=server.address("metrics")).stdout, "Redis connection") == ["DOWN"], 10)


@pytest.mark.parametrize("address", ["off", "127.0.0.1:0", "nowhere"])
def test_without_an_address_to_ask_there_is_no_status(address):
    unknown = run("status", METRICS_LISTEN=address)
    assert unknown.returncode == 1 and unknown.stdout == ""
    assert unknown.stderr.startswith("belfry: no status: METRICS_LISTEN") and unknown.stderr.count("\n") == 1


def test_nobody_answers(belfry):
    nobody = run("status", METRICS_LISTEN=f"127.0.0.1:{processes.free_port()}")
    assert nobody.returncode == 1 and "Connection refused" in nobody.stderr
    server = belfry()
    server.pause()
    started = time.monotonic()
    hangs = run("status", METRICS_LISTEN=server.address("metrics"))
    server.resume()
    assert hangs.returncode == 1 and "timed out" in hangs.stderr and time.monotonic() - started < 10 * PATIENCE
    odd = run("status", METRICS_LISTEN=server.address())
    assert odd.returncode == 1 and "/metrics answers 404" in odd.stderr


def answers(body, length):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", str(length))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass
    return Handler


@pytest.mark.parametrize("body,length,why", [
    (b"# HELP some_metric of somebody else\nsome_metric 1\n", 50, "no belfry"),
    (b"belfry", 1000, "Protocol error"),
    (b"x" * (9 << 20), 9 << 20, "Message too long"),
])
def test_something_else_answers(body, length, why):
    with http.server.HTTPServer(("127.0.0.1", 0), answers(body, length)) as other:
        thread = threading.Thread(target=other.handle_request)
        thread.start()
        refused = run("status", METRICS_LISTEN=f"127.0.0.1:{other.server_port}")
        thread.join(10)
    assert refused.returncode == 1 and why in refused.stderr and refused.stdout == ""


def test_wrong_arguments():
    for arguments in (("--wach",), ("--watch", "5"), ("now",)):
        refused = run("status", *arguments)
        assert refused.returncode == 2 and "belfry status [--watch]" in refused.stderr


class Watch:
    """`belfry status --watch` that writes into a file, or into a terminal."""

    def __init__(self, server, output):
        self.process = subprocess.Popen([processes.binary(), "status", "--watch"], stdout=output, stderr=subprocess.PIPE, text=True,
                                        env=processes.environment({"METRICS_LISTEN": server.address("metrics")}))

    def interrupt(self):
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(5 * PATIENCE)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate(timeout=5)


def catches_sigint(pid):
    with open(f"/proc/{pid}/status") as status:
        mask = next(line.split()[1] for line in status if line.startswith("SigCgt"))
    return int(mask, 16) >> (signal.SIGINT - 1) & 1


def test_it_watches_until_sigint_and_outlives_a_restart(belfry, tmp_path):
    server, out = belfry(), tmp_path / "out"
    with out.open("w") as file, Watch(server, file) as watch:
        wait_for(lambda: out.read_text().count("this process") >= 2, 15, "two pages")
        server.stop()
        wait_for(lambda: "no status" in os.read(watch.process.stderr.fileno(), 4096).decode(), 15, "a complaint")
        server.start()
        pages = out.read_text().count("this process")
        wait_for(lambda: out.read_text().count("this process") > pages, 15, "another page")
        assert watch.interrupt() == 0
    assert "\033" not in out.read_text()


def test_it_ends_at_once_when_it_is_interrupted_before_its_first_page(belfry, tmp_path):
    server, out = belfry(), tmp_path / "out"
    server.pause()
    try:
        with out.open("w") as file, Watch(server, file) as watch:
            wait_for(lambda: catches_sigint(watch.process.pid), 5, "the handler of SIGINT")
            assert watch.interrupt() == 0
    finally:
        server.resume()
    assert out.read_text() == ""


def test_in_a_terminal_each_page_takes_the_place_of_the_last(belfry):
    server = belfry()
    ours, theirs = pty.openpty()
    shown = b""
    try:
        with Watch(server, theirs) as watch:
            def pages():
                nonlocal shown
                shown += os.read(ours, 65536)
                return shown.count(b"this process") >= 2
            wait_for(pages, 15, "two pages")
            assert watch.interrupt() == 0
    finally:
        os.close(ours)
        os.close(theirs)
    assert shown.count(b"\033[H\033[2J") >= 2 and shown.startswith(b"\033[H\033[2J")
