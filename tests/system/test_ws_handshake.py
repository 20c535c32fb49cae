"""The way in, of the protocol's section on /ws: how a token travels, and every refusal."""

import base64
import hmac
import json
import time

import jwt
import pytest
import websockets

from belfry import SECRET
from clients import Client, Raw, user


async def refused(server, token=None, **options):
    """(code, reason) of a connection that is closed before any message."""
    async with await Client.connect(server, token, **options) as client:
        code, reason = await client.closed()
        assert client.frames == []
        return code, reason


async def status_of(server, token=None, **options):
    """The HTTP answer to an upgrade that is refused."""
    with pytest.raises(websockets.InvalidStatus) as refusal:
        await Client.connect(server, token, **options)
    return refusal.value.response


# ---- the token's ways


@pytest.mark.parametrize("way", ["subprotocol", "header", "query"])
async def test_a_token_travels(shared, token, way):
    me = user()
    async with await Client.connect(shared, token(me), way=way) as client:
        assert (await client.welcome())["data"]["user_id"] == me
        assert client.ws.subprotocol == ("belfry.v1" if way == "subprotocol" else None)


async def test_the_order_of_offers_does_not_matter(shared, token):
    me = user()
    async with await Client.connect(shared, None, subprotocols=[f"bearer.{token(me)}", "belfry.v1"]) as client:
        assert (await client.welcome())["data"]["user_id"] == me
        assert client.ws.subprotocol == "belfry.v1"


async def test_the_subprotocol_is_selected_beside_a_token_elsewhere(shared, token):
    async with await Client.connect(shared, token(user()), way="query", subprotocols=["belfry.v1"]) as client:
        await client.welcome()
        assert client.ws.subprotocol == "belfry.v1"


async def test_the_first_way_counts(shared, token):
    first, second, third = user(), user(), user()
    async with await Client.connect(shared, token(first), query=f"token={token(third)}",
                                    additional_headers={"Authorization": f"Bearer {token(second)}"}) as client:
        assert (await client.welcome())["data"]["user_id"] == first
    async with await Client.connect(shared, token(second), way="header", query=f"token={token(third)}") as client:
        assert (await client.welcome())["data"]["user_id"] == second


async def test_a_bad_token_in_the_first_way_is_not_healed_by_a_good_one(shared, token):
    code, _ = await refused(shared, "x.y.z", query=f"token={token(user())}")
    assert code == 4401


async def test_the_query_can_be_closed_to_tokens(belfry, token):
    server = belfry(env={"QUERY_TOKEN": "off"})
    assert (await refused(server, token(user()), way="query"))[0] == 4401
    async with await Client.connect(server, token(user())) as client:
        await client.welcome()


async def test_a_cookie_brings_a_token_where_the_origin_is_right(belfry, token):
    server, me = belfry(env={"TOKEN_COOKIE": "session"}), user()
    good = {"way": "cookie", "cookie": "session"}
    async with await Client.connect(server, token(me), origin=f"http://{server.address()}", **good) as client:
        assert (await client.welcome())["data"]["user_id"] == me
    assert (await status_of(server, token(me), origin="https://evil.example", **good)).status_code == 403
    assert (await status_of(server, token(me), **good)).status_code == 403, "without Origin a cookie proves nothing"


async def test_a_cookie_is_no_token_unless_configured(shared, token):
    assert (await refused(shared, token(user()), way="cookie"))[0] == 4401


@pytest.mark.parametrize("algorithm", ["HS384", "HS512"])
async def test_other_algorithms_can_be_pinned(belfry, token, algorithm):
    server = belfry(env={"ALGORITHM": algorithm})
    async with await Client.connect(server, token(user(), algorithm=algorithm)) as client:
        await client.welcome()
    assert (await refused(server, token(user())))[0] == 4401


def hmac_signed_with(public):
    """What a stranger can make who knows the public key only; PyJWT would refuse to."""
    part = lambda value: base64.urlsafe_b64encode(value).rstrip(b"=").decode()
    signed = part(b'{"alg":"HS256"}') + "." + part(json.dumps({"sub": "a", "exp": 99999999999}).encode())
    return signed + "." + part(hmac.digest(public, signed.encode(), "sha256"))


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
async def test_public_keys_verify_tokens(belfry, token, algorithm):
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
    key = {"RS256": lambda: rsa.generate_private_key(65537, 2048), "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
           "EdDSA": ed25519.Ed25519PrivateKey.generate}[algorithm]()
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    server = belfry(env={"ALGORITHM": algorithm, "SECRET_KEY": public.decode()})
    async with await Client.connect(server, token(user(), key=private, algorithm=algorithm)) as client:
        await client.welcome()
    assert (await refused(server, hmac_signed_with(public)))[0] == 4401


