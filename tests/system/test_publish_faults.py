"""Each way in which Redis can refuse or lose a publish, on a real one: its own cause, in time, and nothing twice."""

import asyncio
import concurrent.futures
import shutil
import socket
import threading
import time

import pytest
import redis as redis_py

from belfry import PATIENCE, token, wait_for
from clients import Client, user
from proxy import Proxy
from test_redis import healthy_again

PUBLISHER = token("publisher", "events:publish")
TIMEOUT = 1.0


def post(server, type="some.event", key=None, credentials=PUBLISHER, **body):
    """The answer, and how long it took."""
    began = time.monotonic()
    answer = server.rest("POST", "/events", credentials, headers={"Idempotency-Key": key} if key else {},
                         json={"type": type, "data": {}, "audience": "broadcast", **body})
    return answer, time.monotonic() - began


def named(answer):
    return answer.status_code, answer.json().get("type", "").rsplit(":", 1)[1] if answer.status_code >= 300 else ""


def start(belfry, **env):
    return belfry({"REDIS_TIMEOUT": f"{TIMEOUT:g}s", **env})


def assert_refused(server, *causes):
    """At once, and with a delay after which to try again."""
    answer, took = post(server, "refused")
    assert named(answer)[0] == 503 and named(answer)[1] in causes, answer.text
    assert int(answer.headers["Retry-After"]) >= 1 and "not accepted" in answer.json()["detail"]
    assert took < TIMEOUT + 1 * PATIENCE


async def accepted_and_alone(server, client):
    """The cause has gone: events are taken again, and what was refused has reached nobody."""
    await asyncio.to_thread(wait_for, lambda: post(server, "taken")[0].status_code == 202, 15, "an accepted event")
    await healthy_again(server, client)
    assert "refused" not in [e["type"] for e in client.events()]


# ---- each error reply has its cause


async def test_out_of_memory(belfry, redis_server):
    server, admin = start(belfry), redis_server.client()
    async with await Client.connect(server, token(user())) as client:
        await client.welcome()
        admin.config_set("maxmemory", 1)
        assert_refused(server, "redis-out-of-memory")
        admin.config_set("maxmemory", 0)
        await accepted_and_alone(server, client)


async def test_not_enough_replicas(belfry, redis_server):
    server, admin = start(belfry), redis_server.client()
    async with await Client.connect(server, token(user())) as client:
        await client.welcome()
        admin.config_set("min-replicas-to-write", 1)
        assert_refused(server, "redis-no-replicas")
        admin.config_set("min-replicas-to-write", 0)
        await accepted_and_alone(server, client)


async def test_a_replica(belfry, redis_server, another_redis):
    """The first publish meets it, or the connections have been given up already."""
    server, admin = start(belfry), redis_server.client()
    async with await Client.connect(server, token(user())) as client:
        await client.welcome()
        admin.replicaof("127.0.0.1", 1)
        assert_refused(server, "redis-read-only", "redis-away")
        wait_for(lambda: [c for c in admin.client_list() if c["name"].startswith("belfry-")] == [], 10, "no connection")
        admin.replicaof("NO", "ONE")
        await accepted_and_alone(server, client)


