"""Redis goes away, hangs, forgets, or is written to by others, under clients that stay connected."""

import asyncio
import json
import threading
import time

import pytest
import requests

from belfry import PATIENCE, token, wait_for
from clients import Client, user

PUBLISHER = token("publisher", "events:publish")


def order(event_id):
    """A position's place in the one order: foreign events come after the own one whose number they carry."""
    epoch, rest = event_id.split("-")
    seq, _, n = rest.partition(".")
    return int(epoch), int(seq), int(n or 0)


def post(server, type, data=None, audience="broadcast", **options):
    return server.rest("POST", "/events", PUBLISHER, json={"type": type, "data": data or {}, "audience": audience}, **options)


def health(server):
    return server.rest("GET", "/ws/health")


async def healthy_again(server, client):
    """Both connections are back, and events reach the client live."""
    await asyncio.to_thread(wait_for, lambda: health(server).status_code == 200, 15, "a healthy server")
    # What is published while Redis is still coming back may be refused: ask until one event arrives.
    for n in range(100):
        await asyncio.to_thread(server.publish, "are.you.there", {"n": n})
        try:
            return await client.next("are.you.there", 0.2)
        except TimeoutError:
            continue
    raise AssertionError("no event arrives")


async def told_to_resync(client, reason, timeout=15):
    frame = await client.next("resync_required", timeout)
    assert frame["data"]["reason"] == reason
    assert frame["data"]["position"] == frame["event_id"]
    return frame


async def refused(server):
    """The code and reason with which a new socket is closed, or None if it was welcomed."""
    async with await Client.connect(server, token(user())) as client:
        try:
            await client.welcome()
        except AssertionError:
            return await client.closed()


def in_thread(function, *arguments, **options):
    """Starts the call; the returned function waits for its result."""
    box = []
    thread = threading.Thread(target=lambda: box.append(function(*arguments, **options)))
    thread.start()

    def result():
        thread.join(30 * PATIENCE)
        assert box, "the call has not returned"
        return box[0]

    return result


# ---- two processes


async def test_two_processes_are_one_order_and_keep_audiences_apart(belfry):
    one, two = belfry(), belfry()
    alice, bob = user(), user()
    clients = {}
    for name, server, who in (("a1", one, alice), ("a2", two, alice), ("b2", two, bob)):
        clients[name] = await Client.connect(server, token(who))
        await clients[name].welcome()
    only = clients["a2"].frames[0]["data"]["connection_id"]
    audiences = ["broadcast", {"user": alice}, {"users": [alice, bob]}, {"connection": only}, {"user": bob}]
    seen_by = [{"a1", "a2", "b2"}, {"a1", "a2"}, {"a1", "a2", "b2"}, {"a2"}, {"b2"}]
    expected = {name: {} for name in clients}

    def publish(server, worker):
        with requests.Session() as session:
            session.headers["Authorization"] = f"Bearer {PUBLISHER}"
            for n in range(60):
                kind = n % len(audiences)
                body = {"type": "mixed", "data": {"worker": worker, "n": n}, "audience": audiences[kind]}
                answer = session.post(server.http("/events"), json=body, timeout=10 * PATIENCE)
                assert answer.status_code == 202, answer.text
                for name in seen_by[kind]:
                    expected[name][answer.json()["event_id"]] = [worker, n]

    await asyncio.gather(*(asyncio.to_thread(publish, server, i) for i, server in enumerate((one, two, one, two))))
    await asyncio.to_thread(one.publish, "the.end", {})
    for name, client in clients.items():
        await client.next("the.end", 10)
        events = [e for e in client.events() if e["type"] == "mixed"]
        ids = [e["event_id"] for e in events]
        assert ids == sorted(expected[name], key=order)
        assert [[e["data"]["worker"], e["data"]["n"]] for e in events] == [expected[name][i] for i in ids]
        await client.close()


# ---- Redis is away


