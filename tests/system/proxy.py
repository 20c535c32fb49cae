"""A TCP (or unix socket) proxy between belfry and Redis that breaks the path on command, for each direction of its own.

    proxy = Proxy(redis.tcp_url)                       # listens at proxy.url, until proxy.close()
    proxy.shape("down", who="subscriber", delay=0.2)   # only what the connection that has SUBSCRIBEd is told
    proxy.heal()

"up" is towards Redis, "down" towards belfry. The proxy runs in a thread of its own; its methods may be called from any
other thread and have taken effect when they return. A rule counts for the connections that stand and for those to come.
"""

import asyncio
import collections
import dataclasses
import os
import random
import shutil
import tempfile
import threading
import urllib.parse

SUBSCRIBES = b"$9\r\nSUBSCRIBE\r\n"
# What may wait in one direction of a connection before nothing more is read.
BACKLOG_MAX = 1024 * 1024


@dataclasses.dataclass(frozen=True)
class Rule:
    delay: float = 0.0  # seconds that each byte is late; the order stays
    torn: bool = False  # in pieces of 1 to 7 bytes; a receiver that is busy may find several of them at once
    hold: bool = False  # nothing moves, and all that waited arrives later: what TCP makes of a broken network
    swallow: bool = False  # bytes vanish, connections are accepted without a server: healing cuts those that lost any


PASS = Rule()


class Half:
    """One direction of a connection: bytes that arrived and were not passed on yet."""

    def __init__(self, link, direction):
        self.link, self.direction = link, direction
        self.waiting = collections.deque()  # (arrival, bytes)
        self.bytes = 0
        self.timer = None
        self.source = self.sink = None  # transports
        self.ended = False  # the source sends no more
        self.choked = False  # the sink takes no more

    @property
    def rule(self):
        return self.link.proxy.rules[self.direction, self.link.kind]

    def arrived(self, data):
        self.waiting.append((self.link.proxy.loop.time(), data))
        self.bytes += len(data)
        if self.bytes > BACKLOG_MAX and self.source:
            self.source.pause_reading()
        if self.timer is None:
            self.move()

    def move(self):
        """Passes on what the rule lets pass now, and comes again for the rest."""
        self.timer = None
        while self.waiting:
            rule, loop = self.rule, self.link.proxy.loop
            arrival, data = self.waiting[0]
            if rule.swallow:
                self.link.robbed = True
                self.take(len(data))
                continue
            if rule.hold or self.choked or self.sink is None or self.sink.is_closing():
                return
            late = arrival + rule.delay - loop.time()
            if late > 0:
                self.timer = loop.call_later(late, self.move)
                return
            piece = data[:self.link.proxy.random.randint(1, 7)] if rule.torn else data
            self.take(len(piece))
            self.sink.write(piece)
            self.link.proxy.pieces += 1
            if self.link.passed(self.direction, piece):
                return
            if rule.torn and self.waiting:
                self.timer = loop.call_later(0, self.move)
                return
        if self.ended and self.sink and not self.rule.hold:
            self.link.close()

    def take(self, n):
        arrival, data = self.waiting.popleft()
        if n < len(data):
            self.waiting.appendleft((arrival, data[n:]))
        self.bytes -= n
        if self.bytes <= BACKLOG_MAX and self.source and not self.ended:
            self.source.resume_reading()

    def wake(self):
        if self.timer is not None:
            self.timer.cancel()
        self.move()


class Leg(asyncio.Protocol):
    """The socket towards belfry, or the one towards Redis: what it reads goes into one half, the other half is written."""

    def __init__(self, link, reads, writes):
        self.link, self.reads, self.writes = link, reads, writes

    def connection_made(self, transport):
        transport.set_write_buffer_limits(high=BACKLOG_MAX)
        self.reads.source = self.writes.sink = transport
        self.link.legs.append(transport)
        if self.link.closed:
            transport.abort()
        self.writes.wake()

    def data_received(self, data):
        self.reads.arrived(data)

    def eof_received(self):
        self.reads.ended = True
        self.reads.wake()
        return True

    def connection_lost(self, _):
        if self.reads.waiting and not self.reads.ended and not self.link.closed:
            self.eof_received()
        else:
            self.link.close()

    def pause_writing(self):
        self.writes.choked = True

    def resume_writing(self):
        self.writes.choked = False
        self.writes.wake()


class Link:
    """One connection through the proxy."""

    def __init__(self, proxy):
        self.proxy = proxy
        self.halves = {"up": Half(self, "up"), "down": Half(self, "down")}
        self.legs = []
        self.kind = "command"
        self.seen = {"up": b"", "down": b""}
        self.robbed = False  # bytes of it were swallowed: it cannot go on
        self.closed = False

    def passed(self, direction, piece):
        """Looks at what was passed on; true if the connection was cut by that."""
        seen = self.seen[direction] + piece
        if direction == "up" and self.kind == "command" and SUBSCRIBES in seen:
            self.kind = "subscriber"
        trap = self.proxy.traps.get((direction, self.kind))
        if trap and trap in seen:
            del self.proxy.traps[direction, self.kind]
            self.proxy.sprung += 1
            self.close()
            return True
        self.seen[direction] = seen[-256:]
        return False

    def close(self, reset=False):
        """What was written still goes out, unless it is a reset."""
        if self.closed:
            return
        self.closed = True
        self.proxy.links.discard(self)
        for transport in self.legs:
            (transport.abort if reset else transport.close)()

    async def connect(self):
        """The server's side; while a rule swallows or holds what goes up it is not asked at all."""
        while not self.closed and (self.halves["up"].rule.swallow or self.halves["up"].rule.hold):
            await self.proxy.changed()
        if self.closed:
            return
        def leg():
            return Leg(self, self.halves["down"], self.halves["up"])
        try:
            await self.proxy.connect(leg)
        except OSError:
            self.close()


