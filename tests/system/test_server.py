"""The process around /ws and REST: where it listens, TLS, proxies, and how it ends while callers are at work."""

import asyncio
import contextlib
import json
import os
import pathlib
import signal
import socket
import ssl
import stat
import subprocess
import tempfile
import threading
import time

import pytest
import requests
from websockets.asyncio.client import unix_connect

from belfry import PATIENCE, token, wait_for
from clients import Client, Raw, user

PUBLISHER = token("publisher", "events:publish")
BODY = {"type": "some.event", "data": {}, "audience": "broadcast"}


def order(position):
    return [int(part) for part in position.replace(".", "-").split("-")]


def ended(server, code, *texts):
    wait_for(lambda: not server.running, 15, "its end")
    assert server.process.returncode == code, server.output()
    for text in texts:
        assert text in server.output(), server.output()


@pytest.fixture
def folder():
    """A short path: a unix socket's has at most 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="l-", dir="/tmp") as name:
        yield pathlib.Path(name)


# ---- listeners


def unix_get(path, target):
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(5 * PATIENCE)
        s.connect(str(path))
        s.sendall(f"GET {target} HTTP/1.1\r\nHost: belfry\r\nConnection: close\r\n\r\n".encode())
        answer = b""
        while chunk := s.recv(65536):
            answer += chunk
    return int(answer.split(b" ", 2)[1])


def unix_belfry(belfry, **env):
    server = belfry(env, ready=False)
    listeners = 1 + ("API_LISTEN" in env) + (env.get("METRICS_LISTEN") != "off")
    wait_for(lambda: server.logged(len(server.logs("listening")) >= listeners), 15, "the listening lines")
    return server


@pytest.mark.parametrize("workers", [1, 2])
async def test_unix_listeners_serve_all_that_tcp_does(belfry, folder, workers):
    server = unix_belfry(belfry, LISTEN=f"unix:{folder}/public", API_LISTEN=f"unix:{folder}/api",
                         METRICS_LISTEN=f"unix:{folder}/metrics", WORKERS=str(workers))
    for name in ("public", "api", "metrics"):
        found = os.stat(folder / name)
        assert stat.S_ISSOCK(found.st_mode) and stat.S_IMODE(found.st_mode) == 0o660
    await asyncio.to_thread(wait_for, lambda: unix_get(folder / "metrics", "/readyz") == 200, 15, "readiness")
    assert unix_get(folder / "metrics", "/livez") == 200
    assert unix_get(folder / "public", "/ws/health") == 200
    assert unix_get(folder / "public", "/livez") == 404
    assert unix_get(folder / "api", "/openapi.yaml") == 200
    sockets = [await unix_connect(str(folder / "public"), "ws://belfry/ws", proxy=None,
                                  additional_headers={"Authorization": f"Bearer {token(user())}"}) for _ in range(8)]
    for ws in sockets:
        assert json.loads(await ws.recv())["type"] == "welcome"
        await ws.close()
    assert server.stop() == 0
    assert list(folder.iterdir()) == []


def test_a_stale_socket_is_replaced_and_a_live_one_is_not(belfry, folder):
    first = unix_belfry(belfry, LISTEN=f"unix:{folder}/s", METRICS_LISTEN="off")
    second = belfry({"LISTEN": f"unix:{folder}/s", "METRICS_LISTEN": "off"}, ready=False)
    ended(second, 1, "listen_failed", f"unix:{folder}/s", "Address already in use")
    assert unix_get(folder / "s", "/ws/health") in (200, 503)
    first.kill()
    assert (folder / "s").exists()
    third = unix_belfry(belfry, LISTEN=f"unix:{folder}/s", METRICS_LISTEN="off")
    assert unix_get(folder / "s", "/ws/health") in (200, 503)
    assert third.stop() == 0


def test_what_is_no_socket_stays(belfry, folder):
    (folder / "s").write_text("precious")
    ended(belfry({"LISTEN": f"unix:{folder}/s"}, ready=False), 1, "listen_failed")
    assert (folder / "s").read_text() == "precious"
    ended(belfry({"LISTEN": f"unix:{folder}/none/s"}, ready=False), 1, "No such file")


@pytest.mark.parametrize("variable", ["LISTEN", "API_LISTEN", "METRICS_LISTEN"])
def test_a_port_in_use_is_told(belfry, variable):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        address = "127.0.0.1:%d" % other.getsockname()[1]
        ended(belfry({variable: address}, ready=False), 1, "listen_failed", address, "Address already in use")


@pytest.mark.parametrize("workers", [1, 2])
def test_a_second_server_does_not_join_the_port_of_the_first(belfry, workers):
    first = belfry({"WORKERS": str(workers)})
    ended(belfry({"LISTEN": first.address(), "WORKERS": str(workers)}, ready=False), 1, "listen_failed", first.address())
    assert first.ready()


def test_any_address_takes_both_families(belfry):
    server = belfry({"LISTEN": "[::]:0"})
    port = server.address().rsplit(":", 1)[1]
    assert requests.get(f"http://127.0.0.1:{port}/ws/health", timeout=5).status_code == 200
    if socket.has_ipv6 and server.address().startswith("[::]"):
        with contextlib.suppress(OSError), socket.create_connection(("::1", int(port)), 5):
            assert requests.get(f"http://[::1]:{port}/ws/health", timeout=5).status_code == 200


async def test_surfaces_are_apart(belfry):
    server = belfry({"BASE_PATH": "/push", "API_LISTEN": "127.0.0.1:0"})
    port = {name: server.address(name) for name in ("public", "api", "metrics")}
    assert len(set(port.values())) == 3
    statuses = {
        ("public", "GET", "/push/ws/health"): 200,
        ("public", "GET", "/push/openapi.yaml"): 200,
        ("public", "GET", "/ws/health"): 404,
        ("public", "POST", "/push/events"): 404,
        ("public", "GET", "/push/readyz"): 404,
        ("api", "POST", "/push/events"): 202,
        ("api", "POST", "/events"): 404,
        ("api", "GET", "/push/livez"): 404,
        ("metrics", "GET", "/livez"): 200,
        ("metrics", "GET", "/push/livez"): 404,
        ("metrics", "POST", "/push/events"): 404,
        ("metrics", "GET", "/ws/health"): 404,
    }
    for (surface, method, path), status in statuses.items():
        answer = requests.request(method, f"http://{port[surface]}{path}", timeout=5, json=BODY if method == "POST" else None,
                                  headers={"Authorization": f"Bearer {PUBLISHER}"})
        assert answer.status_code == status, (surface, method, path, answer.status_code)
    async with await Client.connect(server, token(user())) as client:
        await client.welcome()


# ---- TLS


def openssl(*arguments):
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


def make_ca(folder):
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", 2, "-subj", "/CN=test ca",
            "-keyout", folder / "ca.key", "-out", folder / "ca.pem")
    return folder / "ca.pem"


def make_certificate(folder, name):
    """A certificate for localhost of that common name, and its key, as name.pem and name.key."""
    openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}",
            "-keyout", folder / f"{name}.key", "-out", folder / f"{name}.csr")
    (folder / "ext").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    openssl("x509", "-req", "-days", 2, "-in", folder / f"{name}.csr", "-CA", folder / "ca.pem", "-CAkey", folder / "ca.key",
            "-CAcreateserial", "-extfile", folder / "ext", "-out", folder / f"{name}.pem")


def served_name(server, context):
    host, port = server.host_port
    with socket.create_connection((host, port), 5 * PATIENCE) as tcp, context.wrap_socket(tcp, server_hostname="localhost") as tls:
        return dict(pair[0] for pair in tls.getpeercert()["subject"])["commonName"]


async def wss(server, context, who):
    client = await Client.connect(Secure(server), token(who), ssl=context, server_hostname="localhost")
    await client.welcome()
    return client


class Secure:
    """A server whose /ws is asked by wss."""

    def __init__(self, server):
        self.server = server

    def ws(self, query=""):
        return self.server.ws(query).replace("ws://", "wss://")


async def test_tls_serves_wss_and_https_and_takes_a_new_certificate(belfry, folder):
    ca = make_ca(folder)
    make_certificate(folder, "old")
    make_certificate(folder, "new")
    for suffix in ("pem", "key"):
        (folder / f"live.{suffix}").write_bytes((folder / f"old.{suffix}").read_bytes())
    server = belfry({"TLS_CERT_FILE": folder / "live.pem", "TLS_KEY_FILE": folder / "live.key", "WORKERS": "2"})
    context = ssl.create_default_context(cafile=str(ca))
    https = server.http("/").replace("http://127.0.0.1", "https://localhost")
    assert served_name(server, context) == "old"
    client = await wss(server, context, user())
    answer = await asyncio.to_thread(requests.post, https + "events", json=BODY, verify=str(ca), timeout=5 * PATIENCE,
                                     headers={"Authorization": f"Bearer {PUBLISHER}"})
    assert answer.status_code == 202
    assert (await client.next("some.event"))["event_id"] == answer.json()["event_id"]

    # The certificate comes first: until the key follows, the pair does not fit and the old one stays.
    (folder / "live.pem").write_bytes((folder / "new.pem").read_bytes())
    await asyncio.to_thread(server.wait_log, "reload_failed", 10)
    assert served_name(server, context) == "old"
    (folder / "live.key").write_bytes((folder / "new.key").read_bytes())
    await asyncio.to_thread(wait_for, lambda: all(served_name(server, context) == "new" for _ in range(6)), 10, "the new one")
    late = await wss(server, context, user())
    answer = requests.post(https + "events", json=BODY, verify=str(ca), timeout=5 * PATIENCE,
                           headers={"Authorization": f"Bearer {PUBLISHER}"})
    for each in (client, late):
        assert (await each.next("some.event"))["event_id"] == answer.json()["event_id"]
        await each.close()


async def test_large_and_many_events_pass_through_tls_in_order(belfry, folder):
    ca = make_ca(folder)
    make_certificate(folder, "live")
    server = belfry({"TLS_CERT_FILE": folder / "live.pem", "TLS_KEY_FILE": folder / "live.key"})
    client = await wss(server, ssl.create_default_context(cafile=str(ca)), user())
    me = client.frames[0]["data"]["user_id"]
    events = [{"type": "some.event", "data": {"n": n, "pad": "x" * (n % 7 * 8000)}, "audience": "broadcast" if n % 3 else {"user": me}}
              for n in range(35)]
    https = server.http("/").replace("http://127.0.0.1", "https://localhost")
    published = []
    for _ in range(10):
        answer = await asyncio.to_thread(requests.post, https + "events/batch", json={"events": events}, verify=str(ca),
                                         timeout=10 * PATIENCE, headers={"Authorization": f"Bearer {PUBLISHER}"})
        assert answer.status_code == 202, answer.text
        published += [result["event_id"] for result in answer.json()["results"]]
    while len(client.events()) < len(published):
        await client.next("some.event")
    assert [e["event_id"] for e in client.events()] == published
    await client.close()


async def wss_raw(server, context):
    """A client on TLS that reads only when it is told to, in small pieces."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, server.host_port)
    raw = Raw(*await asyncio.open_connection(sock=sock, ssl=context, server_hostname="localhost", limit=8192))
    status, _, _ = await raw.handshake(server, Authorization=f"Bearer {token(user())}")
    assert status == 101
    await raw.next("welcome")
    return raw


