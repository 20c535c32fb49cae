"""REST over a real server: who may call, what is answered, what arrives, and what is refused (docs/protocol.md, "REST")."""

import json
import pathlib
import re
import socket
import struct
import uuid

import jsonschema
import pytest
import yaml

import belfry as processes
from belfry import PATIENCE, token as make_token, wait_for
from clients import Client, user

SPEC = yaml.safe_load((pathlib.Path(__file__).resolve().parents[2] / "openapi.yaml").read_text())
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
EVENT = {"type": "price_changed", "data": {"sku": "A-7"}, "audience": "broadcast"}
API_KEY = "an api key of the system tests, 32 bytes and more"
CALLS = [
    ("POST", "/tasks/t/broadcast-update", "events:publish"),
    ("POST", "/agents/a/broadcast-activity", "events:publish"),
    ("POST", "/users/u/send-notification", "events:publish"),
    ("POST", "/calendar/events/create", "events:publish"),
    ("POST", "/events", "events:publish"),
    ("POST", "/events/batch", "events:publish"),
    ("GET", "/events", "events:read"),
    ("GET", "/events/position", "events:read"),
    ("GET", "/users/u/cursor", "events:read"),
    ("DELETE", "/users/u/events", "events:publish"),
    ("GET", "/connections", "connections:read"),
    ("GET", "/connections/c", "connections:read"),
    ("DELETE", "/connections/c", "connections:write"),
    ("GET", "/users/u/connections", "connections:read"),
    ("DELETE", "/users/u/connections", "connections:write"),
]
ALL_SCOPES = ["events:publish", "events:read", "connections:read", "connections:write"]


def publisher(**claims):
    return make_token("publisher", ["events:publish"], **claims)


def of_schema(value, name):
    schema = {"$ref": f"#/components/schemas/{name}", "components": SPEC["components"]}
    jsonschema.Draft202012Validator(schema).validate(value)


def problem(answer, status, name=None):
    """The body, checked: status, type, and the fields that every answer carries."""
    assert answer.status_code == status, (answer.status_code, answer.text)
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    body = answer.json()
    of_schema(body, "Problem")
    assert body["status"] == status
    assert body["type"] == (f"urn:belfry:problem:{name}" if name else "about:blank")
    return body


def post(server, path, body, **options):
    return server.rest("POST", path, options.pop("token", publisher()), json=body, **options)


class Wire:
    """A connection on which a test says what it wants, byte by byte."""

    def __init__(self, server, surface="public"):
        host, port = server.address(surface).rsplit(":", 1)
        self.socket = socket.create_connection((host.strip("[]"), int(port)), timeout=5 * PATIENCE)
        self.file = self.socket.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()
        self.socket.close()

    def send(self, *parts):
        for part in parts:
            self.socket.sendall(part if isinstance(part, bytes) else part.encode())
        return self

    def response(self):
        status = int(self.file.readline().split()[1])
        headers = {}
        while (line := self.file.readline().strip()):
            name, value = line.decode().split(":", 1)
            headers[name.lower()] = value.strip()
        return status, headers, self.file.read(int(headers.get("content-length", 0)))

    def closed(self):
        return self.file.read(1) == b""


def head(*lines, path="/events", method="POST"):
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: test", f"Authorization: Bearer {publisher()}",
                        "Content-Type: application/json", *lines, "", ""])


BODY = json.dumps(EVENT)
LENGTH = f"Content-Length: {len(BODY)}"


# Who may call


@pytest.mark.parametrize("method,path,scope", CALLS)
def test_every_call_wants_credentials_with_its_scope(shared, method, path, scope):
    answer = shared.rest(method, path)
    problem(answer, 401, "credentials-missing")
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="belfry"'
    answer = shared.rest(method, path, make_token("u", [s for s in ALL_SCOPES if s != scope]))
    assert scope in problem(answer, 403, "scope-missing")["detail"]
    assert f'error="insufficient_scope", scope="{scope}"' in answer.headers["WWW-Authenticate"]


