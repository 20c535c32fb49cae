"""A connection_id resumes an identity, on any process: claims, the older socket's end, being away, nodes that die."""

import asyncio
import json
import time

import pytest

from belfry import token, wait_for
from clients import Client, user

PUBLISHER = token("publisher", ["events:publish"])


def conns(redis_server):
    with redis_server.client() as client:
        return {name: json.loads(entry) for name, entry in client.hgetall("ws:conns").items()}


def away(redis_server, name):
    with redis_server.client() as client:
        entry = client.get(f"ws:away:{name}")
        return json.loads(entry) if entry else None


def end_lease(redis_server, node):
    """As if the node had been silent for 30 seconds."""
    with redis_server.client() as client:
        client.delete(f"ws:node:{node}")
        client.zadd("ws:nodes", {node: 1}, xx=True)


async def until(condition, timeout=5.0, what=None):
    return await asyncio.to_thread(wait_for, condition, timeout, what)


async def arrive(server, who, claimed=None, **options):
    """A welcomed client, its connection_id and whether it was resumed."""
    query = f"connection_id={claimed}" if claimed is not None else ""
    client = await Client.connect(server, token(who, ["events:publish"]), query=query, **options)
    data = (await client.welcome())["data"]
    return client, data["connection_id"], data["resumed"]


async def leave(redis_server, client, name):
    """Closes the client; the identity is away."""
    await client.close()
    await until(lambda: away(redis_server, name))


async def post(server, name, status=202, **members):
    return await asyncio.to_thread(server.publish, "to.one", members, {"connection": name}, None, status)


# What is known of a connection


async def test_a_connection_is_known_from_its_welcome_to_its_end(belfry, redis_server):
    server = belfry()
    me = user() + '"\\ü'
    before = time.time() * 1000
    client, name, resumed = await arrive(server, me, user_agent_header="Tester/1.0 (\u00fcber)")
    assert not resumed
    entry = conns(redis_server)[name]
    assert set(entry) == {"user", "node", "gen", "address", "user_agent", "since"}
    assert entry["user"] == me and entry["gen"] == 1 and entry["address"] == "127.0.0.1"
    assert entry["user_agent"].startswith("Tester/1.0 (")
    assert before - 1000 <= entry["since"] <= time.time() * 1000 + 1000
    with redis_server.client() as r:
        assert r.smembers(f"ws:user:{me}:conns") == {name}
        assert r.exists(f"ws:node:{entry['node']}") and r.zscore("ws:nodes", entry["node"])
        await leave(redis_server, client, name)
        assert away(redis_server, name) == entry
        assert not r.exists(f"ws:user:{me}:conns")
        assert 290_000 < r.pttl(f"ws:away:{name}") <= 300_000
    assert name not in conns(redis_server)


async def test_a_refused_connection_is_not_known(belfry, redis_server):
    server = belfry({"MAX_CONNECTIONS_PER_ADDRESS": "1"})
    client, name, _ = await arrive(server, user())
    second = await Client.connect(server, token(user()))
    assert (await second.closed())[0] == 4429
    assert set(conns(redis_server)) == {name}
    await client.close()


# Events to a connection


async def test_events_to_a_connection_are_accepted_while_it_is_here_or_away_and_else_404(belfry, redis_server):
    one, two = belfry(), belfry()
    client, name, _ = await arrive(one, user())
    answer = await post(two, name, n=1)
    assert answer["receivers"] == 1
    assert (await client.next("to.one"))["event_id"] == answer["event_id"]
    await leave(redis_server, client, name)
    await post(two, name, n=2)
    problem = await post(two, "A" * 22, 404)
    assert problem["type"].endswith("connection-not-found")
    with redis_server.client() as r:
        assert [json.loads(fields["payload"])["data"]["n"] for _, fields in r.xrange(f"ws:log:conn:{name}")] == [1, 2]
        r.delete(f"ws:away:{name}")
    await post(two, name, 404)


async def test_a_client_that_writes_to_nobody_is_told(belfry):
    server = belfry()
    client, name, _ = await arrive(server, user())
    for audience, expected in (({"connection": name}, "ack"), ({"connection": "B" * 22}, "error")):
        await client.send("to.one", data={}, audience=audience, event_id="e")
        frame = await client.next(expected)
        assert frame["data"]["ref"] == "e"
    assert frame["data"]["code"] == "not_accepted"
    await client.close()


# Resuming


