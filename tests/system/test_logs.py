"""The log: its level changes while the server runs, and a log that nobody reads holds up nobody."""

import os
import signal
import subprocess

import requests

from belfry import SECRET, binary, environment, free_port, token, wait_for
from clients import Client, user


async def test_sigusr1_switches_to_debug_and_back(belfry):
    server = belfry()

    async def connect_once():
        who = user()
        async with await Client.connect(server, token(who)) as client:
            await client.welcome()
        return who

    def closed(who):
        return [line for line in server.logs("connection_closed") if line["user"] == who]

    quiet = await connect_once()
    server.signal(signal.SIGUSR1)
    server.wait_log("log_level", set="debug")
    loud = await connect_once()
    wait_for(lambda: closed(loud), what="a line of level debug")
    server.signal(signal.SIGUSR1)
    server.wait_log("log_level", set="info")
    assert not closed(quiet)
    assert server.running


def test_stderr_that_nobody_reads_holds_up_no_request(redis_server):
    """Far more lines than a pipe and the writer's buffer hold."""
    port = free_port()
    env = environment({"LISTEN": f"127.0.0.1:{port}", "METRICS_LISTEN": "off", "LOG_FORMAT": "json", "WORKERS": "1",
                       "LOG_LEVEL": "debug", "SECRET_KEY": SECRET, "REDIS_URL": redis_server.url})
    process = subprocess.Popen([binary()], env=env, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        os.set_blocking(process.stderr.fileno(), False)
        wait_for(lambda: b"listening" in (process.stderr.read() or b""), 15, "the listening line")

        with requests.Session() as session:
            path = "/" + "x" * 400
            for _ in range(4000):
                assert session.get(f"http://127.0.0.1:{port}{path}", timeout=10).status_code == 404
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()
        process.stderr.close()
