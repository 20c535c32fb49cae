"""/metrics: each family moves when what it counts happens, and by how much; /livez; what Prometheus itself says."""

import asyncio
import ctypes
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import time

import pytest
import requests

import metrics
from belfry import PATIENCE, ROOT, token, wait_for
from clients import PING, TEXT, Client, Raw, user
from metrics import Since
from redis_scripts import epoch_of, seq_of

PUBLISH = ["events:publish"]


def counted(since, expected, timeout=3):
    """Waits until that has been counted, exactly: {(name, label, value, …): difference}."""
    def reached():
        return since.all(*expected) == list(expected.values())
    try:
        wait_for(reached, timeout)
    except AssertionError:
        pytest.fail(f"{dict(zip(expected, since.all(*expected)))} instead of {expected}")


def gauge(server, name, condition, timeout=5, **labels):
    return wait_for(lambda: condition(metrics.now(server).get(name, **labels)), timeout, f"{name} {labels}")


async def hang_up(raw):
    await raw.close()
    await raw.writer.wait_closed()


async def in_thread(function, *arguments, **options):
    return await asyncio.to_thread(lambda: function(*arguments, **options))


def test_prometheus_finds_nothing_to_complain_about(shared):
    promtool = shutil.which("promtool")
    if promtool is None:
        assert not os.environ.get("CI"), "promtool is missing: tests/deps.sh test installs it"
        pytest.skip("no promtool here (Debian package prometheus)")
    checked = subprocess.run([promtool, "check", "metrics"], input=metrics.text(shared), capture_output=True, text=True, timeout=20)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")
    broken = metrics.text(shared).replace("belfry_acks_total", "belfry_acks")
    assert subprocess.run([promtool, "check", "metrics"], input=broken, capture_output=True, text=True, timeout=20).returncode != 0


def test_the_page_is_prometheus_text_and_stands_on_its_own_address_only(shared):
    answer = requests.get(shared.http("/metrics", "metrics"), timeout=5)
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert shared.rest("GET", "/metrics", surface="public").status_code == 404
    assert requests.post(shared.http("/metrics", "metrics"), timeout=5).status_code == 405


def test_what_is_documented_is_served_and_nothing_else(shared):
    documented = set(re.findall(r"^\| `([a-z_]+)` \|", (ROOT / "docs/metrics.md").read_text(), re.MULTILINE))
    served = set(re.findall(r"^# TYPE (\S+) ", metrics.text(shared), re.MULTILINE))
    assert served == documented and len(served) > 40


async def test_a_connection_from_its_handshake_to_its_end(belfry):
    server = belfry()
    since = Since(server)
    before = metrics.now(server)
    assert before.get("belfry_connections") == 0
    async with await Client.connect(server, token(user())) as client:
        await client.welcome()
        counted(since, {("belfry_handshakes_total", "result", "accepted"): 1, ("belfry_handshakes_total",): 1,
                        ("belfry_connect_seconds_count",): 1, ("belfry_messages_sent_total", "type", "welcome"): 1,
                        ("belfry_connections", "state", "live"): 1, ("belfry_connections",): 1})
    counted(since, {("belfry_closes_total", "code", "1000"): 1, ("belfry_closes_total",): 1, ("belfry_connections",): 0})
    raw = await Raw.websocket(server, token(user()))
    await raw.next("welcome")
    await hang_up(raw)
    counted(since, {("belfry_closes_total", "code", "1006"): 1, ("belfry_closes_total",): 2, ("belfry_connections",): 0,
                    ("belfry_handshakes_total",): 2})


