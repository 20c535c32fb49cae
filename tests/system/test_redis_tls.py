"""belfry and a Redis behind TLS: whom it trusts, for which name, with which certificate of its own, and what it says."""

import asyncio
import json
import re
import subprocess

import pytest

from belfry import PATIENCE, ROOT, SECRET, binary, environment, token, wait_for
from clients import Client, user
from redis_cluster import Authority, TlsRedis

PUBLISHER = token("publisher", "events:publish")


@pytest.fixture(scope="module")
def authority():
    made = Authority()
    yield made
    made.remove()


@pytest.fixture(scope="module")
def stranger():
    """Another authority, whom nobody trusts."""
    made = Authority()
    yield made
    made.remove()


@pytest.fixture
def tls_redis(authority):
    """tls_redis(certificate=(…), option, …) starts one; by default with a certificate for localhost and 127.0.0.1."""
    started = []

    def start(*options, certificate=None, **more):
        started.append(TlsRedis(authority, certificate or authority.issue("server"), *options, **more))
        return started[-1]

    yield start
    for server in started:
        server.remove()


def unready(belfry, env):
    server = belfry({"REDIS_TIMEOUT": "1s", **env}, ready=False)
    wait_for(lambda: server.logged(len(server.logs("listening")) >= 2), 15, "the listening lines")
    server.addresses = {line["surface"]: line["address"] for line in server.logs("listening")}
    return server


def check(**env):
    return subprocess.run([binary(), "check"], capture_output=True, text=True, timeout=30 * PATIENCE,
                          env=environment({"SECRET_KEY": SECRET, "REDIS_TIMEOUT": "1s", **env}))


async def delivers(server):
    alice = user()
    async with await Client.connect(server, token(alice)) as client:
        await client.welcome()
        for audience in ("broadcast", {"user": alice}):
            event_id = (await asyncio.to_thread(server.publish, "some.event", {}, audience))["event_id"]
            assert (await client.next("some.event"))["event_id"] == event_id


# ---- what works


@pytest.mark.parametrize("protocol", ["TLSv1.2", "TLSv1.3"])
@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
async def test_events_are_delivered_over_tls(belfry, tls_redis, authority, protocol, host):
    redis = tls_redis(protocols=protocol)
    server = belfry({"REDIS_URL": redis.tls_url(host), "REDIS_CA_FILE": authority.ca, "WORKERS": "2"})
    await delivers(server)
    checked = check(REDIS_URL=redis.tls_url(host), REDIS_CA_FILE=authority.ca)
    assert checked.returncode == 0 and "cannot be used" not in checked.stderr


async def test_batches_of_a_megabyte_pass_in_order(belfry, tls_redis, authority):
    redis = tls_redis()
    server = belfry({"REDIS_URL": redis.tls_url(), "REDIS_CA_FILE": authority.ca})
    async with await Client.connect(server, token(user())) as client:
        await client.welcome()
        published = []
        for call in range(8):
            events = [{"type": "big", "data": {"n": call * 16 + i, "pad": chr(97 + i) * 64000}, "audience": "broadcast"} for i in range(16)]
            answer = await asyncio.to_thread(server.rest, "POST", "/events/batch", PUBLISHER, json={"events": events})
            assert answer.status_code == 202, answer.text
            published += [result["event_id"] for result in answer.json()["results"]]
        for n, event_id in enumerate(published):
            frame = await client.next("big", 15)
            assert (frame["event_id"], frame["data"]["n"], len(frame["data"]["pad"])) == (event_id, n, 64000)
            assert set(frame["data"]["pad"]) == {chr(97 + n % 16)}


async def test_login_and_access_rules_over_tls(belfry, tls_redis, authority):
    redis = tls_redis()
    rule = re.search(r"^ACL SETUSER belfry .*$", (ROOT / "docs" / "protocol.md").read_text(), re.M)[0]
    admin = redis.client()
    admin.execute_command(*[">p@ss w/ord" if word == "nopass" else word for word in rule.split()])
    admin.execute_command("ACL", "LOG", "RESET")
    server = belfry({"REDIS_URL": redis.tls_url(credentials="belfry:p%40ss%20w%2Ford@"), "REDIS_CA_FILE": authority.ca})
    await delivers(server)
    assert admin.execute_command("ACL", "LOG") == []
    assert "p@ss" not in server.output() and "p%40ss" not in server.output()


