"""Every close code of /ws that can be provoked, each with its reason, and the limits behind them."""

import asyncio
import re
import struct
import time

import pytest

from belfry import PATIENCE
from clients import BINARY, CLOSE, PING, PONG, TEXT, Client, Raw, user

RETRY = re.compile(r"retry_after_ms=(\d+)")


async def closed_by(raw):
    code, reason = await raw.read_close()
    assert reason, "every close carries a reason"
    return code


# ---- faults of the client


WRONG = {
    "an unmasked frame": (1002, Raw.frame(TEXT, "{}", masked=False)),
    "a reserved bit": (1002, Raw.frame(TEXT, "{}", rsv=4)),
    "a reserved opcode": (1002, Raw.frame(3, "x")),
    "a reserved control opcode": (1002, Raw.frame(11, "x")),
    "a fragmented ping": (1002, Raw.frame(PING, "x", fin=False)),
    "a long ping": (1002, Raw.frame(PING, "x" * 126)),
    "a continuation of nothing": (1002, Raw.frame(0, "x")),
    "a text frame inside of a message": (1002, Raw.frame(TEXT, "{", fin=False) + Raw.frame(TEXT, "}")),
    "a close of one byte": (1002, Raw.frame(CLOSE, b"\x03")),
    "a close code that may not be sent": (1002, Raw.frame(CLOSE, struct.pack("!H", 1005))),
    "a close code of nobody": (1002, Raw.frame(CLOSE, struct.pack("!H", 2999))),
    "a close reason of bad UTF-8": (1007, Raw.frame(CLOSE, struct.pack("!H", 1000) + b"\xff")),
    "a binary message": (1003, Raw.frame(BINARY, b"\x00")),
    "an overlong form": (1007, Raw.frame(TEXT, b'{"a":"\xc0\x80"}')),
    "a surrogate": (1007, Raw.frame(TEXT, b'{"a":"\xed\xa0\x80"}')),
    "half a character": (1007, Raw.frame(TEXT, b'"\xe7\x94')),
    "bad UTF-8 at once, though the message goes on": (1007, Raw.frame(TEXT, b"\xff", fin=False)),
    "too big, told by the header alone": (1009, Raw.frame(TEXT, b"", length=65536 + 4096)),
    "far too big": (1009, Raw.frame(TEXT, b"", length=2**62)),
    "a length with the top bit": (1002, Raw.frame(TEXT, b"", length=2**63)),
    "too big by its fragments": (1009, b"".join(Raw.frame(TEXT if n == 0 else 0, "x" * 20000, fin=False) for n in range(4))),
}