async def test_sockets_of_every_kind_are_counted(belfry):
    server = belfry()
    with requests.Session() as session:  # one socket for all questions
        def ask():
            return metrics.Samples(session.get(server.http("/metrics", "metrics"), timeout=5).text)
        before = ask()
        sockets = [await Raw.open(server) for _ in range(3)]
        wait_for(lambda: ask().get("belfry_accepted_sockets_total") == before.get("belfry_accepted_sockets_total") + 3)
        assert ask().get("belfry_descriptors") == before.get("belfry_descriptors") + 3
        for one in sockets:
            await hang_up(one)
        wait_for(lambda: ask().get("belfry_descriptors") == before.get("belfry_descriptors"))
        assert before.get("process_max_fds") > before.get("belfry_descriptors_max") > 0


async def test_refused_handshakes_by_reason(belfry):
    server = belfry({"MAX_CONNECTIONS": "2", "MAX_CONNECTIONS_PER_USER": "1"})
    since, me = Since(server), user()

    async def closed_with(code, **options):
        client = await Client.connect(server, **options)
        assert (await client.closed())[0] == code

    raw = await Raw.open(server)
    assert (await raw.handshake(server, Sec_WebSocket_Key="short"))[0] == 400
    raw = await Raw.open(server)
    assert (await raw.handshake(server, Origin="http://elsewhere.example"))[0] == 403
    await closed_with(4401)
    await closed_with(4400, token=token(me), query="cursor=%01")
    async with await Client.connect(server, token(me)) as first:
        await first.welcome()
        await closed_with(4429, token=token(me))
        async with await Client.connect(server, token(user())) as second:
            await second.welcome()
            await closed_with(1013, token=token(user()))
    counted(since, {("belfry_handshakes_total", "result", reason): n for reason, n in (
        ("accepted", 2), ("bad_handshake", 1), ("origin", 1), ("token", 1), ("user_limit", 1), ("process_full", 1),
        ("address_limit", 0))})
    counted(since, {("belfry_closes_total", "code", code): 1 for code in ("4401", "4400", "4429", "1013")})


async def test_too_many_of_one_address(belfry):
    server = belfry({"MAX_CONNECTIONS_PER_ADDRESS": "1"})
    since = Since(server)
    async with await Client.connect(server, token(user())) as first:
        await first.welcome()
        assert (await (await Client.connect(server, token(user()))).closed())[0] == 4429
    counted(since, {("belfry_handshakes_total", "result", "accepted"): 1, ("belfry_handshakes_total", "result", "address_limit"): 1})


async def test_messages_both_ways_and_their_bytes(belfry):
    server = belfry()
    raw = await Raw.websocket(server, token(user(), PUBLISH))
    await raw.next("welcome")
    counted(since := Since(server), {("belfry_sent_bytes_total",): 0})
    messages = [json.dumps(m) for m in (
        {"type": "ping", "event_id": "1"}, {"type": "pong"}, {"type": "auth", "token": "x" * 20}, {"type": "no.such"}, {"no": "type"})]
    messages[2] = json.dumps({"type": "auth", "data": {"token": token("other")}})
    sent = [Raw.frame(TEXT, m) for m in messages[:2] + messages[3:]] + [Raw.frame(TEXT, "{"), Raw.frame(PING, b"abc")]
    await raw.send(b"".join(sent))
    answers = [await raw.read_frame() for _ in range(5)]
    types = [json.loads(payload)["type"] for opcode, payload in answers if opcode == TEXT]
    assert types == ["pong", "error", "error", "error"]
    counted(since, {
        ("belfry_messages_received_total", "type", "ping"): 1, ("belfry_messages_received_total", "type", "pong"): 1,
        ("belfry_messages_received_total", "type", "refused"): 3,
        ("belfry_received_bytes_total",): sum(map(len, sent)),
        ("belfry_messages_sent_total", "type", "pong"): 1, ("belfry_messages_sent_total", "type", "error"): 3,
        ("belfry_errors_sent_total", "code", "unknown_type"): 1, ("belfry_errors_sent_total", "code", "bad_json"): 1,
        ("belfry_errors_sent_total", "code", "bad_message"): 1,
        ("belfry_sent_bytes_total",): sum(len(Raw.frame(op, payload, masked=False)) for op, payload in answers),
    })
    await raw.send_frame(TEXT, messages[2])  # another user's token
    assert (await raw.read_close())[0] == 4403
    counted(since, {("belfry_messages_received_total", "type", "auth"): 1, ("belfry_closes_total", "code", "4403"): 1})
    await raw.close()