async def test_redis_is_killed_and_comes_back_under_connected_clients(belfry, redis_server):
    server = belfry({"REDIS_TIMEOUT": "1s"})
    async with await Client.connect(server, token(user())) as a, await Client.connect(server, token(user())) as b:
        for client in (a, b):
            await client.welcome()
        known = health(server).json()["connections"]["total"]
        before = (await asyncio.to_thread(server.publish, "before", {}))["event_id"]
        for client in (a, b):
            await client.next("before")

        redis_server.kill()
        server.wait_log("redis_lost")
        code, reason = await refused(server)
        assert code == 1013 and reason.startswith("retry_after_ms=")
        answer = await asyncio.to_thread(post, server, "while.away")
        assert answer.status_code == 503 and answer.headers["Retry-After"]
        assert answer.json()["type"].endswith(":redis-away")
        assert server.rest("GET", "/readyz", surface="metrics").status_code == 200
        unwell = health(server)
        assert unwell.status_code == 503
        assert unwell.json()["stale"] is True and unwell.json()["status"] == "unhealthy"
        assert unwell.json()["redis"] == {"connected": False, "pubsub_connected": False}
        assert unwell.json()["connections"] == {"total": known, "local": 2, "alive": known, "dead": 0}
        for client in (a, b):
            await client.send("ping")
            await client.next("pong")

        redis_server.start()
        for client in (a, b):
            position = await told_to_resync(client, "epoch")  # this Redis keeps nothing
            assert order(position["event_id"]) > order(before)
        await healthy_again(server, a)
        await b.next("are.you.there")
        assert "stale" not in health(server).json()
        assert await refused(server) is None
        for client in (a, b):
            assert [f["type"] for f in client.frames].count("resync_required") == 1
            ids = [order(f["event_id"]) for f in client.frames]
            assert ids == sorted(ids)


async def test_a_publish_during_a_short_restart_comes_once_or_is_told_to_be_unknown(belfry, redis_server):
    server = belfry()
    async with await Client.connect(server, token(user())) as client:
        await client.welcome()
        redis_server.pause()
        answers = [in_thread(post, server, "in.flight", {"n": n}) for n in range(5)]
        # They have to be on their way; nothing outside shows it, and being early would only make the test weaker.
        await asyncio.sleep(0.3)
        redis_server.kill()
        redis_server.start()
        answers = [await asyncio.to_thread(answer) for answer in answers]
        await told_to_resync(client, "epoch")
        await healthy_again(server, client)
        head = order(next(f for f in client.frames if f["type"] == "resync_required")["event_id"])
        came = [e["event_id"] for e in client.events()]
        for answer in answers:
            assert answer.status_code in (202, 504), answer.text
            if answer.status_code == 202:
                event_id = answer.json()["event_id"]
                assert came.count(event_id) == (order(event_id) > head)
        log = redis_server.client().xrange("ws:log:broadcast")
        accepted = [a.json()["event_id"] for a in answers if a.status_code == 202]
        assert {entry[0] for entry in log} >= set(accepted) and len(set(accepted)) == len(accepted)


async def test_a_redis_that_hangs_is_504_and_goes_on_where_it_was(belfry, redis_server):
    server = belfry({"REDIS_TIMEOUT": "500ms"})
    async with await Client.connect(server, token(user())) as client:
        await client.welcome()
        redis_server.pause()
        began = time.monotonic()
        answer = await asyncio.to_thread(post, server, "perhaps", headers={"Idempotency-Key": "k1"})
        assert answer.status_code == 504 and answer.json()["type"].endswith(":outcome-unknown")
        assert time.monotonic() - began < 1.0 + 1 * PATIENCE
        assert (await refused(server))[0] == 1013
        assert server.rest("GET", "/readyz", surface="metrics").status_code == 200
        redis_server.resume()
        await healthy_again(server, client)
        again = await asyncio.to_thread(post, server, "perhaps", headers={"Idempotency-Key": "k1"})
        assert again.status_code == 202
        end = (await asyncio.to_thread(server.publish, "the.end", {}))["event_id"]
        assert (await client.next("the.end"))["event_id"] == end
        assert [e["event_id"] for e in client.events() if e["type"] == "perhaps"] == [again.json()["event_id"]]


async def test_a_full_redis_refuses_events_and_keeps_the_clients(belfry, redis_server):
    server, admin = belfry(), redis_server.client()
    async with await Client.connect(server, token(user())) as client:
        await client.welcome()
        admin.config_set("maxmemory", 1)
        answer = await asyncio.to_thread(post, server, "too.much")
        assert answer.status_code == 503 and answer.json()["type"].endswith(":redis-out-of-memory")
        admin.config_set("maxmemory", 0)
        admin.config_set("min-replicas-to-write", 1)
        answer = await asyncio.to_thread(post, server, "not.safe")
        assert answer.status_code == 503 and answer.json()["type"].endswith(":redis-no-replicas")
        admin.config_set("min-replicas-to-write", 0)
        await asyncio.to_thread(server.publish, "the.end", {})
        await client.next("the.end")
        assert [e["type"] for e in client.events()] == ["the.end"]


