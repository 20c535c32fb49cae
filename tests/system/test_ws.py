"""The messages of /ws, row by row: what the server says, what a client may say, and how each is answered."""

import json
import re
import time
from datetime import datetime, timezone

import pytest

from belfry import PATIENCE
from clients import PING, PONG, TEXT, Client, Raw, user

POSITION = re.compile(r"\d+-\d+(\.\d+)?")
PUBLISH = "events:publish"


def order(event_id):
    """A position as numbers that compare."""
    epoch, seq, *n = re.split(r"[-.]", event_id)
    return int(epoch), int(seq), int(n[0]) if n else 0


def never_goes_back(frames):
    positions = [order(f["event_id"]) for f in frames]
    return positions == sorted(positions)


async def error(client, code, ref=None):
    frame = await client.next("error")
    assert frame["data"]["code"] == code, frame
    assert frame["data"]["message"]
    assert frame["data"].get("ref") == ref
    return frame["data"]


# ---- server to client


async def test_welcome_is_first_and_complete(shared, token):
    me = user()
    async with await Client.connect(shared, token(me)) as client:
        frame = await client.welcome()
        assert set(frame) == {"type", "event_id", "timestamp", "data"}
        data = frame["data"]
        assert set(data) == {"connection_id", "user_id", "position", "resumed", "recovering", "ping_interval_ms", "backoff"}
        assert data["user_id"] == me and data["connection_id"]
        assert data["resumed"] is False and data["recovering"] is False
        assert data["ping_interval_ms"] == 30000
        assert 0 < data["backoff"]["base_ms"] < data["backoff"]["max_ms"]
        assert data["position"] == frame["event_id"] and POSITION.fullmatch(frame["event_id"])


async def test_timestamps_are_utc_with_milliseconds(shared, token):
    async with await Client.connect(shared, token(user())) as client:
        stamp = (await client.welcome())["timestamp"]
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", stamp)
        said = datetime.fromisoformat(stamp.replace("Z", "+00:00"))
        assert abs((datetime.now(timezone.utc) - said).total_seconds()) < 5


async def test_a_fresh_position_is_the_head(shared, token):
    head = shared.publish("some.event", {})["event_id"]
    async with await Client.connect(shared, token(user())) as client:
        assert order((await client.welcome())["event_id"]) >= order(head)


async def test_connection_ids_are_unique_and_url_safe(shared, token):
    ids = set()
    for _ in range(5):
        async with await Client.connect(shared, token("same-user")) as client:
            ids.add((await client.welcome())["data"]["connection_id"])
    assert len(ids) == 5
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{16,}", i) for i in ids)


async def test_an_event_has_the_envelope_of_the_contract(shared, token):
    me = user()
    async with await Client.connect(shared, token(me)) as client:
        await client.welcome()
        told = shared.publish("order.shipped", {"n": 1.50, "ü": ["a", None]}, {"user": me})
        frame = await client.next("order.shipped")
        assert set(frame) == {"type", "event_id", "timestamp", "data"}
        assert frame["event_id"] == told["event_id"]
        assert frame["data"] == {"n": 1.5, "ü": ["a", None]}


async def test_an_idle_clients_position_moves_on_with_the_pings(belfry, token):
    server = belfry(env={"PING_INTERVAL": "1s", "PONG_TIMEOUT": "20s"})
    async with await Client.connect(server, token(user())) as client:
        await client.welcome()
        told = server.publish("some.event", {}, {"user": "somebody-else"})["event_id"]
        while order((await client.next("ping"))["event_id"]) < order(told):
            assert len(client.frames) < 15 * PATIENCE
        assert client.events() == [] and never_goes_back(client.frames)


async def test_heartbeat_is_a_ping_frame_and_a_ping_message_together(belfry, token):
    server = belfry(env={"PING_INTERVAL": "1s", "PONG_TIMEOUT": "10s"})
    async with await Raw.websocket(server, token(user())) as raw:
        await raw.next("welcome")
        assert (await raw.read_frame())[0] == PING
        opcode, payload = await raw.read_frame(0.2)
        message = json.loads(payload)
        assert opcode == TEXT and message["type"] == "ping" and message["data"] == {}