async def test_an_identity_is_resumed_on_another_process_and_the_older_socket_is_told(belfry, redis_server):
    one, two = belfry(), belfry()
    me = user()
    old, name, _ = await arrive(one, me)
    new, same, resumed = await arrive(two, me, name)
    assert same == name and resumed
    code, reason = await old.closed()
    assert code == 4409 and "resumed" in reason
    entry = conns(redis_server)[name]
    assert entry["gen"] == 2
    assert (await post(one, name))["receivers"] >= 1
    await new.next("to.one")
    await leave(redis_server, new, name)
    assert away(redis_server, name)["gen"] == 2 and away(redis_server, name)["node"] == entry["node"]


async def test_a_duplicated_tab_the_newer_one_stays_and_nobody_is_closed_twice(belfry, redis_server):
    server = belfry()
    me = user()
    first, name, _ = await arrive(server, me)
    second, same, resumed = await arrive(server, me, name)
    assert same == name and resumed and (await first.closed())[0] == 4409
    third, same, _ = await arrive(server, me, name)
    assert same == name and (await second.closed())[0] == 4409
    assert (await post(server, name))["receivers"] == 1
    await third.next("to.one")
    assert conns(redis_server)[name]["gen"] == 3
    await third.close()


async def test_who_comes_back_is_the_same_also_when_it_comes_from_away(belfry, redis_server):
    one, two = belfry(), belfry()
    me = user()
    client, name, _ = await arrive(one, me)
    await leave(redis_server, client, name)
    again, same, resumed = await arrive(two, me, name)
    assert same == name and resumed and away(redis_server, name) is None
    assert conns(redis_server)[name]["gen"] == 2
    with redis_server.client() as r:
        assert r.smembers(f"ws:user:{me}:conns") == {name}
    await again.close()


async def test_events_while_away_are_replayed_to_who_comes_back(belfry, redis_server):
    one, two = belfry(), belfry()
    me = user()
    client, name, _ = await arrive(one, me)
    position = client.frames[0]["event_id"]
    await leave(redis_server, client, name)
    ids = [(await post(two, name, n=n))["event_id"] for n in range(3)]
    again = await Client.connect(two, token(me), query=f"connection_id={name}&last_event_id={position}")
    assert (await again.welcome())["data"]["resumed"] is True
    assert [(await again.next("to.one"))["event_id"] for _ in ids] == ids
    await again.close()


@pytest.mark.parametrize("claimed", ["another's", "another's, away", "A" * 22, "", "x", "A" * 21 + "!", "A" * 23, "%00" * 22])
async def test_an_id_that_is_not_ones_own_is_answered_alike_by_a_new_one(belfry, redis_server, claimed):
    server = belfry()
    other, name, _ = await arrive(server, user())
    if claimed.startswith("another's"):
        if claimed.endswith("away"):
            await leave(redis_server, other, name)
        claimed = name
    client, fresh, resumed = await arrive(server, user(), claimed)
    assert not resumed and fresh not in (claimed, name) and len(fresh) == 22
    assert fresh in conns(redis_server)
    if not other.reader.done():
        await post(server, name)
        await other.next("to.one")
        await other.close()
    await client.close()


async def test_of_racing_claims_on_two_processes_exactly_one_socket_remains(belfry, redis_server):
    one, two = belfry(), belfry()
    me = user()
    client, name, _ = await arrive(one, me)
    for _ in range(5):
        racers = await asyncio.gather(*(Client.connect(s, token(me), query=f"connection_id={name}") for s in (one, two) * 3))
        await client.closed()
        await until(lambda: sum(not r.reader.done() for r in racers) == 1)
        (client,) = [r for r in racers if not r.reader.done()]
        assert all(r.ws.close_code == 4409 for r in racers if r is not client)
        assert (await client.next("welcome"))["data"]["connection_id"] == name
        await post(one, name)
        await client.next("to.one")
    assert set(conns(redis_server)) == {name}
    await client.close()


async def test_a_claim_waits_for_redis_and_then_resumes(belfry, redis_server):
    server = belfry({"REDIS_TIMEOUT": "20s"})
    me = user()
    old, name, _ = await arrive(server, me)
    redis_server.pause()
    try:
        pending = await Client.connect(server, token(me), query=f"connection_id={name}")
        await pending.quiet()
        assert pending.frames == [] and not old.reader.done()
    finally:
        redis_server.resume()
    assert (await pending.welcome())["data"] | {"connection_id": name, "resumed": True} == pending.frames[0]["data"]
    assert (await old.closed())[0] == 4409
    await pending.close()