@pytest.mark.parametrize("kind", ["normal", "pubsub"])
async def test_one_of_the_two_connections_breaks(belfry, redis_server, kind):
    """Commands are repeated on the next connection, and what a lost subscription has missed is read back."""
    server, admin = belfry(), redis_server.client()
    async with await Client.connect(server, token(user())) as client:
        await client.welcome()
        for n in range(3):
            assert admin.client_kill_filter(_type=kind, skipme=True) >= 1
            answers = [in_thread(post, server, "meanwhile", {"n": n}) for _ in range(3)]
            accepted = [await asyncio.to_thread(answer) for answer in answers]
            assert [answer.status_code for answer in accepted] == [202] * 3
            await healthy_again(server, client)
            came = [e["event_id"] for e in client.events() if e["type"] == "meanwhile" and e["data"]["n"] == n]
            assert came == sorted((a.json()["event_id"] for a in accepted), key=order)
        assert [f["type"] for f in client.frames].count("resync_required") == 0
        assert not server.logs("publish_failed")


async def test_a_subscriber_that_redis_gave_up_on_reads_back_what_it_missed(belfry, redis_server):
    slow, other, admin = belfry(), belfry(), redis_server.client()
    admin.config_set("client-output-buffer-limit", "pubsub 3mb 0 0")
    async with await Client.connect(slow, token(user())) as client, await Client.connect(other, token(user())) as quick:
        await client.welcome()
        await quick.welcome()
        slow.pause()
        for n in range(12):
            events = [{"type": "big", "data": {"n": n, "pad": "x" * 60000}, "audience": "broadcast"}] * 14
            answer = await asyncio.to_thread(other.rest, "POST", "/events/batch", PUBLISHER, json={"events": events})
            assert answer.status_code == 202
            await quick.next("big", n=n)
        slow.resume()
        await healthy_again(slow, client)
        slow.wait_log("redis_subscription_lost")
        for reader in (client, quick):
            ids = [order(f["event_id"]) for f in reader.frames]
            assert ids == sorted(ids)
            assert [e["data"]["n"] for e in reader.events() if e["type"] == "big"] == [n for n in range(12) for _ in range(14)]
            assert "resync_required" not in [f["type"] for f in reader.frames]


# ---- Redis forgets


async def test_scripts_that_redis_forgot_are_sent_again(belfry, redis_server):
    server = belfry()
    async with await Client.connect(server, token(user())) as client:
        await client.welcome()
        for n in range(3):
            redis_server.client().script_flush()
            await asyncio.to_thread(server.publish, "after.flush", {"n": n})
            assert (await client.next("after.flush"))["data"] == {"n": n}
            redis_server.client().script_flush()
            assert await refused(server) is None  # its welcome takes a canary
            redis_server.client().script_flush()
            assert health(server).status_code == 200
        assert [f["type"] for f in client.frames].count("resync_required") == 0


async def test_a_redis_that_was_emptied_opens_a_new_epoch_for_everybody(belfry, redis_server):
    one, two = belfry(), belfry()
    async with await Client.connect(one, token(user())) as a, await Client.connect(two, token(user())) as b:
        old = [order((await client.welcome())["event_id"])[0] for client in (a, b)]
        redis_server.client().flushall()
        first = await asyncio.to_thread(one.publish, "first", {})
        for client, epoch in zip((a, b), old):
            frame = await told_to_resync(client, "epoch")
            assert order(frame["event_id"])[0] > epoch
            assert order(frame["event_id"]) >= order(first["event_id"])
        await healthy_again(one, a)
        await healthy_again(two, b)
        await asyncio.to_thread(two.publish, "the.end", {})
        ids = [(await client.next("the.end"))["event_id"] for client in (a, b)]
        assert ids[0] == ids[1]
        assert order(redis_server.client().xrevrange("ws:log:broadcast", count=1)[0][0]) == order(ids[0])


# ---- Redis is written to by others


def envelope(**members):
    return json.dumps({"type": "foreign", "event_id": "a-uuid", "data": {}, **members})