async def test_slow_and_vanishing_readers_behind_tls(belfry, folder):
    ca = make_ca(folder)
    make_certificate(folder, "live")
    server = belfry({"TLS_CERT_FILE": folder / "live.pem", "TLS_KEY_FILE": folder / "live.key", "TAPE_BYTES": "512K",
                     "PING_INTERVAL": "90s", "PONG_TIMEOUT": "100s"})
    context = ssl.create_default_context(cafile=str(ca))
    https = server.http("/").replace("http://127.0.0.1", "https://localhost")
    slow = [await wss_raw(server, context) for _ in range(6)]
    with requests.Session() as session:
        session.headers["Authorization"] = f"Bearer {PUBLISHER}"
        session.verify, session.trust_env = str(ca), False  # an environment with a CA of its own would win
        for call in range(40):
            events = [{"type": "big", "data": {"n": call * 14 + i, "pad": "x" * 59900}, "audience": "broadcast"} for i in range(14)]
            answer = await asyncio.to_thread(session.post, https + "events/batch", json={"events": events}, timeout=10 * PATIENCE)
            assert answer.status_code == 202, answer.text
            if call == 20:  # in the middle of what is being written to them
                for raw in slow[3:]:
                    raw.writer.transport.abort()
        for raw in slow[:3]:
            numbers = []
            while len(numbers) < 560:
                message = json.loads((await raw.read_frame(10))[1])
                assert message["type"] == "big", message["type"]
                numbers.append(message["data"]["n"])
            assert numbers == list(range(560))

        async def publish():
            answer = await asyncio.to_thread(session.post, https + "events", json=BODY, timeout=10 * PATIENCE)
            return answer.json()["event_id"]

        for raw in slow[:3]:
            last = await publish()
            while (message := json.loads((await raw.read_frame(10))[1]))["event_id"] != last:
                assert message["type"] == "some.event"
            await raw.close()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_plain_http_on_the_tls_port_is_no_answer_and_no_harm(belfry, folder):
    ca = make_ca(folder)
    make_certificate(folder, "live")
    server = belfry({"TLS_CERT_FILE": folder / "live.pem", "TLS_KEY_FILE": folder / "live.key"})
    for junk in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\x00\x05junk!", b"\0" * 3000, b"\x16"):
        with socket.create_connection(server.host_port, 5) as s:
            s.sendall(junk)
            s.shutdown(socket.SHUT_WR)
            s.settimeout(15 * PATIENCE)
            with contextlib.suppress(ConnectionResetError):
                while data := s.recv(4096):
                    assert not data.startswith(b"HTTP")
    assert served_name(server, ssl.create_default_context(cafile=str(ca))) == "live"
    with pytest.raises(ssl.SSLError):
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
        old.set_ciphers("DEFAULT@SECLEVEL=0")
        old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
        served_name(server, old)
    # METRICS_LISTEN stays plain.
    assert server.ready()