# ---- client to server


async def test_a_ping_is_answered_with_its_ref(shared, token):
    async with await Client.connect(shared, token(user())) as client:
        await client.welcome()
        await client.send("ping", event_id="my-1")
        assert (await client.next("pong"))["data"] == {"ref": "my-1"}
        await client.send("ping")
        assert (await client.next("pong"))["data"] == {}


@pytest.mark.parametrize("event_id", [17, None, {}, "x" * 129])
async def test_an_event_id_that_cannot_be_a_ref_is_left_out(shared, token, event_id):
    async with await Client.connect(shared, token(user())) as client:
        await client.welcome()
        await client.send("ping", event_id=event_id)
        assert "ref" not in (await client.next("pong"))["data"]


async def test_a_ref_comes_back_as_it_was(shared, token):
    ref = 'ü"\\\n\u0000 </script> 用户'
    async with await Client.connect(shared, token(user())) as client:
        await client.welcome()
        await client.send("ping", event_id=ref)
        assert (await client.next("pong"))["data"]["ref"] == ref


async def test_a_pong_needs_no_data_and_gets_no_answer(shared, token):
    async with await Client.connect(shared, token(user())) as client:
        await client.welcome()
        await client.send("pong")
        await client.send("pong", event_id="a", timestamp="2025-11-08T22:00:00.123Z")
        await client.send("pong", event_id="b", data=None, whatever=[1, 2])
        await client.send("ping", event_id="last")
        assert (await client.next())["data"]["ref"] == "last"


@pytest.mark.parametrize("text, code", [
    ("{", "bad_json"),
    ("", "bad_json"),
    ("\u0000", "bad_json"),
    ('{"type":"ping"} x', "bad_json"),
    ('{"type":"ping","type":"pong"}', "bad_json"),
    ('{"type":"\\ud800"}', "bad_json"),
    ("[" * 100 + "]" * 100, "bad_json"),
    ("[]", "bad_message"),
    ('"ping"', "bad_message"),
    ("{}", "bad_message"),
    ('{"type":7}', "bad_message"),
    ('{"type":"auth"}', "bad_message"),
    ('{"type":"auth","data":{"token":7}}', "bad_message"),
    ('{"type":"ack","data":{"event_id":7}}', "bad_message"),
    ('{"type":"no.such.type"}', "unknown_type"),
    ('{"type":"welcome"}', "unknown_type"),
])
async def test_a_bad_message_gets_an_error_and_the_connection_goes_on(shared, token, text, code):
    async with await Client.connect(shared, token(user())) as client:
        await client.welcome()
        await client.send_text(text)
        await error(client, code)
        await client.send("ping", event_id="still here")
        assert (await client.next("pong"))["data"]["ref"] == "still here"


async def test_an_error_carries_the_ref(shared, token):
    async with await Client.connect(shared, token(user())) as client:
        await client.welcome()
        await client.send("no.such.type", event_id="r-1")
        await error(client, "unknown_type", "r-1")


async def test_a_protocol_ping_is_answered_with_its_payload(shared, token):
    async with await Raw.websocket(shared, token(user())) as raw:
        await raw.next("welcome")
        await raw.send_frame(PING, b"\x00payload")
        assert await raw.read_frame() == (PONG, b"\x00payload")


async def test_fragments_are_joined_around_control_frames(shared, token):
    async with await Raw.websocket(shared, token(user())) as raw:
        await raw.next("welcome")
        await raw.send_frame(TEXT, '{"type":"pi', fin=False)
        await raw.send_frame(PING, b"between")
        assert await raw.read_frame() == (PONG, b"between")
        await raw.send_frame(0, 'ng","event_id":"\u00fc'.encode()[:-1], fin=False)
        await raw.send_frame(0, "\u00fc".encode()[1:] + b'"}')
        assert (await raw.next("pong"))["data"]["ref"] == "ü"


async def test_a_message_may_come_byte_by_byte(shared, token):
    async with await Raw.websocket(shared, token(user())) as raw:
        await raw.next("welcome")
        for byte in Raw.frame(TEXT, '{"type":"ping","event_id":"slow"}'):
            await raw.send(bytes([byte]))
        assert (await raw.next("pong"))["data"]["ref"] == "slow"


