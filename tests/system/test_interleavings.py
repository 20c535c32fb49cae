"""Moments at which an event is lost or doubled by a delivery that is almost right: each was found to break a design."""

import asyncio
import json
import subprocess
import threading
import time

import pytest
import requests

from belfry import PATIENCE, binary, token
from clients import TEXT, Client, Raw, user
from proxy import Proxy

PUBLISHER = token("publisher", "events:publish")
# However slow the machine, and however fast the publishers: nothing is trimmed where a test does not want it.
KEEP = {"REPLAY_EVENTS": "100000", "REPLAY_USER_EVENTS": "100000"}


def order(event_id):
    """A position's place in the one order of all events."""
    epoch, seq = event_id.split(".")[0].split("-")
    return int(epoch), int(seq)


class Publisher(threading.Thread):
    """Publishes to the audiences in turn until it is told to stop, and remembers what was accepted: {id: audience}."""

    def __init__(self, servers, audiences, pause=0.0, size=0):
        super().__init__(daemon=True)
        self.servers, self.audiences, self.pause, self.padding = servers, audiences, pause, "x" * size
        self.accepted, self.failure, self.stopped = {}, None, threading.Event()

    def run(self):
        try:
            with requests.Session() as session:
                session.headers["Authorization"] = f"Bearer {PUBLISHER}"
                n = 0
                while not self.stopped.is_set():
                    self.one(session, n)
                    n += 1
                    self.stopped.wait(self.pause)
        except Exception as failure:  # told by stop()
            self.failure = failure

    def one(self, session, n):
        audience = self.audiences[n % len(self.audiences)]
        server = self.servers[n % len(self.servers)]
        body = {"type": "tick", "data": {"n": n, "padding": self.padding}, "audience": audience}
        answer = session.post(server.http("/events"), json=body, timeout=10 * PATIENCE)
        assert answer.status_code == 202, answer.text
        self.accepted[answer.json()["event_id"]] = audience

    def stop(self):
        self.stopped.set()
        self.join(30 * PATIENCE)
        assert self.failure is None and not self.is_alive(), self.failure
        return self.accepted


def meant_for(accepted, who, after, up_to=None):
    """The ids of those events for this user that come after a position, in order."""
    ids = [i for i, audience in accepted.items() if audience == "broadcast" or who in (
        audience.get("users") or [audience.get("user")])]
    return sorted((i for i in ids if order(i) > order(after) and (up_to is None or order(i) <= order(up_to))), key=order)


def ids_of(client):
    return [e["event_id"] for e in client.events()]


def not_told(client):
    assert [f for f in client.frames if f["type"] == "resync_required"] == []


async def until(client, last, timeout=20):
    """Reads until the event with that id has come."""
    async with asyncio.timeout(timeout * PATIENCE):
        while last not in ids_of(client):
            await client.next(timeout=timeout)


async def end(server, who=None):
    """One more event, after which nothing is due."""
    audience = {"user": who} if who else "broadcast"
    return (await asyncio.to_thread(server.publish, "the.end", {}, audience))["event_id"]


async def resume(server, who, position, **options):
    client = await Client.connect(server, token(who), query=f"last_event_id={position}", **options)
    welcome = await client.welcome()
    assert welcome["data"]["recovering"] is True
    assert welcome["event_id"] == welcome["data"]["position"] == position
    return client


async def position_of(server, who):
    """Where a new client of that user stands now."""
    async with await Client.connect(server, token(who)) as client:
        return (await client.welcome())["event_id"]


@pytest.fixture
def late(belfry, redis_server):
    """A belfry whose path to Redis can be broken, and that path."""
    with Proxy(redis_server.tcp_url) as proxy:
        yield belfry({"REDIS_URL": proxy.url, **KEEP}), proxy


# ---- subscriptions that are late


