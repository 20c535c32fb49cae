"""ws:lifecycle: who has connected, disconnected, come online and gone offline, as a backend reads it."""

import asyncio
import json
import time

import pytest

from belfry import token, wait_for
from clients import Client, user

ON = {"LIFECYCLE": "on", "PRESENCE_GRACE": "300ms"}
OPERATOR = token("operator", ["connections:write"])


def stream(redis_server):
    with redis_server.client() as r:
        return [fields for _, fields in r.xrange("ws:lifecycle")]


def told(redis_server, who=None):
    """The events in their order, of one user."""
    return [e["event"] for e in stream(redis_server) if who in (None, e["user"])]


async def until(condition, timeout=5.0, what=None):
    return await asyncio.to_thread(wait_for, condition, timeout, what)


async def until_told(redis_server, who, *events, timeout=5.0):
    await until(lambda: told(redis_server, who) == list(events), timeout, f"{events}, not {told(redis_server, who)}")


async def arrive(server, who, claimed=None):
    query = f"connection_id={claimed}" if claimed else ""
    client = await Client.connect(server, token(who), query=query)
    return client, (await client.welcome())["data"]["connection_id"]


def end_lease(redis_server, node):
    """As if the node had been silent for 30 seconds."""
    with redis_server.client() as r:
        r.delete(f"ws:node:{node}")
        r.zadd("ws:nodes", {node: 1}, xx=True)


def node_of(redis_server, name):
    with redis_server.client() as r:
        return json.loads(r.hget("ws:conns", name))["node"]


# What is told


async def test_a_stay_is_told_once_with_its_code_and_duration(belfry, redis_server):
    server = belfry(ON)
    me = user()
    client, name = await arrive(server, me)
    node = node_of(redis_server, name)
    await until_told(redis_server, me, "connected", "online")
    await asyncio.sleep(0.2)  # a worker's clock goes on by up to 50 ms at a time
    await client.ws.close(4321)
    await until_told(redis_server, me, "connected", "online", "disconnected", "offline")
    connected, online, disconnected, offline = stream(redis_server)
    same = {"connection_id": name, "user": me, "node": node, "gen": "1"}
    assert connected == {"event": "connected", **same}
    assert online == {"event": "online", "user": me} and offline == {"event": "offline", "user": me}
    assert 100 <= int(disconnected.pop("duration_ms")) < 10_000
    assert disconnected == {"event": "disconnected", **same, "code": "4321"}
    await client.reader


async def test_a_user_is_online_from_the_first_connection_anywhere_to_the_last(belfry, redis_server):
    one, two = belfry(ON), belfry(ON)
    me = user()
    first, _ = await arrive(one, me)
    second, _ = await arrive(two, me)
    await first.close()
    await until_told(redis_server, me, "connected", "online", "connected", "disconnected")
    third, _ = await arrive(one, me)
    await second.close()
    await third.close()
    await until_told(redis_server, me, "connected", "online", "connected", "disconnected", "connected", "disconnected",
                     "disconnected", "offline")


async def test_a_reconnect_within_the_grace_is_no_event_of_the_user(belfry, redis_server):
    one, two = belfry(ON | {"PRESENCE_GRACE": "10s"}), belfry(ON | {"PRESENCE_GRACE": "10s"})
    me = user()
    client, name = await arrive(one, me)
    for server in (two, one, two):
        await client.close()
        with redis_server.client() as r:
            await until(lambda: r.zscore("ws:lifecycle:due", me))
        client, name = await arrive(server, me, name)
        with redis_server.client() as r:
            assert r.zscore("ws:lifecycle:due", me) is None
    await until_told(redis_server, me, "connected", "online", *["disconnected", "connected"] * 3)
    await client.close()


