"""What goes wrong in a run, decided by the seed alone: which fault, when, for how long, on whom. Every action is logged.

Each fault is a coroutine that breaks something, waits, and repairs it. Two may overlap, but not on the same victim."""

import asyncio
import random
import signal

from record import now_us

PAUSES = (0.3, 5.0, 0.5)  # seconds that something is stopped, held or swallowed: least, most, and the most frequent


class Nemesis:
    def __init__(self, seed, cluster, failover=False, only=None, calm=0.0, say=lambda line: None):
        self.random = random.Random(f"{seed}-nemesis")
        self.cluster, self.say = cluster, say
        self.faults = []  # (µs, kind)
        self.actions = []  # (µs, words)
        self.busy = set()
        self.running = set()
        self.failures = []
        nodes = [(4, self.belfry_killed), (3, self.belfry_restarted), (3, self.belfry_stopped)]
        paths = [(3, self.path_cut), (2, self.subscriber_cut), (3, self.path_slow), (2, self.subscriber_slow),
                 (2, self.path_torn), (2, self.path_held), (2, self.path_swallowed), (2, self.path_refused)]
        alone = [(3, self.redis_killed), (2, self.redis_restarted), (3, self.redis_stopped)]
        orders = [(2, self.subscribers_killed), (1, self.scripts_flushed)]
        pair = [(3, self.master_killed), (2, self.failover_ordered), (2, self.master_stopped)]
        self.table = nodes + orders + (pair if failover else paths + alone)
        if only:
            self.table = [(weight, fault) for weight, fault in self.table if fault.__name__ == only]
        self.calm = calm  # seconds without a fault before each, for what one costs by itself

    async def run(self, until):
        """Breaks things until the loop's time is `until`, then waits for the repairs."""
        loop = asyncio.get_running_loop()
        while True:
            # Drawn in any case and in this order, so that a fault that finds its victim busy changes nothing of the rest.
            wait, overlap = self.random.uniform(0.05, 0.8), self.random.random() < 0.5
            fault = self.random.choices([f for _, f in self.table], [w for w, _ in self.table])[0]
            own = random.Random(self.random.getrandbits(64))
            while self.calm and self.running and loop.time() < until:
                await asyncio.wait(self.running, timeout=0.2)
            await asyncio.sleep(min(wait + self.calm, max(0, until - loop.time())))
            while self.running and (not overlap or len(self.running) > 1) and loop.time() < until:
                await asyncio.wait(self.running, timeout=0.2, return_when=asyncio.FIRST_COMPLETED)
            if loop.time() >= until:
                break
            task = asyncio.create_task(fault(own))
            self.running.add(task)
            task.add_done_callback(self.over)
        if self.running:
            await asyncio.wait(self.running, timeout=40)

    def over(self, task):
        self.running.discard(task)
        if not task.cancelled() and task.exception():
            self.failures.append(f"a repair failed: {task.exception()!r}")

    def log(self, words):
        self.actions.append((now_us(), words))
        self.say(words)

    def begin(self, kind, words=""):
        self.faults.append((now_us(), kind))
        self.log(f"{kind} {words}".strip())

    def take(self, victims):
        """A victim that is not busy, now busy; None if there is none."""
        for victim in victims:
            if victim not in self.busy:
                self.busy.add(victim)
                return victim
        return None

    def node(self, own):
        """(index, node) of one that is left alone by others, and whose path is."""
        order = list(enumerate(self.cluster.nodes))
        own.shuffle(order)
        return self.take(order)

    # ---- belfries

    async def on_node(self, own, kind, breaking):
        victim = self.node(own)
        if not victim:
            return
        try:
            self.begin(kind, f"belfry {victim[0]}")
            await breaking(victim[1])
            self.log(f"{kind} over, belfry {victim[0]}")
        finally:
            self.busy.discard(victim)

    async def belfry_killed(self, own):
        async def breaking(node):
            node.asked_to_end = True
            node.kill()
            await asyncio.sleep(own.uniform(0, 1))
            node.spawn_again()
        await self.on_node(own, "belfry killed", breaking)

    async def belfry_restarted(self, own):
        async def breaking(node):
            if not await node.until_listening(10):  # before that a signal just ends it
                self.failures.append(f"the belfry on {node.address()} does not listen")
            node.asked_to_end = True
            node.signal(signal.SIGTERM)
            if not await node.until_ended(15):
                self.failures.append(f"the belfry on {node.address()} does not end after SIGTERM")
                node.kill()
            elif node.process.returncode != 0:
                self.failures.append(f"the belfry on {node.address()} ended with {node.process.returncode} after SIGTERM")
            node.spawn_again()
        await self.on_node(own, "belfry restarted", breaking)

    async def belfry_stopped(self, own):
        async def breaking(node):
            node.pause()
            await asyncio.sleep(own.triangular(*PAUSES))
            node.resume()
        await self.on_node(own, "belfry stopped", breaking)

    # ---- the path to Redis

    async def on_path(self, own, kind, rule=None, who="all", direction="both", seconds=PAUSES, cut=None):
        async def breaking(node):
            if rule:
                node.proxy.shape(direction, who, **rule)
                await asyncio.sleep(own.triangular(*seconds))
                node.proxy.heal()
            if cut:
                node.proxy.cut(cut)
        await self.on_node(own, kind, breaking)

    async def path_cut(self, own):
        await self.on_path(own, "path cut", cut=own.choice(("all", "command")))

    async def subscriber_cut(self, own):
        await self.on_path(own, "subscriber cut", cut="subscriber")

    async def path_slow(self, own):
        await self.on_path(own, "path slow", {"delay": own.uniform(0.02, 0.4)}, who=own.choice(("all", "command")),
                           direction=own.choice(("both", "up", "down")))

    async def subscriber_slow(self, own):
        await self.on_path(own, "subscriber slow", {"delay": own.uniform(0.1, 0.6)}, who="subscriber", direction="down")

    async def path_torn(self, own):
        await self.on_path(own, "path torn", {"torn": True}, direction=own.choice(("both", "up", "down")),
                           seconds=(0.5, 2, 0.5))

    async def path_held(self, own):
        await self.on_path(own, "path held", {"hold": True}, who=own.choice(("all", "command", "subscriber")),
                           direction=own.choice(("both", "up", "down")))

    async def path_swallowed(self, own):
        await self.on_path(own, "path swallowed", {"swallow": True})

    async def path_refused(self, own):
        async def breaking(node):
            node.proxy.refuse()
            node.proxy.cut()
            await asyncio.sleep(own.triangular(*PAUSES))
            node.proxy.heal()
        await self.on_node(own, "path refused", breaking)

    # ---- Redis

    async def on_redis(self, kind, breaking):
        server = self.take([self.cluster.redises[0]])
        if not server:
            return
        try:
            self.begin(kind)
            await breaking(server)
            await server.until_answers()
            self.log(f"{kind} over")
        finally:
            self.busy.discard(server)

    async def redis_killed(self, own):
        async def breaking(server):
            server.kill()
            await asyncio.sleep(own.uniform(0, 1))
            server.spawn_again()
        await self.on_redis("redis killed", breaking)

    async def redis_restarted(self, own):
        async def breaking(server):
            server.signal(signal.SIGTERM)
            await asyncio.to_thread(server.process.wait, 20)
            server.spawn_again()
        await self.on_redis("redis restarted", breaking)

    async def redis_stopped(self, own):
        async def breaking(server):
            server.pause()
            await asyncio.sleep(own.triangular(*PAUSES))
            server.resume()
        await self.on_redis("redis stopped", breaking)

    async def order(self, kind, *command):
        master = await self.cluster.master()
        if master:
            self.begin(kind)
            await master.do(*command)

    async def subscribers_killed(self, own):
        await self.order("subscribers killed", "CLIENT", "KILL", "TYPE", "pubsub")

    async def scripts_flushed(self, own):
        await self.order("scripts flushed", "SCRIPT", "FLUSH")

    # ---- a master and its replica

    async def on_master(self, kind, breaking):
        if not self.take(["master"]):
            return
        try:
            master = await self.cluster.master()
            if not master or not await self.whole():
                return
            self.begin(kind)
            await breaking(master)
            await self.until_whole(30)
            self.log(f"{kind} over")
        finally:
            self.busy.discard("master")

    async def whole(self):
        """One master, and all others its replicas."""
        roles = [await server.do("ROLE") for server in self.cluster.redises]
        return all(roles) and [role[0] for role in roles].count("master") == 1 and \
            all(role[3] == "connected" for role in roles if role[0] != "master")

    async def until_whole(self, seconds):
        async with asyncio.timeout(seconds):
            while not await self.whole():
                await asyncio.sleep(0.2)

    async def until_promoted(self, old, seconds=12):
        async with asyncio.timeout(seconds):
            while await self.cluster.master() in (None, old):
                await asyncio.sleep(0.1)

    async def master_killed(self, own):
        async def breaking(master):
            master.kill()
            await self.until_promoted(master)
            await asyncio.sleep(own.uniform(0, 1))
            master.follow(await self.cluster.master())
            master.spawn_again()
        await self.on_master("master killed", breaking)

    async def failover_ordered(self, own):
        async def breaking(master):
            sentinel = own.choice(self.cluster.sentinels)
            await asyncio.to_thread(sentinel.client().execute_command, "SENTINEL", "FAILOVER", "torture")
            await self.until_promoted(master)
        await self.on_master("failover ordered", breaking)

    async def master_stopped(self, own):
        async def breaking(master):
            master.pause()
            await asyncio.sleep(own.uniform(2, 6))
            master.resume()
        await self.on_master("master stopped", breaking)