async def test_event_between_the_handshake_and_the_confirmed_subscription_comes_once(belfry, late):
    other, (server, proxy) = belfry(KEEP), late
    who = user()
    start = await position_of(other, who)
    proxy.shape("both", who="subscriber", delay=0.4)
    joining = asyncio.create_task(resume(server, who, start))
    expected = []
    for n in range(8):  # before, while and after the SUBSCRIBE arrives
        answer = await asyncio.to_thread(other.publish, "early", {"n": n}, {"user": who})
        expected.append(answer["event_id"])
        await asyncio.sleep(0.15)
    async with await joining as client:
        last = await end(other, who)
        await until(client, last)
        not_told(client)
        assert ids_of(client) == expected + [last]


async def test_fresh_client_gets_all_that_is_newer_than_its_welcome_however_late_its_subscription(belfry, late):
    other, (server, proxy) = belfry(KEEP), late
    who = user()
    proxy.shape("both", who="subscriber", delay=0.3)
    publisher = Publisher([other], [{"user": who}, "broadcast"], 0.02)
    publisher.start()
    try:
        async with await Client.connect(server, token(who)) as client:
            welcome = await client.welcome()
            await asyncio.sleep(0.5)
            accepted = await asyncio.to_thread(publisher.stop)
            last = await end(other, who)
            await until(client, last)
            not_told(client)
            assert ids_of(client) == meant_for(accepted, who, welcome["event_id"]) + [last]
    finally:
        publisher.stopped.set()


async def test_what_a_client_says_before_its_welcome_is_answered_after_it(belfry, late):
    server, proxy = late
    who = user()
    proxy.shape("both", who="subscriber", delay=0.2)
    raw = await Raw.open(server)
    early = Raw.frame(TEXT, '{"type":"ping","event_id":"early"}') + Raw.frame(TEXT, "{}")
    request = (f"GET /ws?token={token(who)} HTTP/1.1\r\nHost: {server.address()}\r\nUpgrade: websocket\r\n"
               "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n")
    await raw.send(request.encode() + early)
    assert (await raw.response())[0] == 101
    await raw.send_message("ping", event_id="later")
    frames = [json.loads((await raw.read_frame())[1]) for _ in range(4)]
    await raw.close()
    assert [f["type"] for f in frames] == ["welcome", "pong", "error", "pong"]
    assert [frames[1]["data"]["ref"], frames[3]["data"]["ref"]] == ["early", "later"]
    positions = [order(f["event_id"]) for f in frames]
    assert positions[0][0] > 0 and positions == sorted(positions)


async def test_resume_while_the_subscriber_connection_lags_behind_the_command_connection(belfry, late):
    """The head that a page tells is then ahead of what the tape holds."""
    other, (server, proxy) = belfry(KEEP), late
    who = user()
    start = await position_of(other, who)
    proxy.shape("down", who="subscriber", delay=0.2)
    publisher = Publisher([other], ["broadcast", {"user": who}, "broadcast"])
    publisher.start()
    try:
        await asyncio.sleep(0.3)
        clients = []
        for _ in range(6):
            clients.append(await resume(server, who, start))
            await asyncio.sleep(0.07)
        accepted = await asyncio.to_thread(publisher.stop)
        last = await end(other, who)
        for client in clients:
            await until(client, last)
            not_told(client)
            assert ids_of(client) == meant_for(accepted, who, start) + [last]
            await client.close()
    finally:
        publisher.stopped.set()


