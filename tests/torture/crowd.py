"""Many clients in one process, each with a character of its own; what they do and are told goes into their diaries.

The first line of stdin is the plan (JSON: seed, folder, servers, members, tokens, acks, ca). After it "finish EPOCH SEQ" makes
everybody stay until that position, and "end" saves the diaries. On stdout: "identity NAME CONNECTION_ID" when a member has
a new one, "done NAME" once it has reached the end, "saved" last.

    steady   stays, and comes back when it is closed
    churner  leaves all the time, in every way: aborted, closed, amid a replay, or with the next connection already open
    sleeper  stops reading for seconds, behind a small socket buffer
    fresh    leaves, and often begins anew without a position
    acker    acknowledges, leaves, and often resumes from what it has acknowledged
"""

import asyncio
import base64
import collections
import json
import os
import pathlib
import random
import re
import socket
import ssl
import struct
import sys
import urllib.parse

import record
from record import Diary

WELCOME_SECONDS = 6  # to wait for it, in vain at most
SILENCE_SECONDS = 4  # servers ping every second: after this one the client tries elsewhere
CHARACTERS = ("steady",) * 5 + ("churner",) * 3 + ("sleeper", "fresh", "acker")


class Line(asyncio.Protocol):
    """One WebSocket connection: bytes in, whole frames out to its member, until one of the two has had enough."""

    def __init__(self, member, head):
        self.member, self.head = member, head
        self.buffer = bytearray()
        self.upgraded = False
        self.transport = None
        self.ended = asyncio.get_running_loop().create_future()
        self.code, self.reason = 0, ""
        self.heard = asyncio.get_running_loop().time()

    def connection_made(self, transport):
        self.transport = transport
        transport.write(self.head)

    def data_received(self, data):
        self.heard = asyncio.get_running_loop().time()
        self.buffer += data
        if not self.upgraded:
            end = self.buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            if not self.buffer.startswith(b"HTTP/1.1 101 "):
                self.end()
                return
            del self.buffer[:end + 4]
            self.upgraded = True
        self.take_frames()

    def take_frames(self):
        buffer, at = self.buffer, 0
        while not self.ended.done() and len(buffer) - at >= 2:
            n, begin = buffer[at + 1], at + 2
            if n == 126:
                n, begin = int.from_bytes(buffer[at + 2:at + 4], "big") if len(buffer) >= at + 4 else 1 << 62, at + 4
            elif n == 127:
                n, begin = int.from_bytes(buffer[at + 2:at + 10], "big") if len(buffer) >= at + 10 else 1 << 62, at + 10
            if len(buffer) < begin + n:
                break
            opcode, payload, at = buffer[at] & 15, bytes(buffer[begin:begin + n]), begin + n
            self.frame(opcode, payload)
        del buffer[:at]

    def frame(self, opcode, payload):
        if opcode == 1:
            self.member.message(self, payload)
        elif opcode == 9:
            self.send(10, payload)
        elif opcode == 8:
            self.code = struct.unpack("!H", payload[:2])[0] if len(payload) >= 2 else 1005
            self.reason = payload[2:].decode(errors="replace")
            self.send(8, payload[:2])
            self.end()

    def send(self, opcode, payload):
        """At most 125 bytes, masked by zero."""
        if not self.transport.is_closing():
            self.transport.write(bytes((0x80 | opcode, 0x80 | len(payload), 0, 0, 0, 0)) + payload)

    def end(self, politely=False):
        if politely:
            self.send(8, struct.pack("!H", 1000))
            self.transport.close()
        elif self.transport:
            self.transport.abort()
        if not self.ended.done():
            self.ended.set_result(None)

    def connection_lost(self, _):
        self.end()