async def test_events_are_counted_for_each_client_that_gets_them(belfry):
    server, alice = belfry(), user()
    clients = [await Client.connect(server, token(u)) for u in (alice, user(), user())]
    for client in clients:
        await client.welcome()
    since = Since(server)
    for i in range(5):
        await in_thread(server.publish, "some.event", {"n": i})
        for client in clients:
            await client.next("some.event", n=i)
    counted(since, {("belfry_messages_sent_total", "type", "event"): 15, ("belfry_events_heard_total",): 5,
                    ("belfry_publishes_total", "result", "ok"): 5, ("belfry_publish_seconds_count",): 5,
                    ("belfry_fanout_seconds_count",): 5})
    assert 5 <= since.get("belfry_delivery_seconds_count") <= 15
    await in_thread(server.publish, "some.event", {"n": 5}, {"user": alice})
    await clients[0].next("some.event", n=5)
    sampled = since.get("belfry_delivery_seconds_count")
    counted(since, {("belfry_messages_sent_total", "type", "event"): 16, ("belfry_events_heard_total",): 6})
    events = [{"type": "some.event", "data": {"n": 100 + i, "pad": "x" * 100}, "audience": "broadcast"} for i in range(200)]
    answer = await in_thread(server.rest, "POST", "/events/batch", token("service", PUBLISH), json={"events": events})
    assert answer.status_code == 202
    for client in clients:
        await client.next("some.event", n=299)
    counted(since, {("belfry_messages_sent_total", "type", "event"): 616, ("belfry_events_heard_total",): 206,
                    ("belfry_publishes_total", "result", "ok"): 206, ("belfry_publish_seconds_count",): 7,
                    ("belfry_messages_received_total", "type", "event"): 0})
    assert since.get("belfry_delivery_seconds_count") > sampled
    seconds = since.get("belfry_delivery_seconds_sum") / since.get("belfry_delivery_seconds_count")
    assert 0 <= seconds < 2 * PATIENCE
    for client in clients:
        await client.close()


async def test_events_of_clients_and_acks(belfry):
    server, me = belfry(), user()
    async with await Client.connect(server, token(me, PUBLISH)) as client:
        await client.welcome()
        since = Since(server)
        await client.send("some.event", event_id="1", data={"n": 1}, audience={"user": me})
        ack = await client.next("ack")
        event = await client.next("some.event") if not client.events() else client.events()[0]
        assert event["event_id"] == ack["data"]["event_id"]
        await client.send("ack", event_id=event["event_id"])
        await client.send("ping", event_id="2")
        await client.next("pong")
        counted(since, {("belfry_messages_received_total", "type", "event"): 1, ("belfry_messages_received_total", "type", "ack"): 1,
                        ("belfry_publishes_total", "result", "ok"): 1, ("belfry_acks_total",): 1,
                        ("belfry_messages_sent_total", "type", "event"): 1, ("belfry_messages_sent_total", "type", "ack"): 1})


async def test_rates(belfry):
    server, caller = belfry({"CLIENT_RATE": "1/s burst 2", "PUBLISH_RATE": "1/s burst 1"}), token("service", PUBLISH)
    since = Since(server)
    async with await Client.connect(server, token(user())) as client:
        await client.welcome()
        for _ in range(5):
            await client.send("pong")
        for _ in range(3):
            await client.next("error", code="rate_limited")
        counted(since, {("belfry_rate_limited_total", "limit", "client"): 3, ("belfry_messages_received_total", "type", "pong"): 2,
                        ("belfry_errors_sent_total", "code", "rate_limited"): 3})
    await in_thread(server.publish, "some.event", {}, token=caller)
    await in_thread(server.publish, "some.event", {}, token=caller, status=429)
    counted(since, {("belfry_rate_limited_total", "limit", "publish"): 1, ("belfry_publishes_total",): 1})


