"""Who gets which event, in which order, how often; and what other services publish into Redis by themselves."""

import asyncio
import contextlib
import json
import re

import pytest

from belfry import wait_for
from clients import Client, Raw, user
from test_ws import never_goes_back, order


@contextlib.asynccontextmanager
async def connected(server, token, *users):
    """A welcomed Client for each user id."""
    async with contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(await Client.connect(server, token(u))) for u in users]
        for client in clients:
            await client.welcome()
        yield clients


def types(client):
    return [e["type"] for e in client.events()]


async def settled(server, *clients):
    """After a last broadcast has arrived everywhere, whatever came before it has arrived too or never will."""
    last = server.publish("the.end", {})["event_id"]
    for client in clients:
        while (await client.next("the.end"))["event_id"] != last:
            pass


# ---- audiences


async def test_each_audience_gets_its_own_and_nobody_elses(belfry, token):
    server, alice, bob = belfry(), user(), user()
    async with connected(server, token, alice, alice, bob) as (a1, a2, b):
        connection = a2.frames[0]["data"]["connection_id"]
        server.publish("all", {})
        server.publish("alice", {}, {"user": alice})
        server.publish("bob", {}, {"user": bob})
        server.publish("both", {}, {"users": [alice, bob, alice, "nobody"]})
        server.publish("one", {}, {"connection": connection})
        server.publish("nobody", {}, {"user": "nobody"})
        await settled(server, a1, a2, b)
        assert types(a1) == ["all", "alice", "both", "the.end"]
        assert types(a2) == ["all", "alice", "both", "one", "the.end"]
        assert types(b) == ["all", "bob", "both", "the.end"]
        for client in (a1, a2, b):
            assert never_goes_back(client.frames)


@pytest.mark.parametrize("near", ["{}x", "x{}", "{}:conns", "{}*", "*"])
async def test_user_ids_are_compared_whole(shared, token, near):
    me = user()
    async with connected(shared, token, me, near.format(me)) as (mine, other):
        shared.publish("mine", {}, {"user": me})
        shared.publish("other", {}, {"user": near.format(me)})
        await settled(shared, mine, other)
        assert types(mine)[0] == "mine" and "other" not in types(mine)
        assert types(other)[0] == "other" and "mine" not in types(other)


async def test_a_user_who_has_left_and_returned_gets_events_again(shared, token):
    me = user()
    for n in range(3):
        async with connected(shared, token, me) as (client,):
            shared.publish("again", {"n": n}, {"user": me})
            assert (await client.next("again"))["data"] == {"n": n}


async def test_events_without_replay_are_delivered_live(shared, token):
    me = user()
    async with connected(shared, token, me) as (client,):
        told = shared.publish("tick", {}, {"user": me}, replay=False)
        assert (await client.next("tick"))["event_id"] == told["event_id"]


# ---- order, once


async def test_two_thousand_events_come_once_and_in_order(belfry, token):
    server, alice, bob = belfry(env={"WORKERS": "2"}), user(), user()
    publisher = token("p", "events:publish")

    def publish(batch):
        events = [{"type": "load", "data": {"n": batch * 50 + i},
                   "audience": ["broadcast", {"user": alice}, {"users": [alice, bob]}, "broadcast"][i % 4]} for i in range(50)]
        answer = server.rest("POST", "/events/batch", publisher, json={"events": events})
        assert answer.status_code == 202
        return [(r["event_id"], e["data"]["n"], e["audience"]) for r, e in zip(answer.json()["results"], events)]

    async with connected(server, token, alice, alice, bob, user()) as clients:
        lists = await asyncio.gather(*(asyncio.to_thread(publish, batch) for batch in range(40)))
        published = sorted((event for batch in lists for event in batch), key=lambda e: order(e[0]))
        assert len({order(e[0]) for e in published}) == 2000
        await settled(server, *clients)
        for client, me in zip(clients, (alice, alice, bob, "nobody")):
            mine = [(i, n) for i, n, to in published if to == "broadcast" or me in (to.get("user"), *to.get("users", []))]
            assert [(e["event_id"], e["data"]["n"]) for e in client.events() if e["type"] == "load"] == mine
            assert never_goes_back(client.frames)
            assert not [f for f in client.frames if f["type"] == "resync_required"]