@pytest.mark.parametrize("pieces", ["whole", "in pieces"])
@pytest.mark.parametrize("kind", WRONG)
async def test_a_wrong_frame_closes_with_its_code(shared, token, kind, pieces):
    code, wrong = WRONG[kind]
    async with await Raw.websocket(shared, token(user())) as raw:
        await raw.next("welcome")
        step = len(wrong) if pieces == "whole" else max(1, len(wrong) // 7)
        for at in range(0, len(wrong), step):
            await raw.send(wrong[at:at + step])
        assert await closed_by(raw) == code


async def test_the_server_ends_the_stream_though_the_client_answers_nothing(shared, token):
    async with await Raw.websocket(shared, token(user())) as raw:
        await raw.next("welcome")
        await raw.send_frame(BINARY, b"x")
        assert await closed_by(raw) == 1003
        assert await raw.at_end()


async def test_nothing_after_a_close_is_listened_to(shared, token):
    async with await Raw.websocket(shared, token(user())) as raw:
        await raw.next("welcome")
        await raw.send(Raw.frame(BINARY, b"x") + Raw.frame(TEXT, '{"type":"ping","event_id":"late"}'))
        frames = []
        while not frames or frames[-1][0] != CLOSE:
            frames.append(await raw.read_frame())
        assert len(frames) == 1


async def test_a_message_of_the_limit_is_taken(belfry, token):
    server = belfry(env={"MAX_MESSAGE_BYTES": "2K"})
    async with await Raw.websocket(server, token(user())) as raw:
        await raw.next("welcome")
        for size, taken in ((2048, True), (2049 + 4096, False)):
            text = '{"type":"ping","pad":"' + "x" * (size - 24) + '"}'
            assert len(text) == size
            await raw.send_frame(TEXT, text)
            if taken:
                await raw.next("pong")
            else:
                assert await closed_by(raw) == 1009


@pytest.mark.parametrize("code", [1000, 1001, 3000, 4999])
async def test_a_clients_close_is_answered_with_its_code(shared, token, code):
    async with await Raw.websocket(shared, token(user())) as raw:
        await raw.next("welcome")
        await raw.send_frame(CLOSE, struct.pack("!H", code) + b"bye")
        assert (await raw.read_close())[0] == code
        assert await raw.at_end()


async def test_an_empty_close_is_answered(shared, token):
    async with await Raw.websocket(shared, token(user())) as raw:
        await raw.next("welcome")
        await raw.send_frame(CLOSE)
        assert (await raw.read_frame())[0] == CLOSE
        assert await raw.at_end()


async def test_ten_bad_messages_close_4400(shared, token):
    async with await Client.connect(shared, token(user())) as client:
        await client.welcome()
        for _ in range(9):
            await client.send_text("{")
        await client.send("ping")
        await client.next("pong")
        await client.send_text("{")
        code, reason = await client.closed()
        assert code == 4400 and reason
        assert [f["data"]["code"] for f in client.frames if f["type"] == "error"][:9] == ["bad_json"] * 9


async def test_messages_above_the_rate_are_told_so_and_ten_close_4429(belfry, token):
    server = belfry(env={"CLIENT_RATE": "1/s burst 3"})
    async with await Client.connect(server, token(user())) as client:
        await client.welcome()
        for n in range(5):
            await client.send("ping", event_id=str(n))
        assert (await client.next("error"))["data"]["code"] == "rate_limited"
        pongs = [f for f in client.frames if f["type"] == "pong"]
        assert len(pongs) == 3
        for _ in range(12):
            await client.send("ping")
        code, reason = await client.closed()
        assert code == 4429 and int(RETRY.search(reason)[1]) > 0


# ---- time


async def test_silence_closes_4408(belfry, token):
    server = belfry(env={"PING_INTERVAL": "1s", "PONG_TIMEOUT": "2s"})
    async with await Raw.websocket(server, token(user())) as raw:
        start = time.monotonic()
        await raw.next("welcome")
        code, reason = await raw.read_close(8)
        assert code == 4408 and reason
        assert 1.9 < time.monotonic() - start < 4 * PATIENCE


@pytest.mark.parametrize("sign", [Raw.frame(PONG, b""), Raw.frame(PING, b""), Raw.frame(TEXT, '{"type":"pong"}')],
                         ids=["pong frame", "ping frame", "pong message"])
async def test_any_sign_of_life_counts(belfry, token, sign):
    server = belfry(env={"PING_INTERVAL": "1s", "PONG_TIMEOUT": "2s"})
    async with await Raw.websocket(server, token(user())) as raw:
        await raw.next("welcome")
        for _ in range(8):
            await raw.send(sign)
            await asyncio.sleep(0.5)
        await raw.send_message("ping", event_id="alive")
        assert (await raw.next("pong"))["data"]["ref"] == "alive"


async def test_a_client_that_answers_pings_by_itself_lives(belfry, token):
    server = belfry(env={"PING_INTERVAL": "1s", "PONG_TIMEOUT": "2s"})
    async with await Client.connect(server, token(user())) as client:
        await client.welcome()
        for _ in range(4):
            await client.next("ping", 4)


async def test_a_frame_that_never_ends_closes_4408(belfry, token):
    server = belfry(env={"PING_INTERVAL": "1s", "PONG_TIMEOUT": "2s"})
    async with await Raw.websocket(server, token(user())) as raw:
        await raw.next("welcome")
        await raw.send(b"\x81\xfe" + struct.pack("!H", 60000) + b"\0\0\0\0")  # a mask that leaves x what it is

        async def drip():
            for _ in range(16):
                await raw.send(b"x")
                await asyncio.sleep(0.5)

        dripping = asyncio.create_task(drip())
        code, _ = await raw.read_close(10)
        assert code == 4408
        dripping.cancel()


async def test_the_end_of_the_token_closes_4401(belfry, token):
    server = belfry(env={"JWT_LEEWAY": "1s"})
    async with await Client.connect(server, token(user(), ttl=2)) as client:
        start = time.monotonic()
        await client.welcome()
        code, reason = await client.closed(8)
        assert code == 4401 and "expired" in reason
        assert time.monotonic() - start > 1.9


# ---- limits


async def refusal(server, token):
    async with await Client.connect(server, token) as client:
        code, reason = await client.closed()
        assert client.frames == []
        return code, int((RETRY.search(reason) or [0, 0])[1])


async def test_a_full_process_closes_1013(belfry, token):
    server = belfry(env={"MAX_CONNECTIONS": "2"})
    async with await Client.connect(server, token(user())) as first:
        await first.welcome()
        async with await Client.connect(server, token(user())) as second:
            await second.welcome()
            code, after = await refusal(server, token(user()))
            assert code == 1013 and after > 0
        await becomes_free(server, token(user()))


async def becomes_free(server, token):
    """A place that was left can be taken, soon."""
    for _ in range(100):
        async with await Client.connect(server, token) as client:
            try:
                return await client.welcome()
            except AssertionError:
                await asyncio.sleep(0.05)
    raise AssertionError("the place was never free again")


async def test_a_users_limit_closes_4429(belfry, token):
    server, me = belfry(env={"MAX_CONNECTIONS_PER_USER": "1"}), user()
    async with await Client.connect(server, token(me)) as first, await Client.connect(server, token(user())) as other:
        await first.welcome()
        await other.welcome()
        code, after = await refusal(server, token(me))
        assert code == 4429 and after > 0
    await becomes_free(server, token(me))


async def test_an_addresss_limit_closes_4429(belfry, token):
    server = belfry(env={"MAX_CONNECTIONS_PER_ADDRESS": "1", "TRUSTED_PROXIES": "127.0.0.1"})
    elsewhere = {"X-Forwarded-For": "203.0.113.7"}
    async with await Client.connect(server, token(user())) as first:
        await first.welcome()
        code, after = await refusal(server, token(user()))
        assert code == 4429 and after > 0
        async with await Client.connect(server, token(user()), additional_headers=elsewhere) as other:
            await other.welcome()
    await becomes_free(server, token(user()))


async def test_many_refusals_leave_no_trace(belfry, token):
    server = belfry(env={"MAX_CONNECTIONS": "1"})
    async with await Client.connect(server, token(user())) as first:
        await first.welcome()
        for _ in range(5):
            assert {code for code, _ in await asyncio.gather(*(refusal(server, token(user())) for _ in range(10)))} == {1013}
        await first.send("ping")
        await first.next("pong")
    await becomes_free(server, token(user()))


# ---- the end of the server


async def test_sigterm_closes_everybody_1012(belfry, token):
    server = belfry()
    clients = [await Client.connect(server, token(user())) for _ in range(20)]
    for client in clients:
        await client.welcome()
    code = server.stop()
    assert code == 0
    for client in clients:
        assert await client.closed() == (1012, client.ws.close_reason) and client.ws.close_reason


async def test_sigterm_under_traffic_is_clean(belfry, token):
    server = belfry(env={"WORKERS": "2"})
    clients = [await Client.connect(server, token(user(), "events:publish")) for _ in range(10)]
    for client in clients:
        await client.welcome()

    async def talk(client):
        for n in range(10000):
            await client.send("tick", data={"n": n}, audience="broadcast")
            await asyncio.sleep(0.06)

    talks = [asyncio.create_task(talk(client)) for client in clients]
    await asyncio.sleep(0.5)
    server.process.terminate()
    assert await asyncio.to_thread(server.process.wait, 40) == 0
    ends = await asyncio.gather(*talks, return_exceptions=True)
    assert all(isinstance(end, Exception) for end in ends)
    assert {(await client.closed())[0] for client in clients} == {1012}


async def test_new_clients_without_redis_are_told_1013_and_old_ones_stay(belfry, redis_server, token):
    server, me = belfry(), user()
    async with await Client.connect(server, token(me)) as client:
        await client.welcome()
        redis_server.stop()
        for _ in range(100):
            code, after = await refusal_or_none(server, token(user()))
            if code == 1013:
                break
            await asyncio.sleep(0.1)
        assert code == 1013 and after > 0
        await client.send("ping")
        await client.next("pong")


async def refusal_or_none(server, token):
    async with await Client.connect(server, token) as client:
        try:
            await client.next(timeout=15)
            return None, 0
        except AssertionError:
            code, reason = await client.closed()
            return code, int((RETRY.search(reason) or [0, 0])[1])


async def test_subscriptions_that_nobody_confirms_close_1013(belfry, redis_server, token):
    server, me = belfry(env={"REDIS_TIMEOUT": "30s"}), user()
    async with await Client.connect(server, token(me)) as client:
        await client.welcome()
        redis_server.pause()
        start = time.monotonic()
        code, after = await refusal_or_none(server, token(user()))
        assert code == 1013 and after > 0
        assert time.monotonic() - start < 14 * PATIENCE
        await client.send("ping")
        await client.next("pong")
        redis_server.resume()