@pytest.mark.parametrize("bad", [
    "x", "a.b.c", make_token(key="another secret, which is long enough too"), make_token(ttl=-60), make_token(sub=None),
    make_token(exp=None), make_token(nbf=4102444800), make_token(algorithm="HS512"), "a" * 9000,
])
def test_a_refused_token_is_401_with_a_reason_and_without_a_part_of_it(shared, bad):
    answer = shared.rest("POST", "/events", bad, json=EVENT)
    detail = problem(answer, 401, "credentials-refused")["detail"]
    assert f'error="invalid_token", error_description="{detail}"' in answer.headers["WWW-Authenticate"]
    assert bad == "x" or bad[:20] not in answer.text + str(answer.headers)


def test_api_keys_have_scopes_and_are_read_again_when_their_file_changes(belfry, tmp_path):
    keys = tmp_path / "keys"
    keys.write_text(f"svc:{API_KEY}:events:publish\n")
    server = belfry({"API_KEYS_FILE": keys})
    assert post(server, "/events", EVENT, token=None, headers={"X-API-Key": API_KEY}).status_code == 202
    problem(post(server, "/events", EVENT, token=None, headers={"X-API-Key": API_KEY + "x"}), 401, "credentials-refused")
    problem(server.rest("GET", "/connections", headers={"X-API-Key": API_KEY}), 403, "scope-missing")
    assert server.wait_log("request", subject="key:svc", status=202)
    keys.write_text(f"svc:another {API_KEY}:events:publish\n")
    wait_for(lambda: post(server, "/events", EVENT, token=None, headers={"X-API-Key": API_KEY}).status_code == 401)


def test_a_token_in_the_query_is_for_websockets_only(shared):
    problem(shared.rest("POST", f"/events?token={publisher()}", json=EVENT), 401, "credentials-missing")


def test_two_authorization_fields_are_refused(shared):
    with Wire(shared) as wire:
        status, _, body = wire.send(head(f"Authorization: Bearer {publisher()}", LENGTH), BODY).response()
        assert (status, json.loads(body)["type"]) == (401, "urn:belfry:problem:credentials-refused")


# What is answered, and what arrives


@pytest.mark.parametrize("path,body,status,type,audience", [
    ("/tasks/t1/broadcast-update", {"status": "running", "progress": 1.50}, 202, "task_status_update", "broadcast"),
    ("/agents/a%2Fb/broadcast-activity", {"activity": "thinks"}, 202, "agent_activity_update", "broadcast"),
    ("/users/bob/send-notification", {"title": "T", "message": ""}, 202, "notification", {"user": "bob"}),
    ("/calendar/events/create", {"title": "T", "start": "2025-11-10T09:00:00Z", "end": "2025-11-10T09:00:00Z"}, 201,
     "calendar_event_created", "broadcast"),
    ("/calendar/events/create", {"title": "T", "start": "2025-11-10T09:00:00Z", "end": "2025-11-10T10:00:00Z",
                                 "attendees": ["a", "b"]}, 201, "calendar_event_created", {"users": ["a", "b"]}),
    ("/events", EVENT, 202, "price_changed", "broadcast"),
    ("/events", {**EVENT, "audience": {"user": "nobody"}, "replay": False}, 202, "price_changed", {"user": "nobody"}),
])
def test_publishing_answers_with_what_was_published(shared, path, body, status, type, audience):
    answer = post(shared, path, body)
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/json" and answer.headers["Cache-Control"] == "no-store"
    of_schema(answer.json(), "Published")
    assert (answer.json()["type"], answer.json()["audience"]) == (type, audience)


async def test_a_published_event_arrives_with_its_id_data_and_trace(shared, token):
    me = user()
    async with await Client.connect(shared, token(me)) as client:
        await client.welcome()
        answer = post(shared, f"/users/{me}/send-notification", {"title": "Hi", "message": "there", "more": [1.50]},
                      headers={"traceparent": TRACE})
        assert answer.headers["traceparent"] == TRACE
        assert answer.json()["receivers"] == 1
        frame = await client.next("notification")
        assert frame["event_id"] == answer.json()["event_id"]
        assert frame["traceparent"] == TRACE
        assert frame["data"] == {"title": "Hi", "message": "there", "more": [1.50], "level": "info"}