async def test_a_forged_giant_id_is_found_out_and_left_behind(belfry, redis_server):
    server = belfry()
    async with await Client.connect(server, token(user())) as client:
        await client.welcome()
        real = (await asyncio.to_thread(server.publish, "real", {}))["event_id"]
        await client.next("real")
        epoch = order(real)[0]
        redis_server.client().publish("ws:broadcast", " " + envelope(event_id=f"{epoch}-18446744073709551615", type="forged"))
        assert await refused(server) is None  # its welcome takes a canary, which shows the forgery
        frame = await told_to_resync(client, "ahead")
        assert order(real) <= order(frame["event_id"]) < (epoch, 1000)
        await healthy_again(server, client)
        async with await Client.connect(server, token(user())) as late:
            assert order((await late.welcome())["event_id"]) < (epoch, 1000)


@pytest.mark.parametrize("epoch", [18446744073709551615, 9007199254740990, 9007199254740000])
async def test_a_forged_epoch_does_not_become_ours(belfry, redis_server, epoch):
    """One line from somebody who may PUBLISH must not make every later canary and publish impossible."""
    server = belfry()
    async with await Client.connect(server, token(user())) as client:
        own = order((await client.welcome())["event_id"])[0]
        redis_server.client().publish("ws:broadcast", " " + envelope(event_id=f"{epoch}-1", type="forged"))
        server.wait_log("redis_subscription_lost")
        assert (await healthy_again(server, client))["event_id"].startswith(f"{own}-")
        assert not {"forged", "resync_required"} & {f["type"] for f in client.frames}
        assert await refused(server) is None
        assert server.logs("canary_failed") == []


async def test_forged_canaries_change_nothing(belfry, redis_server):
    server, admin = belfry(), redis_server.client()
    async with await Client.connect(server, token(user())) as client:
        epoch = order((await client.welcome())["event_id"])[0]
        channels = [name for name in admin.pubsub_channels("ws:node:*")]
        assert len(channels) == 1
        for nonce in ("0", "1", "2", "1000000", "x", "18446744073709551615"):
            for head in (f"{epoch}-999999", "9007199254740990-1", "18446744073709551615-18446744073709551615", "junk"):
                admin.publish(channels[0], f"canary {head} {nonce}")
        for payload in ("", "canary", "canary ", "close everybody", "\0", "canary 1-1", "x" * 200000):
            admin.publish(channels[0], payload)
        event_id = (await healthy_again(server, client))["event_id"]
        assert order(event_id) < (epoch, 1000)
        assert [f["type"] for f in client.frames].count("resync_required") == 0
        assert await refused(server) is None


async def test_junk_is_logged_at_most_once_a_second(belfry, redis_server):
    server, admin = belfry(), redis_server.client()
    async with await Client.connect(server, token(user())) as client:
        await client.welcome()
        began = time.monotonic()
        sent = 0
        while time.monotonic() - began < 2.5:
            for _ in range(50):
                admin.publish("ws:broadcast", "junk")
            sent += 50
        await healthy_again(server, client)
        lasted = time.monotonic() - began
        lines = server.logs("foreign_dropped")
        assert 2 <= len(lines) <= lasted + 1
        assert len(lines) + sum(line["suppressed"] for line in lines) <= sent
        assert sum(line["suppressed"] for line in lines) > sent / 3
        assert "junk" not in "".join(json.dumps({k: v for k, v in line.items() if k != "reason"}) for line in lines)


@pytest.mark.parametrize("own", ["", " "], ids=["foreign", "own-looking"])
async def test_large_events_of_others_are_dropped(belfry, redis_server, own):
    server, admin = belfry(), redis_server.client()
    async with await Client.connect(server, token(user())) as client:
        position = (await client.welcome())["event_id"]
        await asyncio.to_thread(server.publish, "before", {})
        fits = envelope(event_id=position, data={"x": "x" * 60000}, type="fits")
        large = [envelope(event_id=position, data={"x": "x" * n}, type="large") for n in (66000, 100_000, 3_000_000)]
        for payload in [*large, fits]:
            admin.publish("ws:broadcast", own + payload)
        frame = await client.next("fits")
        assert frame["source_id"] == position and len(frame["data"]["x"]) == 60000
        await healthy_again(server, client)
        assert [f["type"] for f in client.events() if f["type"] == "large"] == []
        assert server.logs("foreign_dropped")[0]["reason"]