async def test_what_is_read_back_by_source_and_reason(belfry):
    server = belfry({"TAPE_BYTES": "64K"})
    async with await Client.connect(server, token(user())) as client:
        start = (await client.welcome())["event_id"]
    since, last = Since(server), None
    for i in range(3):
        last = (await in_thread(server.publish, "some.event", {"n": i}))["event_id"]

    async def resume(position):
        async with await Client.connect(server, token(user()), query=f"last_event_id={position}") as back:
            await back.welcome()
            return await back.next("caught_up" if position != "nonsense" else "resync_required")
    assert (await resume(start))["data"]["replayed"] == 3
    counted(since, {("belfry_replayed_events_total",): 3, ("belfry_messages_sent_total", "type", "caught_up"): 1,
                    ("belfry_messages_sent_total", "type", "event"): 3, ("belfry_catch_up_rounds_total", "source", "redis"): 0})
    assert since.get("belfry_catch_up_rounds_total", source="tape") >= 1
    for i in range(60):
        await in_thread(server.publish, "some.event", {"n": i, "pad": "x" * 2000})
    assert (await resume(last))["data"]["replayed"] == 60
    assert since.get("belfry_catch_up_rounds_total", source="redis") >= 1
    counted(since, {("belfry_replayed_events_total",): 63, ("belfry_messages_sent_total", "type", "event"): 63})
    await resume("nonsense")
    counted(since, {("belfry_resyncs_total", "reason", "unknown"): 1, ("belfry_resyncs_total",): 1,
                    ("belfry_messages_sent_total", "type", "resync_required"): 1})


async def test_a_client_that_does_not_answer(belfry):
    server = belfry({"PING_INTERVAL": "200ms", "PONG_TIMEOUT": "600ms"})
    since = Since(server)
    raw = await Raw.websocket(server, token(user()))
    assert (await raw.read_close())[0] == 4408
    counted(since, {("belfry_heartbeat_failures_total",): 1, ("belfry_closes_total", "code", "4408"): 1})
    assert 1 <= since.get("belfry_messages_sent_total", type="ping") <= 3
    await raw.close()


async def test_a_client_that_does_not_read(belfry):
    server = belfry({"PING_INTERVAL": "20s", "PONG_TIMEOUT": "60s"})
    assert metrics.now(server).get("belfry_tape_age_seconds") == 0
    raw = await Raw.websocket(server, token(user()), receive_buffer=4096)
    await raw.next("welcome")
    assert metrics.now(server).get("belfry_slow_connections") == 0
    published = 0

    def blocked():
        nonlocal published
        server.publish("some.event", {"pad": "x" * 60000})
        published += 1
        return metrics.now(server).get("belfry_slow_connections") == 1
    await in_thread(wait_for, blocked, 20, "a slow connection")
    gauge(server, "belfry_tape_bytes", lambda n: published * 60000 < n < published * 61000 or n > 8 << 20)
    first = gauge(server, "belfry_tape_age_seconds", lambda s: s > 0 and s)
    gauge(server, "belfry_tape_age_seconds", lambda s: first < s < 60 * PATIENCE)
    await hang_up(raw)
    gauge(server, "belfry_slow_connections", lambda n: n == 0)


