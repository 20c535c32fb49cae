"""The servers of a run: Redis (alone, or a master with a replica and Sentinels), belfries, and a proxy before each.

Everything is started from the main thread and without blocking the loop; who ends without having been asked is noted."""

import asyncio
import contextlib
import signal

import redis

from belfry import PATIENCE, SANITIZER, Belfry, Process, RedisServer, environment, free_port, wait_for
from proxy import Proxy

MASTER = "torture"
TIMING = {"PING_INTERVAL": "1s", "PONG_TIMEOUT": "6s", "REDIS_TIMEOUT": "1s", "DRAIN_SECONDS": "1s"}
ROOM = {"TAPE_BYTES": "64K", "REPLAY_EVENTS": "1000000", "REPLAY_USER_EVENTS": "100000"}


class Redis(RedisServer):
    """A redis-server that can be started again without waiting for it."""

    def spawn_again(self):
        self.spawn(self.argv(self.port), environment({}))

    async def until_answers(self, seconds=20):
        async with asyncio.timeout(seconds * PATIENCE):
            while not await asyncio.to_thread(self.answers):
                await asyncio.sleep(0.05)

    async def do(self, *command):
        """One command, bounded; None if it cannot be asked now."""
        def ask():
            with contextlib.suppress(redis.exceptions.RedisError, OSError):
                return self.client(socket_timeout=1).execute_command(*command)
        return await asyncio.to_thread(ask)


class SentinelRedis(Redis):
    """One of two under Sentinel: its settings are a file, which is rewritten when it becomes master or replica, and so
    hold after a restart. Without a replica it takes no writes, so that a master which was replaced serves nobody."""

    def argv(self, port):
        path = self.dir / "conf"
        if not path.exists():
            words = [str(word) or '""' for word in super().argv(port)[1:]]
            words += ["min-replicas-to-write", "1", "min-replicas-max-lag", "2", "repl-diskless-sync-delay", "0"]
            path.write_text("".join(f"{name.removeprefix('--')} {value}\n" for name, value in zip(words[::2], words[1::2])))
        return ["redis-server", path]

    def follow(self, master):
        """Before it starts again: what a container's entry point does, which asks Sentinel first."""
        with open(self.dir / "conf", "a") as file:
            file.write(f"replicaof 127.0.0.1 {master.port}\n")


class Sentinel(Process):
    def __init__(self, master_port):
        super().__init__("sentinel")
        self.port = free_port()
        (self.dir / "conf").write_text(
            f"port {self.port}\nbind 127.0.0.1\ndir {self.dir}\nsentinel monitor {MASTER} 127.0.0.1 {master_port} 2\n"
            f"sentinel down-after-milliseconds {MASTER} 1000\nsentinel failover-timeout {MASTER} 6000\n")
        self.spawn(["redis-server", self.dir / "conf", "--sentinel"], environment({}))

    def client(self):
        return redis.Redis(port=self.port, decode_responses=True, socket_timeout=1)

    def answers(self):
        with contextlib.suppress(redis.exceptions.RedisError):
            return self.client().ping()

    def replicas(self):
        with contextlib.suppress(redis.exceptions.RedisError):
            return self.client().info("sentinel")["master0"]["slaves"]
        return 0


class Node(Belfry):
    """A belfry whose end is noted where nobody asked for it."""

    def __init__(self, env, proxy):
        self.proxy = proxy
        self.asked_to_end = False
        super().__init__(env, ready=False)
        wait_for(lambda: self.logged(len(self.logs("listening")) >= 2), 15, "the listening lines")
        self.addresses = {line["surface"]: line["address"] for line in self.logs("listening")}

    def spawn_again(self):
        self.asked_to_end = False
        self.start(ready=False)

    async def until_listening(self, seconds):
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds * PATIENCE):
                while self.running:
                    try:
                        (await asyncio.open_connection(*self.host_port))[1].close()
                        return True
                    except OSError:
                        await asyncio.sleep(0.02)
        return False

    async def until_ready(self, seconds=25):
        async with asyncio.timeout(seconds * PATIENCE):
            while not await asyncio.to_thread(self.ready):
                await asyncio.sleep(0.05)

    async def until_ended(self, seconds):
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds * PATIENCE):
                while self.running:
                    await asyncio.sleep(0.02)
        return not self.running