async def test_a_batch_arrives_in_its_order(shared, token):
    me = user()
    async with await Client.connect(shared, token(me)) as client:
        await client.welcome()
        events = [{"type": "batched", "data": {"n": n}, "audience": {"user": me}} for n in range(1000)]
        answer = post(shared, "/events/batch", {"events": events})
        assert answer.status_code == 202
        of_schema(answer.json(), "BatchResult")
        frames = [await client.next("batched") for _ in range(1000)]
        assert [f["data"]["n"] for f in frames] == list(range(1000))
        assert [f["event_id"] for f in frames] == [r["event_id"] for r in answer.json()["results"]]


async def test_an_event_to_one_connection_is_404_where_there_is_none(shared, token):
    nowhere = {**EVENT, "audience": {"connection": uuid.uuid4().hex}}
    problem(post(shared, "/events", nowhere), 404, "connection-not-found")
    async with await Client.connect(shared, token(user())) as client:
        mine = {**EVENT, "audience": {"connection": (await client.welcome())["data"]["connection_id"]}}
        assert post(shared, "/events", mine).json()["receivers"] == 1
        results = post(shared, "/events/batch", {"events": [nowhere, mine]}).json()["results"]
        assert [(r.get("status"), r["receivers"], r["type"]) for r in results] == [
            (404, 0, "price_changed"), (None, 1, "price_changed")]
        assert len([await client.next("price_changed") for _ in range(2)]) == 2


def test_an_invalid_traceparent_is_as_good_as_none(shared):
    answer = post(shared, "/events", EVENT, headers={"traceparent": TRACE.upper()})
    assert answer.status_code == 202 and "traceparent" not in answer.headers


def test_the_same_key_answers_the_same_and_delivers_once(shared):
    key = uuid.uuid4().hex
    first = post(shared, "/events", EVENT, headers={"Idempotency-Key": key})
    again = post(shared, "/events", EVENT, headers={"Idempotency-Key": f'"{key}"'})
    assert first.status_code == again.status_code == 202
    assert again.json()["event_id"] == first.json()["event_id"]
    other = post(shared, "/events", {**EVENT, "data": {}}, headers={"Idempotency-Key": key})
    assert other.status_code == 422 and other.headers["Content-Type"] == "application/problem+json"
    elsewhere = post(shared, "/events", EVENT, headers={"Idempotency-Key": key}, token=make_token("x", "events:publish"))
    assert elsewhere.json()["event_id"] != first.json()["event_id"]
    flat = {"status": "x"}
    paths = ["/tasks/a:a/broadcast-update", "/tasks/b/broadcast-update", "/tasks/a%3Aa/broadcast-update"]
    ids = [post(shared, path, flat, headers={"Idempotency-Key": key}).json()["event_id"] for path in paths]
    assert ids[0] == ids[2] != ids[1]


@pytest.mark.parametrize("key", ["a b", '""', '"a', "a,\tb", "k" * 256])
def test_a_malformed_key_is_400(shared, key):
    problem(post(shared, "/events", EVENT, headers={"Idempotency-Key": key}), 400, "bad-idempotency-key")


# What is refused


@pytest.mark.parametrize("type", [None, "text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin1"])
def test_a_body_that_is_not_declared_json_is_415(shared, type):
    headers = {"Content-Type": type} if type else {}
    answer = shared.rest("POST", "/events", publisher(), data=BODY.encode(), headers=headers)
    problem(answer, 415, "not-declared-json")


def test_json_may_be_declared_with_a_charset(shared):
    answer = shared.rest("POST", "/events", publisher(), data=BODY, headers={"Content-Type": "application/json; charset=UTF-8"})
    assert answer.status_code == 202


@pytest.mark.parametrize("body", [b"", b"{", b"[1,]", b'{"type":"\xff"}', b'{"a":"\\ud800"}', b"[" * 100 + b"]" * 100, b"{}{}"])
def test_a_body_that_is_not_json_is_400(shared, body):
    answer = shared.rest("POST", "/events", publisher(), data=body, headers={"Content-Type": "application/json"})
    problem(answer, 400, "not-json")