async def test_what_others_put_into_redis(belfry, redis_server):
    server, redis = belfry(), redis_server.client()
    async with await Client.connect(server, token(user())) as client:
        await client.welcome()
        own = (await in_thread(server.publish, "some.event", {"n": 1}))["event_id"]
        await client.next("some.event", n=1)
        since = Since(server)
        redis.publish("ws:broadcast", "junk")
        redis.publish("ws:broadcast", json.dumps({"type": "some.event", "data": {"n": 2}}))
        await client.next("some.event", n=2)
        counted(since, {("belfry_foreign_dropped_total",): 1, ("belfry_events_heard_total",): 1, ("belfry_forgeries_total",): 0})
        forged = {"type": "some.event", "event_id": f"{epoch_of(own)}-{seq_of(own) + 1000}", "timestamp": "2025-11-08T22:00:00.123Z",
                  "data": {"n": 3}}
        redis.publish("ws:broadcast", " " + json.dumps(forged))
        await in_thread(server.publish, "some.event", {"n": 4})
        counted(since, {("belfry_forgeries_total",): 1}, 20)


async def test_redis_goes_and_comes(belfry, redis_server):
    server = belfry()
    now = metrics.now(server)
    assert [now.get(f"belfry_{name}", worker="0") for name in ("redis_up", "pubsub_up")] == [1, 1]
    assert now.get("belfry_canary_age_seconds", worker="0") < 12
    assert [now.get("belfry_redis_connects_total", connection=c) for c in ("commands", "subscriber", "publishes")] == [1, 1, 0]
    gauge(server, "belfry_redis_memory_bytes", lambda n: 500000 < n < 50000000)
    assert metrics.now(server).get("belfry_redis_eviction_policy", policy="noeviction") == 1
    assert metrics.now(server).get("belfry_redis_eviction_policy") == 1
    since = Since(server)
    redis_server.stop()
    for name in ("belfry_redis_up", "belfry_pubsub_up"):
        gauge(server, name, lambda up: up == 0)
    wait_for(lambda: server.rest("POST", "/events", token("s", PUBLISH), json={"type": "a.b", "data": {}, "audience": "broadcast"})
             .status_code == 503, 10)
    assert since.get("belfry_publishes_total", result="redis_away") >= 1
    assert (await (await Client.connect(server, token(user()))).closed())[0] == 1013
    counted(since, {("belfry_handshakes_total", "result", "redis_away"): 1})
    redis_server.start()
    redis_server.client().config_set("maxmemory", "1gb")
    redis_server.client().config_set("maxmemory-policy", "allkeys-lru")
    for name in ("belfry_redis_up", "belfry_pubsub_up"):
        gauge(server, name, lambda up: up == 1, 10)
    counted(since, {("belfry_redis_connects_total", "connection", "commands"): 1,
                    ("belfry_redis_connects_total", "connection", "subscriber"): 1})
    gauge(server, "belfry_redis_memory_max_bytes", lambda n: n == 1 << 30, 15)
    gauge(server, "belfry_redis_eviction_policy", lambda n: n == 1, 15, policy="allkeys-lru")
    assert metrics.now(server).get("belfry_redis_eviction_policy", policy="noeviction") == 0
    assert since.get("belfry_redis_commands_total") > 5
    assert since.get("belfry_redis_round_trip_seconds_count") > 5


async def test_publishes_that_redis_refuses(belfry, redis_server):
    server = belfry()
    since = Since(server)
    redis_server.client().config_set("maxmemory", "1")
    await in_thread(server.publish, "some.event", {}, status=503)
    counted(since, {("belfry_publishes_total", "result", "redis_out_of_memory"): 1, ("belfry_publishes_total",): 1,
                    ("belfry_publish_seconds_count",): 0, ("belfry_publishes_pending",): 0})
    redis_server.client().config_set("maxmemory", "0")
    redis_server.pause()
    try:
        call = asyncio.create_task(in_thread(server.publish, "some.event", {}, status=504))
        await in_thread(gauge, server, "belfry_publishes_pending", lambda n: n == 1)
        await call
    finally:
        redis_server.resume()
    counted(since, {("belfry_publishes_total", "result", "outcome_unknown"): 1, ("belfry_publishes_pending",): 0})