async def test_frames_that_are_no_event_never_promise_what_has_not_come_yet(late, belfry):
    """Pongs asked for at every moment of a resume: each position, taken literally, leaves nothing out."""
    other, (server, proxy) = belfry(KEEP), late
    who = user()
    start = await position_of(other, who)
    proxy.shape("down", who="subscriber", delay=0.1)
    publisher = Publisher([other], ["broadcast", {"user": who}])
    publisher.start()
    try:
        await asyncio.sleep(0.3)
        client = await resume(server, who, start)
        for n in range(30):
            await client.send("ping", event_id=str(n))
            await asyncio.sleep(0.02)
        accepted = await asyncio.to_thread(publisher.stop)
        await until(client, await end(other, who))
        had, highest = set(), start
        for frame in client.frames:
            assert order(frame["event_id"]) >= order(highest), "a position went back"
            highest = frame["event_id"]
            if frame["type"] == "tick":
                had.add(frame["event_id"])
            missing = set(meant_for(accepted, who, start, highest)) - had
            assert not missing, (frame, sorted(missing, key=order)[:3])
        await client.close()
    finally:
        publisher.stopped.set()


# ---- other processes publish meanwhile


async def test_broadcasts_and_events_of_the_user_from_two_processes_while_clients_resume(belfry):
    one, two = belfry({"TAPE_BYTES": "64K", **KEEP}), belfry({"WORKERS": "2", **KEEP})
    who, stranger = user(), user()
    publishers = [Publisher([two, one], ["broadcast", {"user": who}, {"user": stranger}, {"users": [who, stranger]}]),
                  Publisher([one, two], [{"user": who}, "broadcast"], size=600)]
    position = await position_of(one, who)
    for publisher in publishers:
        publisher.start()
    try:
        start, seen = position, []
        for n in range(12):  # from server to server, each time from whatever came last
            client = await resume((two, one)[n % 2], who, position)
            await asyncio.sleep(0.02 + 0.03 * (n % 5))
            await client.close()
            not_told(client)
            seen += ids_of(client)
            position = client.frames[-1]["event_id"]
        accepted = {}
        for publisher in publishers:
            accepted |= await asyncio.to_thread(publisher.stop)
        client = await resume(one, who, position)
        last = await end(two, who)
        await until(client, last)
        assert seen + ids_of(client) == meant_for(accepted, who, start) + [last]
        await client.close()
    finally:
        for publisher in publishers:
            publisher.stopped.set()


async def test_last_event_was_the_users_and_newer_than_any_broadcast_the_new_worker_has_seen(belfry):
    one = belfry()
    who = user()
    await asyncio.to_thread(one.publish, "old", {})
    async with await Client.connect(one, token(who)) as client:
        await client.welcome()
        await asyncio.to_thread(one.publish, "mine", {}, {"user": who})
        position = (await client.next("mine"))["event_id"]
    two = belfry()
    async with await resume(two, who, position) as client:
        assert (await client.next("caught_up"))["data"] == {"replayed": 0, "position": client.frames[-1]["event_id"]}
        await asyncio.to_thread(one.publish, "new", {})
        assert (await client.next("new"))["type"] == "new"
        assert [e["type"] for e in client.events()] == ["new"]
        not_told(client)


async def test_resume_from_a_pings_position_a_welcomes_and_from_mid_replay(belfry):
    one, two = belfry({"PING_INTERVAL": "1s", "PONG_TIMEOUT": "20s"}), belfry({"TAPE_BYTES": "64K"})
    who, stranger = user(), user()
    async with await Client.connect(one, token(who)) as client:
        welcomed = (await client.welcome())["event_id"]
        for n in range(5):
            await asyncio.to_thread(two.publish, "not.yours", {"n": n}, {"user": stranger})
        pinged = (await client.next("ping", 5))["event_id"]
        while order(pinged) == order(welcomed):  # it moves on though nothing was for this client
            pinged = (await client.next("ping", 5))["event_id"]
    expected = [(await asyncio.to_thread(two.publish, "yours", {"n": n, "padding": "x" * 900}, {"user": who}
                                         if n % 3 else "broadcast"))["event_id"] for n in range(240)]
    for position in (welcomed, pinged):
        async with await resume(two, who, position) as client:
            await until(client, expected[-1])
            assert ids_of(client) == expected
            assert (await client.next("caught_up"))["data"]["replayed"] == len(expected)
    seen, position = [], welcomed
    while seen[-1:] != expected[-1:]:  # cut after a few frames, again and again
        raw = await Raw.websocket(two if len(seen) % 2 else one, token(who), f"?last_event_id={position}", 4096)
        for _ in range(40):
            opcode, payload = await raw.read_frame()
            frame = json.loads(payload) if opcode == TEXT else {}
            if frame.get("type") == "yours":
                seen.append(frame["event_id"])
            assert frame.get("type") != "resync_required"
            position = frame.get("event_id", position)
            if frame.get("type") == "caught_up":
                break
        raw.writer.transport.abort()
    assert seen == expected


