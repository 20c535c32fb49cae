"""Resuming by last_event_id: all of a client's logs from its position on, once and in order, or it is told."""

import asyncio
import json

import pytest

from belfry import token, wait_for
from clients import Client, Raw, user


def order(position):
    epoch, rest = position.split("-")
    return (int(epoch), *(int(n) for n in rest.split(".")))


def numbers(client):
    return [f["data"]["n"] for f in client.events()]


def told(client, type):
    return [f for f in client.frames if f["type"] == type]


async def batch(server, events):
    """Publishes (audience, n, pad) by batches and returns the event_ids."""
    ids = []
    step = 500 if max(pad for _, _, pad in events) < 1500 else 250
    for first in range(0, len(events), step):
        body = {"events": [{"type": "e", "audience": audience, "data": {"n": n, "pad": "x" * pad}}
                           for audience, n, pad in events[first:first + step]]}
        answer = await asyncio.to_thread(server.rest, "POST", "/events/batch", token("p", ["events:publish"]), json=body)
        assert answer.status_code == 202, answer.text
        ids += [r["event_id"] for r in answer.json()["results"]]
    return ids


async def publish(server, n, audience="broadcast"):
    return (await batch(server, [(audience, n, 0)]))[0]


async def resume(server, name, position):
    return await Client.connect(server, token(name), query=f"last_event_id={position}")


def assert_never_back(client):
    positions = [order(f["event_id"]) for f in client.frames]
    assert positions == sorted(positions), positions


async def expect(client, first, last, replayed=None, position=None):
    """A resume that gets n = first..last before caught_up, once each and in order."""
    welcome = await client.welcome()
    assert welcome["data"]["recovering"] is True and welcome["data"]["resumed"] is False
    assert position in (None, welcome["event_id"]) and welcome["event_id"] == welcome["data"]["position"]
    caught_up = await client.next("caught_up", 20)
    assert numbers(client) == list(range(first, last + 1))
    assert caught_up["data"]["replayed"] == (last - first + 1 if replayed is None else replayed)
    assert caught_up["event_id"] == caught_up["data"]["position"]
    assert told(client, "resync_required") == []
    assert_never_back(client)
    return caught_up


@pytest.mark.parametrize("other_process", [False, True])
async def test_all_logs_are_merged_by_the_order_of_their_events(belfry, other_process):
    server = belfry()
    target = belfry() if other_process else server
    name = user()
    async with await Client.connect(server, token(name)) as client:
        connection = (await client.welcome())["data"]["connection_id"]
        start = await publish(server, 0)
        await client.next("e")
    mine = {"user": name}
    audiences = ["broadcast", mine, mine, "broadcast", {"user": user()}, {"users": [name, user()]}]
    events, n = [], 0
    for i in range(300):
        audience = audiences[i % len(audiences)]
        others = audience == audiences[4]
        n += not others
        events.append((audience, -1 if others else n, i % 7 * 50))
    ids = await batch(server, events)
    async with await resume(target, name, start) as client:
        await expect(client, 1, n, position=start)
        assert [f["event_id"] for f in client.events()] == [i for i, e in zip(ids, events) if e[1] != -1]
        await publish(server, n + 1, mine)
        assert (await client.next("e"))["data"]["n"] == n + 1
    assert connection


async def test_every_frames_position_is_right_to_resume_from(belfry, redis_server):
    server = belfry({"PING_INTERVAL": "100ms", "PONG_TIMEOUT": "60s"})
    name = user()
    async with await Client.connect(server, token(name)) as client:
        never_received = (await client.welcome())["event_id"]
        await client.next("ping")
    await publish(server, 1)
    await publish(server, 2, {"user": name})
    async with await resume(server, name, never_received) as client:
        position = (await expect(client, 1, 2, position=never_received))["event_id"]
    async with await resume(server, name, position) as client:
        await expect(client, 3, 2)
        await publish(server, 3, {"user": user()})  # moves the position of an idle client on
        head = await publish(server, 4, {"user": user()})
        await publish(server, 5, {"user": user()})
        ping = await client.next("ping")
        while order(ping["event_id"]) < order(head):
            ping = await client.next("ping")
    await publish(server, 6)
    async with await resume(belfry(), name, ping["event_id"]) as client:
        await expect(client, 6, 6)
        assert redis_server.client().ping()


async def test_a_line_that_breaks_in_mid_replay_loses_nothing_and_repeats_nothing(belfry):
    server, other = belfry({"TAPE_BYTES": "256K"}), belfry()
    name = user()
    async with await Client.connect(server, token(name)) as client:
        start = (await client.welcome())["event_id"]
    events = [({"user": name} if n % 20 == 0 else "broadcast", n, 100) for n in range(1, 5001)]
    await batch(server, events)
    got, position, lines = [], start, 0
    while not got or got[-1] != 5000:
        raw = await Raw.websocket(server if lines % 2 == 0 else other, token(name), f"?last_event_id={position}", 4096)
        lines += 1
        for _ in range(1 + lines * 37 % 300):
            frame = json.loads((await raw.read_frame(20))[1])
            assert order(frame["event_id"]) >= order(position) and frame["type"] in ("welcome", "e", "caught_up")
            position = frame["event_id"]
            if frame["type"] == "e":
                got.append(frame["data"]["n"])
            if frame["type"] == "caught_up":
                break
        await raw.close()
    assert got == list(range(1, 5001))
    assert lines > 10