async def test_keys_rotate_without_a_restart(belfry, token, tmp_path):
    keys = tmp_path / "keys"
    old, new = "old-" + SECRET, "new-" + SECRET
    keys.write_text(f"one:{old}\n")
    server = belfry(env={"SECRET_KEY_FILE": str(keys)})
    async with await Client.connect(server, token(user(), key=old, headers={"kid": "one"})) as client:
        await client.welcome()
    keys.write_text(f"one:{old}\ntwo:{new}\n")
    deadline = time.monotonic() + 10
    fresh = token(user(), key=new, headers={"kid": "two"})
    while time.monotonic() < deadline:
        async with await Client.connect(server, fresh) as client:
            if await first_type(client) == "welcome":
                return
    raise AssertionError("the new key never counted")


async def first_type(client):
    """"welcome", or None where the connection was closed instead."""
    try:
        return (await client.next())["type"]
    except AssertionError:
        return None


# ---- tokens that are refused


def tampered(good):
    head, _, signature = good.split(".")
    payload = base64.urlsafe_b64encode(json.dumps({"sub": "root", "exp": 99999999999}).encode()).rstrip(b"=").decode()
    return f"{head}.{payload}.{signature}"


REFUSED = {
    "no JWT": lambda token: "abc",
    "an empty one": lambda token: "",
    "two parts": lambda token: token().rsplit(".", 1)[0],
    "no signature": lambda token: token().rsplit(".", 1)[0] + ".",
    "another key": lambda token: token(key="another secret, as long as it has to be 0123456789"),
    "tampered": lambda token: tampered(token()),
    "another algorithm": lambda token: token(algorithm="HS384"),
    "the algorithm none": lambda token: jwt.encode({"sub": "a", "exp": 99999999999}, None, algorithm="none") + "x",
    "expired": lambda token: token(ttl=-60),
    "no exp": lambda token: token(exp=None),
    "exp as text": lambda token: token(exp="99999999999"),
    "not yet valid": lambda token: token(nbf=int(time.time()) + 600),
    "no sub": lambda token: token(sub=None),
    "a number as sub": lambda token: token(sub=7),
    "an empty sub": lambda token: token(sub=""),
    "a long sub": lambda token: token(sub="x" * 257),
    "a control character in sub": lambda token: token(sub="a\nb"),
    "a critical extension": lambda token: token(headers={"crit": ["x"], "x": 1}),
}


@pytest.mark.parametrize("kind", REFUSED)
async def test_a_refused_token_closes_4401_and_says_why(shared, token, kind):
    bad = REFUSED[kind](lambda sub="alice", **claims: token(sub, **claims))
    code, reason = await refused(shared, bad or None, way="subprotocol" if bad else "query", query="" if bad else "token=")
    assert code == 4401
    assert 0 < len(reason.encode()) <= 123
    assert bad == "" or bad not in reason


async def test_no_token_closes_4401(shared):
    code, reason = await refused(shared)
    assert code == 4401 and reason


async def test_the_refusals_of_different_faults_differ(shared, token):
    reasons = {(await refused(shared, bad))[1] for bad in (token(ttl=-60), token(sub=None), token(key="k" * 48), token(algorithm="HS512"))}
    assert len(reasons) == 4


@pytest.mark.parametrize("sub", ["x" * 256, "jürgen@example.org", "a b/c:d*{}", "用户"])
async def test_any_text_may_be_a_user_id(shared, token, sub):
    async with await Client.connect(shared, token(sub)) as client:
        assert (await client.welcome())["data"]["user_id"] == sub


async def test_issuer_and_audience_are_checked_when_set(belfry, token):
    server = belfry(env={"JWT_ISSUER": "https://issuer.example", "JWT_AUDIENCE": "push"})
    good = {"iss": "https://issuer.example", "aud": ["web", "push"]}
    async with await Client.connect(server, token(user(), **good)) as client:
        await client.welcome()
    for bad in ({**good, "iss": "https://other.example"}, {**good, "aud": "web"}, {"aud": "push"}, {"iss": good["iss"]}):
        assert (await refused(server, token(user(), **bad)))[0] == 4401


async def test_the_leeway_covers_a_clock_that_is_a_little_off(belfry, token):
    server = belfry(env={"JWT_LEEWAY": "60s"})
    async with await Client.connect(server, token(user(), ttl=-20, nbf=int(time.time()) + 20)) as client:
        await client.welcome()
    assert (await refused(server, token(user(), ttl=-120)))[0] == 4401


# ---- Origin


async def test_an_origin_of_the_same_host_is_let_in(shared, token):
    for scheme in ("http", "https"):
        async with await Client.connect(shared, token(user()), origin=f"{scheme}://{shared.address()}") as client:
            await client.welcome()


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1", "http://127.0.0.1:1", "garbage"])
async def test_another_origin_is_refused_and_told_what_to_set(shared, token, origin):
    answer = await status_of(shared, token(user()), origin=origin)
    problem = json.loads(answer.body)
    assert answer.status_code == problem["status"] == 403
    assert answer.headers["Content-Type"] == "application/problem+json"
    for text in (origin, shared.address(), "ALLOWED_ORIGINS"):
        assert text in problem["detail"]


async def test_a_refused_origin_is_logged_with_both_values(belfry, token):
    server = belfry()
    await status_of(server, token(user()), origin="https://evil.example")
    line = next(entry for entry in server.logs() if "https://evil.example" in entry.values())
    assert server.address() in line.values()
    assert "ALLOWED_ORIGINS" in json.dumps(line)


