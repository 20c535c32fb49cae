"""The Lua scripts on a real redis-server, without belfry: calls and fixtures."""

import contextlib
import itertools
import json
import time

import pytest

from belfry import PATIENCE, ROOT, RedisServer, wait_for

TEXTS = {name: "".join((ROOT / "pubsub" / f"{part}.lua").read_text() for part in parts) for name, parts in {
    "publish": ["publish_usage", "common", "publish"],
    "canary": ["common", "canary"],
    "totals": ["totals"],
    "erase": ["common", "erase"],
    "cursors": ["cursors"],
    "register": ["identity", "register"],
    "leave": ["identity", "leave"],
    "reap": ["identity", "reap"],
    "disconnect": ["identity", "disconnect"],
    "offline": ["identity", "offline"],
}.items()}
HEAD = ' {"type":"notification","event_id":"'
TAIL = '","timestamp":"2025-11-08T22:00:00.123Z","data":{"title":"Hello","message":"%s"}}'
MINUTE = 60_000
DAY = 24 * 60 * MINUTE
numbers = itertools.count()


class Scripts:
    """Calls of the scripts on one Redis, below a prefix of their own."""

    def __init__(self, client, prefix=None):
        self.client = client
        self.prefix = prefix or f"t{next(numbers)}:"
        self.idem, self.fingerprint, self.remember = "-", "", 0
        self.settings = [10000, 500, DAY]
        self.grace = ""  # LIFECYCLE is off

    def key(self, name):
        return self.prefix + name

    def arguments(self, events, seen=0):
        keys = [self.key(k) for k in ("head", "epochs", "minutes", "log:broadcast", "conns", "idem:" + self.idem)]
        argv = [seen, *self.settings, self.fingerprint, self.remember, len(events)]
        for text, replay, audiences in events:
            argv += [HEAD, TAIL % text, int(replay), len(audiences)]
            for kind, name in audiences:
                argv += [kind, name]
                keys += {"broadcast": [], "user": [self.key("log:user:" + name)],
                         "connection": [self.key("log:conn:" + name), self.key("away:" + name)]}[kind]
        return keys, argv

    def call(self, events, seen=0):
        keys, argv = self.arguments(events, seen)
        return self.client.eval(TEXTS["publish"], len(keys), *keys, *argv)

    def publish(self, *audiences, text="x", replay=True, seen=0):
        """One event; returns its id."""
        reply = self.call([(text, replay, [a if isinstance(a, tuple) else (a, "") for a in audiences])], seen)
        assert reply[0] == "ok"
        return reply[3]

    def canary(self, node="n1", lease=30_000, nonce="nonce", seen=0, **counts):
        keys = [self.key(k) for k in ("head", "epochs", "minutes", "log:broadcast", "nodes", "node:" + node)]
        fields = [x for pair in {"local": 0, "dead": 0, "since": 1, **counts}.items() for x in pair]
        return self.client.eval(TEXTS["canary"], 6, *keys, seen, *self.settings, node, nonce, lease, *fields)

    def totals(self):
        return self.client.eval(TEXTS["totals"], 1, self.key("nodes"), self.key("node:"))

    def erase(self, user, seen=0):
        """Empties a user's log; returns the id of the erasure."""
        keys = [self.key(k) for k in ("head", "epochs", "minutes", "log:broadcast", "log:user:" + user)]
        status, epoch, seq, event_id, receivers = self.client.eval(TEXTS["erase"], 5, *keys, seen, *self.settings)
        assert status == "ok" and receivers == 0 and event_id == f"{epoch}-{seq}"
        return event_id

    def cursors(self, *cursors, lives=MINUTE):
        """Stores (user, name, position) each; returns how many were changed."""
        keys = [self.key("head"), *(self.key("cursor:" + user) for user, _, _ in cursors)]
        argv = [lives, *(part for _, name, position in cursors for part in (name, position))]
        return self.client.eval(TEXTS["cursors"], len(keys), *keys, *argv)

    def entry_head(self, user, node):
        return f'{{"user":{json.dumps(user)},"node":"{node}","gen":'

    def register(self, *entries, node="n1"):
        """Each entry is (id, gen, user) or, to claim, (id, claimed, user); returns a list of (status, gen)."""
        keys = [self.key(k) for k in ("conns", "lifecycle", "lifecycle:due", "nodes", "node:" + node, "head")]
        argv = [self.grace, node, DAY + 60 * MINUTE]
        for name, what, user in entries:
            claimed, gen = (what, 0) if isinstance(what, str) else ("", what)
            about = claimed or name
            keys += [self.key(k) for k in ("away:" + about, "log:conn:" + about, f"user:{user}:conns")]
            argv += [claimed, name, gen, user, self.entry_head(user, node), ',"address":null}']
        reply = self.client.eval(TEXTS["register"], len(keys), *keys, *argv)
        assert reply[-1] == int(self.client.hget(self.key("head"), "epoch") or 0)
        return list(zip(reply[:-1:2], reply[1::2]))

    def leave(self, *entries, node="n1", away=300_000):
        """Each entry is (id, gen, user); returns how many went away."""
        keys, argv = [self.key(k) for k in ("conns", "lifecycle", "lifecycle:due")], [self.grace, node, away]
        for name, gen, user in entries:
            keys += [self.key(k) for k in ("away:" + name, "log:conn:" + name, f"user:{user}:conns")]
            argv += [name, gen, 1000, 7]
        return self.client.eval(TEXTS["leave"], len(keys), *keys, *argv)

    def reap(self, node, cursor="0", count=500):
        keys = [self.key(k) for k in ("conns", "lifecycle", "lifecycle:due", "nodes", "node:" + node)]
        return self.client.eval(TEXTS["reap"], 5, *keys, self.grace, node, cursor, count, 300_000, 30_000)

    def disconnect(self, kind, name, count=500, remember=300_000, reason="why"):
        """Ends a "connection" or a "user"'s; returns how many were ended and are left."""
        own = [f"user:{name}:conns"] if kind == "user" else ["away:" + name, "log:conn:" + name]
        keys = [self.key(k) for k in ("conns", "lifecycle", "lifecycle:due", *own)]
        return self.client.eval(TEXTS["disconnect"], len(keys), *keys, self.grace, kind, name, count, remember, reason)

    def offline(self, count=500):
        """Returns how many users were told offline, and in how many ms the next is due."""
        keys = [self.key(k) for k in ("conns", "lifecycle", "lifecycle:due")]
        return self.client.eval(TEXTS["offline"], 3, *keys, self.grace, count)

    def lifecycle(self):
        """What the stream tells, each as (event, its connection or user, …what is asked for)."""
        return [fields for _, fields in self.client.xrange(self.key("lifecycle"))]

    def identity(self, name):
        """Where an identity stands: ("here" or "away", entry), or None."""
        here, away = self.client.hget(self.key("conns"), name), self.client.get(self.key("away:" + name))
        assert not (here and away)
        return ("here", json.loads(here)) if here else ("away", json.loads(away)) if away else None

    def head(self):
        return self.client.hgetall(self.key("head"))

    def epochs(self):
        return self.client.hgetall(self.key("epochs"))

    def log(self, name="broadcast"):
        return self.client.xrange(self.key("log:" + name))

    def ids(self, name="broadcast"):
        return [entry[0] for entry in self.log(name)]

    def prevs(self, name="broadcast"):
        return [entry[1]["prev"] for entry in self.log(name)]

    def all_data(self):
        """Every key with its contents, to see whether anything was touched."""
        return {key: self.client.dump(key) for key in self.client.scan_iter(self.prefix + "*")}