# ---- proxies


async def first_message(server, before=b"", **headers):
    """The first message's type, or the close code; the connection is left open in the first case."""
    raw = await Raw.open(server)
    if before:
        await raw.send(before)
    status, _, body = await raw.handshake(server, Authorization=f"Bearer {token(user())}", **headers)
    assert status == 101, (status, body)
    opcode, payload = await raw.read_frame()
    if opcode == 8:
        await raw.close()
        return int.from_bytes(payload[:2], "big"), None
    return json.loads(payload)["type"], raw


async def test_proxy_protocol_tells_the_clients_address(belfry):
    server = belfry({"PROXY_PROTOCOL": "v1", "MAX_CONNECTIONS_PER_ADDRESS": "1", "WORKERS": "1"})

    def line(address, family="TCP4", to="127.0.0.1"):
        return f"PROXY {family} {address} {to} 5000 80\r\n".encode()

    kept = []
    for before in (line("203.0.113.5"), line("203.0.113.6"), line("2001:db8::1", "TCP6", "::1")):
        said, raw = await first_message(server, before)
        assert said == "welcome"
        kept.append(raw)
        assert (await first_message(server, before))[0] == 4429
    # It is one address in both notations.
    assert (await first_message(server, line("::ffff:203.0.113.5", "TCP6", "::1")))[0] == 4429
    await kept[0].close()
    for _ in range(100):
        said, raw = await first_message(server, line("203.0.113.5"))
        if said == "welcome":
            break
        await asyncio.sleep(0.05)
    assert said == "welcome"
    for each in [*kept, raw]:
        await each.close()