async def test_who_is_resumed_while_it_is_here_is_told_4409(belfry, redis_server):
    one, two = belfry(ON), belfry(ON)
    me = user()
    old, name = await arrive(one, me)
    new, _ = await arrive(two, me, name)
    await old.closed()
    await new.close()
    await until_told(redis_server, me, "connected", "online", "disconnected", "connected", "disconnected", "offline")
    events = [(e["gen"], e.get("code")) for e in stream(redis_server) if "gen" in e]
    assert events == [("1", None), ("1", "4409"), ("2", None), ("2", "1000")]


async def test_an_end_by_an_operator_is_told_4403(belfry, redis_server):
    server = belfry(ON)
    me = user()
    client, _ = await arrive(server, me)
    assert server.rest("DELETE", f"/users/{me}/connections", OPERATOR).json() == {"ordered": 1}
    await client.closed()
    await until_told(redis_server, me, "connected", "online", "disconnected", "offline")
    assert [e["code"] for e in stream(redis_server) if e["event"] == "disconnected"] == ["4403"]


async def test_without_grace_offline_comes_at_once(belfry, redis_server):
    server = belfry(ON | {"PRESENCE_GRACE": "0"})
    me = user()
    client, _ = await arrive(server, me)
    await client.close()
    await until_told(redis_server, me, "connected", "online", "disconnected", "offline")
    with redis_server.client() as r:
        assert not r.exists("ws:lifecycle:due")


async def test_where_it_is_off_nothing_is_written(belfry, redis_server):
    server = belfry()
    me = user()
    client, name = await arrive(server, me)
    again, _ = await arrive(server, me, name)
    await again.close()
    with redis_server.client() as r:
        await until(lambda: r.exists(f"ws:away:{name}"))
        assert r.keys("ws:lifecycle*") == []
    await client.closed()


# Processes and Redis that end


async def test_the_clients_of_a_killed_process_are_told_by_whoever_reaps_it(belfry, redis_server):
    one, two = belfry(ON), belfry(ON)
    me, other = user(), user()
    clients = [await arrive(one, me) for _ in range(3)] + [await arrive(one, other)]
    here, _ = await arrive(two, other)
    node = node_of(redis_server, clients[0][1])
    one.kill()
    end_lease(redis_server, node)
    waker, _ = await arrive(two, user())  # its welcome asks for the head, which shows the dead node
    await until_told(redis_server, me, "connected", "online", *["connected"] * 2, *["disconnected"] * 3, "offline")
    await until_told(redis_server, other, "connected", "online", "connected", "disconnected")
    assert {e["code"] for e in stream(redis_server) if e["event"] == "disconnected"} == {"1006"}
    for client in (here, waker):
        await client.close()


async def test_the_grace_goes_on_where_the_worker_that_saw_it_begin_has_ended(belfry, redis_server):
    one, two = belfry(ON | {"PRESENCE_GRACE": "1s"}), belfry(ON | {"PRESENCE_GRACE": "1s"})
    me = user()
    client, _ = await arrive(one, me)
    assert await asyncio.to_thread(one.stop) == 0
    await until_told(redis_server, me, "connected", "online", "disconnected", "offline", timeout=15)
    await client.closed()
    assert two.running


async def test_a_node_that_was_only_stopped_tells_that_its_clients_are_back(belfry, redis_server):
    one, two = belfry(ON), belfry(ON)
    me = user()
    client, name = await arrive(one, me)
    node = node_of(redis_server, name)
    one.pause()
    end_lease(redis_server, node)
    waker, _ = await arrive(two, user())
    await until_told(redis_server, me, "connected", "online", "disconnected", "offline")
    one.resume()
    await until_told(redis_server, me, "connected", "online", "disconnected", "offline", "connected", "online", timeout=20)
    for c in (client, waker):
        await c.close()


async def test_a_lost_connection_to_redis_is_no_event(belfry, redis_server):
    server = belfry(ON)
    me = user()
    client, name = await arrive(server, me)
    gone, _ = await arrive(server, me)
    redis_server.pause()
    await gone.close()
    redis_server.resume()
    with redis_server.client() as r:
        for connection in r.client_list():
            if "commands" in connection["name"]:
                r.client_kill_filter(_id=connection["id"])
    await until_told(redis_server, me, "connected", "online", "connected", "disconnected")
    with redis_server.client() as r:
        r.script_flush()
    await client.close()
    await until_told(redis_server, me, "connected", "online", "connected", "disconnected", "disconnected", "offline")