async def test_events_of_clients_and_of_rest_are_one_order(shared, token):
    me = user()
    async with await Client.connect(shared, token(me, "events:publish")) as client:
        await client.welcome()
        for n in range(10):
            await client.send("mixed", data={"n": 2 * n}, audience={"user": me})
            await client.next("ack")
            shared.publish("mixed", {"n": 2 * n + 1}, {"user": me})
        await settled(shared, client)
        assert [e["data"]["n"] for e in client.events() if e["type"] == "mixed"] == list(range(20))
        assert never_goes_back(client.frames)


# ---- many processes


async def test_processes_on_one_redis_are_one_server(belfry, token):
    one, two = belfry(), belfry()
    alice = user()
    async with connected(one, token, alice) as (a1,), connected(two, token, alice) as (a2,):
        connection = a2.frames[0]["data"]["connection_id"]
        assert one.publish("all", {})["receivers"] == 2
        two.publish("alice", {}, {"user": alice})
        one.publish("one", {}, {"connection": connection})
        await settled(two, a1, a2)
        assert types(a1) == ["all", "alice", "the.end"]
        assert types(a2) == ["all", "alice", "one", "the.end"]
        common = [e["event_id"] for e in a1.events()]
        assert [e["event_id"] for e in a2.events() if e["type"] != "one"] == common
        health = one.rest("GET", "/ws/health").json()
        assert health["connections"]["local"] == 1


async def test_workers_of_one_process_are_one_server(belfry, token):
    server, alice = belfry(env={"WORKERS": "4"}), user()
    async with connected(server, token, *[alice] * 16) as clients:
        assert server.publish("all", {})["receivers"] == 4
        server.publish("alice", {}, {"user": alice})
        await settled(server, *clients)
        assert all(types(client) == ["all", "alice", "the.end"] for client in clients)


async def test_prefixes_keep_servers_apart(belfry, token):
    one, two = belfry(env={"REDIS_PREFIX": "one:"}), belfry(env={"REDIS_PREFIX": "{two}"})
    async with connected(one, token, "a") as (a,), connected(two, token, "a") as (b,):
        one.publish("one", {})
        two.publish("two", {}, {"user": "a"})
        await settled(one, a)
        await settled(two, b)
        assert types(a) == ["one", "the.end"] and types(b) == ["two", "the.end"]


# ---- events of others


def foreign(**members):
    return json.dumps({"type": "notification", "event_id": "0b6e1c9a-0000-4000-8000-000000000001",
                       "timestamp": "2025-11-08T22:00:00.123Z", "data": {"title": "t", "message": ""}, **members})


@pytest.mark.parametrize("channel", ["broadcast", "user:{user}", "connection:{connection}"])
async def test_a_foreign_publish_reaches_live_clients(shared, token, channel):
    me = user()
    async with connected(shared, token, me, user()) as (client, other):
        name = "ws:" + channel.format(user=me, connection=client.frames[0]["data"]["connection_id"])
        before = shared.publish("before", {})["event_id"]
        await client.next("before")
        assert shared.redis.client().publish(name, foreign()) == 1
        frame = await client.next("notification")
        assert re.fullmatch(r"\d+-\d+\.\d+", frame["event_id"]) and order(frame["event_id"]) >= (*order(before)[:2], 1)
        assert frame["source_id"] == "0b6e1c9a-0000-4000-8000-000000000001"
        assert frame["data"] == {"title": "t", "message": ""}
        assert frame["timestamp"] != "2025-11-08T22:00:00.123Z"
        await settled(shared, client, other)
        assert ("notification" in types(other)) is (channel == "broadcast")
        assert never_goes_back(client.frames)


async def test_foreign_events_have_ids_of_their_own(shared, token):
    async with connected(shared, token, user()) as (client,):
        shared.publish("before", {})
        for n in range(5):
            shared.redis.client().publish("ws:broadcast", json.dumps({"type": "foreign", "data": {"n": n}}))
        await settled(shared, client)
        events = [e for e in client.events() if e["type"] == "foreign"]
        assert [e["data"]["n"] for e in events] == [0, 1, 2, 3, 4]
        assert len({e["event_id"] for e in events}) == 5 and never_goes_back(client.frames)
        assert all("source_id" not in e for e in events)


async def test_a_foreign_position_can_be_brought_back(shared, token):
    async with connected(shared, token, user()) as (client,):
        shared.publish("before", {})
        shared.redis.client().publish("ws:broadcast", foreign())
        position = (await client.next("notification"))["event_id"]
    async with await Client.connect(shared, token(user()), query=f"last_event_id={position}") as client:
        assert (await client.welcome())["event_id"] == position
        await client.next("caught_up")
        shared.redis.client().publish("ws:broadcast", foreign(type="another"))
        assert order((await client.next("another"))["event_id"]) > order(position)


