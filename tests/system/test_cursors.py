"""Acknowledgements and cursors: what `ack` stores, when, and what it never does."""

import asyncio
import json

import pytest

from belfry import token, wait_for
from clients import Client, Raw, user
from proxy import Proxy
from redis_scripts import epoch_of, seq_of
from test_rest import problem

READER = token("reader", "events:read")


def cursor(server, name, device=None):
    answer = server.rest("GET", f"/users/{name}/cursor", READER, params={"name": device} if device else None)
    assert answer.status_code == 200, (answer.status_code, answer.text)
    body = answer.json()
    assert body == {"user_id": name, "name": device or "default", "position": body["position"]}
    return body["position"]


async def comes_to(server, name, position, device=None, timeout=2.0):
    await asyncio.to_thread(wait_for, lambda: cursor(server, name, device) == position, timeout, f"cursor {position}")


def stored(redis, name):
    return redis.client().hgetall("ws:cursor:" + name)


async def is_stored(redis, name, cursors, timeout=2.0):
    await asyncio.to_thread(wait_for, lambda: stored(redis, name) == cursors, timeout, f"cursors {cursors}")


def publish(server, audience, count=1):
    return [server.publish("some.event", {"n": n}, audience)["event_id"] for n in range(count)]


async def ping(client):
    """Everything before it has been read and answered."""
    await client.send("ping", event_id="p")
    return await client.next("pong", ref="p")


async def connected(server, name, cursor=None, **options):
    client = await Client.connect(server, token(name), query=f"cursor={cursor}" if cursor else "", **options)
    await client.welcome()
    return client


@pytest.fixture
def quick(belfry):
    """quick() starts a belfry whose clients may send as fast as they like."""
    return lambda env=None: belfry({"CLIENT_RATE": "off", **(env or {})})


# ---- what is stored


async def test_an_ack_moves_the_cursor_of_its_user(shared):
    me = user()
    async with await connected(shared, me) as client:
        assert cursor(shared, me) is None
        one, two, three = publish(shared, {"user": me}, 3)
        for event in (one, two, three):
            await client.next("some.event")
        await client.send("ack", event_id="a", data={"event_id": two})
        await comes_to(shared, me, two)
        await is_stored(shared.redis, me, {"default": two})
        # Nobody answers it, whether it moves the cursor or not.
        await client.send("ack", event_id=one)
        await client.send("ack", data={"event_id": two})
        await ping(client)
        assert [f for f in client.frames if f["type"] in ("ack", "error")] == []
        assert cursor(shared, me) == two


async def test_the_position_of_any_frame_may_be_acknowledged(shared):
    me = user()
    client = await Client.connect(shared, token(me))
    async with client:
        at = (await client.welcome())["event_id"]
        await client.send("ack", event_id=at)
        await comes_to(shared, me, at)


async def test_of_a_foreign_event_the_number_behind_the_point_is_not_kept(shared):
    me = user()
    async with await connected(shared, me) as client:
        shared.redis.client().publish("ws:user:" + me, json.dumps({"type": "foreign", "data": {}}))
        event = (await client.next("foreign"))["event_id"]
        assert "." in event
        await client.send("ack", event_id=event)
        await comes_to(shared, me, event.split(".")[0])


async def test_two_devices_with_two_names_have_two_cursors(shared):
    me = user()
    async with await connected(shared, me, "phone") as phone, await connected(shared, me, "d%C3%A9sk%2Ftop+1") as desktop:
        one, two = publish(shared, {"user": me}, 2)
        for client in (phone, desktop):
            await client.next("some.event", n=1)
        await phone.send("ack", event_id=one)
        await desktop.send("ack", event_id=two)
        await is_stored(shared.redis, me, {"phone": one, "désk/top+1": two})
    assert shared.rest("GET", f"/users/{me}/cursor?name=d%C3%A9sk%2Ftop+1", READER).json()["position"] == two
    assert cursor(shared, me, "phone") == one and cursor(shared, me) is None


