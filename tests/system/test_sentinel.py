"""belfry and a Redis that moves: sentinels that know, that are down, that hang, and failovers under connected clients."""

import asyncio
import contextlib
import re
import socket
import subprocess
import threading
import time

import pytest

from belfry import PATIENCE, ROOT, SECRET, RedisServer, binary, environment, free_port, token, wait_for
from clients import Client, user
from redis_cluster import Sentinel, Watched

PUBLISHER = token("publisher", "events:publish")


@pytest.fixture
def watched():
    cluster = Watched()
    yield cluster
    cluster.remove()


@pytest.fixture
def sentinel(redis_server):
    """sentinel(line, …) starts one that watches the Redis of this test."""
    started = []

    def start(*lines, port=None):
        started.append(Sentinel(port or redis_server.port, down_after=60000, lines=lines))
        return started[-1]

    yield start
    for each in started:
        each.resume()
        each.remove()


@pytest.fixture
def fake():
    """fake(answer, …) listens as a sentinel that sends these bytes, one after the other, to its clients in turn (None:
    nothing); returns its port. fake.asked counts."""
    listeners = []

    def start(*answers):
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)
        kept = []

        def serve():
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    kept.append(connection)
                    answer = answers[min(len(kept), len(answers)) - 1]
                    with contextlib.suppress(OSError):
                        connection.recv(1000)
                        if answer is not None:
                            connection.sendall(answer)
                    start.asked += 1

        threading.Thread(target=serve, daemon=True).start()
        return listener.getsockname()[1]

    start.asked = 0
    yield start
    for listener in listeners:
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def url(*ports, credentials="", master="mymaster"):
    return f"redis+sentinel://{credentials}{','.join(f'127.0.0.1:{p}' for p in ports)}/{master}/0"


def address(port):
    return f"*2\r\n$9\r\n127.0.0.1\r\n${len(str(port))}\r\n{port}\r\n".encode()


def run_id(redis):
    return redis.client().info("server")["run_id"]


def post(server, type="some.event"):
    return server.rest("POST", "/events", PUBLISHER, json={"type": type, "data": {}, "audience": "broadcast"})


def healthy(server):
    return server.rest("GET", "/ws/health").status_code == 200


def unready(belfry, env):
    server = belfry(env, ready=False)
    wait_for(lambda: server.logged(len(server.logs("listening")) >= 2), 15, "the listening lines")
    server.addresses = {line["surface"]: line["address"] for line in server.logs("listening")}
    return server


def check(redis_url, **env):
    return subprocess.run([binary(), "check"], capture_output=True, text=True, timeout=30 * PATIENCE,
                          env=environment({"SECRET_KEY": SECRET, "REDIS_URL": redis_url, **env}))


async def delivers(server, client):
    event_id = (await asyncio.to_thread(server.publish, "some.event", {"n": 1}))["event_id"]
    while (await client.next("some.event", 15))["event_id"] != event_id:
        pass


@contextlib.asynccontextmanager
async def connected(server):
    async with await Client.connect(server, token(user())) as client:
        await client.welcome()
        yield client


# ---- failovers


async def after_failover(server, client, new):
    """belfry has moved to `new`, and the client that stayed gets what is published there."""
    def moved():
        return server.logs("redis_connected")[-1]["run_id"] == run_id(new)
    await asyncio.to_thread(wait_for, moved, 20, "belfry at the new master")
    # What was published before the worker of this client had subscribed again is the business of replay.
    for _ in range(20):
        answer = await asyncio.to_thread(post, server, "after.failover")
        if answer.status_code == 503:  # another worker than the one that has moved
            await asyncio.sleep(0.2)
            continue
        event_id = answer.json()["event_id"]
        with contextlib.suppress(TimeoutError):
            while (await client.next("after.failover", 1))["event_id"] != event_id:
                pass
            assert server.ready()
            return
    raise AssertionError(f"nothing arrives any more: {client.frames[-5:]}")


async def test_a_killed_master_is_followed_to_its_successor(belfry, watched):
    old, new = watched.servers
    server = belfry({"REDIS_URL": watched.url(), "WORKERS": "2"})
    async with connected(server) as client:
        await delivers(server, client)
        old.kill()
        await asyncio.to_thread(watched.wait_master, new)
        await after_failover(server, client, new)
        # The old one comes back, is made a replica, and nobody goes there.
        old.start()
        await asyncio.to_thread(wait_for, lambda: old.client().role()[0] == "slave", 20, "the old master as a replica")
        await delivers(server, client)
    assert run_id(old) not in [line["run_id"] for line in server.logs("redis_connected")[-2:]]


async def test_an_ordered_failover_is_followed_there_and_back(belfry, watched):
    first, second = watched.servers
    server = belfry({"REDIS_URL": watched.url()})
    async with connected(server) as client:
        for new in (second, first):
            await delivers(server, client)
            await asyncio.to_thread(watched.fail_over, new)
            await after_failover(server, client, new)


async def test_a_master_demoted_by_hand_is_left(belfry, redis_server, sentinel):
    """Nobody kills belfry's connections: the READONLY of a canary or of a publish has to do."""
    successor = RedisServer()
    try:
        watcher = sentinel()
        server = belfry({"REDIS_URL": url(watcher.port), "REDIS_TIMEOUT": "1s"})
        async with connected(server) as client:
            await delivers(server, client)
            watcher.client().execute_command("SENTINEL", "REMOVE", "mymaster")
            watcher.client().execute_command("SENTINEL", "MONITOR", "mymaster", "127.0.0.1", successor.port, 1)
            redis_server.client().execute_command("REPLICAOF", "127.0.0.1", successor.port)
            await asyncio.to_thread(wait_for, lambda: post(server).status_code == 202, 20, "an accepted event")
            await after_failover(server, client, successor)
            # Both connections have moved.
            names = [c["name"] for c in successor.client().client_list() if c["name"].startswith("belfry-")]
            assert sorted(name.rsplit("-", 1)[1] for name in names) == ["commands", "subscriber"]
            assert not [c for c in redis_server.client().client_list() if c["name"].startswith("belfry-")]
    finally:
        successor.remove()


