"""Services that POST events and repeat them, with the same Idempotency-Key, until they are told 2xx."""

import asyncio
import json
import random
import uuid

from belfry import token
from record import Event, now_us, position

PATIENCE_SECONDS = 8  # for one answer
USERS_MAX = 5


class Caller:
    """HTTP over one connection that is kept, to one server."""

    def __init__(self, server, tls=None):
        self.server, self.tls = server, tls
        self.reader = self.writer = None

    async def post(self, path, headers, body):
        """(status, body), or OSError or TimeoutError where no whole answer came."""
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                if not self.writer:
                    self.reader, self.writer = await asyncio.open_connection(*self.server, ssl=self.tls)
                lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
                self.writer.write(f"POST {path} HTTP/1.1\r\nHost: belfry\r\nContent-Type: application/json\r\n{lines}"
                                  f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
                head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
                length = int(head.split("content-length:")[1].split("\r\n")[0])
                answer = await self.reader.readexactly(length)
                if "connection: close" in head:
                    self.close()
                # A gateway's own refusal is no JSON.
                return int(head.split(" ")[1]), json.loads(answer) if "json" in head else None
        except (OSError, TimeoutError, asyncio.IncompleteReadError) as failure:
            self.close()
            raise OSError(str(failure)) from failure
        except BaseException:
            self.close()
            raise

    def close(self):
        if self.writer:
            self.writer.close()
        self.reader = self.writer = None


class Publishers:
    """All of them. `identities` holds the connection_id that each client has, as far as is known; `broadcasts` is the
    share of events to everybody."""

    def __init__(self, seed, servers, users, rate, n=8, broadcasts=0.5, tls=None):
        self.seed, self.servers, self.users, self.rate, self.n = seed, servers, users, rate, n
        self.broadcasts, self.tls = broadcasts, tls
        self.events = {}
        self.identities = {}
        self.stopping = False
        self.repeats = 0
        self.failures = []

    def callers(self):
        return [Caller(tuple(server), self.tls) for server in self.servers]

    def start(self):
        self.tasks = [asyncio.create_task(self.publish_on(i)) for i in range(self.n)]

    async def stop(self, seconds=30):
        """Everything under way is brought to its end."""
        self.stopping = True
        _, late = await asyncio.wait(self.tasks, timeout=seconds)
        for task in late:
            task.cancel()
            self.failures.append("a publisher was never answered")
        for task in self.tasks:
            if task.done() and not task.cancelled() and task.exception():
                self.failures.append(f"a publisher failed: {task.exception()!r}")

    async def publish_on(self, i):
        rng, name = random.Random(f"{self.seed}-publisher-{i}"), f"publisher-{i}"
        callers = self.callers()
        headers = {"Authorization": f"Bearer {token(name, ['events:publish'], ttl=86400)}"}
        pace = self.rate / self.n
        count = 0
        while not self.stopping:
            path, events, body = self.compose(rng, name, count)
            count += len(events)
            await self.send(rng, callers, path, headers | {"Idempotency-Key": str(uuid.UUID(int=rng.getrandbits(128)))},
                            events, body)
            await asyncio.sleep(rng.expovariate(pace / len(events)))
        for caller in callers:
            caller.close()

    async def send_last(self):
        """An event to everybody behind all others; its id."""
        event = self.new_event("last", 0, ("broadcast",))
        headers = {"Authorization": f"Bearer {token('last', ['events:publish'])}", "Idempotency-Key": "last"}
        await self.send(random.Random(), self.callers(), "/events", headers, [event],
                        self.one(random.Random(), event))
        return event.id

    # ---- what is published

    def new_event(self, name, count, audience, kept=True):
        event = Event(n=len(self.events) + 1, audience=audience, publisher=name, count=count, first=now_us(), kept=kept)
        self.events[event.n] = event
        return event

    def audience(self, rng):
        if rng.random() < self.broadcasts:
            return ("broadcast",)
        dice = rng.random()
        if dice < 0.44:
            return ("users", rng.choice(self.users))
        if dice < 0.72 or not self.identities:
            return ("users", *rng.sample(self.users, rng.randint(2, USERS_MAX)))
        return ("connection", rng.choice(list(self.identities.values())))

    def data(self, rng, event):
        size = rng.choice((0, 20, 60, 200)) if rng.random() < 0.97 else rng.randint(1000, 20000)
        return {"n": event.n, "pad": "x" * size}

    def one(self, rng, event):
        kind, *names = event.audience
        audience = "broadcast" if kind == "broadcast" else {"connection": names[0]} if kind == "connection" else \
            {"user": names[0]} if len(names) == 1 else {"users": names}
        body = {"type": "bell", "data": self.data(rng, event), "audience": audience}
        return body if event.kept else {**body, "replay": False}

    def compose(self, rng, name, count):
        """(path, events, body) of the next request."""
        dice = rng.random()
        if dice < 0.06:
            events = [self.new_event(name, count + i, self.audience(rng)) for i in range(rng.randint(2, 12))]
            return "/events/batch", events, {"events": [self.one(rng, event) for event in events]}
        if dice < 0.06 + 0.12 * self.broadcasts:
            event = self.new_event(name, count, ("broadcast",))
            return f"/tasks/t{event.n}/broadcast-update", [event], {"status": "running", **self.data(rng, event)}
        if 0.18 <= dice < 0.24:
            event = self.new_event(name, count, ("users", rng.choice(self.users)))
            return (f"/users/{event.audience[1]}/send-notification", [event],
                    {"title": "t", "message": "", **self.data(rng, event)})
        event = self.new_event(name, count, self.audience(rng), kept=dice < 0.96)
        return "/events", [event], self.one(rng, event)

    # ---- until it is acknowledged

    async def send(self, rng, callers, path, headers, events, body):
        raw = json.dumps(body).encode()
        for event in events:
            event.first = now_us()
        while True:
            try:
                status, answer = await rng.choice(callers).post(path, headers, raw)
            except OSError:
                status = None
            if status is not None and (200 <= status < 300 or status == 404):
                self.acknowledge(events, status, answer)
                return
            if status not in (None, 500, 503, 504):
                self.failures.append(f"{path}: {status} {answer}")
                return
            if status == 500:
                self.failures.append(f"{path}: 500 {answer}")
            self.repeats += 1
            await asyncio.sleep(rng.uniform(0.02, 0.2))

    @staticmethod
    def acknowledge(events, status, answer):
        if status == 404:  # a connection that nobody holds any more: nothing was promised
            return
        for event, result in zip(events, answer["results"] if len(events) > 1 else [answer]):
            if result.get("status") != 404:
                event.id, event.acked = position(result["event_id"]), now_us()
