"""Two workers share a process: everything that crosses between threads at once. Run it under a thread sanitizer too."""

import asyncio
import json
import random
import signal
import threading

import pytest
import requests

import belfry as processes
from belfry import PATIENCE, token, wait_for
from clients import CLOSE, TEXT, Client, Raw, user

KEYS = ["first: a secret of this test that is long enough, 0123456789", "second: a secret of this test that is long enough, 0123456789"]
API_KEY = "k" * 40
BODY = {"type": "some.event", "data": {}, "audience": "broadcast"}


class Background:
    """Calls in threads until the end; whatever one of them raises fails the test."""

    def __init__(self, *functions):
        self.over = threading.Event()
        self.failures = []
        self.threads = [threading.Thread(target=self.run, args=[f]) for f in functions]
        for thread in self.threads:
            thread.start()

    def run(self, function):
        try:
            while not self.over.is_set():
                function()
        except Exception as failure:  # shown by the test
            self.failures.append(failure)

    def end(self):
        self.over.set()
        for thread in self.threads:
            thread.join(20 * PATIENCE)
        assert not self.failures, self.failures[0]


def publisher(server, headers, accepted, statuses=(202,)):
    session = requests.Session()

    def publish():
        audience = random.choice(["broadcast", {"user": "everybody"}, {"users": ["everybody", "nobody"]}])
        answer = session.post(server.http("/events"), json={**BODY, "audience": audience}, headers=headers, timeout=10 * PATIENCE)
        assert answer.status_code in statuses, answer.text
        if answer.status_code == 202:
            accepted.append(answer.json()["event_id"])

    return publish


def watcher(server):
    session = requests.Session()

    def watch():
        assert session.get(server.http("/ws/health"), timeout=10 * PATIENCE).status_code in (200, 503)
        assert session.get(server.http("/readyz", "metrics"), timeout=10 * PATIENCE).status_code in (200, 503)

    return watch


async def visits(server, make_token, n):
    """Clients that come, say something and leave in different ways."""
    async def visit(i):
        raw = await Raw.websocket(server, make_token())
        await raw.next("welcome", 10)
        await raw.send_message("ping")
        if i % 3 == 0:
            await raw.send_message("some.event", data={"i": i}, audience="broadcast")
            await raw.next("ack", 10)
        if i % 2 == 0:
            await raw.send_frame(8, b"\x03\xe8")
            await raw.at_end(10)
        await raw.close()

    for start in range(0, n, 25):
        await asyncio.gather(*(visit(i) for i in range(start, min(start + 25, n))))


@pytest.fixture
def files(tmp_path):
    (tmp_path / "secrets").write_text(KEYS[0] + "\n")
    (tmp_path / "api-keys").write_text(f"service:{API_KEY}:events:publish\n")
    return tmp_path


def signed(number, sub=None, scopes="events:publish"):
    kid, secret = KEYS[number].split(":", 1)
    return token(sub or user(), scopes, key=secret, headers={"kid": kid})


def start(belfry, files, **env):
    return belfry({"WORKERS": "2", "SECRET_KEY_FILE": files / "secrets", "API_KEYS_FILE": files / "api-keys",
                   "MAX_CONNECTIONS_PER_USER": "0", "DRAIN_SECONDS": "1s", **env})