async def test_the_process_and_its_drain(belfry):
    server = belfry({"DRAIN_SECONDS": "5s", "WORKERS": "2"})
    now = metrics.now(server)
    statm = int(pathlib.Path(f"/proc/{server.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")
    assert 0.5 * statm < now.get("process_resident_memory_bytes") < 2 * statm
    assert abs(now.get("process_start_time_seconds") - time.time()) < 60
    assert now.get("belfry_allocator_used_bytes") >= 0 and now.get("process_cpu_seconds_total") > 0
    assert (now.get("belfry_ready"), now.get("belfry_draining"), now.get("belfry_log_lines_dropped_total")) == (1, 0, 0)
    assert now.get("belfry_build_info") == 1 and now.get("belfry_redis_up") == 2
    assert now.get("belfry_loop_turn_seconds_count") > 10 and now.get("belfry_loop_lag_seconds", worker="1") >= 0
    async with await Client.connect(server, token(user())) as client:
        await client.welcome()
        since = Since(server)
        stopping = asyncio.create_task(in_thread(server.stop))
        await client.next("reconnect")
        counted(since, {("belfry_draining",): 1, ("belfry_ready",): -1, ("belfry_messages_sent_total", "type", "reconnect"): 1})
    assert await stopping == 0


# --- /livez

PTRACE_SEIZE, PTRACE_INTERRUPT, PTRACE_DETACH, WALL = 0x4206, 0x4207, 17, 0x40000000
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]


class Frozen:
    """One thread of a child, stopped as by a debugger, while the others run. All on the thread that enters."""

    def __init__(self, server, name):
        tasks = pathlib.Path(f"/proc/{server.pid}/task").iterdir()
        self.thread = next(int(task.name) for task in tasks if (task / "comm").read_text().strip() == name)

    def __enter__(self):
        if libc.ptrace(PTRACE_SEIZE, self.thread, None, None) != 0:
            pytest.skip(f"no thread may be stopped here: {os.strerror(ctypes.get_errno())}")
        libc.ptrace(PTRACE_INTERRUPT, self.thread, None, None)
        assert os.waitpid(self.thread, WALL)[0] == self.thread
        return self

    def __exit__(self, *_):
        libc.ptrace(PTRACE_DETACH, self.thread, None, None)


def livez(server):
    """(status, body), or None where the worker that was asked does not answer."""
    try:
        answer = requests.get(server.http("/livez", "metrics"), timeout=0.5 * PATIENCE)
    except requests.RequestException:
        return None
    return answer.status_code, answer.json()


def test_a_process_is_dead_when_the_loop_of_a_worker_hangs(belfry):
    server = belfry({"WORKERS": "2"})
    assert livez(server) == (200, {"status": "alive"})
    with Frozen(server, "worker-1"):
        started = time.monotonic()
        dead = wait_for(lambda: (lambda a: a and a[0] == 503 and a)(livez(server)), 25, "/livez to fail")
        assert dead[1] == {"status": "dead", "failing": ["worker 1: its loop hangs"]}
        assert time.monotonic() - started > 9
    wait_for(lambda: livez(server) == (200, {"status": "alive"}), 5, "/livez to be well again")
    gauge(server, "belfry_loop_lag_seconds", lambda s: s > 9, worker="1")


def test_a_process_that_was_suspended_as_a_whole_is_not_dead(belfry):
    server = belfry({"WORKERS": "2", "REDIS_TIMEOUT": "60s"})
    server.pause()
    time.sleep(11)  # longer than a loop may stand still
    host, port = server.address("metrics").rsplit(":", 1)
    waiting = [socket.create_connection((host, int(port)), 5) for _ in range(16)]
    for one in waiting:  # what a loop finds first when it goes on, before it has looked at the time
        one.sendall(b"GET /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    server.resume()
    for one in waiting:
        one.settimeout(5 * PATIENCE)
        assert one.recv(64).startswith(b"HTTP/1.1 200 ")
        one.close()