async def test_only_trusted_proxies_tell_the_clients_address(belfry):
    server = belfry({"MAX_CONNECTIONS_PER_ADDRESS": "1", "TRUSTED_PROXIES": "127.0.0.0/8, 10.0.0.0/8"})
    said, first = await first_message(server, X_Forwarded_For="198.51.100.1, 203.0.113.7, 10.1.2.3")
    assert said == "welcome"
    # The last hop that is not trusted counts; what the client wrote before it does not.
    assert (await first_message(server, X_Forwarded_For="192.0.2.99, 203.0.113.7"))[0] == 4429
    assert (await first_message(server, X_Real_IP="203.0.113.7"))[0] == 4429
    said, second = await first_message(server, X_Forwarded_For="203.0.113.8")
    assert said == "welcome"
    await first.close()
    await second.close()


async def test_a_stranger_cannot_choose_its_address(belfry):
    server = belfry({"MAX_CONNECTIONS_PER_ADDRESS": "1", "TRUSTED_PROXIES": "10.0.0.0/8"})
    said, first = await first_message(server, X_Forwarded_For="203.0.113.7")
    assert said == "welcome"
    assert (await first_message(server, X_Forwarded_For="203.0.113.8"))[0] == 4429
    assert (await first_message(server, X_Real_IP="203.0.113.9"))[0] == 4429
    await first.close()


# ---- the end under traffic