async def test_nothing_is_lost_at_the_passage_to_live_while_publishing_goes_on(belfry):
    servers = [belfry({"TAPE_BYTES": "64K"}), belfry()]
    name = user()
    async with await Client.connect(servers[0], token(name)) as client:
        start = (await client.welcome())["event_id"]
    done = False
    count = 0

    async def publisher():
        nonlocal count
        while not done:
            await batch(servers[count % 2], [({"user": name} if (count + i) % 3 == 0 else "broadcast", count + i + 1, 200)
                                             for i in range(10)])
            count += 10

    task = asyncio.create_task(publisher())
    clients = []
    while count < 600:
        clients.append(await resume(servers[len(clients) % 2], name, start))
        await asyncio.sleep(0.02)
    for client in clients:
        await client.next("caught_up", 20)
    done = True
    await task
    last = await publish(servers[0], count + 1)
    for client in clients:
        while (await client.next("e", 20))["event_id"] != last:
            pass
        assert numbers(client) == list(range(1, count + 2))
        assert told(client, "resync_required") == [] and len(told(client, "caught_up")) == 1
        assert_never_back(client)
        await client.close()


@pytest.mark.parametrize("tape", ["64K", "16M"])
async def test_broadcasts_come_from_the_tape_where_it_reaches_back_else_from_redis(belfry, redis_server, tape):
    server = belfry({"TAPE_BYTES": tape})
    name = user()
    start = await publish(server, 0)
    await batch(server, [("broadcast", n, 1000) for n in range(1, 2001)])
    admin = redis_server.client()
    admin.config_resetstat()
    async with await resume(server, name, start) as client:
        await expect(client, 1, 2000)
    pages = admin.info("commandstats")["cmdstat_xrange"]["calls"]
    assert pages >= 20 + 20 if tape == "64K" else pages < 15, pages


async def test_five_hundred_that_resume_at_once_share_the_reads_of_broadcasts(belfry, redis_server):
    server = belfry({"TAPE_BYTES": "64K"})
    start = await publish(server, 0)
    await batch(server, [("broadcast", n, 400) for n in range(1, 101)])
    await batch(server, [("broadcast", n, 4000) for n in range(101, 117)])
    with redis_server.client().monitor() as monitor:
        clients = await asyncio.gather(*(resume(server, user(), start) for _ in range(500)))
        for client in clients:
            await expect(client, 1, 116)
        await asyncio.to_thread(redis_server.client().echo, "enough")
        commands = []
        while not commands or "ECHO enough" not in commands[-1]:
            commands.append((await asyncio.to_thread(monitor.next_command))["command"])
    for client in clients:
        await client.close()
    broadcasts = [c for c in commands if c.startswith("XRANGE ws:log:broadcast")]
    pages = [c for c in commands if c == "EXEC"]
    assert 0 < len(broadcasts) <= 200 and len(pages) >= 1000, (len(broadcasts), len(pages))


@pytest.mark.parametrize("reason", ["unknown", "epoch", "ahead", "expired"])
async def test_who_has_missed_what_is_gone_is_told_why_and_goes_on_live(belfry, reason):
    server = belfry({"REPLAY_EVENTS": "10", "TAPE_BYTES": "64K"})
    name = user()
    start = await publish(server, 0)
    await batch(server, [("broadcast", n, 2000) for n in range(1, 201)])
    epoch, seq = start.split("-")
    position = {"unknown": "yesterday", "epoch": f"{int(epoch) - 1}-{seq}", "ahead": f"{epoch}-99999999", "expired": start}[reason]
    async with await resume(server, name, position) as client:
        welcome = await client.welcome()
        assert welcome["data"]["position"] == ("0-0" if reason == "unknown" else position)
        assert welcome["data"]["recovering"] is True
        frame = await client.next()
        assert frame["type"] == "resync_required" and frame["data"]["reason"] == reason
        assert order(frame["event_id"])[1] >= order(start)[1] + 200
        await publish(server, 201, {"user": name})
        await publish(server, 202)
        assert [(await client.next())["data"]["n"] for _ in range(2)] == [201, 202]
        assert told(client, "caught_up") == []


async def test_a_slow_reader_gets_everything_and_is_told_nothing(belfry):
    server = belfry({"TAPE_BYTES": "64K", "PING_INTERVAL": "60s", "PONG_TIMEOUT": "120s"})
    name = user()
    raw = await Raw.websocket(server, token(name), receive_buffer=4096)
    await raw.next("welcome")
    await batch(server, [({"user": name} if n % 3 == 0 else "broadcast", n, 3000) for n in range(1, 1001)])
    await publish(server, 1001)
    got = []
    while not got or got[-1] != 1001:
        frame = json.loads((await raw.read_frame(20))[1])
        assert frame["type"] == "e", frame["type"]
        got.append(frame["data"]["n"])
    assert got == list(range(1, 1002))
    last = await publish(server, 1002, {"user": name})
    frame = await raw.next("e")
    assert frame["event_id"] == last
    await raw.close()


def kill_subscribers(admin):
    for entry in admin.client_list():
        if "subscriber" in entry["name"]:
            admin.client_kill_filter(_id=entry["id"])


async def test_a_lost_subscriber_connection_costs_nobody_anything(belfry, redis_server):
    server, other = belfry(), belfry()
    admin = redis_server.client()
    name = user()
    clients = [await Client.connect(s, token(name)) for s in (server, server, other)]
    for client in clients:
        await client.welcome()
    n = 0
    for _ in range(5):
        for i in range(20):
            if i == 10:
                kill_subscribers(admin)
            n += 1
            await publish(server, n, {"user": name} if n % 3 == 0 else "broadcast")
    for client in clients:
        while (await client.next("e", 20))["data"]["n"] != n:
            pass
        assert numbers(client) == list(range(1, n + 1))
        assert {f["type"] for f in client.frames} <= {"welcome", "e", "ping"}
        assert_never_back(client)
        await client.close()
    wait_for(lambda: server.ready() and other.ready(), 10)