async def test_many_messages_may_come_at_once(shared, token):
    async with await Raw.websocket(shared, token(user())) as raw:
        await raw.next("welcome")
        await raw.send(b"".join(Raw.frame(TEXT, json.dumps({"type": "ping", "event_id": str(n)})) for n in range(30)))
        assert [(await raw.next("pong"))["data"]["ref"] for _ in range(30)] == [str(n) for n in range(30)]


# ---- auth


async def test_auth_renews_and_is_acknowledged(belfry, token):
    server, me = belfry(env={"JWT_LEEWAY": "0s"}), user()
    async with await Client.connect(server, token(me, ttl=3)) as client:
        await client.welcome()
        await client.send("auth", event_id="a", data={"token": token(me)})
        ack = await client.next("ack")
        assert ack["data"] == {"ref": "a"}
        ends = time.monotonic() + 4
        while time.monotonic() < ends:
            await client.send("ping")
            await client.next("pong")
            await client.quiet(0.5)


async def test_auth_replaces_the_scopes(shared, token):
    me = user()
    event = {"data": {}, "audience": {"user": me}}
    async with await Client.connect(shared, token(me)) as client:
        await client.welcome()
        await client.send("some.event", event_id="1", **event)
        await error(client, "forbidden", "1")
        await client.send("auth", data={"token": token(me, PUBLISH)})
        await client.next("ack")
        await client.send("some.event", event_id="2", **event)
        assert (await client.next("ack"))["data"]["ref"] == "2"
        await client.send("auth", data={"token": token(me)})
        await client.next("ack")
        await client.send("some.event", event_id="3", **event)
        await error(client, "forbidden", "3")


async def test_a_refused_token_in_auth_closes_4401(shared, token):
    me = user()
    async with await Client.connect(shared, token(me)) as client:
        await client.welcome()
        await client.send("auth", data={"token": token(me, ttl=-60)})
        code, reason = await client.closed()
        assert code == 4401 and reason


async def test_another_users_token_in_auth_closes_4403(shared, token):
    async with await Client.connect(shared, token(user())) as client:
        await client.welcome()
        await client.send("auth", data={"token": token(user())})
        code, reason = await client.closed()
        assert code == 4403 and reason


async def test_a_client_is_warned_before_its_token_ends(belfry, token):
    server = belfry(env={"JWT_LEEWAY": "0s"})
    async with await Client.connect(server, token(user(), ttl=4)) as client:
        await client.welcome()
        await error(client, "token_expiring")
        code, reason = await client.closed(8)
        assert code == 4401 and "expired" in reason


# ---- publishing


async def test_a_client_publishes_and_gets_the_events_id(shared, token):
    me, other = user(), user()
    async with await Client.connect(shared, token(me, PUBLISH)) as client, await Client.connect(shared, token(other)) as peer:
        await client.welcome()
        await peer.welcome()
        await client.send("order.shipped", event_id="r", data={"n": 1}, audience={"user": other})
        ack = await client.next("ack")
        arrived = await peer.next("order.shipped")
        assert ack["data"] == {"ref": "r", "event_id": arrived["event_id"]}
        assert arrived["data"] == {"n": 1}
        assert "ref" not in arrived["data"] and client.events() == []


async def test_who_publishes_to_all_hears_it_too(shared, token):
    async with await Client.connect(shared, token(user(), PUBLISH)) as client:
        await client.welcome()
        await client.send("tick", data={}, audience="broadcast")
        mine = (await client.next("ack"))["data"]["event_id"]
        assert mine in [e["event_id"] for e in client.events()] or (await client.next("tick"))["event_id"] == mine
        assert never_goes_back(client.frames)


async def test_without_the_scope_it_is_forbidden(shared, token):
    async with await Client.connect(shared, token(user(), "events:read")) as client:
        await client.welcome()
        await client.send("tick", event_id="r", data={}, audience="broadcast")
        await error(client, "forbidden", "r")