class Cluster:
    def __init__(self, seed, processes, failover=False, env=None, proxies=True):
        self.complaints = []
        self.redises, self.sentinels, self.nodes = [], [], []
        try:
            self.redises.append((SentinelRedis if failover else Redis)("--appendonly", "yes"))
            if failover:
                self.add_replica()
            for i in range(processes):
                proxy = Proxy(self.redises[0].url, unix=True, seed=f"{seed}-{i}") if proxies and not failover else None
                address = self.sentinel_url() if failover else proxy.url if proxy else self.redises[0].url
                self.nodes.append(Node({"WORKERS": "2", "REDIS_URL": address, "MAX_CONNECTIONS_PER_USER": "0", **TIMING,
                                        **ROOM, **({"REDIS_WAIT_REPLICAS": "1"} if failover else {}), **(env or {})}, proxy))
            for node in self.nodes:
                wait_for(lambda node=node: node.logged(node.ready()), 20, "/readyz")
        except BaseException:
            self.remove()
            raise

    def add_replica(self):
        """One: with WAIT for one replica and a second that may be promoted instead, Redis itself loses what it has
        acknowledged."""
        master = self.redises[0]
        self.redises.append(SentinelRedis("--appendonly", "yes", "--replicaof", f"127.0.0.1 {master.port}"))
        wait_for(lambda: self.redises[1].client().info("replication")["master_link_status"] == "up", 20, "the replica")
        self.sentinels = [Sentinel(master.port) for _ in range(3)]
        wait_for(lambda: all(s.answers() for s in self.sentinels), 10, "the Sentinels")
        wait_for(lambda: all(s.replicas() == 1 for s in self.sentinels), 30, "the Sentinels to know the replica")

    def sentinel_url(self):
        return "redis+sentinel://" + ",".join(f"127.0.0.1:{s.port}" for s in self.sentinels) + f"/{MASTER}/0"

    @property
    def servers(self):
        return [list(node.host_port) for node in self.nodes]

    async def master(self):
        """The Redis that is master now by its own word, the furthest where two say so; None while there is none."""
        roles = [(await server.do("ROLE"), server) for server in self.redises if server.running]
        masters = [(role[1], server) for role, server in roles if role and role[0] == "master"]
        return max(masters, key=lambda pair: pair[0])[1] if masters else None

    async def heal(self):
        """Everything runs and every path is open; raises TimeoutError where it does not become so."""
        for process in [*self.redises, *self.nodes]:
            process.resume()
            if not process.running:
                process.spawn_again()
        for node in self.nodes:
            if node.proxy:
                node.proxy.heal()
        for server in self.redises:
            await server.until_answers()
        for node in self.nodes:
            await node.until_ready()

    def look(self):
        """Notes who has ended by itself."""
        for node in self.nodes:
            if not node.running and not node.asked_to_end:
                node.asked_to_end = True
                self.complaints.append(f"the belfry on {node.address()} ended with {node.process.returncode}")

    async def stop(self):
        """The clean end of every belfry, looked at."""
        for node in self.nodes:
            node.asked_to_end = True
            node.signal(signal.SIGTERM)
        for node in self.nodes:
            if not await node.until_ended(10):
                self.complaints.append(f"the belfry on {node.address()} does not end")
            elif node.process.returncode != 0:
                self.complaints.append(f"the belfry on {node.address()} ended with {node.process.returncode}")
        for node in self.nodes:
            if SANITIZER.search(node.output()):
                self.complaints.append(f"the belfry on {node.address()}: a sanitizer's report")

    async def epochs(self):
        """Where each epoch ended, as the surviving master knows it."""
        master = await self.master()
        return {int(k): int(v) for k, v in (await asyncio.to_thread(master.client().hgetall, "ws:epochs")).items()}

    def keep_logs(self, folder):
        for kind, processes in (("redis", self.redises), ("sentinel", self.sentinels), ("belfry", self.nodes)):
            for i, process in enumerate(processes):
                (folder / f"{kind}-{i}.log").write_text(process.output())

    def remove(self):
        for node in self.nodes:
            node.remove()
            if node.proxy:
                node.proxy.close()
        for process in [*self.sentinels, *self.redises]:
            process.remove()
