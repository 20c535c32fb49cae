"""The positions that a client is told between events: each is right to resume from, and none is below the one before."""

import asyncio
import pathlib

from belfry import wait_for
from clients import Client, user


def order(text):
    return tuple(int(part) for part in text.split("-"))


def stopped(pid):
    """Every thread of it: a signal reaches a busy one late."""
    return all("\nState:\tT" in (task / "status").read_text() for task in pathlib.Path(f"/proc/{pid}/task").iterdir())


async def test_an_answer_amid_arriving_events_does_not_go_back(belfry, token):
    server, elsewhere = belfry(), belfry()
    me, other = user(), user()
    async with await Client.connect(server, token(me)) as client, await Client.connect(server, token(other)) as busy:
        await client.welcome()
        await busy.welcome()
        # What others are told moves this client's position on, too.
        for n in range(3):
            await asyncio.to_thread(elsewhere.publish, "for-another", {}, {"user": other})
            await busy.next("for-another")
        await client.send("ping")
        told = order((await client.next("pong"))["event_id"])
        seen = len(client.frames)
        # Both wait for the server: an event first, then a question. The answer goes out before the event.
        server.pause()
        wait_for(lambda: stopped(server.pid), what="the server to stand still")
        await asyncio.to_thread(elsewhere.publish, "for-all", {})
        await client.send("ping")
        await asyncio.sleep(0.1)
        server.resume()
        await client.next("pong")
        client.at = seen
        await client.next("for-all")
        positions = [told] + [order(frame["event_id"]) for frame in client.frames[seen:]]
        assert positions == sorted(positions)