# Read by a backend


async def test_a_consumer_group_of_a_backend_keeps_count_of_racing_workers(belfry, redis_server):
    """Three processes, users that come and go on all of them at once: for each user online and offline take turns."""
    servers = [belfry(ON | {"PRESENCE_GRACE": "50ms"}) for _ in range(3)]
    users = [user() for _ in range(8)]
    with redis_server.client() as r:
        r.xgroup_create("ws:lifecycle", "backend", id="0", mkstream=True)

    async def visit(who, n):
        for i in range(n):
            client, _ = await arrive(servers[(i + hash(who)) % 3], who)
            await client.close()

    await asyncio.gather(*(visit(who, 6) for who in users for _ in range(2)))
    online, connected, seen = dict.fromkeys(users, False), dict.fromkeys(users, 0), {who: [] for who in users}

    def read():
        with redis_server.client() as r:
            for _, entries in r.xreadgroup("backend", "worker-1", {"ws:lifecycle": ">"}, count=50) or []:
                for entry_id, e in entries:
                    seen[e["user"]].append(e["event"])
                    if e["event"] in ("online", "offline"):
                        assert online[e["user"]] != (e["event"] == "online"), seen[e["user"]]
                        online[e["user"]] = e["event"] == "online"
                    else:
                        connected[e["user"]] += 1 if e["event"] == "connected" else -1
                    assert connected[e["user"]] >= 0
                    assert e["event"] != "offline" or connected[e["user"]] == 0
                    r.xack("ws:lifecycle", "backend", entry_id)
        return all(events.count("disconnected") == 12 and events[-1] == "offline" for events in seen.values())

    await until(read, 15)
    assert not any(online.values()) and not any(connected.values())
    with redis_server.client() as r:
        assert r.xpending("ws:lifecycle", "backend")["pending"] == 0


async def test_staying_costs_redis_nothing_where_it_is_on(belfry, redis_server):
    server = belfry(ON | {"PING_INTERVAL": "1s", "MAX_CONNECTIONS_PER_USER": "0"})
    clients = await asyncio.gather(*(arrive(server, user()) for _ in range(200)))
    await asyncio.sleep(0.5)
    with redis_server.client() as r:
        r.config_resetstat()
        await asyncio.sleep(3)
        stats = r.info("commandstats")
    assert sum(v["calls"] for k, v in stats.items() if k in ("cmdstat_evalsha", "cmdstat_eval", "cmdstat_xadd")) <= 1
    await asyncio.gather(*(c.close() for c, _ in clients))


# The scripts


def events(scripts):
    return [(e["event"], e.get("connection_id", e["user"]), e.get("code")) for e in scripts.lifecycle()]


def test_the_stream_is_bounded(scripts):
    scripts.grace = 0
    with scripts.client.pipeline(transaction=False) as pipe:
        for _ in range(100_300):
            pipe.xadd(scripts.key("lifecycle"), {"event": "x"})
        pipe.execute()
    scripts.register(("c", 1, "a"))
    assert 100_000 <= scripts.client.xlen(scripts.key("lifecycle")) < 100_300


def test_saying_again_what_is_known_tells_nothing(scripts):
    scripts.grace = 1000
    scripts.register(("c", 1, "a"))
    scripts.register(("c", 1, "a"))
    assert events(scripts) == [("connected", "c", None), ("online", "a", None)]
    scripts.leave(("c", 1, "a"))
    scripts.leave(("c", 1, "a"))
    scripts.reap("n1")
    assert events(scripts)[2:] == [("disconnected", "c", "1000")]


