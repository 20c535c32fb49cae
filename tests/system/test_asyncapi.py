"""asyncapi.yaml: whole in itself, its examples of their schemas, in step with the code, and true of a running server."""

import copy
import json
import pathlib
import re

import jsonschema
import pytest
import yaml

from clients import Client, user

ROOT = pathlib.Path(__file__).resolve().parents[2]
SPEC = yaml.safe_load((ROOT / "asyncapi.yaml").read_text())
MESSAGES = SPEC["components"]["messages"]
SERVER_TYPES = {"welcome", "caught_up", "ping", "pong", "ack", "error", "resync_required", "reconnect"}
EVENT_TYPES = {"task_status_update", "agent_activity_update", "calendar_event_created", "notification"}
CLIENT_TYPES = {"pong", "ping", "ack", "auth"}
ERROR_CODES = {"bad_json", "bad_message", "unknown_type", "forbidden", "rate_limited", "too_large", "not_accepted",
               "outcome_unknown", "token_expiring", "internal"}


def resolve(reference):
    node = SPEC
    for part in reference.removeprefix("#/").split("/"):
        node = node[part]
    return node


def references(node):
    if isinstance(node, dict):
        if "$ref" in node:
            yield node["$ref"]
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def validator(message):
    """Of the payload of a message; references are into the document."""
    schema = {**copy.deepcopy(MESSAGES[message]["payload"]), "components": SPEC["components"]}
    jsonschema.Draft7Validator.check_schema(schema)
    return jsonschema.Draft7Validator(schema)


def operation(name):
    """The types that a message of the operation may have, by the names in components."""
    names = [m["$ref"].rsplit("/", 1)[1] for m in SPEC["operations"][name]["messages"]]
    return {n: MESSAGES[n]["name"] for n in names}


def test_every_reference_leads_somewhere():
    found = list(references(SPEC))
    assert len(found) > 100
    for reference in found:
        assert resolve(reference) is not None


def test_every_message_has_a_summary_a_schema_and_examples():
    for name, message in MESSAGES.items():
        assert message["summary"] and message["payload"] and message["examples"], name


def test_every_message_belongs_to_a_channel_and_an_operation():
    of_channels = {r["$ref"] for c in SPEC["channels"].values() for r in c["messages"].values()}
    assert of_channels == {f"#/components/messages/{name}" for name in MESSAGES}
    of_operations = {m["$ref"] for o in SPEC["operations"].values() for m in o["messages"]}
    assert of_operations == {f"#/channels/{c}/messages/{m}" for c, channel in SPEC["channels"].items() for m in channel["messages"]}
    for operation in SPEC["operations"].values():
        assert all(m["$ref"].startswith(operation["channel"]["$ref"] + "/") for m in operation["messages"])


@pytest.mark.parametrize("name", MESSAGES)
def test_examples_are_of_their_schema(name):
    for example in MESSAGES[name]["examples"]:
        validator(name).validate(example["payload"])


@pytest.mark.parametrize("name", MESSAGES)
def test_schemas_refuse_what_is_of_another_kind(name):
    """Else an example could prove nothing."""
    good = MESSAGES[name]["examples"][0]["payload"]
    for bad in ({**good, "type": "Not A Type"}, {k: v for k, v in good.items() if k != "type"}, [], "text"):
        assert not validator(name).is_valid(bad), bad


def test_the_messages_are_those_of_the_protocol():
    assert set(operation("tellClient").values()) == SERVER_TYPES | EVENT_TYPES | {"event"}
    assert set(operation("hearClient").values()) == CLIENT_TYPES | {"event"}
    codes = MESSAGES["error"]["payload"]["allOf"][1]["properties"]["data"]["properties"]["code"]["enum"]
    assert set(codes) == ERROR_CODES


def test_the_code_knows_the_same_messages():
    server = (ROOT / "core/message.c").read_text()
    assert set(re.findall(r'\{"(\w+)", CLIENT_\w+, ', (ROOT / "core/client_message.c").read_text())) == CLIENT_TYPES
    for name in SERVER_TYPES | ERROR_CODES:
        assert f'"{name}"' in server, name
    publication = "".join(p.read_text() for p in ROOT.glob("core/*.c"))
    for name in EVENT_TYPES:
        assert f'"{name}"' in publication, name


def test_the_channels_are_those_of_redis():
    assert {c["address"] for c in SPEC["channels"].values()} == {
        "/ws", "ws:broadcast", "ws:user:{user_id}", "ws:connection:{connection_id}"}


def test_the_document_is_served(shared):
    assert shared.rest("GET", "/asyncapi.yaml").text == (ROOT / "asyncapi.yaml").read_text()


def check(frame):
    """A frame of a running server against the schema of its type."""
    own = frame["type"] in SERVER_TYPES | EVENT_TYPES
    validator(frame["type"] if own else "event").validate(frame)


async def test_what_a_server_says_is_of_the_schemas(belfry, redis_server, token):
    server, me = belfry(env={"PING_INTERVAL": "1s", "PONG_TIMEOUT": "20s", "JWT_LEEWAY": "0s"}), user()
    async with await Client.connect(server, token(me, "events:publish"), query="last_event_id=nonsense") as client:
        await client.next("resync_required")
        for name in ("client_pong", "client_ping", "client_ack", "client_event"):
            for example in MESSAGES[name]["examples"]:
                await client.send_text(json.dumps(example["payload"]))
        await client.send("ack", event_id=f"{2 ** 53}-1")
        await client.next("error", code="not_accepted", field="/event_id")
        await client.send("auth", event_id="a", data={"token": token(me, "events:publish", ttl=4)})
        await client.next("ack", ref="a")
        for type in EVENT_TYPES:
            server.publish(type, MESSAGES[type]["examples"][0]["payload"]["data"])
            await client.next(type)
        for example in MESSAGES["foreign_event"]["examples"]:
            redis_server.client().publish("ws:broadcast", json.dumps({**example["payload"], "type": "foreign"}))
        await client.next("foreign")
        await client.send("no.such.type", event_id="e")
        await client.next("error", code="unknown_type")
        await client.next("error", code="token_expiring")
        await client.next("ping")
        await client.closed(10)
        position = client.frames[-1]["event_id"]
    async with await Client.connect(server, token(me), query=f"last_event_id={position}") as again:
        await again.next("caught_up")
        for frame in client.frames + again.frames:
            check(frame)
        assert {f["type"] for f in again.frames} >= {"welcome", "caught_up"}
        assert {f["type"] for f in client.frames} >= {"welcome", "resync_required", "ping", "pong", "ack", "error", *EVENT_TYPES, "tick"}


async def test_what_the_script_publishes_is_of_the_schema(belfry, redis_server):
    server, listener = belfry(), redis_server.client().pubsub()
    listener.subscribe("ws:broadcast")
    server.publish("order.shipped", {"order": 17})
    payload = next(m["data"] for m in listener.listen() if m["type"] == "message")
    assert payload.startswith(" {")
    validator("own_event").validate(json.loads(payload))