async def test_keys_rotate_under_connects_and_publishes(belfry, files):
    server = start(belfry, files)
    accepted = []
    watchers = [await Client.connect(server, signed(0, "everybody")) for _ in range(8)]
    for client in watchers:
        await client.welcome()
    calls = Background(publisher(server, {"X-API-Key": API_KEY}, accepted), publisher(server, {"X-API-Key": API_KEY}, accepted),
                       watcher(server))
    (files / "secrets").write_text("\n".join(KEYS) + "\n")
    coming = asyncio.create_task(visits(server, lambda: signed(0), 150))
    for round in range(3):
        reloaded = len(server.logs("reloaded"))
        (files / "api-keys").write_text(f"service:{API_KEY}:events:publish\nother{round}:{'o' * 40}:events:read\n")
        await asyncio.to_thread(wait_for, lambda: len(server.logs("reloaded")) > reloaded, 10, "the reload")
    await coming
    await visits(server, lambda: signed(1), 50)
    (files / "secrets").write_text(KEYS[1] + "\n")

    async def first_type(number):
        async with await Client.connect(server, signed(number)) as client:
            try:
                return (await client.next())["type"]
            except AssertionError:
                return (await client.closed())[0]

    async with asyncio.timeout(15 * PATIENCE):
        while await first_type(0) != 4401:
            pass
    assert await first_type(1) == "welcome"
    calls.end()
    end = (await asyncio.to_thread(server.publish, "the.end", {}, token=signed(1)))["event_id"]
    for client in watchers:
        assert (await client.next("the.end", 20))["event_id"] == end
        ids = [e["event_id"] for e in client.events() if e["type"] == "some.event" and "i" not in e["data"]]
        # A client counts its own scopes' events too; what REST published comes whole and in order.
        assert [i for i in ids if i in set(accepted)] == sorted(accepted, key=lambda i: int(i.split("-")[1]))
        await client.close()


async def test_redis_goes_and_comes_under_two_workers(belfry, files, redis_server):
    server = start(belfry, files, REDIS_TIMEOUT="500ms")
    accepted = []
    clients = [await Client.connect(server, signed(0, "everybody")) for _ in range(12)]
    for client in clients:
        await client.welcome()
    calls = Background(publisher(server, {"X-API-Key": API_KEY}, accepted, (202, 503, 504)), watcher(server))
    for _ in range(2):
        seen = len(accepted)
        await asyncio.to_thread(wait_for, lambda: len(accepted) > seen + 20, 10, "traffic")
        lost = len(server.logs("redis_lost"))
        redis_server.kill()
        await asyncio.to_thread(wait_for, lambda: len(server.logs("redis_lost")) >= lost + 2, 10, "both to notice")
        redis_server.start()
        for client in clients:
            assert (await client.next("resync_required", 20))["data"]["reason"] == "epoch"  # this Redis keeps nothing
    await asyncio.to_thread(wait_for, server.ready, 10, "readiness")
    calls.end()
    for n in range(50):
        end = await asyncio.to_thread(server.publish, "the.end", {}, token=signed(0))
        try:
            frames = [await client.next("the.end", 0.5) for client in clients]
            break
        except TimeoutError:
            continue
    assert {f["event_id"] for f in frames} <= {end["event_id"]} and end["receivers"] == 2
    for client in clients:
        await client.close()


@pytest.mark.parametrize("signals", [[signal.SIGTERM], [signal.SIGTERM, signal.SIGTERM], [signal.SIGINT]])
async def test_an_end_under_everything_at_once(belfry, files, signals):
    server = start(belfry, files)
    clients = [await Client.connect(server, signed(0, "everybody")) for _ in range(20)]
    for client in clients:
        await client.welcome()
    accepted = []

    def until_refused(function):
        def call():
            try:
                function()
            except requests.RequestException:
                if server.running:
                    return
        return call

    calls = Background(*(until_refused(publisher(server, {"X-API-Key": API_KEY}, accepted, (202, 503))) for _ in range(2)),
                       until_refused(watcher(server)))
    talking = [asyncio.create_task(talk(client)) for client in clients[:5]]
    await asyncio.to_thread(wait_for, lambda: len(accepted) > 20, 10, "traffic")
    (files / "secrets").write_text("\n".join(KEYS) + "\n")
    for number in signals:
        server.signal(number)
        await asyncio.sleep(0.05)
    for client in clients:
        assert (await client.closed(10))[0] == 1012
    await asyncio.gather(*talking, return_exceptions=True)
    await asyncio.to_thread(wait_for, lambda: not server.running, 10, "its end")
    calls.end()
    assert server.process.returncode == 0, server.output()[-3000:]


async def talk(client):
    for n in range(100000):
        await client.send("some.event", data={"n": n}, audience={"user": "everybody"})
        await asyncio.sleep(0.06)