async def test_two_devices_with_the_same_name_share_the_one_that_is_further(shared):
    me = user()
    async with await connected(shared, me) as phone, await connected(shared, me, "default") as desktop:
        one, two = publish(shared, {"user": me}, 2)
        for client in (phone, desktop):
            await client.next("some.event", n=1)
        await phone.send("ack", event_id=two)
        await comes_to(shared, me, two)
        await desktop.send("ack", event_id=one)
        await ping(desktop)
    await asyncio.sleep(0.3)
    assert stored(shared.redis, me) == {"default": two}


async def test_a_cursor_never_goes_back_when_two_processes_write_it(quick, redis_server):
    one, two, me = quick(), quick(), user()
    async with await connected(one, me) as left, await connected(two, me) as right:
        events = publish(one, {"user": me}, 40)
        for client in (left, right):
            await client.next("some.event", n=39)
        await left.send("ack", event_id=events[39])
        await is_stored(redis_server, me, {"default": events[39]})
        for event in events[:39]:
            await right.send("ack", event_id=event)
        await ping(right)
    # Both have closed, and have stored what they knew.
    assert one.stop() == two.stop() == 0
    assert stored(redis_server, me) == {"default": events[39]}


async def test_cursors_expire_an_hour_after_what_they_point_at(quick, redis_server):
    server, me = quick({"REPLAY_TTL": "2h"}), user()
    async with await connected(server, me) as client:
        await client.send("ack", event_id=client.frames[0]["event_id"])
        await asyncio.to_thread(wait_for, lambda: stored(redis_server, me), 2, "a cursor")
    assert 3 * 3600 - 60 < redis_server.client().ttl("ws:cursor:" + me) <= 3 * 3600


# ---- when it is stored


def commands(redis):
    stats = redis.client().info("commandstats")
    return sum(stats.get(f"cmdstat_{name}", {}).get("calls", 0) for name in ("eval", "evalsha", "hset", "hget"))


async def test_acks_by_the_thousand_cost_no_command_each(quick, redis_server):
    server, me = quick(), user()
    async with await connected(server, me) as client:
        events = publish(server, {"user": me}, 200)
        await client.next("some.event", n=199)
        before = commands(redis_server)
        for _ in range(20):
            for event in events:
                await client.send("ack", event_id=event)
        await ping(client)
        # One canary may fall into this time, besides the storing.
        assert commands(redis_server) - before < 12
    await is_stored(redis_server, me, {"default": events[-1]})


async def test_what_is_acknowledged_soon_after_waits_and_closing_ends_the_wait(shared):
    me = user()
    async with await connected(shared, me) as client:
        one, two = publish(shared, {"user": me}, 2)
        await client.next("some.event", n=1)
        await client.send("ack", event_id=one)
        await is_stored(shared.redis, me, {"default": one})
        await client.send("ack", event_id=two)
        await ping(client)
        await asyncio.sleep(0.5)
        assert stored(shared.redis, me) == {"default": one}
        # Who asks this worker is told all the same.
        assert cursor(shared, me) == two
    await is_stored(shared.redis, me, {"default": two})


async def test_what_is_acknowledged_soon_after_is_stored_within_five_seconds(shared):
    me = user()
    async with await connected(shared, me) as client:
        one, two = publish(shared, {"user": me}, 2)
        await client.next("some.event", n=1)
        await client.send("ack", event_id=one)
        await is_stored(shared.redis, me, {"default": one})
        await client.send("ack", event_id=two)
        await is_stored(shared.redis, me, {"default": two}, timeout=7)


@pytest.mark.parametrize("how", ["cut", "stop"])
async def test_the_last_ack_before_the_end_is_stored(belfry, redis_server, how):
    server, me = belfry(), user()
    client = await connected(server, me)
    one, two = publish(server, {"user": me}, 2)
    await client.next("some.event", n=1)
    await client.send("ack", event_id=one)
    await is_stored(redis_server, me, {"default": one})
    await client.send("ack", event_id=two)
    await ping(client)
    if how == "cut":
        client.ws.transport.abort()
        await is_stored(redis_server, me, {"default": two})
    else:
        assert await asyncio.to_thread(server.stop) == 0
        assert stored(redis_server, me) == {"default": two}
    await client.close()