JUNK = {
    "nothing": b"",
    "no JSON": b"hello",
    "cut off": foreign()[:-1].encode(),
    "an array": b"[]",
    "a text": b'"x"',
    "no type": json.dumps({"data": {}}).encode(),
    "a number as type": foreign(type=1).encode(),
    "a type of no such form": foreign(type="Not A Type").encode(),
    "a type of the protocol": foreign(type="welcome").encode(),
    "a ping": foreign(type="ping").encode(),
    "data that is no object": foreign(data=[1]).encode(),
    "bad UTF-8": foreign().encode().replace(b'"t"', b'"\xff"'),
    "a lone surrogate": foreign().encode().replace(b'"t"', b'"\\ud800"'),
    "two types": foreign().encode().replace(b"{", b'{"type":"a",', 1),
    "too deep": foreign().encode().replace(b'"t"', b"[" * 100 + b"]" * 100),
    "too big": foreign(data={"x": "x" * 70000}).encode(),
    "binary": bytes(range(256)),
}


async def test_junk_is_dropped_and_what_follows_arrives(belfry, redis_server, token):
    server, me = belfry(), user()
    async with connected(server, token, me) as (client,):
        for channel in ("ws:broadcast", f"ws:user:{me}"):
            for payload in JUNK.values():
                redis_server.client().publish(channel, payload)
        await settled(server, client)
        assert types(client) == ["the.end"]
        assert 1 <= sum("drop" in entry["event"] for entry in server.logs()) <= 5


@pytest.mark.parametrize("event_id", ["1-1", "0-0", "99999999999999-99999999", "x"])
async def test_a_forged_id_does_not_disturb_the_order(belfry, redis_server, token, event_id):
    server = belfry()
    async with connected(server, token, user()) as (client,):
        server.publish("before", {})
        await client.next("before")
        redis_server.client().publish("ws:broadcast", " " + foreign(event_id=event_id, type="forged"))
        await asyncio.sleep(0.2)
        server.publish("after", {})
        await client.next("after", 20)
        await settled(server, client)
        assert types(client)[0] == "before" and types(client)[-1] == "the.end"


# ---- gaps


async def test_a_redis_that_restarts_costs_nobody_the_connection(belfry, redis_server, token):
    server, me = belfry(), user()
    async with connected(server, token, me) as (client,):
        server.publish("before", {})
        await client.next("before")
        redis_server.restart()
        wait_for(lambda: server.rest("POST", "/events", token("p", "events:publish"),
                                     json={"type": "after", "data": {}, "audience": {"user": me}}).status_code == 202, 15)
        resync = await client.next("resync_required", 15)
        await settled_somehow(server, client, me)
        assert resync["data"]["position"] == resync["event_id"]
        assert never_goes_back(client.frames)


async def settled_somehow(server, client, me):
    """Until one event arrives: those before the gap is closed are covered by resync_required."""
    for n in range(50):
        server.publish("finally", {"n": n}, {"user": me})
        try:
            return await client.next("finally", 0.3)
        except TimeoutError:
            pass
    raise AssertionError("nothing arrives any more")


async def test_a_client_that_does_not_read_misses_nothing(belfry, token):
    server = belfry(env={"TAPE_BYTES": "256K", "PONG_TIMEOUT": "10m"})
    publisher = token("p", "events:publish")
    async with await Raw.websocket(server, token(user()), receive_buffer=4096) as slow, \
            connected(server, token, user()) as (quick,):
        await slow.next("welcome")
        for batch in range(20):
            events = [{"type": "big", "data": {"n": batch * 14 + i, "pad": "x" * 60000}, "audience": "broadcast"} for i in range(14)]
            assert (await asyncio.to_thread(server.rest, "POST", "/events/batch", publisher, json={"events": events})).status_code == 202
        last = (await asyncio.to_thread(server.publish, "the.end", {}))["event_id"]
        got, positions = [], []
        while not positions or positions[-1] != last:
            message = json.loads((await slow.read_frame(20))[1] or b'{"type":""}')
            positions.append(message.get("event_id", positions[-1] if positions else "0-0"))
            assert message["type"] in ("big", "ping", "the.end", "")
            if message["type"] == "big":
                got.append(message["data"]["n"])
        assert got == list(range(280))
        assert [order(p) for p in positions] == sorted(order(p) for p in positions)
        await quick.next("the.end", 20)