async def test_a_restarted_redis_is_found_again(belfry, tls_redis, authority):
    redis = tls_redis("--appendonly", "yes")
    server = belfry({"REDIS_URL": redis.tls_url(), "REDIS_CA_FILE": authority.ca})
    await delivers(server)
    await asyncio.to_thread(redis.restart)
    await asyncio.to_thread(wait_for, lambda: server.rest("GET", "/ws/health").status_code == 200, 15, "both connections")
    await delivers(server)


async def test_a_redis_that_stops_in_the_middle_of_the_handshake_is_left(belfry, tls_redis, authority):
    redis = tls_redis()
    redis.pause()
    server = unready(belfry, {"REDIS_URL": redis.tls_url("127.0.0.1"), "REDIS_CA_FILE": authority.ca, "REDIS_TIMEOUT": "300ms"})
    assert "no TLS handshake within REDIS_TIMEOUT" in server.wait_log("redis_lost")["reason"]
    redis.resume()
    await asyncio.to_thread(wait_for, server.ready, 15, "readiness")


# ---- whom it trusts


def refused(belfry, expected, **env):
    """Not ready, for that reason, which check gives as well. And told once, however often it is tried."""
    server = unready(belfry, env)
    assert expected in server.wait_log("redis_lost")["reason"]
    wait_for(lambda: redis_attempts(server) >= 3, 10, "three attempts")
    reasons = {line["reason"] for line in server.logs("redis_lost") + server.logs("redis_not_reached")}
    assert len(server.logs("redis_lost")) == 1 and len(server.logs("redis_not_reached")) <= 2 * (len(reasons) - 1)
    assert not server.ready()
    checked = check(**env)
    assert checked.returncode == 0
    assert "warning: REDIS_URL: Redis cannot be used: " in checked.stderr and expected in checked.stderr
    assert server.stop() == 0


def redis_attempts(server):
    """How often its Redis has been tried: a TLS server of these tests counts connections."""
    return int(server.redis.client().info("stats")["total_connections_received"])


@pytest.fixture
def refuses(belfry):
    def run(redis, expected, **env):
        def start(*arguments, **options):
            server = belfry(*arguments, **options)
            server.redis = redis
            return server
        refused(start, expected, **{"REDIS_URL": redis.tls_url(), **env})
    return run


@pytest.mark.parametrize("protocol", ["TLSv1.2", "TLSv1.3"])
@pytest.mark.parametrize("host, names", [("localhost", ["redis.example.org"]), ("127.0.0.1", ["127.0.0.2"]),
                                         ("127.0.0.1", ["localhost"]), ("localhost", ["127.0.0.1", "*.localhost"])])
def test_a_certificate_for_another_host_is_refused(refuses, tls_redis, authority, protocol, host, names):
    redis = tls_redis(certificate=authority.issue("elsewhere", names), protocols=protocol)
    kind = "IP address mismatch" if host[0] == "1" else "hostname mismatch"
    refuses(redis, f"TLS: {kind}: the certificate is not for {host}", REDIS_URL=redis.tls_url(host), REDIS_CA_FILE=authority.ca)


@pytest.mark.parametrize("ca", ["another", "the system's"])
def test_an_unknown_authority_is_refused(refuses, tls_redis, stranger, ca):
    env = {"REDIS_CA_FILE": stranger.ca} if ca == "another" else {}
    refuses(tls_redis(), "REDIS_CA_FILE names whom to trust", **env)


def test_an_expired_certificate_is_refused(refuses, tls_redis, authority):
    redis = tls_redis(certificate=authority.issue("expired", days=-1))
    refuses(redis, "TLS: certificate has expired", REDIS_CA_FILE=authority.ca)


def test_a_redis_without_tls_is_told_from_one_with(belfry, redis_server, tls_redis):
    server = unready(belfry, {"REDIS_URL": redis_server.tcp_url.replace("redis://", "rediss://").replace("127.0.0.1", "localhost")})
    assert "does this port speak TLS?" in server.wait_log("redis_lost")["reason"]
    plain = unready(belfry, {"REDIS_URL": tls_redis().tls_url().replace("rediss://", "redis://")})
    assert "Redis" in plain.wait_log("redis_lost")["reason"]


async def test_the_reason_is_told_again_when_it_becomes_another(belfry, tls_redis, authority):
    redis = tls_redis(certificate=authority.issue("old", days=-1))
    server = unready(belfry, {"REDIS_URL": redis.tls_url(), "REDIS_CA_FILE": authority.ca})
    assert "expired" in server.wait_log("redis_lost")["reason"]
    admin = redis.client()
    cert, key = authority.issue("other", ["redis.example.org"])
    admin.config_set("tls-cert-file", str(cert), "tls-key-file", str(key))
    wait_for(lambda: any("hostname mismatch" in line["reason"] for line in server.logs("redis_not_reached")), 10, "the other reason")
    cert, key = authority.issue("good")
    admin.config_set("tls-cert-file", str(cert), "tls-key-file", str(key))
    await asyncio.to_thread(wait_for, server.ready, 15, "readiness")
    await delivers(server)