async def test_a_process_that_ends_waits_until_the_last_ack_is_stored(belfry, redis_server):
    with Proxy(redis_server.tcp_url) as path:
        server, me = belfry({"REDIS_URL": path.url}), user()
        client = await connected(server, me)
        one, two = publish(server, {"user": me}, 2)
        await client.next("some.event", n=1)
        path.shape("down", who="command", delay=0.5)
        await client.send("ack", event_id=one)
        await is_stored(redis_server, me, {"default": one})
        # That it is stored is not known here yet when the next one comes, and the end.
        await client.send("ack", event_id=two)
        await ping(client)
        assert await asyncio.to_thread(server.stop) == 0
        assert stored(redis_server, me) == {"default": two}
        await client.close()


async def test_many_cursors_are_stored_in_few_calls(quick, redis_server):
    server, n = quick({"MAX_CONNECTIONS_PER_USER": "0"}), 300
    (event,) = publish(server, "broadcast")
    clients = [await connected(server, "crowd", f"device{i}") for i in range(99)]
    clients += [await connected(server, f"one{i}") for i in range(n - 99)]
    before = commands(redis_server)
    for client in clients:
        await client.send("ack", event_id=event)
    await is_stored(redis_server, "crowd", {f"device{i}": event for i in range(99)})
    await is_stored(redis_server, f"one{n - 100}", {"default": event})
    hset = redis_server.client().info("commandstats")["cmdstat_hset"]["calls"]
    assert hset >= n and commands(redis_server) - before < 3 * n  # the script's own HGET and HSET for each, and few calls
    for client in clients:
        await client.close()


async def test_acks_are_kept_while_redis_is_away(quick, redis_server):
    server, me = quick({"REDIS_TIMEOUT": "500ms"}), user()
    async with await connected(server, me) as client:
        one, two = publish(server, {"user": me}, 2)
        await client.next("some.event", n=1)
        redis_server.client().config_set("appendonly", "yes")
        wait_for(lambda: redis_server.client().info("persistence")["aof_rewrite_in_progress"] == 0)
        redis_server.stop()
        await client.send("ack", event_id=one)
        await client.send("ack", event_id=two)
        await ping(client)
        redis_server.options = ("--appendonly", "yes")
        redis_server.start()
        await is_stored(redis_server, me, {"default": two}, 15)


async def test_a_redis_that_has_forgotten_the_script_is_given_it(shared):
    me = user()
    async with await connected(shared, me) as client:
        (event,) = publish(shared, {"user": me})
        await client.next("some.event")
        shared.redis.client().script_flush()
        await client.send("ack", event_id=event)
        await is_stored(shared.redis, me, {"default": event})


async def test_another_kind_of_key_does_not_hold_up_others(shared):
    me, other = user(), user()
    shared.redis.client().set("ws:cursor:" + me, "mine")
    async with await connected(shared, me) as mine, await connected(shared, other) as client:
        (event,) = publish(shared, {"users": [me, other]})
        for one in (mine, client):
            await one.next("some.event")
            await one.send("ack", event_id=event)
        await is_stored(shared.redis, other, {"default": event})
    assert shared.redis.client().get("ws:cursor:" + me) == "mine"
    problem(shared.rest("GET", f"/users/{me}/cursor", READER), 503, "redis-away")


# ---- what is not accepted


async def test_an_ack_from_the_future_is_refused_and_not_stored(shared):
    me = user()
    async with await connected(shared, me) as client:
        (event,) = publish(shared, {"user": me})
        await client.next("some.event")
        epoch, seq = epoch_of(event), seq_of(event)
        for position in (f"{epoch}-{seq + 1000}", f"{epoch + 1}-1", f"{2**64 - 1}-{2**64 - 1}"):
            await client.send("ack", event_id="mine", data={"event_id": position})
            error = await client.next("error")
            assert error["data"]["code"] == "not_accepted" and error["data"]["ref"] == "mine"
            assert error["data"]["field"] == "/data/event_id"
            await client.send("ack", event_id=position)
            assert (await client.next("error"))["data"]["field"] == "/event_id"
        await client.send("ack", event_id=event)
        await comes_to(shared, me, event)
        # It was no bad message: ten of those close.
        await client.send("ack", event_id=f"{epoch}-{seq + 1000}")
        for _ in range(10):
            await client.send("ack", event_id=f"{epoch}-{seq + 1000}")
        await ping(client)


