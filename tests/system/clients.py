"""Independent WebSocket clients: a well-behaved one on the `websockets` library, and a raw one that need not behave."""

import asyncio
import base64
import json
import os
import socket
import struct
import uuid

import websockets
from websockets.asyncio.client import connect as websocket_connect

from belfry import PATIENCE


def user():
    """A user id that no other test uses."""
    return f"u-{uuid.uuid4().hex[:12]}"


class Client:
    """Records every frame. `frames` holds all since the beginning; next() walks through them once, in order."""

    def __init__(self, ws):
        self.ws = ws
        self.frames = []
        self.at = 0
        self.news = asyncio.Event()
        self.reader = asyncio.create_task(self.read())

    @classmethod
    async def connect(cls, server, token=None, way="subprotocol", query="", cookie="token", **options):
        """`way` is how the token travels: subprotocol, header, cookie, query; `query` is what else stands in the URL."""
        headers = dict(options.pop("additional_headers", {}))
        if token is not None:
            if way == "subprotocol":
                options.setdefault("subprotocols", ["belfry.v1", f"bearer.{token}"])
            elif way == "header":
                headers["Authorization"] = f"Bearer {token}"
            elif way == "cookie":
                headers["Cookie"] = f"{cookie}={token}"
            else:
                query = f"token={token}&{query}" if query else f"token={token}"
        options.setdefault("compression", None)
        ws = await websocket_connect(
            server.ws("?" + query if query else ""), additional_headers=headers, proxy=None, ping_interval=None,
            open_timeout=10 * PATIENCE, close_timeout=2, max_size=4 * 1024 * 1024, max_queue=None, **options)
        return cls(ws)

    async def read(self):
        try:
            async for text in self.ws:
                self.frames.append(json.loads(text))
                self.news.set()
        except websockets.ConnectionClosed:
            pass
        finally:
            self.news.set()

    async def next(self, type=None, timeout=5.0, **data):
        """The next frame that was not looked at; with a type or members of data, the next one that has them."""
        async with asyncio.timeout(timeout * PATIENCE):
            while True:
                while self.at < len(self.frames):
                    frame = self.frames[self.at]
                    self.at += 1
                    if type in (None, frame["type"]) and data.items() <= frame.get("data", {}).items():
                        return frame
                if self.reader.done():
                    raise AssertionError(f"closed {self.ws.close_code} {self.ws.close_reason!r} while waiting for "
                                         f"{type or 'a frame'} {data or ''}")
                self.news.clear()
                await self.news.wait()

    async def welcome(self):
        frame = await self.next()
        assert frame["type"] == "welcome", frame
        return frame

    async def send(self, type, **members):
        await self.ws.send(json.dumps({"type": type, **members}))

    async def send_text(self, text):
        await self.ws.send(text)

    async def closed(self, timeout=5.0):
        """Waits for the server's close; (code, reason)."""
        async with asyncio.timeout(timeout * PATIENCE):
            await asyncio.shield(self.reader)
        return self.ws.close_code, self.ws.close_reason

    async def quiet(self, seconds=0.3):
        """Nothing but pings arrives for a while: proof only together with a later frame that did arrive."""
        await asyncio.sleep(seconds)
        rest, self.at = self.frames[self.at:], len(self.frames)
        assert [f for f in rest if f["type"] != "ping"] == []

    def events(self):
        """All frames that are none of the protocol's own."""
        own = {"welcome", "caught_up", "ping", "pong", "ack", "error", "resync_required", "reconnect"}
        return [f for f in self.frames if f["type"] not in own]

    async def close(self):
        await self.ws.close()
        await self.reader

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        await self.close()


TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


