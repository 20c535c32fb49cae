"""A stop hands the clients over: told at once, closed one by one, served until then."""

import asyncio
import contextlib
import signal
import time

import pytest

from belfry import PATIENCE, wait_for
from clients import Client, user

DRAIN = 3


@contextlib.asynccontextmanager
async def crowd(server, token, n):
    clients = [await Client.connect(server, token(user())) for _ in range(n)]
    try:
        for client in clients:
            await client.welcome()
        yield clients
    finally:
        for client in clients:
            await client.close()


async def test_sigterm_spreads_the_clients_over_drain_seconds(belfry, token):
    server = belfry({"DRAIN_SECONDS": f"{DRAIN}s", "WORKERS": "2", "MAX_CONNECTIONS_PER_USER": "0"})
    async with crowd(server, token, 120) as clients:
        began = time.monotonic()
        server.signal(signal.SIGTERM)
        told = [await client.next("reconnect") for client in clients]
        assert all(0 <= frame["data"]["after_ms"] <= DRAIN * 1000 for frame in told)
        assert server.rest("GET", "/readyz", surface="metrics").status_code == 503

        closed_at = {}

        async def watch(client, frame):
            code, reason = await client.closed(DRAIN + 5)
            closed_at[client] = time.monotonic() - began
            assert (code, reason) == (1012, "this server is going away")
            return closed_at[client] - frame["data"]["after_ms"] / 1000

        watchers = [asyncio.create_task(watch(*pair)) for pair in zip(clients, told)]
        published = []
        while time.monotonic() - began < DRAIN * 0.7:
            await asyncio.sleep(0.1)
            published.append(server.publish("tick", {"n": len(published)})["event_id"])
        late = await asyncio.gather(*watchers)
        assert max(late) < 1 * PATIENCE
        for client in clients:
            ids = [frame["event_id"] for frame in client.events()]
            assert ids == published[:len(ids)]
        assert max(len(client.events()) for client in clients) == len(published)
        # Evenly: of the drain's thirds none has more than twice its share.
        thirds = [sum(1 for at in closed_at.values() if i <= at / (DRAIN / 3) < i + 1) for i in range(3)]
        assert max(thirds) <= 2 * len(clients) / 3, thirds
    assert wait_for(lambda: not server.running, DRAIN + 5)
    assert server.process.returncode == 0


async def test_who_connects_during_the_drain_is_told_at_once(belfry, token):
    server = belfry({"DRAIN_SECONDS": "5s"})
    async with await Client.connect(server, token(user())) as first:
        await first.welcome()
        server.signal(signal.SIGTERM)
        await first.next("reconnect")
        async with await Client.connect(server, token(user())) as late:
            await late.welcome()
            frame = await late.next()
            assert frame["type"] == "reconnect" and frame["data"]["after_ms"] <= 5000
            assert frame["data"]["position"] == frame["event_id"]
            assert (await late.closed(8))[0] == 1012
        assert (await first.closed(8))[0] == 1012
    wait_for(lambda: not server.running, 8)


async def test_a_second_sigterm_hurries(belfry, token):
    server = belfry({"DRAIN_SECONDS": "10m"})
    async with await Client.connect(server, token(user())) as client:
        await client.welcome()
        server.signal(signal.SIGTERM)
        assert (await client.next("reconnect"))["data"]["after_ms"] > 60000
        began = time.monotonic()
        server.signal(signal.SIGTERM)
        assert (await client.closed())[0] == 1012
    wait_for(lambda: not server.running, 6)
    assert server.process.returncode == 0 and time.monotonic() - began < 6 * PATIENCE


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_without_clients_there_is_nothing_to_wait_for(belfry, number):
    server = belfry({"DRAIN_SECONDS": "10m"})
    began = time.monotonic()
    assert server.stop(number) == 0
    assert time.monotonic() - began < 5 * PATIENCE


async def test_the_lease_goes_with_the_process(belfry, redis_server, token):
    stays, goes = belfry({"REDIS_URL": redis_server.url}), belfry({"REDIS_URL": redis_server.url})
    names = redis_server.client().zrange("ws:nodes", 0, -1)
    assert len(names) == 2
    assert goes.stop() == 0
    wait_for(lambda: len(redis_server.client().zrange("ws:nodes", 0, -1)) == 1)
    assert len(redis_server.client().keys("ws:node:*")) == 1 and stays.running


async def test_connections_grow_old(belfry, token):
    server = belfry({"MAX_CONNECTION_AGE": "2s"})
    async with await Client.connect(server, token(user())) as client:
        await client.welcome()
        began = time.monotonic()
        frame = await client.next("reconnect")
        code, reason = await client.closed()
        assert code == 1012 and "MAX_CONNECTION_AGE" in reason
        age = time.monotonic() - began
        assert 1.2 < age < 2.4 + 1 * PATIENCE
        assert frame["data"]["after_ms"] <= 400