class Callers:
    """Threads that publish without a pause, and what became of each call."""

    def __init__(self, server, n):
        self.server, self.over = server, threading.Event()
        self.accepted, self.refused, self.broken = [], 0, []
        self.threads = [threading.Thread(target=self.run) for _ in range(n)]
        for thread in self.threads:
            thread.start()

    def run(self):
        with requests.Session() as session:
            while not self.over.is_set():
                try:
                    answer = session.post(self.server.http("/events"), json=BODY, timeout=20 * PATIENCE,
                                          headers={"Authorization": f"Bearer {PUBLISHER}"})
                except requests.ConnectionError as error:
                    if "refused" in str(error):
                        self.refused += 1
                        return
                    self.broken.append(str(error))
                    continue
                assert answer.status_code in (202, 503), answer.text
                if answer.status_code == 202:
                    self.accepted.append(answer.json()["event_id"])

    def join(self):
        for thread in self.threads:
            thread.join(30 * PATIENCE)
            assert not thread.is_alive()


@pytest.mark.parametrize("workers, drain", [(1, "1s"), (2, "2s")])
async def test_sigterm_under_traffic_answers_everybody(belfry, redis_server, workers, drain):
    server = belfry({"WORKERS": str(workers), "DRAIN_SECONDS": drain})
    clients = [await Client.connect(server, token(user())) for _ in range(20)]
    for client in clients:
        await client.welcome()
    callers = Callers(server, 4)
    await asyncio.to_thread(wait_for, lambda: len(callers.accepted) > 50, 10, "some traffic")
    server.signal(signal.SIGTERM)
    for client in clients:
        assert (await client.closed(10))[0] == 1012
    await asyncio.to_thread(callers.join)
    await asyncio.to_thread(wait_for, lambda: not server.running, 10, "its end")
    assert server.process.returncode == 0
    assert callers.broken == [] and callers.refused == 4
    logged = {entry[0] for entry in redis_server.client().xrange("ws:log:broadcast")}
    assert set(callers.accepted) <= logged
    assert redis_server.client().keys("ws:node:*") == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_hurried_end_under_traffic_is_clean(belfry, number):
    server = belfry({"WORKERS": "2", "DRAIN_SECONDS": "10m"})
    clients = [await Client.connect(server, token(user())) for _ in range(10)]
    for client in clients:
        await client.welcome()
    callers = Callers(server, 3)
    await asyncio.to_thread(wait_for, lambda: len(callers.accepted) > 20, 10, "some traffic")
    if number == signal.SIGTERM:
        server.signal(signal.SIGTERM)
        await clients[0].next("reconnect")
    began = time.monotonic()
    server.signal(number)
    for client in clients:
        assert (await client.closed(10))[0] == 1012
    await asyncio.to_thread(wait_for, lambda: not server.running, 10, "its end")
    assert server.process.returncode == 0 and time.monotonic() - began < 6 * PATIENCE
    callers.over.set()
    await asyncio.to_thread(callers.join)


async def test_a_stop_while_redis_hangs_is_bounded(belfry, redis_server):
    server = belfry({"DRAIN_SECONDS": "1s"})
    async with await Client.connect(server, token(user())) as client:
        await client.welcome()
        redis_server.pause()
        box = []
        caller = threading.Thread(target=lambda: box.append(server.rest("POST", "/events", PUBLISHER, json=BODY).status_code))
        caller.start()
        began = time.monotonic()
        server.signal(signal.SIGTERM)
        assert (await client.closed(10))[0] == 1012
        await asyncio.to_thread(wait_for, lambda: not server.running, 12, "its end")
        assert server.process.returncode == 0 and time.monotonic() - began < 9 * PATIENCE
        await asyncio.to_thread(caller.join, 10)
        assert box and box[0] in (503, 504)
        redis_server.resume()


async def test_a_request_that_never_ends_is_closed(belfry):
    server = belfry()
    async with await Raw.open(server) as silent, await Raw.open(server) as half:
        await half.send(b"GET /ws/health HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        began = time.monotonic()
        assert await silent.at_end(15) and await half.at_end(15)
        assert time.monotonic() - began > 5


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_who_waits_to_be_accepted_at_the_end_is_answered(belfry, workers, number):
    """Closing a listener resets those in its queue: it has to be emptied first."""
    server = belfry({"WORKERS": str(workers)})
    host, port = server.host_port
    server.pause()
    waiting = []
    for _ in range(200):
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(b"GET /openapi.yaml HTTP/1.1\r\nHost: x\r\n\r\n")
        waiting.append((reader, writer))
    server.signal(number)
    server.resume()
    async with asyncio.timeout(15 * PATIENCE):
        for reader, writer in waiting:
            assert (await reader.readline()).startswith(b"HTTP/1.1 200")
            writer.close()
    await asyncio.to_thread(wait_for, lambda: not server.running, 10, "its end")
    assert server.process.returncode == 0
