"""The browser client of the FastAPI application that belfry replaces, as a script: it must work unchanged."""

import asyncio
import json
import uuid
from datetime import datetime, timezone

import requests

from belfry import PATIENCE
from clients import Client, user


def pong():
    """What that client answers to a ping: an id and a time of its own, and no data."""
    return json.dumps({"type": "pong", "event_id": str(uuid.uuid4()),
                       "timestamp": datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")})


class Predecessor:
    """Connects by `/ws?token=&connection_id=&last_event_id=`, keeps the last event_id, answers every `ping`."""

    def __init__(self, server, token):
        self.server = server
        self.token = token
        self.connection_id = ""
        self.last_event_id = ""

    async def connect(self):
        # It sends all three, also while it has nothing to put into them.
        query = f"connection_id={self.connection_id}&last_event_id={self.last_event_id}"
        self.client = await Client.connect(self.server, self.token, way="query", query=query)
        self.seen = []
        self.task = asyncio.create_task(self.run())

    async def run(self):
        while True:
            try:
                frame = await self.client.next(timeout=60)
            except AssertionError:
                return
            self.seen.append(frame)
            self.last_event_id = frame["event_id"]
            if frame["type"] == "welcome":
                self.connection_id = frame["data"]["connection_id"]
            elif frame["type"] == "ping":
                await self.client.send_text(pong())

    async def until(self, type, count=1):
        async with asyncio.timeout(10 * PATIENCE):
            while sum(f["type"] == type for f in self.seen) < count:
                await asyncio.sleep(0.01)
        return [f for f in self.seen if f["type"] == type][-1]

    async def close(self):
        await self.client.close()
        await self.task


async def test_it_lives_by_its_pongs_alone(belfry, token):
    server = belfry(env={"PING_INTERVAL": "1s", "PONG_TIMEOUT": "3s"})
    page = Predecessor(server, token(user()))
    await page.connect()
    await page.until("ping", 4)
    assert page.client.ws.close_code is None
    assert not [f for f in page.seen if f["type"] == "error"]
    await page.close()


async def test_its_three_calls_arrive(belfry, token):
    server, me = belfry(), user()
    page, service = Predecessor(server, token(me)), token("api", "events:publish")
    await page.connect()
    await page.until("welcome")
    for path, body, status, type in (
        ("/tasks/t-1/broadcast-update", {"status": "running", "progress": 50, "message": "half"}, 202, "task_status_update"),
        (f"/users/{me}/send-notification", {"title": "Hello", "message": "there", "level": "info"}, 202, "notification"),
        ("/calendar/events/create", {"title": "Meeting", "start": "2025-11-08T22:00:00Z", "end": "2025-11-08T23:00:00Z",
                                     "attendees": [me]}, 201, "calendar_event_created"),
    ):
        answer = server.rest("POST", path, service, json=body)
        assert answer.status_code == status, answer.text
        frame = await page.until(type)
        assert body.items() <= frame["data"].items()
        assert page.last_event_id == frame["event_id"] == answer.json()["event_id"]
    await page.close()


async def test_its_publishers_still_reach_it(belfry, redis_server, token):
    """Pydantic's model_dump_json of its event classes, published by services that do not know belfry."""
    server, me = belfry(), user()
    page, redis = Predecessor(server, token(me)), redis_server.client()
    await page.connect()
    await page.until("welcome")
    for channel, type, data in (
        ("ws:broadcast", "task_status_update", {"task_id": "t", "status": "running", "progress": None, "message": None}),
        (f"ws:user:{me}", "notification", {"title": "Hi", "message": "there", "level": "info", "link": None}),
        (f"ws:connection:{page.connection_id}", "agent_activity_update", {"agent_id": "a", "activity": "thinking"}),
    ):
        source = str(uuid.uuid4())
        assert redis.publish(channel, json.dumps({"type": type, "event_id": source, "timestamp": "2025-11-08T22:00:00.123456+00:00",
                                                  "data": data})) == 1
        frame = await page.until(type)
        assert frame["source_id"] == source and frame["data"] == data
    await page.close()


async def test_it_comes_back_with_what_it_remembers(belfry, token):
    server, me = belfry(), user()
    page = Predecessor(server, token(me))
    await page.connect()
    await page.until("welcome")
    server.publish("notification", {"title": "one", "message": ""}, {"user": me})
    await page.until("notification")
    await page.close()
    remembered = page.last_event_id
    await page.connect()
    welcome = await page.until("welcome")
    assert welcome["data"]["recovering"] is True and welcome["event_id"] == remembered
    server.publish("notification", {"title": "two", "message": ""}, {"user": me})
    assert (await page.until("notification"))["data"]["title"] == "two"
    await page.close()


async def test_a_crash_of_the_server_does_not_confuse_it(belfry, token):
    server, me = belfry(), user()
    page = Predecessor(server, token(me))
    await page.connect()
    await page.until("welcome")
    server.kill()
    await page.task
    server.start()
    await page.connect()
    await page.until("welcome")
    server.publish("notification", {"title": "after", "message": ""}, {"user": me})
    assert (await page.until("notification"))["data"]["title"] == "after"
    await page.close()


def test_its_health_figures_are_there(belfry):
    health = requests.get(belfry().http("/ws/health"), timeout=5)
    assert health.status_code == 200
    body = health.json()
    assert body["status"] == "healthy"
    assert {"total", "local", "alive", "dead"} <= body["connections"].keys()
    assert body["redis"] == {"connected": True, "pubsub_connected": True}