async def test_tls_certificates_change_under_handshakes(belfry, files):
    from test_server import make_ca, make_certificate, served_name
    import ssl

    ca = make_ca(files)
    for name in ("a", "b"):
        make_certificate(files, name)
    for suffix in ("pem", "key"):
        (files / f"live.{suffix}").write_bytes((files / f"a.{suffix}").read_bytes())
    server = start(belfry, files, TLS_CERT_FILE=files / "live.pem", TLS_KEY_FILE=files / "live.key")
    context = ssl.create_default_context(cafile=str(ca))
    names = []
    calls = Background(*[lambda: names.append(served_name(server, context))] * 2)
    for name in ("b", "a"):
        for suffix in ("key", "pem"):
            (files / f"live.{suffix}").write_bytes((files / f"{name}.{suffix}").read_bytes())
        seen = len(names)
        await asyncio.to_thread(wait_for, lambda: name in names[seen:], 10, "the other certificate")
    calls.end()
    assert set(names) == {"a", "b"}


async def test_clients_that_connected_before_a_new_certificate_shake_hands_after_it(belfry, files):
    """They have sent nothing yet when the context that they were accepted with is replaced."""
    from test_server import make_ca, make_certificate
    import socket
    import ssl

    ca = make_ca(files)
    for name in ("a", "b"):
        make_certificate(files, name)
    for suffix in ("pem", "key"):
        (files / f"live.{suffix}").write_bytes((files / f"a.{suffix}").read_bytes())
    server = start(belfry, files, TLS_CERT_FILE=files / "live.pem", TLS_KEY_FILE=files / "live.key")
    context = ssl.create_default_context(cafile=str(ca))
    context.check_hostname = False

    async def replace(name, times):
        for suffix in ("key", "pem"):
            (files / f"live.{suffix}").write_bytes((files / f"{name}.{suffix}").read_bytes())
        await asyncio.to_thread(wait_for, lambda: len(server.logs("reloaded")) == times, 10, "the certificate's reload")
        await asyncio.sleep(0.2)  # each worker takes it by itself

    await replace("b", 1)  # the first one the process keeps for itself
    waiting = [socket.create_connection(server.host_port, timeout=10) for _ in range(20)]
    await replace("a", 2)
    for sock in waiting:
        with await asyncio.to_thread(context.wrap_socket, sock) as tls:
            assert tls.getpeercert()
    assert server.running


async def test_frames_of_all_kinds_meet_on_two_workers(belfry, files):
    server = start(belfry, files, PING_INTERVAL="1s", PONG_TIMEOUT="600s", CLIENT_RATE="10000/s burst 10000")
    raws = [await Raw.websocket(server, signed(0, "everybody")) for _ in range(10)]
    for raw in raws:
        await raw.next("welcome", 10)  # of all, before the first event: what was published before a welcome is not its client's
    for raw in raws:
        for n in range(100):
            await raw.send_message("some.event", data={"n": n}, audience="broadcast" if n % 2 else {"user": "everybody"}, event_id=str(n))
    # Everybody hears everybody: 10 clients × 100 events, and the acks of the own ones.
    orders = []
    for raw in raws:
        ids, acks = [], 0
        while len(ids) < 1000 or acks < 100:
            opcode, payload = await raw.read_frame(20)
            assert opcode != CLOSE, payload
            message = json.loads(payload) if opcode == TEXT else {"type": "frame"}
            assert message["type"] in ("some.event", "ack", "ping", "frame"), message
            if message["type"] == "some.event":
                ids.append(message["event_id"])
            acks += message["type"] == "ack"
        orders.append(ids)
        await raw.close()
    assert all(ids == orders[0] for ids in orders) and len(set(orders[0])) == 1000
    assert [int(i.split("-")[1]) for i in orders[0]] == sorted(int(i.split("-")[1]) for i in orders[0])


def test_the_binary_is_what_it_says():
    """Under SAN=thread these tests look for races: a binary without the sanitizer would find none."""
    expected = "thread" in processes.binary().parts
    assert (b"__tsan_init" in processes.binary().read_bytes()) is expected