# ---- who it is


@pytest.mark.parametrize("protocol", ["TLSv1.2", "TLSv1.3"])
async def test_a_redis_that_asks_for_a_certificate_gets_it(belfry, refuses, tls_redis, authority, stranger, protocol):
    redis = tls_redis(auth_clients="yes", protocols=protocol)
    cert, key = authority.issue("belfry", [])
    server = belfry({"REDIS_URL": redis.tls_url(), "REDIS_CA_FILE": authority.ca, "REDIS_CERT_FILE": cert, "REDIS_KEY_FILE": key})
    await delivers(server)
    assert server.stop() == 0
    for env in ({}, dict(zip(("REDIS_CERT_FILE", "REDIS_KEY_FILE"), stranger.issue("belfry", [])))):
        server = unready(belfry, {"REDIS_URL": redis.tls_url(), "REDIS_CA_FILE": authority.ca, **env})
        assert "Redis asks for a certificate that it trusts, REDIS_CERT_FILE" in server.wait_log("redis_lost")["reason"]
        assert not server.ready()


def test_files_that_cannot_be_used_are_named_at_once(authority, stranger, tmp_path):
    cert, key = authority.issue("belfry", [])
    _, other = stranger.issue("belfry", [])
    junk = tmp_path / "junk"
    junk.write_text("no PEM\n")
    url = {"REDIS_URL": "rediss://localhost:6380/0"}
    for env, expected in [
        ({"REDIS_CERT_FILE": cert}, "REDIS_KEY_FILE: is required, since REDIS_CERT_FILE is set"),
        ({"REDIS_KEY_FILE": key}, "REDIS_CERT_FILE: is required, since REDIS_KEY_FILE is set"),
        ({"REDIS_CA_FILE": "/nonexistent"}, "REDIS_CA_FILE: /nonexistent: No such file or directory"),
        ({"REDIS_CA_FILE": junk}, f"REDIS_CA_FILE: {junk}: it holds no certificate in PEM"),
        ({"REDIS_CERT_FILE": junk, "REDIS_KEY_FILE": key}, f"REDIS_CERT_FILE: {junk}: it holds no certificate in PEM"),
        ({"REDIS_CERT_FILE": cert, "REDIS_KEY_FILE": "/nonexistent"}, "REDIS_KEY_FILE: /nonexistent: No such file"),
        ({"REDIS_CERT_FILE": cert, "REDIS_KEY_FILE": other},
         f"REDIS_KEY_FILE: {other}: it is not the key of the certificate in REDIS_CERT_FILE"),
    ]:
        for command in ("check", "serve"):
            run = subprocess.run([binary(), command], capture_output=True, text=True, timeout=30 * PATIENCE,
                                 env=environment({"SECRET_KEY": SECRET, "LISTEN": "127.0.0.1:0", "METRICS_LISTEN": "off", **url, **env}))
            assert run.returncode == 2, (env, run.stderr)
            assert f"belfry: error: {expected}" in run.stderr
    plain = check(REDIS_URL="redis://127.0.0.1:1", REDIS_CA_FILE="/nonexistent")
    assert plain.returncode == 0 and "warning: REDIS_CA_FILE: has no effect" in plain.stderr


# ---- with belfry's own TLS on the same threads


async def test_failed_handshakes_of_clients_do_no_harm(belfry, tls_redis, authority):
    """OpenSSL keeps errors in one queue a thread: those of the listeners must not end the connections to Redis."""
    redis = tls_redis()
    cert, key = authority.issue("belfry")
    server = belfry({"REDIS_URL": redis.tls_url(), "REDIS_CA_FILE": authority.ca, "TLS_CERT_FILE": cert, "TLS_KEY_FILE": key})
    for n in range(30):
        _, writer = await asyncio.open_connection(*server.host_port)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" if n % 2 else b"\x16\x03\x01\x00\x05junk!")
        writer.close()
        redis.client().publish("ws:broadcast", json.dumps({"type": "x", "event_id": "e", "timestamp": "t", "data": {}}))
        await asyncio.sleep(0.01)
    assert not server.logs("redis_lost") and not server.logs("redis_subscription_lost")
    assert server.ready()
