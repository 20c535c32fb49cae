"""Which Redis belfry accepts, how it logs in, and the one that it brings itself."""

import asyncio
import contextlib
import os
import pathlib
import re
import shutil
import signal
import socket
import threading
import time

import pytest

from belfry import PATIENCE, ROOT, token, wait_for
from clients import Client, user

PUBLISHER = token("publisher", "events:publish")


def post(server):
    return server.rest("POST", "/events", PUBLISHER, json={"type": "some.event", "data": {}, "audience": "broadcast"})


async def close_code(server):
    """With which a new socket is closed, or None if it was welcomed."""
    async with await Client.connect(server, token(user())) as client:
        try:
            await client.welcome()
        except AssertionError:
            return (await client.closed())[0]


async def delivers(server):
    alice = user()
    async with await Client.connect(server, token(alice)) as client:
        await client.welcome()
        ids = [(await asyncio.to_thread(server.publish, "some.event", {}, audience))["event_id"]
               for audience in ("broadcast", {"user": alice}, {"connection": client.frames[0]["data"]["connection_id"]})]
        for event_id in ids:
            assert (await client.next("some.event"))["event_id"] == event_id


async def reads_and_erases(server):
    both = token("reader", "events:read events:publish")
    async with await Client.connect(server, token("alice")) as client:
        at = (await client.welcome())["event_id"]
        await client.send("ack", event_id=at)

        def cursor():
            return server.rest("GET", "/users/alice/cursor", both).json()["position"]

        await asyncio.to_thread(wait_for, lambda: cursor() == at, 5, "the cursor")
    for method, path, status in (("GET", "/events/position", 200), ("GET", "/events?user=alice", 200),
                                 ("DELETE", "/users/a/events", 202)):
        assert server.rest(method, path, both).status_code == status


async def lists_and_disconnects(server, other):
    operator = token("operator", "connections:read connections:write")
    one, two = [await Client.connect(other, token("bob")) for _ in range(2)]
    name = (await one.welcome())["data"]["connection_id"]
    await two.welcome()
    for path in ("/connections", "/users/bob/connections", f"/connections/{name}"):
        assert server.rest("GET", path, operator).status_code == 200
    assert server.rest("DELETE", f"/connections/{name}", operator).json() == {"ordered": 1}
    assert server.rest("DELETE", "/users/bob/connections", operator).json() == {"ordered": 1}
    assert (await one.closed())[0] == (await two.closed())[0] == 4403


def started_unready(belfry, env):
    server = belfry(env, ready=False)
    wait_for(lambda: server.logged(len(server.logs("listening")) >= 2), 15, "the listening lines")
    server.addresses = {line["surface"]: line["address"] for line in server.logs("listening")}
    return server


def ended(server, code, *texts):
    """It has ended by itself, with that code, and said why."""
    wait_for(lambda: not server.running, 15, "its end")
    assert server.process.returncode == code, server.output()
    for text in texts:
        assert text in server.output(), server.output()


# ---- logging in


async def test_a_wrong_password_is_told_and_tried_again(belfry, redis_server):
    redis_server.client().execute_command("ACL", "SETUSER", "belfry", "on", ">right", "~*", "&*", "+@all")
    url = f"redis://belfry:wr0ng-secret@127.0.0.1:{redis_server.port}/0"
    server = started_unready(belfry, {"REDIS_URL": url, "REDIS_TIMEOUT": "500ms"})
    assert "WRONGPASS" in server.wait_log("redis_lost")["reason"]
    assert not server.ready()
    assert (await asyncio.to_thread(post, server)).status_code == 503
    assert await close_code(server) == 1013
    redis_server.client().execute_command("ACL", "SETUSER", "belfry", ">wr0ng-secret")
    wait_for(server.ready, 15, "readiness")
    await delivers(server)
    assert "wr0ng-secret" not in server.output()
    # One line for the whole time away, not one for each attempt.
    assert len(server.logs("redis_lost")) == 1


async def test_a_password_alone_logs_in(belfry, redis_server):
    redis_server.client().config_set("requirepass", "p@ss w/ord")
    url = f"redis://:p%40ss%20w%2Ford@127.0.0.1:{redis_server.port}"
    server = belfry({"REDIS_URL": url})
    await delivers(server)
    assert "p@ss" not in server.output() and "p%40ss" not in server.output()