class Member:
    """One logical client over all its connections."""

    def __init__(self, crowd, name, user, character, seed):
        self.crowd, self.user, self.character = crowd, user, character
        self.random = random.Random(seed)
        self.diary = Diary(name, user)
        self.position = None  # as the server wrote it
        self.at = None
        self.identity, self.identity_index = None, None
        self.line = None
        self.welcomed = asyncio.Event()
        self.owed_answer = False  # recovering, and told neither caught_up nor resync_required
        self.leave_after = None  # events
        self.new_ack, self.acked_once = False, False
        self.done = False

    # ---- what comes

    def message(self, line, payload):
        if line is not self.line:
            return  # left already
        try:
            frame = json.loads(payload)
            kind, data, text = frame["type"], frame["data"], frame["event_id"]
            at = record.position(text)
        except (ValueError, KeyError, TypeError):
            self.diary.add(record.BROKEN, value=self.diary.text(f"unreadable: {payload[:300]!r}"))
            return
        self.position, self.at = text, at
        if kind == "bell" or "n" in data:
            self.diary.add(record.EVENT, at, data["n"])
            if self.leave_after is not None:
                self.leave_after -= 1
                if self.leave_after < 0:
                    line.end()
            self.new_ack = True
        elif kind == "welcome":
            self.take_welcome(at, data)
        elif kind == "caught_up":
            self.owed_answer = False
            self.diary.add(record.CAUGHT_UP, at, data["replayed"])
        elif kind == "resync_required":
            self.owed_answer = False
            self.diary.add(record.RESYNC, at, record.REASONS.index(data["reason"]))
        elif kind == "error":
            self.diary.add(record.BROKEN, value=self.diary.text(f"an error: {data}"))
        else:
            self.diary.add(record.OTHER, at)
        self.look_done()

    def take_welcome(self, at, data):
        if data["user_id"] != self.user or data["position"] != self.position:
            self.diary.add(record.BROKEN, value=self.diary.text(f"a wrong welcome at {self.position}: {data}"))
        if data["connection_id"] != self.identity:
            self.identity = data["connection_id"]
            self.identity_index = self.diary.text(self.identity)
            self.crowd.say(f"identity {self.diary.name} {self.identity}")
        flags = record.RESUMED * data["resumed"] | record.RECOVERING * data["recovering"]
        self.diary.add(record.WELCOME, at, self.identity_index << 4 | flags)
        self.owed_answer = data["recovering"]
        self.welcomed.set()

    def look_done(self):
        end = self.crowd.end
        if end and not self.done and self.at >= end and not self.owed_answer:
            self.done = True
            self.crowd.say(f"done {self.diary.name}")

    # ---- what it does

    async def run(self):
        await asyncio.sleep(self.random.uniform(0, max(1, len(self.crowd.members) / 200)))
        back = True
        while True:
            if back:
                self.diary.add(record.BACK)
            if not await self.connect():
                await asyncio.sleep(self.random.uniform(0.05, 0.3))
                back = False
                continue
            back = await self.live()

    def query(self):
        """How it asks this time, and what the diary says of that."""
        way, query = record.FRESH, {}
        if self.character == "acker" and self.acked_once and self.random.random() < 0.4:
            way, query["last_event_id"] = record.BY_ACKED, "acked"
            query["cursor"] = self.diary.name
        elif self.position and not (self.character == "fresh" and self.random.random() < 0.6 and not self.crowd.end):
            way, query["last_event_id"] = record.BY_POSITION, self.position
            if self.character == "acker":
                query["cursor"] = self.diary.name
        elif self.character == "acker":
            query["cursor"] = self.diary.name
        if self.identity and self.random.random() < 0.6:
            way |= record.WITH_IDENTITY
            query["connection_id"] = self.identity
        return way, urllib.parse.urlencode(query)

    async def connect(self):
        """A welcomed connection in self.line, or False."""
        host, port = self.random.choice(self.crowd.servers)
        loop = asyncio.get_running_loop()
        sock = socket.socket()
        if self.character == "sleeper":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        sock.setblocking(False)
        try:
            async with asyncio.timeout(2):
                await loop.sock_connect(sock, (host, port))
        except (OSError, TimeoutError):
            sock.close()
            return False
        # From here on the older connection is left, whatever still comes on it: it may have moved the position until now.
        way, query = self.query()
        line = Line(self, (f"GET /ws{'?' + query if query else ''} HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\n"
                           f"Connection: Upgrade\r\nSec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}\r\n"
                           "Sec-WebSocket-Version: 13\r\n"
                           f"Authorization: Bearer {self.crowd.tokens[self.user]}\r\n\r\n").encode())
        old, self.line = self.line, line
        self.diary.add(record.CONNECT, self.at if way & 3 == record.BY_POSITION else (0, 0), way)
        self.welcomed.clear()
        self.leave_after = self.random.randint(0, 40) if self.character == "churner" and self.random.random() < 0.4 else None
        if old:
            old.end()
        try:
            await loop.create_connection(lambda: line, sock=sock, ssl=self.crowd.tls,
                                         server_hostname=host if self.crowd.tls else None)
        except OSError:  # amid the TLS handshake
            await self.after_end(line)
            return False
        for_welcome = asyncio.ensure_future(self.welcomed.wait())
        await asyncio.wait((for_welcome, line.ended), timeout=WELCOME_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        for_welcome.cancel()
        if self.welcomed.is_set():
            return True
        await self.after_end(line)
        return False

    async def after_end(self, line):
        """The line has ended or is given up: what the close code asks for, then a wait."""
        line.end()
        self.line = None
        self.diary.add(record.CLOSED, value=line.code)
        retry = re.match(r"retry_after_ms=(\d+)", line.reason)
        if retry:
            await asyncio.sleep(min(int(retry[1]) / 1000, 2) * self.random.uniform(1, 1.3))
        elif line.code != 1012:
            await asyncio.sleep(self.random.uniform(0.02, 0.3))

    async def live(self):
        """Until this connection is over; True if that was the member's own will."""
        line, moment = self.line, self.next_moment()
        loop = asyncio.get_running_loop()
        if self.character == "acker":
            acks = asyncio.ensure_future(self.keep_acknowledging(line))
            line.ended.add_done_callback(lambda _: acks.cancel())
        until = loop.time() + moment
        while not line.ended.done():
            now = loop.time()
            if now >= until and not self.crowd.end:
                if await self.act(line):
                    return True
                until = loop.time() + self.next_moment()
            elif now - line.heard > SILENCE_SECONDS:
                break
            await asyncio.wait((line.ended,), timeout=min(max(until - now, 0.05), 0.5))
            if not line.ended.done() and self.random.random() < 0.5:
                line.send(1, b'{"type":"ping"}')  # the answer tells a position, at a moment of ours
        own_will = self.leave_after is not None and self.leave_after < 0
        await self.after_end(line)
        return own_will

    def next_moment(self):
        return {"steady": 1e9, "churner": self.random.uniform(0.1, 2), "sleeper": self.random.uniform(0.5, 4),
                "fresh": self.random.uniform(0.3, 3), "acker": self.random.uniform(0.5, 4)}[self.character]

    async def act(self, line):
        """Does what its character is known for; True if it has left the line."""
        if self.character == "sleeper":
            line.transport.pause_reading()
            await asyncio.wait((self.crowd.ending,), timeout=self.random.uniform(0.5, 4))
            self.diary.add(record.BACK)
            line.heard = asyncio.get_running_loop().time()
            if not line.transport.is_closing():
                line.transport.resume_reading()
            return False
        if self.random.random() < 0.3:
            return True  # connects anew first
        self.line = None
        line.end(politely=self.random.random() < 0.5)
        self.diary.add(record.CLOSED)
        await asyncio.wait((self.crowd.ending,), timeout=self.random.choice((0, 0.05, 0.5, 1.5)) * self.random.random())
        return True

    async def keep_acknowledging(self, line):
        while True:
            await asyncio.sleep(self.random.uniform(0.1, 1))
            if self.crowd.acks and self.new_ack and line is self.line:
                self.new_ack = False
                self.acked_once = True
                self.diary.add(record.ACKED, self.at)
                line.send(1, json.dumps({"type": "ack", "event_id": self.position}).encode())


class Crowd:
    def __init__(self, plan):
        self.folder = pathlib.Path(plan["folder"])
        self.servers = [tuple(s) for s in plan["servers"]]
        self.tokens = plan["tokens"]
        self.acks = plan["acks"]
        self.tls = ssl.create_default_context(cafile=plan["ca"]) if plan.get("ca") else None
        self.end = None
        self.ending = asyncio.get_running_loop().create_future()
        self.members = [Member(self, name, user, character, f"{plan['seed']}-{name}")
                        for name, user, character in plan["members"]]

    def say(self, line):
        sys.stdout.write(line + "\n")
        sys.stdout.flush()

    def finish(self, end):
        self.end = end
        self.ending.set_result(None)
        for member in self.members:
            member.leave_after = None
            if member.at:
                member.look_done()

    def save(self):
        for member in self.members:
            member.diary.save(self.folder)
        self.say("saved")


async def main():
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=1 << 24)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    crowd = Crowd(json.loads(await reader.readline()))
    failures = collections.Counter()

    def watch(task):
        if not task.cancelled() and task.exception():
            failures[repr(task.exception())] += 1
            loop.call_exception_handler({"message": "a member failed", "exception": task.exception()})

    for member in crowd.members:
        member.task = loop.create_task(member.run())
        member.task.add_done_callback(watch)
    while command := (await reader.readline()).decode().split():
        if command[0] == "finish":
            crowd.finish((int(command[1]), int(command[2])))
        elif command[0] == "end":
            break
    crowd.save()
    os._exit(1 if failures else 0)


if __name__ == "__main__":
    asyncio.run(main())