async def test_a_claim_of_a_client_that_has_left_takes_nothing_over(belfry, redis_server):
    one, two = belfry({"REDIS_TIMEOUT": "20s"}), belfry({"REDIS_TIMEOUT": "20s"})
    me = user()
    old, name, _ = await arrive(one, me)
    redis_server.pause()
    try:
        impatient = await Client.connect(two, token(me), query=f"connection_id={name}")
        await impatient.close()
    finally:
        redis_server.resume()
    await old.closed()  # the claim was under way already
    await until(lambda: away(redis_server, name))
    again, same, resumed = await arrive(one, me, name)
    assert same == name and resumed
    await again.close()


# Processes that end


async def test_who_is_drained_can_be_resumed_at_once(belfry, redis_server):
    one, two = belfry({"DRAIN_SECONDS": "1s"}), belfry()
    me = user()
    clients = [await arrive(one, me) for _ in range(20)]
    node = conns(redis_server)[clients[0][1]]["node"]
    assert await asyncio.to_thread(one.stop) == 0
    assert conns(redis_server) == {}
    with redis_server.client() as r:
        assert not r.exists(f"ws:node:{node}") and r.zscore("ws:nodes", node) is None
        assert not r.exists(f"ws:user:{me}:conns")
    for client, name, _ in clients:
        assert (await client.closed())[0] == 1012
        again, same, resumed = await arrive(two, me, name)
        assert same == name and resumed
        await again.close()


async def test_a_hurried_end_still_tells_of_all_its_connections(belfry, redis_server):
    server = belfry({"DRAIN_SECONDS": "60s"})
    clients = await asyncio.gather(*(arrive(server, user()) for _ in range(600)))
    assert len(conns(redis_server)) == 600
    await asyncio.to_thread(server.stop, 2)
    assert conns(redis_server) == {} and all(away(redis_server, name) for _, name, _ in clients[::50])
    for client, _, _ in clients:
        await client.close()


async def test_the_identities_of_a_killed_process_are_resumed_at_once_and_reaped_after_its_lease(belfry, redis_server):
    one, two = belfry(), belfry()
    me = user()
    clients = [await arrive(one, me) for _ in range(30)]
    node = conns(redis_server)[clients[0][1]]["node"]
    one.kill()
    first, same, resumed = await arrive(two, me, clients[0][1])
    assert same == clients[0][1] and resumed
    assert len(conns(redis_server)) == 30
    end_lease(redis_server, node)
    other, _, _ = await arrive(two, me)  # its welcome asks for the head, which shows the dead node
    await until(lambda: len(conns(redis_server)) == 2)
    assert await asyncio.to_thread(two.wait_log, "node_reaped", node=node, connections=29)
    with redis_server.client() as r:
        assert r.zscore("ws:nodes", node) is None
    assert away(redis_server, clients[0][1]) is None
    again, same, resumed = await arrive(two, me, clients[1][1])
    assert same == clients[1][1] and resumed
    for client in (first, other, again):
        await client.close()


async def test_a_node_that_was_only_stopped_comes_back_to_what_is_still_its_own(belfry, redis_server):
    one, two = belfry(), belfry()
    me = user()
    kept, kept_name, _ = await arrive(one, me)
    taken, taken_name, _ = await arrive(one, me)
    node = conns(redis_server)[kept_name]["node"]
    one.pause()
    end_lease(redis_server, node)
    new, same, resumed = await arrive(two, me, taken_name)
    assert same == taken_name and resumed
    await until(lambda: away(redis_server, kept_name))
    one.resume()
    assert (await taken.closed(20))[0] == 4409
    await until(lambda: kept_name in conns(redis_server), 20)
    assert away(redis_server, kept_name) is None and conns(redis_server)[taken_name]["gen"] == 2
    assert (await post(two, kept_name))["receivers"] == 1
    await kept.next("to.one")
    for client in (kept, new):
        await client.close()


async def test_a_connection_whose_identity_has_expired_meanwhile_is_told_that_its_log_is_gone(belfry, redis_server):
    """Its worker was cut off for longer than an identity may be away; what was sent to it until then is gone."""
    one, two = belfry(), belfry()
    me = user()
    kept, kept_name, _ = await arrive(one, me)
    gone, gone_name, _ = await arrive(one, me)
    node = conns(redis_server)[kept_name]["node"]
    one.pause()
    end_lease(redis_server, node)
    other, _, _ = await arrive(two, me)  # its welcome asks for the head, which shows the dead node
    await until(lambda: away(redis_server, gone_name) and away(redis_server, kept_name))
    for name in (kept_name, gone_name):
        await post(two, name)
    with redis_server.client() as r:  # five minutes and one later
        assert r.delete(f"ws:away:{gone_name}", f"ws:log:conn:{gone_name}") == 2
        for connection in r.client_list():
            if node in connection["name"]:
                r.client_kill_filter(_id=connection["id"])
    one.resume()
    assert (await gone.next("resync_required", 20))["data"]["reason"] == "expired"
    await kept.next("to.one", 20)
    assert not [f for f in kept.frames if f["type"] == "resync_required"]
    await post(two, gone_name)
    await gone.next("to.one", 20)
    for client in (kept, gone, other):
        await client.close()