async def test_the_documented_access_rules_are_enough(belfry, redis_server):
    admin = redis_server.client()
    rule = re.search(r"^ACL SETUSER belfry .*$", (ROOT / "docs" / "protocol.md").read_text(), re.M)[0]
    admin.execute_command(*rule.replace("nopass", ">secret").split())
    admin.execute_command("ACL", "LOG", "RESET")
    url = f"redis://belfry:secret@127.0.0.1:{redis_server.port}/0"
    server, other = belfry({"REDIS_URL": url}), belfry({"REDIS_URL": url, "LIFECYCLE": "on", "PRESENCE_GRACE": "10ms"})
    await delivers(server)
    await delivers(other)
    answer = server.rest("POST", "/events", PUBLISHER, headers={"Idempotency-Key": "k"},
                         json={"type": "some.event", "data": {}, "audience": {"users": ["a", "b"]}})
    assert answer.status_code == 202
    assert server.rest("GET", "/ws/health").status_code == 200
    admin.script_flush()
    await delivers(server)
    await reads_and_erases(server)
    await lists_and_disconnects(server, other)
    wait_for(lambda: "offline" in [fields["event"] for _, fields in admin.xrange("ws:lifecycle")])
    assert other.stop() == 0
    assert admin.execute_command("ACL", "LOG") == []
    assert "NOPERM" not in server.output()


async def test_another_database_over_the_unix_socket(belfry, redis_server):
    server = belfry({"REDIS_URL": f"unix://{redis_server.socket_path}?db=3", "REDIS_PREFIX": "three:"})
    await delivers(server)
    assert redis_server.client(db=3).exists("three:head") == 1
    assert redis_server.client().dbsize() == 0


def test_without_info_it_ends_and_names_the_rule(belfry, redis_server):
    redis_server.client().execute_command("ACL", "SETUSER", "belfry", "on", ">secret", "~*", "&*", "+@all", "-info")
    server = belfry({"REDIS_URL": f"redis://belfry:secret@127.0.0.1:{redis_server.port}"}, ready=False)
    ended(server, 2, "+info")


# ---- what is no fit Redis


async def test_a_replica_is_not_used_until_it_is_promoted(belfry, redis_server, another_redis):
    replica = another_redis("--replicaof", "127.0.0.1", redis_server.port)
    server = started_unready(belfry, {"REDIS_URL": replica.url, "REDIS_TIMEOUT": "500ms"})
    assert "replica" in server.wait_log("redis_lost")["reason"]
    assert not server.ready()
    assert (await asyncio.to_thread(post, server)).status_code == 503
    assert await close_code(server) == 1013
    replica.client().execute_command("REPLICAOF", "NO", "ONE")
    wait_for(server.ready, 15, "readiness")
    await delivers(server)


async def test_a_master_that_becomes_a_replica_is_left(belfry, redis_server, another_redis):
    elsewhere = another_redis()
    server = belfry({"REDIS_TIMEOUT": "500ms"})
    async with await Client.connect(server, token(user())) as client:
        await client.welcome()
        redis_server.client().execute_command("REPLICAOF", "127.0.0.1", elsewhere.port)
        answer = await asyncio.to_thread(post, server)
        # Where a canary has met the replica first, the connection is left with this event on its way.
        assert (answer.status_code, answer.json()["type"].rsplit(":", 1)[1]) in (
            (503, "redis-read-only"), (503, "redis-away"), (503, "redis-loading"), (504, "outcome-unknown"))
        await asyncio.to_thread(wait_for, lambda: post(server).json()["type"].endswith(":redis-away"), 10, "redis-away")
        assert server.rest("GET", "/ws/health").status_code == 503
        redis_server.client().execute_command("REPLICAOF", "NO", "ONE")
        await asyncio.to_thread(wait_for, lambda: post(server).status_code == 202, 15, "an accepted event")
        await asyncio.to_thread(server.publish, "the.end", {})
        await client.next("the.end", 15)
        assert "resync_required" not in [f["type"] for f in client.frames]  # it had missed nothing


def test_redis_cluster_is_refused(belfry, another_redis):
    cluster = another_redis("--cluster-enabled", "yes")
    ended(belfry({"REDIS_URL": cluster.url}, ready=False), 2, "Redis Cluster", "one node")


@pytest.mark.parametrize("workers", [1, 3])
def test_data_of_a_newer_belfry_is_refused(belfry, redis_server, workers):
    redis_server.client().hset("ws:head", "schema", "2")
    before = redis_server.client().hgetall("ws:head")
    server = belfry({"WORKERS": str(workers)}, ready=False)
    ended(server, 2, "BELFRY_SCHEMA 2")
    assert redis_server.client().hgetall("ws:head") == before


def test_nothing_at_the_address_is_waited_for(belfry, another_redis):
    redis = another_redis()
    redis.stop()
    server = started_unready(belfry, {"REDIS_URL": redis.tcp_url})
    server.wait_log("redis_lost")
    assert not server.ready()
    assert server.rest("GET", "/livez", surface="metrics").status_code == 200
    redis.start()
    wait_for(server.ready, 15, "readiness")


@pytest.fixture
def fake_redis():
    """fake_redis(talk) listens; talk(socket) speaks with each connection, in a thread. Returns its URL."""
    listeners = []

    def start(talk):
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)
        kept = []

        def serve():
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    kept.append(connection)
                    with contextlib.suppress(OSError):
                        talk(connection)

        threading.Thread(target=serve, daemon=True).start()
        return "redis://127.0.0.1:%d" % listener.getsockname()[1]

    yield start
    for listener in listeners:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


