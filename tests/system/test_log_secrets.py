"""What the log may never hold: tokens, keys, and what events say. Each travels every way there is, and is then looked for."""

import json

from belfry import RedisServer, SECRET, wait_for
from clients import Client, user

MARKER = "marker-of-the-payload"
API_KEY = "the-api-key-that-nobody-may-read-in-a-log"
PASSWORD = "password-of-redis"
EVENT = {"type": "secret", "data": {"text": MARKER}, "audience": "broadcast"}


async def speak_over_websockets(server, good, renewed, expired):
    for way in ("subprotocol", "header", "cookie", "query"):
        async with await Client.connect(server, good, way, cookie="session", origin=server.http("")) as client:
            await client.welcome()
            await client.send(EVENT["type"], data=EVENT["data"], audience=EVENT["audience"])
            await client.next("ack")
            await client.send("auth", event_id="renewal", data={"token": renewed})
            await client.next("ack", ref="renewal")
            await client.send_text('{"type":"secret","data":{"' + MARKER)
            await client.next("error", code="bad_json")
            await client.send("notification", data={"title": 1, "message": MARKER}, audience="broadcast")
            await client.next("error", code="bad_message")
            await client.ws.close(1000, MARKER)
    for way in ("subprotocol", "header", "query"):
        async with await Client.connect(server, expired, way) as client:
            assert (await client.closed())[0] == 4401
    async with await Client.connect(server, good) as client:
        await client.welcome()
        await client.send("auth", data={"token": expired})
        assert (await client.closed())[0] == 4401


def speak_over_rest(server, good):
    def post(body, headers, status):
        answer = server.rest("POST", "/events", data=body, headers={"Content-Type": "application/json", **headers})
        assert answer.status_code == status, answer.text

    for headers in ({"Authorization": f"Bearer {good}"}, {"X-API-Key": API_KEY}):
        post(json.dumps(EVENT), {**headers, "Idempotency-Key": MARKER}, 202)
        post(json.dumps({**EVENT, "replay": MARKER}), headers, 422)
        post('{"' + MARKER, headers, 400)
    post(json.dumps(EVENT), {"X-API-Key": API_KEY + MARKER}, 401)
    post(json.dumps(EVENT), {"Authorization": f"Bearer {good}{MARKER}"}, 401)
    assert server.rest("GET", f"/nothing?token={good}").status_code == 404
    assert server.rest("GET", f"/ws?token={good}&last_event_id={MARKER}").status_code in (400, 426)


async def test_no_token_no_key_and_no_payload_is_ever_logged(belfry, redis_server, token, tmp_path):
    (tmp_path / "keys").write_text(f"shop:{API_KEY}:events:publish\n")
    redis_server.client().execute_command("ACL", "SETUSER", "app", "on", ">" + PASSWORD, "~*", "&*", "+@all")
    url = f"redis://app:{PASSWORD}@127.0.0.1:{redis_server.port}/0"
    server = belfry({"LOG_LEVEL": "debug", "API_KEYS_FILE": str(tmp_path / "keys"), "TOKEN_COOKIE": "session", "REDIS_URL": url})
    me = user()
    good, renewed, expired = token(me, ["events:publish"]), token(me, ["events:publish"], ttl=7200), token(me, ttl=-600)
    await speak_over_websockets(server, good, renewed, expired)
    speak_over_rest(server, good)
    redis_server.client().publish("ws:broadcast", "{ no JSON: " + MARKER)
    redis_server.client().publish("ws:broadcast", json.dumps({"type": "Not One " + MARKER, "data": {}}))
    server.wait_log("foreign_dropped")
    redis_server.client().execute_command("ACL", "SETUSER", "app", "-evalsha", "-eval")
    assert server.rest("POST", "/events", good, json=EVENT).status_code >= 500
    redis_server.stop()
    wait_for(lambda: server.rest("POST", "/events", good, json=EVENT).status_code == 503, what="a publish that is refused")
    server.wait_log("redis_lost")
    assert server.stop() == 0

    log = server.output()
    seen = {line["event"] for line in server.logs()}
    assert {"request", "published", "connection_opened", "connection_closed", "foreign_dropped", "redis_lost"} <= seen
    secrets = {"a payload": MARKER, "an API key": API_KEY, "SECRET_KEY": SECRET, "Redis' password": PASSWORD}
    for name, jwt in (("good", good), ("renewed", renewed), ("expired", expired)):
        secrets.update({f"the {name} token's {part}": text for part, text in zip(("claims", "signature"), jwt.split(".")[1:])})
    found = [(name, line) for line in log.splitlines() for name, text in secrets.items() if text in line]
    assert not found, found[:5]


def test_a_redis_that_does_not_know_auth_does_not_bring_the_password_into_the_log(belfry):
    """Redis repeats the arguments of a command that it does not know."""
    redis = RedisServer("--rename-command", "AUTH", "")
    try:
        assert PASSWORD in str(redis.client().execute_command("ECHO", PASSWORD))
        server = belfry({"REDIS_URL": f"redis://:{PASSWORD}@127.0.0.1:{redis.port}/0"}, ready=False)
        assert "unknown command" in server.wait_log("redis_lost")["reason"]
        assert server.stop() == 0
        assert PASSWORD not in server.output()
    finally:
        redis.remove()