async def test_a_node_that_was_cut_off_closes_what_was_resumed_elsewhere(belfry, redis_server):
    one, two = belfry(), belfry()
    me = user()
    old, name, _ = await arrive(one, me)
    node = conns(redis_server)[name]["node"]
    one.pause()
    with redis_server.client() as r:
        for connection in r.client_list():
            if node in connection["name"]:
                r.client_kill_filter(_id=connection["id"])
    new, same, _ = await arrive(two, me, name)
    assert same == name
    one.resume()
    assert (await old.closed(20))[0] == 4409
    await post(two, name)
    await new.next("to.one")
    await new.close()


# Redis forgets


async def test_connections_that_a_flushed_redis_does_not_know_are_told_of_the_epoch_only(belfry, redis_server):
    """They are registered again before anything has opened a new epoch."""
    server = belfry()
    client, name, _ = await arrive(server, user())
    await until(lambda: name in conns(redis_server))
    for _ in range(3):
        with redis_server.client() as r, r.pipeline(transaction=True) as both:
            both.flushall()
            both.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
            both.execute()
        await until(lambda: name in conns(redis_server))
        assert (await client.next("resync_required", 20))["data"]["reason"] == "epoch"
        await post(server, name)
        await client.next("to.one", 20)
    assert [f["data"]["reason"] for f in client.frames if f["type"] == "resync_required"] == ["epoch"] * 3
    await client.close()


async def test_after_flushall_every_connection_is_registered_again(belfry, redis_server):
    server = belfry({"MAX_CONNECTIONS_PER_USER": "0"})
    me = user()
    clients = [await arrive(server, me, user_agent_header="Kept/1") for _ in range(700)]
    before = conns(redis_server)
    with redis_server.client() as r:
        r.flushall()
    await until(lambda: len(conns(redis_server)) == 700, 20, "all connections")
    after = conns(redis_server)
    for name, entry in after.items():
        assert abs(entry.pop("since") - before[name].pop("since")) < 1000
    assert after == before
    with redis_server.client() as r:
        assert r.smembers(f"ws:user:{me}:conns") == set(before)
    for client, _, _ in clients:
        await client.close()


async def test_who_ends_while_redis_is_away_goes_away_when_it_is_back(belfry, redis_server):
    server = belfry({"REDIS_TIMEOUT": "1s"})
    client, name, _ = await arrive(server, user())
    other, other_name, _ = await arrive(server, user())
    redis_server.kill()
    server.wait_log("redis_lost")
    await client.close()
    redis_server.start()
    await until(lambda: server.ready() and set(conns(redis_server)) == {other_name}, 20)
    assert name not in conns(redis_server)
    await other.close()


async def test_scripts_that_redis_has_lost_are_brought_again(belfry, redis_server):
    server = belfry()
    me = user()
    with redis_server.client() as r:
        r.script_flush()
        client, name, _ = await arrive(server, me)
        r.script_flush()
        again, same, resumed = await arrive(server, me, name)
        assert same == name and resumed and (await client.closed())[0] == 4409
        r.script_flush()
        await leave(redis_server, again, name)


@pytest.mark.parametrize("order", ["close {name}", "close {name} ", "close {name} x", "close {name} -1", "close {name} 1",
                                   "close {name} 4294967296", "close  {name} 9", "Close {name} 9", "close {name} 9 9",
                                   "close AAAAAAAAAAAAAAAAAAAAAA 9", "close short 9", " close {name} 9"])
async def test_an_order_that_is_none_closes_nobody(belfry, redis_server, order):
    server = belfry()
    client, name, _ = await arrive(server, user())
    node = conns(redis_server)[name]["node"]
    with redis_server.client() as r:
        assert r.publish(f"ws:node:{node}", order.format(name=name)) == 1
        await post(server, name)
        await client.next("to.one")
        assert not client.reader.done()
        r.publish(f"ws:node:{node}", f"close {name} 2")
    assert (await client.closed())[0] == 4409