TALKS = {
    "nothing": lambda s: None,
    "a closed door": lambda s: s.close(),
    "HTTP": lambda s: s.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
    "noise": lambda s: s.sendall(bytes(range(256)) * 100),
    "answers too many": lambda s: s.sendall(b"+OK\r\n" * 1000),
    "a bulk that never ends": lambda s: s.sendall(b"+OK\r\n$500000000\r\n" + b"x" * 100000),
    "arrays in arrays": lambda s: s.sendall(b"*1\r\n" * 1000),
    "an INFO of nothing": lambda s: s.sendall(b"+OK\r\n" + b"$0\r\n\r\n" * 3),
    "numbers": lambda s: s.sendall(b":1\r\n" * 10),
    "loading": lambda s: s.sendall(b"-LOADING Redis is loading the dataset in memory\r\n" * 10),
}


@pytest.mark.parametrize("kind", TALKS)
def test_what_is_no_redis_is_refused_and_tried_again(belfry, fake_redis, kind):
    server = belfry({"REDIS_URL": fake_redis(TALKS[kind]), "REDIS_TIMEOUT": "300ms", "WORKERS": "2"}, ready=False)
    if kind == "an INFO of nothing":
        ended(server, 2, "older than 6.2")
        return
    server.wait_log("redis_lost")
    wait_for(lambda: len(server.logs("listening")) == 2, 15, "the listening lines")
    server.addresses = {line["surface"]: line["address"] for line in server.logs("listening")}
    assert not server.ready()
    assert post(server).status_code == 503
    assert server.stop() == 0


def test_a_name_is_resolved_and_one_that_cannot_be_is_told(belfry, redis_server):
    assert belfry({"REDIS_URL": f"redis://localhost:{redis_server.port}/0"}).publish("some.event", {})["receivers"] == 1
    nowhere = started_unready(belfry, {"REDIS_URL": "redis://no-such-host.invalid:6379", "REDIS_TIMEOUT": "1s"})
    assert "resolved" in nowhere.wait_log("redis_lost")["reason"]
    assert nowhere.stop() == 0


# ---- the embedded one


@pytest.fixture
def embedded(belfry):
    """embedded() starts a belfry with its own Redis, in a folder that shows what it leaves behind: server.folder."""
    folders = []

    def start(env=None, **options):
        folder = pathlib.Path(f"/tmp/embedded-{os.getpid()}-{len(folders)}")
        folder.mkdir()
        folders.append(folder)
        server = belfry({"REDIS_URL": None, "TMPDIR": folder, **(env or {})}, **options)
        server.folder = folder
        return server

    yield start
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


def redis_pid(server):
    return server.wait_log("embedded_redis")["pid"]


def alive(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def test_the_embedded_redis_delivers_and_leaves_nothing(embedded):
    server = embedded()
    await delivers(server)
    pid = redis_pid(server)
    assert alive(pid) and len(list(server.folder.glob("belfry-*"))) == 1
    assert server.stop() == 0
    assert not alive(pid) and list(server.folder.glob("belfry-*")) == []


@pytest.mark.parametrize("number, text", [(signal.SIGKILL, "signal 9"), (signal.SIGTERM, "exit code 0")])
async def test_when_the_embedded_redis_dies_belfry_ends_with_the_reason(embedded, number, text):
    server = embedded({"DRAIN_SECONDS": "10m"})
    async with await Client.connect(server, token(user())) as client:
        await client.welcome()
        began = time.monotonic()
        os.kill(redis_pid(server), number)
        assert (await client.closed())[0] == 1012
        await asyncio.to_thread(ended, server, 1, "redis-server", text)
        assert time.monotonic() - began < 7 * PATIENCE
    assert list(server.folder.glob("belfry-*")) == []


def test_the_embedded_redis_dies_with_a_killed_belfry(embedded):
    server = embedded()
    pid = redis_pid(server)
    server.kill()
    wait_for(lambda: not alive(pid), 2, "the end of redis-server")
    # The folder goes with the next start.
    assert len(list(server.folder.glob("belfry-*"))) == 1
    server.start()
    assert len(list(server.folder.glob("belfry-*"))) == 1
    assert server.stop() == 0
    assert list(server.folder.glob("belfry-*")) == []


def test_a_missing_redis_server_is_told_with_what_to_install(embedded, tmp_path):
    (tmp_path / "setpriv").symlink_to(shutil.which("setpriv"))
    server = embedded({"PATH": tmp_path}, ready=False)
    ended(server, 1, "redis-server", "apt-get install redis-server", "REDIS_URL")
    assert list(server.folder.glob("belfry-*")) == []


def test_two_with_embedded_redis_are_strangers(embedded):
    one, two = embedded(), embedded()
    assert one.publish("some.event", {})["receivers"] == 1
    assert redis_pid(one) != redis_pid(two)
    os.kill(redis_pid(one), signal.SIGKILL)
    ended(one, 1, "redis-server")
    assert two.publish("some.event", {})["receivers"] == 1