class Proxy:
    """`target`: redis://host:port/db or unix:///path. It listens on TCP, or with unix=True on a unix socket; `url` is
    what belfry is told. A seed makes the torn pieces the same again."""

    def __init__(self, target, unix=False, seed=None):
        self.target = urllib.parse.urlsplit(target)
        self.random = random.Random(seed)
        self.links = set()
        self.rules = {(direction, kind): PASS for direction in ("up", "down") for kind in ("command", "subscriber")}
        self.traps = {}
        self.sprung = 0
        self.accepted = 0
        self.pieces = 0  # writes, of either direction
        self.server = None
        self.waiters = []
        self.dir = tempfile.mkdtemp(prefix="proxy-") if unix else None
        self.path = os.path.join(self.dir, "s") if unix else None
        self.port = None
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.run(self.listen)

    @property
    def url(self):
        return f"unix://{self.path}" if self.path else f"redis://127.0.0.1:{self.port}{self.target.path}"

    def retarget(self, target):
        """Where connections to come go; those that stand stay."""
        self.target = urllib.parse.urlsplit(target)

    def shape(self, direction="both", who="all", **rule):
        """Replaces the rule of a direction (up, down, both) for who (all, command, subscriber); see Rule."""
        self.run(self.set_rules, direction, who, Rule(**rule))

    def heal(self):
        """Everything passes and new connections are taken. Connections that lost bytes are cut."""
        async def heal():
            self.traps.clear()
            await self.set_rules("both", "all", PASS)
            for link in [link for link in self.links if link.robbed]:
                link.close(reset=True)
            await self.listen()
        self.run(heal)

    def cut(self, who="all"):
        """Resets the connections that stand; returns how many."""
        async def cut():
            found = [link for link in self.links if who in ("all", link.kind)]
            for link in found:
                link.close(reset=True)
            return len(found)
        return self.run(cut)

    def cut_after(self, needle, direction="up", who="command"):
        """Once: the next connection on which these bytes pass is closed right behind them, so that Redis has (or, "down",
        belfry has) what the other side never hears of. `sprung` counts. Needles are at most 256 bytes."""
        async def trap():
            self.traps[direction, who] = needle
        self.run(trap)

    def refuse(self):
        """New connections are refused; those that stand stay."""
        async def refuse():
            if self.server:
                self.server.close()
                self.server = None
        self.run(refuse)

    def count(self, who="all"):
        """Connections that stand."""
        async def count():
            return sum(1 for link in self.links if who in ("all", link.kind))
        return self.run(count)

    def close(self):
        async def close():
            if self.server:
                self.server.close()
            for link in list(self.links):
                link.close(reset=True)
            for waiter in self.waiters:
                waiter.set_result(None)
            await asyncio.sleep(0.01)
        if self.loop.is_running():
            self.run(close)
            self.loop.call_soon_threadsafe(self.loop.stop)
            self.thread.join(5)
            self.loop.close()
        if self.dir:
            shutil.rmtree(self.dir, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # ---- in the proxy's own thread

    def run(self, function, *arguments):
        return asyncio.run_coroutine_threadsafe(function(*arguments), self.loop).result(10)

    async def listen(self):
        if self.server:
            return
        if self.path:
            if os.path.exists(self.path):
                os.unlink(self.path)
            self.server = await self.loop.create_unix_server(self.accept, self.path)
        else:
            self.server = await self.loop.create_server(self.accept, "127.0.0.1", self.port or 0)
            self.port = self.server.sockets[0].getsockname()[1]

    async def set_rules(self, direction, who, rule):
        for key in self.rules:
            if direction in ("both", key[0]) and who in ("all", key[1]):
                self.rules[key] = rule
        waiters, self.waiters = self.waiters, []
        for waiter in waiters:
            waiter.set_result(None)
        for link in list(self.links):
            for half in link.halves.values():
                half.wake()

    def changed(self):
        waiter = self.loop.create_future()
        self.waiters.append(waiter)
        return waiter

    def accept(self):
        self.accepted += 1
        link = Link(self)
        self.links.add(link)
        link.task = self.loop.create_task(link.connect())
        return Leg(link, link.halves["up"], link.halves["down"])

    async def connect(self, leg):
        if self.target.scheme == "unix":
            await self.loop.create_unix_connection(leg, self.target.path)
        else:
            await self.loop.create_connection(leg, self.target.hostname, self.target.port)