@pytest.mark.parametrize("broadcast_first", [True, False])
async def test_event_for_everybody_and_for_a_user_too_comes_to_him_once(belfry, redis_server, broadcast_first):
    """Only a service that runs the script by itself can ask for that."""
    one, two = belfry(), belfry()
    who = user()
    script = redis_server.client().register_script(subprocess.check_output([binary(), "script"], text=True))
    keys = ["ws:head", "ws:epochs", "ws:minutes", "ws:log:broadcast", "ws:conns", "ws:idem:-", f"ws:log:user:{who}"]
    audiences = ["broadcast", "", "user", who] if broadcast_first else ["user", who, "broadcast", ""]

    def publish():
        event = [' {"type":"both","event_id":"', '","timestamp":"2026-01-02T03:04:05.678Z","data":{}}', 1, 2, *audiences]
        return script(keys, [0, "", "", "", "", 0, 1, *event])[3]

    async with await Client.connect(one, token(who)) as live:
        start = (await live.welcome())["event_id"]
        ids = [await asyncio.to_thread(publish) for _ in range(20)]
        ids.append(await end(one))
        await until(live, ids[-1])
        assert ids_of(live) == ids
        for server in (one, two):
            async with await resume(server, who, start) as client:
                await until(client, ids[-1])
                assert ids_of(client) == ids


# ---- retention


async def test_trimming_that_overtakes_a_client_between_two_pages_is_told(belfry):
    server = belfry({"TAPE_BYTES": "64K", "REPLAY_EVENTS": "300"})
    who = user()
    start = await position_of(server, who)

    def publish(n):
        body = {"events": [{"type": "tick", "data": {"padding": "x" * 4000}, "audience": "broadcast"}] * n}
        answer = server.rest("POST", "/events/batch", PUBLISHER, json=body)
        assert answer.status_code == 202, answer.text
        return [r["event_id"] for r in answer.json()["results"]]

    expected = await asyncio.to_thread(publish, 200)
    raw = await Raw.websocket(server, token(who), f"?last_event_id={start}", 4096)
    await raw.next("welcome")
    frames = [(await raw.next("tick"))["event_id"]]
    for _ in range(25):  # more than any socket takes
        expected += await asyncio.to_thread(publish, 200)
    last = (await asyncio.to_thread(server.publish, "the.end", {}))["event_id"]
    expected.append(last)

    def after(position):
        return [i for i in expected if order(i) > order(position)]

    told, since = [], start
    while frames[-1:] != [last] and since != last:  # who is told of the very end gets nothing more
        opcode, payload = await raw.read_frame()
        frame = json.loads(payload) if opcode == TEXT else {"type": "none"}
        if frame["type"] == "resync_required":
            assert frame["data"]["reason"] == "expired"
            assert frames == after(since)[:len(frames)]
            told.append(frame["data"]["position"])
            since, frames = told[-1], []
        elif frame["type"] in ("tick", "the.end"):
            frames.append(frame["event_id"])
    await raw.close()
    assert told and frames == after(since)