async def test_a_disk_that_cannot_be_written(belfry, another_redis, tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    redis = another_redis("--save", "3600 1000000", "--dir", folder)
    server, admin = start(belfry, REDIS_URL=redis.url), redis.client()
    async with await Client.connect(server, token(user())) as client:
        await client.welcome()
        shutil.rmtree(folder)
        admin.set("not", "empty")
        admin.bgsave()
        wait_for(lambda: admin.info("persistence")["rdb_last_bgsave_status"] == "err", 10, "a failed save")
        assert_refused(server, "redis-cannot-persist")
        admin.config_set("stop-writes-on-bgsave-error", "no")
        await accepted_and_alone(server, client)


async def test_a_long_script_of_somebody_else(belfry, redis_server):
    server, admin = start(belfry), redis_server.client()
    async with await Client.connect(server, token(user())) as client:
        await client.welcome()
        admin.config_set("busy-reply-threshold", 20)
        threading.Thread(target=run_forever, args=(redis_server,)).start()
        try:
            wait_for(lambda: is_busy(redis_server), 5, "BUSY")
            assert_refused(server, "redis-busy")
        finally:
            wait_for(lambda: killed_script(redis_server), 10, "the end of the script")
        await accepted_and_alone(server, client)


def run_forever(redis):
    try:
        redis.client(socket_timeout=60).eval("while true do end", 0)
    except redis_py.RedisError:
        pass


def is_busy(redis):
    try:
        redis.client().get("x")
    except redis_py.ResponseError as error:
        return "BUSY" in str(error)


def killed_script(redis):
    try:
        return redis.client().script_kill()
    except redis_py.ResponseError as error:
        return "NOTBUSY" in str(error)


async def test_a_redis_that_loads(belfry, redis_server):
    server, admin = start(belfry), redis_server.client()
    async with await Client.connect(server, token(user())) as client:
        await client.welcome()
        admin.mset({f"filling:{n}": "x" * 1000 for n in range(2000)})
        admin.save()
        redis_server.stop()
        redis_server.options = ("--key-load-delay", "10000", "--loading-process-events-interval-bytes", "1024")
        redis_server.answers = lambda: listens(redis_server)
        redis_server.start()
        await asyncio.to_thread(wait_for, lambda: named(post(server, "refused")[0]) == (503, "redis-loading"), 10, "loading")
        assert_refused(server, "redis-loading")
        unhealthy = server.rest("GET", "/ws/health")
        assert unhealthy.status_code == 503
        redis_server.client().config_set("key-load-delay", 0)
        await accepted_and_alone(server, client)
        assert redis_server.client().dbsize() > 2000


def listens(redis):
    with socket.socket(socket.AF_UNIX) as s:
        return s.connect_ex(str(redis.socket_path)) == 0


async def test_scripts_that_are_forgotten_under_load(belfry, redis_server):
    server, admin = start(belfry), redis_server.client()
    async with await Client.connect(server, token(user())) as client:
        await client.welcome()
        calls = []
        for n in range(40):
            calls += [asyncio.create_task(asyncio.to_thread(post, server, "flushed", data={"n": n})) for _ in range(3)]
            await asyncio.to_thread(admin.script_flush)
        answers = [(await call)[0] for call in calls]
        assert {answer.status_code for answer in answers} == {202}
        await asyncio.to_thread(server.publish, "the.end", {})
        await client.next("the.end")
        came = [e["event_id"] for e in client.events() if e["type"] == "flushed"]
        assert sorted(came) == sorted(answer.json()["event_id"] for answer in answers) and len(set(came)) == len(came)
        assert server.logs("publish_failed") == []


# ---- lost before the answer


@pytest.mark.parametrize("key", [None, "k"])
@pytest.mark.parametrize("direction", ["up", "down"])
async def test_a_connection_lost_between_script_and_answer_delivers_once(belfry, redis_server, direction, key):
    """Cut right behind what belfry sends of the event, or in the middle of what Redis answers."""
    with Proxy(redis_server.tcp_url, seed=1) as path:
        server = start(belfry, REDIS_URL=path.url)
        async with await Client.connect(server, token(user())) as client:
            await client.welcome()
            for n in range(5):
                before = path.sprung
                path.shape("down", "command", torn=direction == "down")
                path.cut_after(b"look.for.this" if direction == "up" else b"*5\r\n$2\r\nok", direction)
                answer, _ = await asyncio.to_thread(post, server, "look.for.this", f"{key}{n}" if key else None, data={"n": n})
                assert answer.status_code == 202, answer.text
                assert path.sprung == before + 1
                if key:
                    again, _ = await asyncio.to_thread(post, server, "look.for.this", f"{key}{n}", data={"n": n})
                    assert again.json()["event_id"] == answer.json()["event_id"]
                frame = await client.next("look.for.this", n=n)
                assert frame["event_id"] == answer.json()["event_id"]
            await asyncio.to_thread(server.publish, "the.end", {})
            await client.next("the.end")
            assert [e["data"] for e in client.events() if e["type"] == "look.for.this"] == [{"n": n} for n in range(5)]
    assert redis_server.client().xlen("ws:log:broadcast") == 6


@pytest.mark.parametrize("again", ["hold", "swallow"])
async def test_an_answer_that_never_comes_is_504_in_time_and_the_repeat_tells(belfry, redis_server, again):
    with Proxy(redis_server.tcp_url) as path:
        server = start(belfry, REDIS_URL=path.url)
        async with await Client.connect(server, token(user())) as client:
            await client.welcome()
            path.shape("down", "command", **{again: True})
            answer, took = await asyncio.to_thread(post, server, key="k")
            assert named(answer) == (504, "outcome-unknown")
            assert took < 2 * TIMEOUT + 1 * PATIENCE
            path.heal()
            repeat = await asyncio.to_thread(
                wait_for, lambda: (a := post(server, key="k")[0]).status_code == 202 and a.json(), 15, "202")
            await asyncio.to_thread(server.publish, "the.end", {})
            await client.next("the.end", 10)
            assert [e["event_id"] for e in client.events() if e["type"] == "some.event"] == [repeat["event_id"]]


async def test_connections_that_hang_one_after_the_other_are_answered_in_time(belfry, redis_server):
    """Redis takes new connections, tells who it is, and holds every script: an event is sent over several of them."""
    server, admin = start(belfry), redis_server.client()
    async with await Client.connect(server, token(user())) as client:
        await client.welcome()
        admin.execute_command("CLIENT", "PAUSE", "60000", "WRITE")
        calls = []
        for n in range(6):
            calls.append(asyncio.create_task(asyncio.to_thread(post, server, key=f"k{n}")))
            await asyncio.sleep(0.3 * TIMEOUT)
        for call in calls:
            answer, took = await call
            assert named(answer) == (504, "outcome-unknown") and took < 2 * TIMEOUT + 0.5 * PATIENCE
        assert len(server.logs("redis_connected")) > 1
        admin.execute_command("CLIENT", "UNPAUSE")
        await healthy_again(server, client)
        ids = [(await asyncio.to_thread(post, server, key=f"k{n}"))[0].json()["event_id"] for n in range(6)]
        log = [entry[0] for entry in admin.xrange("ws:log:broadcast") if '"some.event"' in entry[1]["payload"]]
        assert sorted(log) == sorted(ids) and len(set(ids)) == 6


# ---- many, and several


def test_a_full_queue_refuses_at_once_and_loses_nothing(belfry, redis_server):
    """64 MB wait for a Redis that hangs; what comes then is refused without waiting."""
    server = start(belfry, REDIS_TIMEOUT="20s")
    events = [{"type": "big", "data": {"pad": "x" * 60000}, "audience": "broadcast"}] * 16

    def batch():
        return server.rest("POST", "/events/batch", PUBLISHER, json={"events": events})

    with concurrent.futures.ThreadPoolExecutor(80) as pool:
        redis_server.pause()
        calls = [pool.submit(batch) for _ in range(80)]
        wait_for(lambda: any(call.done() for call in calls), 8, "a refusal")
        assert_refused(server, "queue-full")
        redis_server.resume()
        answers = [call.result() for call in calls]
    taken = [answer for answer in answers if answer.status_code == 202]
    refused = [named(answer) for answer in answers if answer.status_code != 202]
    assert len(taken) >= 60 and refused and set(refused) == {(503, "queue-full")}
    log = redis_server.client().xinfo_stream("ws:log:broadcast")
    assert log["length"] == sum(len(answer.json()["results"]) for answer in taken)
    assert post(server)[0].status_code == 202


async def test_the_same_key_of_two_services_is_two_keys(belfry, redis_server):
    one, two = start(belfry), start(belfry)
    services = [token("service-1", "events:publish"), token("service-2", "events:publish")]
    async with await Client.connect(one, token(user())) as client:
        await client.welcome()
        ids = {}
        for server in (one, two):
            for service in services:
                answer, _ = await asyncio.to_thread(post, server, "keyed", "same", service, data={"of": service[-8:]})
                assert answer.status_code == 202, answer.text
                ids.setdefault(service, set()).add(answer.json()["event_id"])
        assert [len(found) for found in ids.values()] == [1, 1] and len(set.union(*ids.values())) == 2
        await asyncio.to_thread(one.publish, "the.end", {})
        await client.next("the.end")
        assert {e["event_id"] for e in client.events() if e["type"] == "keyed"} == set.union(*ids.values())
        assert len([e for e in client.events() if e["type"] == "keyed"]) == 2