async def test_what_a_client_says_to_have_seen_is_not_stored_beyond_the_head(shared):
    me = user()
    bogus = f"{2**50}-{2**50}"
    async with await Client.connect(shared, token(me), query=f"last_event_id={bogus}") as client:
        for _ in range(3):
            await client.send("ack", event_id=bogus)
        await client.next("resync_required")
    await asyncio.sleep(0.3)
    assert stored(shared.redis, me) == {}


async def test_malformed_acks_are_bad_messages(shared):
    async with await connected(shared, user()) as client:
        for position in ("", "1", "my-9", "1-2-3", "01-2", "1-2.0", "acked"):
            await client.send("ack", event_id="r", data={"event_id": position})
            error = await client.next("error")
            assert (error["data"]["code"], error["data"]["field"]) == ("bad_message", "/data/event_id"), position
        for _ in range(3):
            await client.send("ack")
        assert (await client.closed())[0] == 4400


@pytest.mark.parametrize("name", ["%00", "%0a", "%c2%85", "%ff", "%c0%80", "%zz", "x" * 65, "%C3%A9" * 33])
async def test_a_bad_name_of_a_cursor_is_told_by_a_close(shared, name):
    async with await Client.connect(shared, token(user()), query=f"cursor={name}") as client:
        code, reason = await client.closed()
        assert code == 4400 and "cursor" in reason
    if name == "%zz":
        return  # the client library of REST mends it
    answer = shared.rest("GET", f"/users/u/cursor?name={name}", READER)
    problem(answer, 400, "bad-query")
    assert answer.json()["field"] == "/name"


async def test_names_of_the_greatest_length_are_fine(shared):
    me = user()
    async with await connected(shared, me, "%C3%A9" * 32) as client:
        await client.send("ack", event_id=client.frames[0]["event_id"])
        await is_stored(shared.redis, me, {"é" * 32: client.frames[0]["event_id"]})


async def test_acks_right_behind_the_handshake_and_before_a_close_do_no_harm(shared):
    me = user()
    async with await Raw.websocket(shared, token(me), query="?cursor=raw") as raw:
        await raw.send_message("ack", event_id="1-1")
        welcome = await raw.next("welcome")
        await raw.send(Raw.frame(1, json.dumps({"type": "ack", "event_id": welcome["event_id"]}))
                       + Raw.frame(8, b"\x03\xe8") + Raw.frame(1, json.dumps({"type": "ack", "event_id": "1-1"})))
        await raw.read_close()
    await is_stored(shared.redis, me, {"raw": welcome["event_id"]})


# ---- resuming at the cursor


def acked(cursor=None):
    return "last_event_id=acked" + (f"&cursor={cursor}" if cursor else "")


async def replayed(client, position, events):
    """It is welcomed at that position, and told exactly these events."""
    welcome = await client.welcome()
    assert welcome["data"]["recovering"] is True
    assert welcome["data"]["position"] == welcome["event_id"] == position
    caught_up = await client.next("caught_up")
    assert [f["event_id"] for f in client.events()] == events and caught_up["data"]["replayed"] == len(events)


async def test_who_was_killed_after_an_ack_resumes_there_on_another_process(quick, redis_server):
    one, other, me = quick(), quick(), user()
    client = await connected(one, me)
    events = publish(one, {"user": me}, 3) + publish(one, "broadcast", 2)
    await client.next("some.event", n=1)
    await client.next("some.event", n=1)
    await client.send("ack", event_id=events[1])
    await is_stored(redis_server, me, {"default": events[1]})
    one.kill()
    await client.closed()
    async with await Client.connect(other, token(me), query=acked()) as again:
        await replayed(again, events[1], events[2:])
        (live,) = publish(other, {"user": me})
        assert (await again.next("some.event"))["event_id"] == live