async def test_retention_that_differs_between_two_processes_hides_nothing(belfry):
    small = {"REPLAY_EVENTS": "20", "REPLAY_USER_EVENTS": "10", "TAPE_BYTES": "64K"}
    large = {"REPLAY_EVENTS": "5000", "REPLAY_USER_EVENTS": "5000", "TAPE_BYTES": "64K"}
    one, two = belfry(small), belfry(large)
    who = user()
    start = await position_of(two, who)
    accepted = {}

    async def publish(server, n):
        publisher = Publisher([server], ["broadcast", {"user": who}], size=1000)
        with requests.Session() as session:
            session.headers["Authorization"] = f"Bearer {PUBLISHER}"
            for i in range(n):
                await asyncio.to_thread(publisher.one, session, i)
        accepted.update(publisher.accepted)

    for server, n in ((two, 200), (one, 2), (two, 200)):
        await publish(server, n)
    expected = meant_for(accepted, who, start)
    # Those two publishes have trimmed both logs: who missed what was trimmed is told, on either process.
    for server in (one, two):
        async with await resume(server, who, start) as client:
            assert (await client.next("resync_required"))["data"]["reason"] == "expired"
    # From there on two hundred are kept, more than `one` would keep: neither process takes its own limit for the truth.
    for server in (one, two):
        async with await resume(server, who, expected[202]) as client:
            await until(client, expected[-1])
            not_told(client)
            assert ids_of(client) == expected[203:]


# ---- connections to Redis that break


async def test_subscriber_connection_lost_while_broadcasts_go_on(belfry, late):
    other, (server, proxy) = belfry(KEEP), late
    who = user()
    clients = [await Client.connect(server, token(who)) for _ in range(3)]
    welcomes = [(await client.welcome())["event_id"] for client in clients]
    publisher = Publisher([other], ["broadcast", {"user": who}])
    publisher.start()
    try:
        for n in range(6):
            await asyncio.sleep(0.25)
            assert await asyncio.to_thread(proxy.cut, "subscriber" if n % 2 else "all") > 0
        await asyncio.sleep(0.25)
        accepted = await asyncio.to_thread(publisher.stop)
        last = await end(other, who)
        for client, welcome in zip(clients, welcomes):
            await until(client, last)
            not_told(client)
            assert ids_of(client) == meant_for(accepted, who, welcome) + [last]
            await client.close()
    finally:
        publisher.stopped.set()


# ---- forgeries


def forge(redis, channel, event_id, own_looking):
    text = json.dumps({"type": "forged", "event_id": event_id, "timestamp": "2026-01-01T00:00:00.000Z", "data": {}},
                      separators=(",", ":"))
    redis.publish(channel, (" " if own_looking else "") + text)


@pytest.mark.parametrize("own_looking", [False, True], ids=["foreign", "looks like belfry's own"])
async def test_foreign_publish_with_an_id_from_the_future_skips_no_later_event(belfry, redis_server, own_looking):
    server, other = belfry(), belfry()
    who = user()
    redis = redis_server.client()
    async with await Client.connect(server, token(who)) as client:
        epoch, seq = order((await client.welcome())["event_id"])
        for channel in ("ws:broadcast", f"ws:user:{who}"):
            forge(redis, channel, f"{epoch}-{seq + 1000}", own_looking)
        published, deadline = [], time.monotonic() + 8 * PATIENCE
        while not published or published[-1] not in ids_of(client) or len(published) < 5:
            assert time.monotonic() < deadline, (published, client.frames[-3:])
            audience = {"user": who} if len(published) % 2 else "broadcast"
            published.append((await asyncio.to_thread(other.publish, "real", {}, audience))["event_id"])
            await asyncio.sleep(0.1)
        # What came before the forgery was found out looks foreign: it has its own id as source_id.
        real = [e.get("source_id", e["event_id"]) for e in client.events() if e["type"] == "real"]
        assert real == published
        told = [f["data"]["reason"] for f in client.frames if f["type"] == "resync_required"]
        assert told == (["ahead"] if own_looking else [])
        assert [e["event_id"] for e in client.events()][-3:] == published[-3:]