def test_a_newer_gen_that_redis_has_not_heard_of_ends_the_older_one(scripts):
    scripts.grace = 0
    scripts.register(("c", 1, "a"))
    scripts.register(("c", 2, "a"), node="n2")
    assert events(scripts)[2:] == [("disconnected", "c", "4409"), ("connected", "c", None)]
    assert scripts.leave(("c", 1, "a")) == 0 and len(events(scripts)) == 4


def test_workers_that_race_tell_offline_once_and_only_who_is(scripts):
    scripts.grace = 1
    scripts.register(*[(f"c{i}", 1, f"u{i}") for i in range(20)])
    scripts.leave(*[(f"c{i}", 1, f"u{i}") for i in range(20)])
    scripts.grace = ""
    scripts.register(("d", 1, "u7"))  # by a worker where it is off
    scripts.grace = 1
    time.sleep(0.01)
    replies = []
    while not replies or replies[-1][1] >= 0:
        replies.append(scripts.offline(6))
    assert sum(told for told, _ in replies) == 19 and scripts.offline() == [0, -1]
    offline = [e["user"] for e in scripts.lifecycle() if e["event"] == "offline"]
    assert sorted(offline) == sorted({f"u{i}" for i in range(20)} - {"u7"})


def test_the_next_one_due_is_told(scripts):
    scripts.grace = 5000
    scripts.register(("c", 1, "a"))
    scripts.leave(("c", 1, "a"))
    told, wait = scripts.offline()
    assert told == 0 and 3000 < wait <= 5000


def test_it_is_told_where_redis_memory_is_full(scripts):
    scripts.grace = 1
    scripts.register(("c", 1, "a"), ("d", 1, "b"), ("e", 1, "b"))
    scripts.client.config_set("maxmemory", 1)
    try:
        scripts.leave(("c", 1, "a"))
        scripts.disconnect("connection", "d")
        scripts.reap("n1")
        wait_for(lambda: scripts.offline()[1] == -1)
        scripts.register(("f", 1, "a"))
    finally:
        scripts.client.config_set("maxmemory", 0)
    assert events(scripts)[5:8] == [("disconnected", "c", "1000"), ("disconnected", "d", "4403"), ("disconnected", "e", "1006")]
    assert {e for e in events(scripts)[8:10]} == {("offline", "a", None), ("offline", "b", None)}
    assert events(scripts)[10:] == [("connected", "f", None), ("online", "a", None)]


# An end by an operator, in the scripts


def test_an_ended_identity_is_nobody_and_its_holder_is_ordered_again(scripts):
    scripts.register(("c", 3, "a"))
    with scripts.client.pubsub(ignore_subscribe_messages=True) as pubsub:
        pubsub.subscribe(scripts.key("node:n1"))
        assert scripts.disconnect("connection", "c", reason="no more") == [1, 0]
        assert scripts.disconnect("connection", "c") == [0, 0]
        assert scripts.register(("c", 3, "a")) == [(4, 3)]
        assert scripts.register(("c", 2, "a")) == [(4, 3)]
        orders = []
        wait_for(lambda: orders.extend(filter(None, [pubsub.get_message(timeout=0.1)])) or len(orders) == 3)
        assert {m["data"] for m in orders} == {"disconnect c 3 no more"}
    assert scripts.call([("x", True, [("connection", "c")])])[4] == -1
    assert scripts.register(("fresh", "c", "a")) == [(2, 1)]
    assert scripts.register(("c", 4, "a")) == [(2, 4)]


@pytest.mark.parametrize("n", [1, 7, 1200])
def test_a_users_connections_are_ended_in_steps(scripts, n):
    scripts.register(*[(f"c{i}", 1, "a") for i in range(n)])
    scripts.register(("x", 1, "b"))
    scripts.client.sadd(scripts.key("user:a:conns"), "x", "none")
    ended, left = 0, 1
    while left:
        done, left = scripts.disconnect("user", "a", 500)
        ended += done
    assert ended == n and scripts.client.hkeys(scripts.key("conns")) == ["x"]
    assert scripts.disconnect("user", "a") == [0, 0]