async def test_each_device_resumes_at_its_own_cursor(shared):
    me = user()
    async with await connected(shared, me, "phone") as phone, await connected(shared, me, "desk") as desk:
        events = publish(shared, {"user": me}, 3)
        for client in (phone, desk):
            await client.next("some.event", n=2)
        await phone.send("ack", event_id=events[0])
        await desk.send("ack", event_id=events[1])
        await is_stored(shared.redis, me, {"phone": events[0], "desk": events[1]})
    async with await Client.connect(shared, token(me), query=acked("phone")) as phone:
        await replayed(phone, events[0], events[1:])
    async with await Client.connect(shared, token(me), query=acked("desk")) as desk:
        await replayed(desk, events[1], events[2:])


async def test_what_this_worker_has_yet_to_store_counts(shared):
    me = user()
    async with await connected(shared, me) as client:
        events = publish(shared, {"user": me}, 3)
        await client.next("some.event", n=2)
        await client.send("ack", event_id=events[0])
        await is_stored(shared.redis, me, {"default": events[0]})
        await client.send("ack", event_id=events[1])
        await ping(client)
        async with await Client.connect(shared, token(me), query=acked()) as second:
            await replayed(second, events[1], events[2:])


async def test_where_nothing_was_acknowledged_it_is_live(shared):
    me = user()
    publish(shared, {"user": me})
    async with await Client.connect(shared, token(me), query=acked("new")) as client:
        welcome = await client.welcome()
        assert welcome["data"]["recovering"] is False and welcome["event_id"] != "0-0"
        (live,) = publish(shared, {"user": me})
        assert (await client.next())["event_id"] == live


async def test_a_cursor_from_before_an_erasure_is_expired_and_one_behind_it_is_not(shared):
    me = user()
    async with await connected(shared, me, "late") as late, await connected(shared, me, "done") as done:
        events = publish(shared, {"user": me}, 2)
        for client in (late, done):
            await client.next("some.event", n=1)
        await late.send("ack", event_id=events[0])
        await done.send("ack", event_id=events[1])
        await is_stored(shared.redis, me, {"late": events[0], "done": events[1]})
    erased = shared.rest("DELETE", f"/users/{me}/events", token("p", "events:publish"))
    assert erased.status_code == 202
    events += publish(shared, {"user": me})
    async with await Client.connect(shared, token(me), query=acked("late")) as client:
        assert (await client.welcome())["event_id"] == events[0]
        resync = await client.next("resync_required")
        assert resync["data"]["reason"] == "expired" and client.events() == []
        (live,) = publish(shared, {"user": me})
        assert (await client.next("some.event"))["event_id"] == live
    async with await Client.connect(shared, token(me), query=acked("done")) as client:
        await replayed(client, events[1], [events[2], live])
    async with await Client.connect(shared, token(me), query=f"last_event_id={erased.json()['event_id']}") as client:
        await replayed(client, erased.json()["event_id"], [events[2], live])


async def test_a_cursor_of_a_lost_history_is_told(quick, redis_server):
    server, me = quick(), user()
    async with await connected(server, me) as client:
        (event,) = publish(server, {"user": me})
        await client.next("some.event")
        await client.send("ack", event_id=event)
        await is_stored(redis_server, me, {"default": event})
    redis_server.client().hset("ws:cursor:" + me, "default", f"{epoch_of(event) - 5}-1")
    async with await Client.connect(quick(), token(me), query=acked()) as client:
        await client.welcome()
        assert (await client.next("resync_required"))["data"]["reason"] == "epoch"


async def test_a_cursor_that_cannot_be_read_closes_with_a_delay(shared):
    me = user()
    shared.redis.client().set("ws:cursor:" + me, "mine")
    async with await Client.connect(shared, token(me), query=acked()) as client:
        code, reason = await client.closed()
        assert code == 1013 and reason.startswith("retry_after_ms=")


async def test_clients_that_leave_before_their_cursor_is_read_are_forgotten(quick, redis_server):
    server = quick()
    redis_server.pause()
    for _ in range(20):
        raw = await Raw.websocket(server, token(user()), "?" + acked("x"))
        await raw.close()
    redis_server.resume()
    async with await Client.connect(server, token(user()), query=acked()) as client:
        await client.welcome()
