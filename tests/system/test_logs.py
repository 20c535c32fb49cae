"""The log: its level changes while the server runs, and a log that nobody reads holds up nobody."""

import asyncio
import os
import signal
import subprocess

import requests

from belfry import SECRET, binary, environment, free_port, token, wait_for
from clients import Client, Raw, user


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


async def test_a_connection_is_logged_from_its_welcome_to_its_end(belfry, token):
    server = belfry({"LOG_LEVEL": "debug"})
    me = user()
    async with await Client.connect(server, token(me)) as client:
        connection = (await client.welcome())["data"]["connection_id"]
        opened = server.wait_log("connection_opened", user=me)
        assert opened["connection_id"] == connection and opened["address"] in ("127.0.0.1", "::1")
        assert (opened["resumed"], opened["recovering"], opened["level"]) == (False, False, "debug")
        server.publish("big", {"text": "x" * 5000}, {"user": me})
        await client.next("big")
        await client.send("ping", event_id="y" * 100)
        await client.next("pong")
    closed = server.wait_log("connection_closed", user=me)
    assert (closed["connection_id"], closed["code"], closed["reason"]) == (connection, 1000, "closed by the client")
    assert 5000 < closed["bytes_out"] < 7000 and 100 < closed["bytes_in"] < 300
    assert 0 <= closed["duration_ms"] < 60000


async def test_bytes_are_those_of_the_frames(belfry, token):
    """Counted on the other side too, byte for byte, up to the close frame."""
    server = belfry({"LOG_LEVEL": "debug"})
    me = user()
    raw = await Raw.websocket(server, token(me))
    async with raw:
        sent = received = 0

        async def hear(type):
            nonlocal received
            while True:
                opcode, payload = await raw.read_frame()
                received += len(payload) + (2 if len(payload) < 126 else 4)
                if opcode == 1 and f'"type":"{type}"'.encode() in payload:
                    return

        await hear("welcome")
        for n in (1, 200, 4000):
            text = b'{"type":"ping","more":"' + b"z" * n + b'"}'
            frame = raw.frame(1, text)
            sent += len(frame)
            await raw.send(frame)
            await hear("pong")
        frame = raw.frame(8, b"\x03\xe8")
        sent += len(frame)
        await raw.send(frame)
        closed = await asyncio.to_thread(server.wait_log, "connection_closed", user=me)
    assert (closed["bytes_in"], closed["bytes_out"]) == (sent, received)


async def test_an_unusual_end_is_told_at_level_info_and_a_refusal_names_nobody(belfry, token):
    server = belfry()
    async with await Client.connect(server, "no.token.atall") as client:
        assert (await client.closed())[0] == 4401
    line = server.wait_log("connection_closed", code=4401)
    assert line["level"] == "info" and "user" not in line and "connection_id" not in line
    me = user()
    raw = await Raw.websocket(server, token(me))
    async with raw:
        await raw.next("welcome")
        await raw.send_frame(2, b"binary")
        assert server.wait_log("connection_closed", user=me)["code"] == 1003