@pytest.mark.parametrize("type, message, field", [
    ("task_status_update", {"data": {"task_id": "t", "status": "s", "progress": 101}, "audience": "broadcast"}, "/data/progress"),
    ("task_status_update", {"data": {"status": "s"}, "audience": "broadcast"}, "/data/task_id"),
    ("tick", {"data": [], "audience": "broadcast"}, "/data"),
    ("tick", {"data": {}, "audience": "nobody"}, "/audience"),
    ("tick", {"data": {}, "audience": {"users": []}}, "/audience/users"),
    ("Tick", {"data": {}, "audience": "broadcast"}, "/type"),
])
async def test_what_a_client_publishes_is_validated(shared, token, type, message, field):
    async with await Client.connect(shared, token(user(), PUBLISH)) as client:
        await client.welcome()
        await client.send(type, event_id="r", **message)
        assert (await error(client, "bad_message", "r"))["field"] == field


async def test_a_connection_that_does_not_exist_is_not_accepted(shared, token):
    async with await Client.connect(shared, token(user(), PUBLISH)) as client:
        await client.welcome()
        await client.send("tick", event_id="r", data={}, audience={"connection": "no-such-connection"})
        await error(client, "not_accepted", "r")


async def test_the_rate_of_events_is_limited_per_subject(belfry, token):
    server, me = belfry(env={"PUBLISH_RATE": "1/s burst 2"}), user()
    async with await Client.connect(server, token(me, PUBLISH)) as client:
        await client.welcome()
        for n in range(3):
            await client.send("tick", event_id=str(n), data={}, audience={"user": "x"})
        await error(client, "rate_limited", "2")
        assert server.rest("POST", "/events", token(me, PUBLISH), json={"type": "t", "data": {}, "audience": "broadcast"}).status_code == 429


# ---- resuming (test_resume.py has more)


async def test_what_was_missed_comes_before_caught_up(shared, token):
    async with await Client.connect(shared, token(user())) as client:
        old = (await client.welcome())["event_id"]
    missed = shared.publish("missed", {})["event_id"]
    async with await Client.connect(shared, token(user()), query=f"last_event_id={old}") as client:
        welcome = await client.welcome()
        assert welcome["data"]["recovering"] is True
        assert welcome["data"]["position"] == welcome["event_id"] == old
        while (frame := await client.next())["event_id"] != missed:
            pass  # events of other tests on the same server
        while (caught_up := await client.next())["type"] != "caught_up":
            pass
        assert set(caught_up["data"]) == {"replayed", "position"} and caught_up["data"]["replayed"] >= 1
        assert caught_up["data"]["position"] == caught_up["event_id"]
        assert order(caught_up["event_id"]) >= order(frame["event_id"])
        live = shared.publish("live", {})["event_id"]
        assert (await client.next())["event_id"] == live


@pytest.mark.parametrize("malformed", ["nonsense", "1", "1-", "-1-2", "1-2-3", "01-2", "1-2.0", "%00", "1-99999999999999999999999", "%zz"])
async def test_a_malformed_position_is_unknown(shared, token, malformed):
    async with await Client.connect(shared, token(user()), query=f"last_event_id={malformed}") as client:
        welcome = await client.welcome()
        assert welcome["data"]["recovering"] is True
        assert welcome["data"]["position"] == welcome["event_id"] == "0-0"
        resync = await client.next("resync_required")
        assert resync["data"]["reason"] == "unknown"
        assert set(resync["data"]) == {"reason", "oldest", "position"}
        assert resync["data"]["position"] == resync["event_id"]
        assert POSITION.fullmatch(resync["data"]["oldest"])
        live = shared.publish("live", {})["event_id"]
        assert (await client.next("live"))["event_id"] == live


async def test_empty_parameters_count_as_absent(shared, token):
    async with await Client.connect(shared, token(user()), query="last_event_id=&connection_id=&cursor=") as client:
        welcome = await client.welcome()
        assert welcome["data"]["recovering"] is False and welcome["data"]["resumed"] is False
        live = shared.publish("live", {})["event_id"]
        assert (await client.next())["event_id"] == live


async def test_nothing_acknowledged_means_live(shared, token):
    async with await Client.connect(shared, token(user()), query="last_event_id=acked") as client:
        welcome = await client.welcome()
        assert welcome["data"]["recovering"] is False and welcome["event_id"] != "0-0"