@pytest.mark.parametrize("path,body,field", [
    ("/events", [], ""),
    ("/events", {**EVENT, "replai": False}, "/replai"),
    ("/events", {**EVENT, "type": "Ping"}, "/type"),
    ("/events", {**EVENT, "type": "ping"}, "/type"),
    ("/events", {**EVENT, "audience": {"users": []}}, "/audience/users"),
    ("/events", {**EVENT, "type": "notification"}, "/data/title"),
    ("/tasks/t/broadcast-update", {"status": "x", "progress": 101}, "/progress"),
    ("/tasks/t/broadcast-update", {"status": "x", "task_id": "other"}, "/task_id"),
    ("/tasks/t/broadcast-update", {}, "/status"),
    ("/calendar/events/create", {"title": "T", "start": "2025-02-30T00:00:00Z", "end": "2025-03-01T00:00:00Z"}, "/start"),
    ("/events/batch", {"events": [EVENT, {**EVENT, "type": 1}]}, "/events/1/type"),
    ("/events/batch", {"events": []}, "/events"),
    ("/events/batch", {"events": [EVENT] * 1001}, "/events"),
])
def test_a_bad_field_is_422_and_named(shared, path, body, field):
    assert problem(post(shared, path, body), 422, "invalid-field")["field"] == field


def test_one_event_above_its_limit_is_413_with_its_field(shared):
    large = {**EVENT, "data": {"x": "x" * 70000}}
    assert problem(post(shared, "/events", large), 413, "event-too-large")["field"] == "/data"
    assert problem(post(shared, "/events/batch", {"events": [EVENT, large]}), 413, "event-too-large")["field"] == "/events/1/data"


@pytest.mark.parametrize("path", ["/tasks/%00/broadcast-update", "/tasks/%zz/broadcast-update", "/tasks/%0a/broadcast-update",
                                  "/tasks/%ff/broadcast-update", "/tasks/%2e%2e/broadcast-update", "/tasks/%7f/broadcast-update",
                                  "/tasks/" + "a" * 257 + "/broadcast-update"])
def test_a_bad_path_is_400(shared, path):
    # byte by byte: the requests library would repair some of them
    with Wire(shared) as wire:
        status, headers, body = wire.send(head("Content-Length: 0", path=path)).response()
        assert (status, headers["content-type"]) == (400, "application/problem+json")
        assert json.loads(body)["type"] == "urn:belfry:problem:bad-path"


@pytest.mark.parametrize("path", ["/nothing", "/events/", "/tasks//broadcast-update", "/tasks/a/b/broadcast-update", "/Events",
                                  "/metrics", "/livez", "/readyz"])