class Raw:
    """A socket and the bytes on it: handshakes and frames as wrong as a test wants them."""

    def __init__(self, reader, writer):
        self.reader = reader
        self.writer = writer

    @classmethod
    async def open(cls, server, receive_buffer=None):
        """With a receive buffer (bytes) of its own, a client that does not read is felt by the server at once."""
        limit = 4 * 1024 * 1024
        sock = socket.socket()
        if receive_buffer is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            limit = receive_buffer
        sock.setblocking(False)
        async with asyncio.timeout(5 * PATIENCE):
            await asyncio.get_running_loop().sock_connect(sock, server.host_port)
            return cls(*await asyncio.open_connection(sock=sock, limit=limit))

    @classmethod
    async def websocket(cls, server, token=None, query="", receive_buffer=None):
        """A connection after the handshake."""
        raw = await cls.open(server, receive_buffer)
        protocols = {"Sec-WebSocket-Protocol": f"belfry.v1, bearer.{token}"} if token else {}
        status, _, body = await raw.handshake(server, query=query, **protocols)
        assert status == 101, (status, body)
        return raw

    async def handshake(self, server, method="GET", version="HTTP/1.1", query="", path="/ws", **headers):
        """Sends an upgrade request, of which headers replaces lines (None drops one); (status, headers, body)."""
        lines = {
            "Host": server.address(),
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
            "Sec-WebSocket-Version": "13",
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items() if value is not None)
        await self.send(f"{method} {path}{query} {version}\r\n{head}\r\n".encode())
        return await self.response()

    async def send(self, data):
        self.writer.write(data)
        await self.writer.drain()

    async def response(self):
        async with asyncio.timeout(5 * PATIENCE):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            first, *lines = head.strip().split("\r\n")
            headers = {name.strip().lower(): value.strip() for name, value in (line.split(":", 1) for line in lines)}
            length = int(headers.get("content-length", 0))
            body = await self.reader.readexactly(length) if length else b""
            return int(first.split(" ")[1]), headers, body

    @staticmethod
    def frame(opcode, payload=b"", fin=True, rsv=0, masked=True, length=None):
        """The bytes of one frame; `length` replaces the true one in the header."""
        payload = payload.encode() if isinstance(payload, str) else payload
        n = len(payload) if length is None else length
        size = bytes([n]) if n < 126 else b"\x7e" + struct.pack("!H", n) if n < 65536 else b"\x7f" + struct.pack("!Q", n)
        head = bytes([(0x80 if fin else 0) | rsv << 4 | opcode]) + size
        if not masked:
            return head + payload
        mask = os.urandom(4)
        return (head[:1] + bytes([head[1] | 0x80]) + head[2:] + mask
                + bytes(b ^ mask[i % 4] for i, b in enumerate(payload)))

    async def send_frame(self, opcode, payload=b"", **options):
        await self.send(self.frame(opcode, payload, **options))

    async def send_message(self, type, **members):
        await self.send_frame(TEXT, json.dumps({"type": type, **members}))

    async def read_frame(self, timeout=5.0):
        """(opcode, payload) of the next frame, which a server must not mask or fragment."""
        async with asyncio.timeout(timeout * PATIENCE):
            first, second = await self.reader.readexactly(2)
            assert first & 0x80 and not first & 0x70 and not second & 0x80, (first, second)
            n = second
            if n == 126:
                n = struct.unpack("!H", await self.reader.readexactly(2))[0]
            elif n == 127:
                n = struct.unpack("!Q", await self.reader.readexactly(8))[0]
            return first & 15, await self.reader.readexactly(n)

    async def next(self, type, timeout=5.0):
        """The next text message of that type."""
        async with asyncio.timeout(timeout * PATIENCE):
            while True:
                opcode, payload = await self.read_frame(timeout)
                assert opcode != CLOSE, payload
                if opcode == TEXT and json.loads(payload)["type"] == type:
                    return json.loads(payload)

    async def read_close(self, timeout=5.0):
        """Reads up to the close frame and the end of the stream; (code, reason)."""
        async with asyncio.timeout(timeout * PATIENCE):
            while True:
                opcode, payload = await self.read_frame(timeout)
                if opcode == CLOSE:
                    return struct.unpack("!H", payload[:2])[0], payload[2:].decode()

    async def at_end(self, timeout=5.0):
        """True once the server has closed the TCP connection."""
        async with asyncio.timeout(timeout * PATIENCE):
            while True:
                try:
                    if not await self.reader.read(65536):
                        return True
                except ConnectionResetError:
                    return True

    async def close(self):
        self.writer.close()

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        await self.close()