# ---- finding the master


async def test_one_sentinel_that_answers_is_enough(belfry, redis_server, sentinel, fake):
    """The others: down, silent, with noise, without that master."""
    hanging, good = sentinel(), sentinel()
    hanging.pause()
    ports = [free_port(), fake(b"HTTP/1.1 400 Bad Request\r\n\r\n"), fake(b"*-1\r\n"), hanging.port, good.port]
    server = belfry({"REDIS_URL": url(*ports), "REDIS_TIMEOUT": "500ms"})
    async with connected(server) as client:
        await delivers(server, client)
        # The one that answered is asked first from now on, so that the silent one costs its time only once.
        asked, began = fake.asked, time.monotonic()
        seen = len(server.logs("redis_connected"))
        master = redis_server.client()
        for connection in master.client_list():
            if connection["name"].startswith("belfry-"):
                master.client_kill_filter(_id=connection["id"])
        await asyncio.to_thread(wait_for, lambda: len(server.logs("redis_connected")) > seen, 10, "a new connection")
        assert time.monotonic() - began < 0.5 * PATIENCE
        await asyncio.to_thread(wait_for, lambda: healthy(server), 10, "both connections")
        assert fake.asked == asked
        await delivers(server, client)


def test_nobody_knows_the_master(belfry, sentinel):
    down, good = free_port(), sentinel()
    where = url(down, good.port, master="theirmaster")
    server = unready(belfry, {"REDIS_URL": where, "REDIS_TIMEOUT": "500ms"})
    reason = server.wait_log("redis_lost")["reason"]
    assert "no sentinel names the master theirmaster" in reason
    assert f"127.0.0.1:{down}: Connection refused" in reason and f"127.0.0.1:{good.port} does not know it" in reason
    assert not server.ready() and post(server).status_code == 503
    checked = check(where, REDIS_TIMEOUT="500ms")
    assert checked.returncode == 0
    assert f"warning: REDIS_URL: Redis cannot be used: {reason}" in checked.stderr
    assert "warning: REDIS_URL: Redis cannot be used" not in check(url(down, good.port)).stderr
    # Known at last: found without a restart.
    master = int(good.client().execute_command("SENTINEL", "MASTER", "mymaster")["port"])
    good.client().execute_command("SENTINEL", "MONITOR", "theirmaster", "127.0.0.1", master, 1)
    wait_for(server.ready, 15, "readiness")


async def test_sentinels_that_are_behind_the_times_are_passed_over(belfry, redis_server, fake):
    """One names a replica and one a dead port: the third has it right."""
    replica = RedisServer("--replicaof", f"127.0.0.1 {redis_server.port}")
    try:
        ports = fake(address(replica.port)), fake(address(free_port())), fake(address(redis_server.port))
        server = belfry({"REDIS_URL": url(*ports), "REDIS_TIMEOUT": "1s"})
        assert server.logs("redis_connected")[-1]["run_id"] == run_id(redis_server)
        async with connected(server) as client:
            await delivers(server, client)
    finally:
        replica.remove()


async def test_sentinels_are_not_hammered(belfry, fake):
    dead = free_port()
    server = unready(belfry, {"REDIS_URL": url(fake(address(dead)), fake(b"*-1\r\n")), "REDIS_TIMEOUT": "500ms", "WORKERS": "1"})
    await asyncio.sleep(4)  # no condition to wait for: what must not happen is counted
    # Two links, backoff 50 ms doubling to 2 s: about seven attempts each, of one or two questions.
    assert 4 < fake.asked < 40 and not server.ready()


# ---- logging in


@pytest.mark.parametrize("sentinel_lines, credentials", [
    ((), "belfry:s3cret@"),
    (("requirepass s3cret",), "belfry:s3cret@"),
    (("user belfry on >s3cret -@all +auth +sentinel|get-master-addr-by-name", "user default off"), "belfry:s3cret@"),
])
async def test_the_access_rules_and_the_sentinels_logins(belfry, redis_server, sentinel, sentinel_lines, credentials):
    rule = re.search(r"^ACL SETUSER belfry .*$", (ROOT / "docs" / "protocol.md").read_text(), re.M)[0]
    admin = redis_server.client()
    admin.execute_command(*rule.replace("nopass", ">s3cret").split())
    watcher = sentinel(*sentinel_lines)
    admin.execute_command("ACL", "LOG", "RESET")
    where = url(watcher.port, credentials=credentials)
    server = belfry({"REDIS_URL": where})
    async with connected(server) as client:
        await delivers(server, client)
    assert admin.execute_command("ACL", "LOG") == []
    checked = check(where)
    assert checked.returncode == 0 and "cannot be used" not in checked.stderr and "***@127.0.0.1" in checked.stdout
    assert "s3cret" not in server.output() + checked.stdout + checked.stderr


def test_a_sentinel_that_refuses_is_named(belfry, sentinel):
    watcher = sentinel("requirepass another")
    for credentials, word in (("", "NOAUTH"), ("belfry:wr0ng@", "WRONGPASS")):
        server = unready(belfry, {"REDIS_URL": url(watcher.port, credentials=credentials), "REDIS_TIMEOUT": "500ms"})
        reason = server.wait_log("redis_lost")["reason"]
        assert f"127.0.0.1:{watcher.port} refuses: {word}" in reason and "wr0ng" not in server.output()