def test_an_unknown_path_is_404(shared, path):
    with Wire(shared) as wire:
        status, headers, body = wire.send(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").response()
        assert (status, json.loads(body)["type"]) == (404, "about:blank")


@pytest.mark.parametrize("method,path,allowed", [
    ("PUT", "/events", {"GET", "HEAD", "POST"}), ("OPTIONS", "/events/batch", {"POST"}), ("POST", "/ws/health", {"GET", "HEAD"}),
    ("BREW", "/connections/c", {"GET", "HEAD", "DELETE"}), ("DELETE", "/openapi.yaml", {"GET", "HEAD"}),
])
def test_another_method_is_405_with_allow(shared, method, path, allowed):
    answer = shared.rest(method, path)
    problem(answer, 405)
    assert set(answer.headers["Allow"].split(", ")) == allowed


def test_publish_rate_slows_a_caller_and_not_the_next(belfry):
    server = belfry({"PUBLISH_RATE": "1/s burst 3"})
    mine, other = publisher(), make_token("other", "events:publish")
    assert post(server, "/events/batch", {"events": [EVENT] * 3}, token=mine).status_code == 202
    answer = post(server, "/events", EVENT, token=mine)
    problem(answer, 429, "publish-rate")
    assert int(answer.headers["Retry-After"]) >= 1
    assert post(server, "/events", EVENT, token=other).status_code == 202
    problem(post(server, "/events", {**EVENT, "type": 1}, token=mine), 422, "invalid-field")


def test_redis_away_is_503_with_retry_after_and_unhealthy(belfry, redis_server):
    server = belfry({"REDIS_TIMEOUT": "500ms"})
    redis_server.stop()

    def refused():
        answer = post(server, "/events", EVENT)
        return (answer,) if answer.status_code == 503 else None  # an error answer is false by itself

    (answer,) = wait_for(refused, 10)
    assert answer.headers["Content-Type"] == "application/problem+json" and int(answer.headers["Retry-After"]) >= 1
    health = server.rest("GET", "/ws/health")
    assert health.status_code == 503
    of_schema(health.json(), "Health")
    assert health.json()["status"] == "unhealthy" and health.json()["redis"]["connected"] is False
    assert server.rest("GET", "/readyz", surface="metrics").status_code == 200
    redis_server.start()
    wait_for(lambda: post(server, "/events", EVENT).status_code == 202, 15)
    wait_for(lambda: server.rest("GET", "/ws/health").status_code == 200, 15)


def test_a_redis_that_does_not_answer_is_504(belfry, redis_server):
    server = belfry({"REDIS_TIMEOUT": "500ms"})
    redis_server.pause()
    answer = post(server, "/events", EVENT)
    redis_server.resume()
    assert answer.status_code == 504 and answer.headers["Content-Type"] == "application/problem+json"


# The service itself


async def test_health_counts_connections(shared, token):
    before = shared.rest("GET", "/ws/health")
    assert before.status_code == 200
    of_schema(before.json(), "Health")
    async with await Client.connect(shared, token(user())) as client:
        await client.welcome()
        assert shared.rest("GET", "/ws/health").json()["connections"]["local"] >= 1


@pytest.mark.parametrize("name", ["openapi.yaml", "asyncapi.yaml"])
def test_the_documents_are_served_as_they_stand(shared, name):
    answer = shared.rest("GET", f"/{name}")
    assert answer.content == (pathlib.Path(processes.ROOT) / name).read_bytes()
    assert answer.headers["Content-Type"] == "application/yaml"


def test_head_has_the_fields_of_get_and_no_body(shared):
    got, headed = shared.rest("GET", "/openapi.yaml"), shared.rest("HEAD", "/openapi.yaml")
    assert headed.status_code == 200 and headed.content == b""
    assert headed.headers["Content-Length"] == got.headers["Content-Length"]


def test_liveness_and_readiness_are_on_their_own_listener(shared):
    assert shared.rest("GET", "/livez", surface="metrics").json() == {"status": "alive"}
    ready = shared.rest("GET", "/readyz", surface="metrics")
    assert ready.status_code == 200
    of_schema(ready.json(), "Readiness")
    problem(shared.rest("GET", "/ws/health", surface="metrics"), 404)


def test_api_listen_takes_rest_off_the_public_listener(belfry):
    server = belfry({"API_LISTEN": "127.0.0.1:0", "BASE_PATH": "/push"})
    assert post(server, "/events", EVENT, surface="api").status_code == 202
    problem(post(server, "/events", EVENT, surface="public"), 404)
    assert server.rest("GET", "/ws/health", surface="public").status_code == 200
    assert server.rest("GET", "/openapi.yaml", surface="public").status_code == 200
    problem(server.rest("GET", "/ws", surface="api"), 404)
    with Wire(server) as wire:
        assert wire.send("GET /ws/health HTTP/1.1\r\nHost: a\r\n\r\n").response()[0] == 404


def test_a_request_leaves_one_line_without_its_query(belfry):
    server = belfry()
    answer = post(server, "/events?token=secret.of.mine", EVENT)
    line = server.wait_log("request", path="/events")
    assert (line["method"], line["status"], line["subject"]) == ("POST", 202, "sub:publisher")
    assert line["event_id"] == answer.json()["event_id"] and line["duration_ms"] >= 0
    assert "secret.of.mine" not in server.output() and publisher()[:40] not in server.output()


# HTTP


def test_posts_may_be_pipelined_on_one_connection(shared):
    with Wire(shared) as wire:
        wire.send((head(LENGTH) + BODY) * 5, head(method="GET", path="/ws/health"))
        assert [wire.response()[0] for _ in range(6)] == [202] * 5 + [200]


def test_a_chunked_body_is_read_and_its_connection_closed(shared):
    with Wire(shared) as wire:
        wire.send(head("Transfer-Encoding: chunked"), f"5\r\n{BODY[:5]}\r\n", f"{len(BODY) - 5:x}\r\n{BODY[5:]}\r\n0\r\n\r\n")
        status, headers, _ = wire.send(head(LENGTH), BODY).response()
        assert (status, headers["connection"]) == (202, "close")
        assert wire.closed()


@pytest.mark.parametrize("lines,body", [
    ([LENGTH, LENGTH], BODY),
    ([LENGTH, "Content-Length: 3"], BODY),
    (["Content-Length: +3"], BODY),
    (["Content-Length: 3x"], BODY),
    (["Content-Length: 99999999999999999999999"], BODY),
    ([LENGTH, "Transfer-Encoding: chunked"], f"{len(BODY):x}\r\n{BODY}\r\n0\r\n\r\n"),
    (["Transfer-Encoding: gzip"], BODY),
    (["Transfer-Encoding: chunked"], "zz\r\n"),
    ([LENGTH, "Host: another"], BODY),
    ([LENGTH, "X-Folded: a\r\n b"], BODY),
    ([LENGTH, "X-Bare: a\nX-Other: b"], BODY),
])
def test_an_ambiguous_request_is_400_and_closed(shared, lines, body):
    with Wire(shared) as wire:
        status, headers, answer = wire.send(head(*lines), body).response()
        assert (status, headers["content-type"], headers["connection"]) == (400, "application/problem+json", "close")
        of_schema(json.loads(answer), "Problem")
        assert wire.closed()


def test_an_unknown_expectation_is_417(shared):
    with Wire(shared) as wire:
        status, headers, _ = wire.send(head(LENGTH, "Expect: a miracle"), BODY).response()
        assert (status, headers["content-type"]) == (417, "application/problem+json")


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_above_the_limit_is_413_that_its_sender_gets_to_read(shared, chunked):
    size = 4 * 1024 * 1024
    with Wire(shared) as wire:
        if chunked:
            wire.send(head("Transfer-Encoding: chunked"), (b"10000\r\n" + b"x" * 0x10000 + b"\r\n") * (size // 0x10000), "0\r\n\r\n")
        else:
            wire.send(head(f"Content-Length: {size}"), b"x" * size)
        status, headers, body = wire.response()
        assert (status, headers["content-type"]) == (413, "application/problem+json")
        assert json.loads(body)["type"] == "urn:belfry:problem:body-too-large"


def test_clients_that_leave_in_the_middle_leave_nothing_behind(belfry):
    server = belfry()

    def descriptors():
        return len(list(pathlib.Path(f"/proc/{server.pid}/fd").iterdir()))

    before = descriptors()
    for i in range(30):
        with Wire(server) as wire:
            wire.send(head(LENGTH), BODY if i % 3 else BODY[:5])
            wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", i % 2, 0))
    wait_for(lambda: descriptors() <= before, 15)
    assert post(server, "/events", EVENT).status_code == 202


def test_every_problem_name_is_documented(shared):
    sources = [p.read_text() for d in ("api", "server", "pubsub") for p in (processes.ROOT / d).glob("*.c")]
    names = {n for text in sources for n in re.findall(r'\.slug = (?:[^",]* \? )?"([a-z-]+)"', text)}
    assert len(names) > 8
    documented = (processes.ROOT / "docs" / "protocol.md").read_text()
    assert [n for n in names if f"`{n}`" not in documented] == []


def test_redis_that_reads_slowly_and_has_lost_its_scripts_is_waited_for(belfry, redis_server):
    """Publishes of megabytes fill the socket to Redis again and again: its completion has to be noticed each time."""
    server = belfry({"REDIS_TIMEOUT": "20s"})
    body = json.dumps({**EVENT, "data": {"filler": "x" * 9000}})
    wires = [Wire(server) for _ in range(100)]
    for _ in range(10):
        redis_server.client().script_flush()
        redis_server.pause()
        for wire in wires:
            wire.send((head(f"Content-Length: {len(body)}") + body) * 4)
        redis_server.resume()
        assert {wire.response()[0] for wire in wires * 4} == {202}
    for wire in wires:
        wire.__exit__()
