"""A worker whose subscriber connection was lost reads back from Redis what was broadcast meanwhile, before anything else."""

import asyncio
import contextlib
import threading
import time

import requests

from belfry import PATIENCE, RedisServer, token, wait_for
from clients import Client, user
from proxy import Proxy

PUBLISHER = token("publisher", "events:publish")


def order(event_id):
    epoch, rest = event_id.split("-")
    seq, _, n = rest.partition(".")
    return int(epoch), int(seq), int(n or 0)


class Publisher:
    """Broadcasts in a thread, without a pause, until the end of the block; `ids` are those that Redis holds."""

    def __init__(self, server):
        self.server, self.ids, self.ended = server, [], False
        self.thread = threading.Thread(target=self.run)

    def run(self):
        with requests.Session() as session:
            session.headers["Authorization"] = f"Bearer {PUBLISHER}"
            while not self.ended:
                body = {"type": "of.many", "data": {"n": len(self.ids)}, "audience": "broadcast"}
                answer = session.post(self.server.http("/events"), json=body, timeout=10 * PATIENCE)
                if answer.status_code == 202:
                    self.ids.append(answer.json()["event_id"])
                time.sleep(0.001)

    def published(self, n):
        """Waits for n more."""
        goal = len(self.ids) + n
        wait_for(lambda: len(self.ids) >= goal, 20, f"{n} broadcasts")

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended = True
        self.thread.join(30 * PATIENCE)


def publish(server, n):
    return [server.publish("of.many", {"n": i})["event_id"] for i in range(n)]


async def arrives(server, client):
    """Broadcasts until one comes, so that all before it have been delivered or given up."""
    for n in range(200):
        await asyncio.to_thread(server.publish, "the.end", {"n": n})
        with contextlib.suppress(TimeoutError):
            return await client.next("the.end", 0.2)
    raise AssertionError("no event arrives")


def judge(client, published):
    """All came, once and in order, and nobody was told to resync."""
    assert [f["event_id"] for f in client.frames] == sorted((f["event_id"] for f in client.frames), key=order)
    assert [e["event_id"] for e in client.events() if e["type"] == "of.many"] == published
    assert [f["data"] for f in client.frames if f["type"] == "resync_required"] == []


def judge_told(client, had, after):
    """Its position is of a history that is lost: it is told so once, and gets what comes after the head of that read."""
    told = [f for f in client.frames if f["type"] == "resync_required"]
    assert [f["data"]["reason"] for f in told] == ["epoch"]
    head = order(told[0]["event_id"])
    came = [e["event_id"] for e in client.events() if e["type"] == "of.many"]
    assert came == had + [i for i in after if order(i) > head]


def read_back(server, n):
    """The n-th time that a worker's tape was completed."""
    return wait_for(lambda: len(server.logs("broadcasts_read_back")) >= n and server.logs("broadcasts_read_back")[n - 1],
                    15, f"completing the tape for the {n}. time")


def epoch_began(server):
    return server.wait_log("redis_subscription_lost", 10, reason="a new epoch of the log began")


# ---- a new worker


def test_a_new_worker_has_the_broadcasts_of_the_log_before_it_is_ready(belfry):
    publish(belfry(), 300)
    found = read_back(belfry(), 1)
    assert (found["events"], found["complete"]) == (300, "yes")


def test_its_tape_begins_where_the_log_begins(belfry, redis_server):
    publish(belfry(), 300)
    redis_server.client().xtrim("ws:log:broadcast", maxlen=100, approximate=False)
    found = read_back(belfry(), 1)
    assert (found["events"], found["complete"]) == (100, "no")


def test_no_more_is_read_than_the_tape_holds(belfry):
    publish(belfry(), 1500)
    found = read_back(belfry({"TAPE_BYTES": "64K"}), 1)
    assert 64 * 1024 <= found["bytes"] < 65 * 1024 and found["complete"] == "no"


def test_what_others_put_into_the_log_is_counted_and_dropped(belfry, redis_server):
    publish(belfry(), 20)
    redis = redis_server.client()
    last = redis.hget("ws:head", "last")
    epoch, seq, _ = order(last)
    redis.xadd("ws:log:broadcast", {"junk": "x", "payload": "no JSON"}, f"{epoch}-{seq + 1000}")
    found = read_back(belfry(), 1)
    assert (found["events"], found["complete"]) == (20, "yes")


# ---- the connection is lost


async def test_the_subscriber_connection_is_killed_while_broadcasts_go_on(belfry, redis_server):
    server = belfry()
    async with await Client.connect(server, token(user())) as client:
        await client.welcome()
        with Publisher(server) as publisher:
            for n in range(2, 7):
                await asyncio.to_thread(publisher.published, 30)
                redis_server.client().execute_command("CLIENT", "KILL", "TYPE", "pubsub")
                assert (await asyncio.to_thread(read_back, server, n))["complete"] == "yes"
            await asyncio.to_thread(publisher.published, 30)
        await arrives(server, client)
        judge(client, publisher.ids)
    assert sum(line["events"] for line in server.logs("broadcasts_read_back")) <= len(publisher.ids)


async def test_broadcasts_of_a_long_silence_are_read_back(belfry, redis_server):
    one, two = Proxy(redis_server.tcp_url), belfry()
    with one:
        server = belfry({"REDIS_URL": one.url})
        async with await Client.connect(server, token(user())) as client:
            await client.welcome()
            ids = await asyncio.to_thread(publish, two, 10)
            one.refuse()
            one.cut()
            ids += await asyncio.to_thread(publish, two, 400)
            one.heal()
            found = await asyncio.to_thread(read_back, server, 2)
            assert (found["events"], found["complete"]) == (400, "yes")
            await arrives(server, client)
            judge(client, ids)


