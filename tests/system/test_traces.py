"""W3C Trace Context through belfry: what a publisher brings is carried to the clients, answered, and logged."""

import pytest

from clients import Client, user

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACE = f"00-{TRACE_ID}-00f067aa0ba902b7-01"
EVENT = {"type": "price_changed", "data": {"sku": "A-7"}, "audience": "broadcast"}


@pytest.mark.parametrize("path,body", [
    ("/tasks/t/broadcast-update", {"status": "running"}), ("/agents/a/broadcast-activity", {"activity": "thinking"}),
    ("/users/u/send-notification", {"title": "Hi", "message": ""}),
    ("/calendar/events/create", {"title": "Hi", "start": "2025-01-01T10:00:00Z", "end": "2025-01-01T11:00:00Z"}),
    ("/events", EVENT), ("/events/batch", {"events": [EVENT, EVENT]}),
])
async def test_each_publish_over_rest_carries_answers_and_logs_its_trace(shared, token, path, body):
    publisher = user()
    async with await Client.connect(shared, token("u")) as client:
        await client.welcome()
        answer = shared.rest("POST", path, token(publisher, ["events:publish"]), json=body, headers={"traceparent": TRACE})
        assert answer.status_code in (201, 202), answer.text
        assert answer.headers["traceparent"] == TRACE
        for told in answer.json().get("results", [answer.json()]):
            frame = await client.next(told["type"])
            assert (frame["event_id"], frame["traceparent"]) == (told["event_id"], TRACE)
    first = answer.json().get("results", [answer.json()])[0]["event_id"]
    line = shared.wait_log("request", subject=f"sub:{publisher}")
    assert (line["trace_id"], line["event_id"], line["path"]) == (TRACE_ID, first, path)


async def test_a_publish_over_a_websocket_carries_answers_and_logs_its_trace(shared, token):
    me = user()
    async with await Client.connect(shared, token(me, ["events:publish"])) as client:
        connection = (await client.welcome())["data"]["connection_id"]
        await client.send("note", event_id="r1", data={}, audience={"user": me}, traceparent=TRACE)
        ack, event = await client.next("ack"), await client.next("note")
        assert ack["data"] == {"ref": "r1", "event_id": event["event_id"]}
        assert ack["traceparent"] == event["traceparent"] == TRACE
        line = shared.wait_log("published", user=me)
        assert line["trace_id"] == TRACE_ID and line["event_id"] == event["event_id"]
        assert (line["connection_id"], line["status"], line["level"]) == (connection, 202, "info")
        assert 0 <= line["duration_ms"] < 60000


async def test_a_failed_publish_over_a_websocket_is_logged_with_what_rest_would_have_answered(shared, token):
    me = user()
    async with await Client.connect(shared, token(me, ["events:publish"])) as client:
        await client.welcome()
        await client.send("note", data={}, audience={"connection": "0" * 32}, traceparent=TRACE)
        await client.next("error", code="not_accepted")
        line = shared.wait_log("published", user=me)
        assert (line["status"], line["trace_id"]) == (404, TRACE_ID) and "event_id" not in line


async def test_a_trace_of_no_such_form_is_none(shared, token):
    me = user()
    async with await Client.connect(shared, token(me, ["events:publish"])) as client:
        await client.welcome()
        await client.send("note", data={}, audience={"user": me}, traceparent=TRACE.upper())
        assert "traceparent" not in await client.next("ack")
        assert "traceparent" not in await client.next("note")
        assert "trace_id" not in shared.wait_log("published", user=me)
    answer = shared.rest("POST", "/events", token(me, ["events:publish"]), json=EVENT, headers={"traceparent": "junk"})
    assert "traceparent" not in answer.headers
    assert "trace_id" not in shared.wait_log("request", subject=f"sub:{me}")


def test_what_is_refused_or_only_read_is_logged_with_its_trace_too(shared, token):
    reader = user()
    shared.rest("GET", "/events/position", token(reader, ["events:read"]), headers={"traceparent": TRACE})
    refused = shared.rest("POST", "/events", token(reader, ["events:read"]), json=EVENT, headers={"traceparent": TRACE})
    assert refused.status_code == 403
    for status in (200, 403):
        assert shared.wait_log("request", subject=f"sub:{reader}", status=status)["trace_id"] == TRACE_ID