async def test_allowed_origins_are_patterns(belfry, token):
    server = belfry(env={"ALLOWED_ORIGINS": "https://app.example.org,https://*.example.net:8443,null"})
    for origin in ("https://app.example.org", "https://a.example.net:8443", "null"):
        async with await Client.connect(server, token(user()), origin=origin) as client:
            await client.welcome()
    for origin in ("http://app.example.org", "https://example.org", "https://a.example.net", f"http://{server.address()}"):
        assert (await status_of(server, token(user()), origin=origin)).status_code == 403


async def test_a_trusted_proxy_tells_the_host(belfry, token):
    forwarded = {"X-Forwarded-Host": "app.example.org"}
    server = belfry(env={"TRUSTED_PROXIES": "127.0.0.0/8"})
    async with await Client.connect(server, token(user()), origin="https://app.example.org", additional_headers=forwarded) as client:
        await client.welcome()


async def test_a_stranger_does_not_tell_the_host(shared, token):
    answer = await status_of(shared, token(user()), origin="https://evil.example", additional_headers={"X-Forwarded-Host": "evil.example"})
    assert answer.status_code == 403


# ---- malformed handshakes


@pytest.mark.parametrize("change, status", [
    ({"Sec-WebSocket-Key": None}, 400),
    ({"Sec-WebSocket-Key": "short"}, 400),
    ({"Sec-WebSocket-Key": "=" * 24}, 400),
    ({"Connection": "keep-alive"}, 426),
    ({"version": "HTTP/1.0"}, 400),
    ({"Sec-WebSocket-Version": "8"}, 426),
    ({"Sec-WebSocket-Version": None}, 400),
    ({"Upgrade": None, "Connection": "close"}, 426),
    ({"method": "POST"}, 405),
    ({"method": "DELETE"}, 405),
])
async def test_a_malformed_handshake_is_answered_by_http(shared, change, status):
    async with await Raw.open(shared) as raw:
        answer, headers, body = await raw.handshake(shared, **change)
        assert answer == status
        problem = json.loads(body)
        assert headers["content-type"] == "application/problem+json"
        assert problem["status"] == status and problem["title"] and problem["detail"]
        if status == 426:
            assert headers["sec-websocket-version"] == "13"
        if status == 405:
            assert "GET" in headers["allow"]


async def test_field_values_are_compared_without_case_and_in_lists(shared, token):
    async with await Raw.open(shared) as raw:
        status, headers, _ = await raw.handshake(shared, query=f"?token={token(user())}", Upgrade="WebSocket",
                                                 Connection="keep-alive, UPGRADE")
        assert status == 101
        assert "sec-websocket-extensions" not in headers
        assert (await raw.next("welcome"))["type"] == "welcome"


async def test_frames_right_behind_the_request_are_read(shared, token):
    async with await Raw.open(shared) as raw:
        key = base64.b64encode(b"0123456789abcdef").decode()
        await raw.send(f"GET /ws?token={token(user())} HTTP/1.1\r\nHost: {shared.address()}\r\nUpgrade: websocket\r\n"
                       f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
                       + Raw.frame(1, '{"type":"ping","event_id":"early"}'))
        status, headers, _ = await raw.response()
        assert status == 101
        assert headers["sec-websocket-accept"] == "BACScCJPNqyz+UBoqMH89VmURoA="
        assert (await raw.next("pong"))["data"]["ref"] == "early"


async def test_a_client_that_offers_compression_is_served(shared, token):
    async with await Client.connect(shared, token(user()), compression="deflate") as client:
        await client.welcome()


async def test_an_unknown_path_below_ws_is_404(shared, token):
    async with await Raw.open(shared) as raw:
        assert (await raw.handshake(shared, path="/ws/x"))[0] == 404
    async with await Raw.open(shared) as raw:
        assert (await raw.handshake(shared, path="/%77s"))[0] in (101, 404)


async def test_the_base_path_stands_before_ws(belfry, token):
    server = belfry(env={"BASE_PATH": "/push"})
    async with await Client.connect(server, token(user())) as client:
        await client.welcome()
    async with await Raw.open(server) as raw:
        assert (await raw.handshake(server))[0] == 404


async def test_ws_is_not_served_on_the_api_address(belfry, token):
    server = belfry(env={"API_LISTEN": "127.0.0.1:0"})
    async with await Client.connect(server, token(user())) as client:
        await client.welcome()
    server.addresses["public"] = server.address("api")
    async with await Raw.open(server) as raw:
        assert (await raw.handshake(server, query=f"?token={token(user())}"))[0] == 404


async def test_no_token_reaches_the_log(belfry, token):
    server = belfry(env={"LOG_LEVEL": "debug"})
    secrets = [token(user()), token(user(), ttl=-60), token(user(), key="k" * 48)]
    for secret in secrets:
        for way in ("subprotocol", "header", "query"):
            async with await Client.connect(server, secret, way=way) as client:
                await first_type(client)
    server.stop()
    for secret in secrets:
        assert secret not in server.output() and secret.split(".")[2] not in server.output()