async def test_a_subscriber_connection_that_lags_is_read_back_and_loses_nothing(belfry, redis_server):
    with Proxy(redis_server.tcp_url) as proxy:
        server = belfry({"REDIS_URL": proxy.url})
        async with await Client.connect(server, token(user())) as client:
            await client.welcome()
            proxy.shape("down", who="subscriber", delay=0.2)
            with Publisher(server) as publisher:
                for n in range(2, 5):
                    await asyncio.to_thread(publisher.published, 50)
                    proxy.cut(who="subscriber")
                    assert (await asyncio.to_thread(read_back, server, n))["complete"] == "yes"
                await asyncio.to_thread(publisher.published, 50)
            proxy.heal()
            await arrives(server, client)
            judge(client, publisher.ids)


async def test_users_are_subscribed_after_the_gap(belfry, redis_server):
    server = belfry()
    clients = []
    for _ in range(20):
        clients.append(await Client.connect(server, token(user())))
        await clients[-1].welcome()
    redis_server.client().execute_command("CLIENT", "KILL", "TYPE", "pubsub")
    await asyncio.to_thread(read_back, server, 2)
    channels = 2 + 2 * len(clients)
    await asyncio.to_thread(wait_for, lambda: len(redis_server.client().pubsub_channels("ws:*")) == channels)
    for client in clients:
        await arrives(server, client)
        await client.close()


# ---- the history is lost


async def test_an_epoch_that_begins_under_living_connections(belfry, redis_server):
    server = belfry()
    async with await Client.connect(server, token(user())) as client:
        await client.welcome()
        with Publisher(server) as publisher:
            await asyncio.to_thread(publisher.published, 50)
            replica = RedisServer("--replicaof", "127.0.0.1", redis_server.port)  # the first one changes the replid
            try:
                await asyncio.to_thread(epoch_began, server)
                assert (await asyncio.to_thread(read_back, server, 2))["complete"] == "yes"
                await asyncio.to_thread(publisher.published, 50)
            finally:
                replica.remove()
        await arrives(server, client)
        judge(client, publisher.ids)
    assert len({order(i)[0] for i in publisher.ids}) == 2


async def test_a_head_that_somebody_deletes_while_logs_remain(belfry, redis_server):
    server = belfry()
    async with await Client.connect(server, token(user())) as client:
        await client.welcome()
        before = await asyncio.to_thread(publish, server, 20)
        assert (await client.next("of.many", n=19))["event_id"] == before[-1]
        redis_server.client().delete("ws:head")
        after = await asyncio.to_thread(publish, server, 20)
        await asyncio.to_thread(epoch_began, server)
        await asyncio.to_thread(read_back, server, 2)
        await arrives(server, client)
        judge_told(client, before, after)
        assert order(after[0])[0] > order(before[-1])[0]


@contextlib.contextmanager
def pair():
    """A master and its replica."""
    master = RedisServer("--repl-diskless-sync-delay", "0")
    try:
        replica = RedisServer("--replicaof", "127.0.0.1", master.port)
        try:
            wait_for(lambda: replica.client().info("replication")["master_link_status"] == "up")
            yield master, replica
        finally:
            replica.remove()
    finally:
        master.remove()


async def test_a_failover_that_loses_100_events_and_then_takes_200(belfry):
    with pair() as (master, replica), Proxy(master.tcp_url) as proxy:
        server = belfry({"REDIS_URL": proxy.url})
        async with await Client.connect(server, token(user())) as client:
            await client.welcome()
            kept = await asyncio.to_thread(publish, server, 50)
            assert master.client().wait(1, 5000) == 1
            replica.client().replicaof("NO", "ONE")
            lost = await asyncio.to_thread(publish, server, 100)
            assert (await client.next("of.many", n=99))["event_id"] == lost[-1]
            proxy.retarget(replica.tcp_url)
            master.kill()
            proxy.cut()
            two = belfry({"REDIS_URL": replica.url})
            taken = await asyncio.to_thread(publish, two, 200)
            found = await asyncio.to_thread(read_back, server, 2)
            assert found["complete"] == "yes" and found["events"] <= 200
            await arrives(server, client)
            judge_told(client, kept + lost, taken)
            log = [i for i, e in replica.client().xrange("ws:log:broadcast") if "of.many" in e["payload"]]
            assert log == kept + taken
            assert replica.client().hget("ws:epochs", order(kept[-1])[0]) == str(order(kept[-1])[1])


# ---- Redis answers otherwise


def test_a_worker_that_may_not_read_the_log_says_so_and_is_ready_once_it_may(belfry, redis_server):
    redis = redis_server.client()
    publish(belfry(), 10)
    redis.execute_command("ACL", "SETUSER", "belfry", "on", ">secret", "~*", "&*", "+@all", "-xrevrange")
    server = belfry({"REDIS_URL": f"redis://belfry:secret@127.0.0.1:{redis_server.port}"}, ready=False)
    assert "EXECABORT" in server.wait_log("broadcasts_not_read_back")["reply"]
    address = server.wait_log("listening", surface="metrics")["address"]
    assert requests.get(f"http://{address}/readyz", timeout=5).status_code == 503
    redis.execute_command("ACL", "SETUSER", "belfry", "+xrevrange")
    assert read_back(server, 1)["events"] == 10
    wait_for(lambda: requests.get(f"http://{address}/readyz", timeout=5).status_code == 200)