@contextlib.contextmanager
def server(*options):
    s = RedisServer(*options)
    try:
        yield s
    finally:
        s.remove()


@pytest.fixture(scope="module")
def shared_redis():
    with server() as s:
        yield s


@pytest.fixture
def scripts(shared_redis):
    with shared_redis.client() as client:
        yield Scripts(client)


def seq_of(event_id):
    return int(event_id.split("-")[1])


def epoch_of(event_id):
    return int(event_id.split("-")[0])


@contextlib.contextmanager
def listening(scripts, *names):
    with scripts.client.pubsub(ignore_subscribe_messages=True) as pubsub:
        pubsub.subscribe(*[scripts.key(n) for n in names])
        wait_for(lambda: all(n for _, n in scripts.client.pubsub_numsub(*[scripts.key(n) for n in names])))

        def messages(count):
            found = []
            deadline = time.monotonic() + 10 * PATIENCE
            while len(found) < count and time.monotonic() < deadline:
                found += filter(None, [pubsub.get_message(timeout=0.1)])
            assert len(found) == count
            assert pubsub.get_message(timeout=0.02) is None
            return [(m["channel"][len(scripts.prefix):], m["data"]) for m in found]

        yield messages


def age(scripts, minutes):
    """Makes the noted minutes that much older."""
    for member, score in scripts.client.zrange(scripts.key("minutes"), 0, -1, withscores=True):
        scripts.client.zadd(scripts.key("minutes"), {member: score - minutes})
    head = scripts.key("head")
    scripts.client.hset(head, "minute", int(scripts.client.hget(head, "minute")) - minutes)
