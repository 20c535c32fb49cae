"""Errors of the scripts leave nothing behind; and what other services rely on: access rules, documentation."""

import json
import re

import pytest
import redis

from belfry import ROOT, wait_for
from redis_scripts import HEAD, MINUTE, TAIL, TEXTS, Scripts, age, epoch_of, listening, seq_of, server


# Errors leave nothing behind


BAD_ARGUMENTS = {
    "epoch": lambda k, a: a.__setitem__(0, "-1"),
    "epoch beyond numbers": lambda k, a: a.__setitem__(0, str(2**53)),
    "limit": lambda k, a: a.__setitem__(1, "many"),
    "ttl": lambda k, a: a.__setitem__(3, "1.5"),
    "fingerprint with a space": lambda k, a: a.__setitem__(4, "a b"),
    "fingerprint without time": lambda k, a: a.__setitem__(4, "a"),
    "long fingerprint": lambda k, a: (a.__setitem__(4, "a" * 129), a.__setitem__(5, 1000)),
    "no events": lambda k, a: a.__setitem__(6, 0),
    "too many events": lambda k, a: a.__setitem__(6, 1001),
    "fewer events than told": lambda k, a: a.__setitem__(6, 3),
    "more events than told": lambda k, a: a.__setitem__(6, 1),
    "head without its space": lambda k, a: a.__setitem__(7, HEAD[1:]),
    "head with an id": lambda k, a: a.__setitem__(7, HEAD + "1"),
    "tail": lambda k, a: a.__setitem__(8, '"}'),
    "tail without an end": lambda k, a: a.__setitem__(8, (TAIL % "x")[:-2]),
    "long tail": lambda k, a: a.__setitem__(8, TAIL % ("x" * (1024 * 1024 + 2048))),
    "replay": lambda k, a: a.__setitem__(9, "true"),
    "no audience": lambda k, a: a.__setitem__(10, 0),
    "too many audiences": lambda k, a: a.__setitem__(10, 501),
    "unknown audience": lambda k, a: a.__setitem__(11, "everybody"),
    "broadcast with an id": lambda k, a: a.__setitem__(12, "a"),
    "user without an id": lambda k, a: a.__setitem__(-1, ""),
    "user whose log is another's": lambda k, a: k.__setitem__(6, k[6] + "x"),
    "a key too few": lambda k, a: k.pop(),
    "a key too many": lambda k, a: k.append(k[6]),
    "keys in another order": lambda k, a: k.__setitem__(slice(1, 3), [k[2], k[1]]),
    "no key of idempotency": lambda k, a: k.__setitem__(5, "other:idem:-"),
    "an argument too many": lambda k, a: a.append(""),
    "an argument too few": lambda k, a: a.pop(),
}


@pytest.mark.parametrize("what", BAD_ARGUMENTS)
def test_bad_arguments_are_named_and_nothing_is_written(scripts, what):
    scripts.publish("broadcast")
    before = scripts.all_data()
    keys, argv = scripts.arguments([("1", True, [("broadcast", "")]), ("2", True, [("user", "a")])])
    BAD_ARGUMENTS[what](keys, argv)
    with pytest.raises(redis.ResponseError, match="^BELFRY_ARGS (KEYS|ARGV|there are more)"):
        scripts.client.eval(TEXTS["publish"], len(keys), *keys, *argv)
    assert scripts.all_data() == before


def test_the_longest_payload_passes(scripts):
    room = 1024 * 1024 + 2048 - len(HEAD) - len(TAIL % "") - 33
    scripts.publish(("user", "a"), text="x" * room)
    with pytest.raises(redis.ResponseError, match="too long"):
        scripts.publish(("user", "a"), text="x" * (room + 1))


@pytest.mark.parametrize("call", ["publish", "canary"])
def test_data_of_a_newer_belfry_is_left_alone(scripts, call):
    scripts.publish("broadcast")
    scripts.client.hset(scripts.key("head"), "schema", 2)
    before = scripts.all_data()
    with pytest.raises(redis.ResponseError, match="^BELFRY_SCHEMA 2"):
        scripts.publish("broadcast") if call == "publish" else scripts.canary()
    assert scripts.all_data() == before


def test_a_key_of_another_type_takes_the_whole_batch_back(scripts):
    first = scripts.publish("broadcast", ("user", "a"))
    scripts.client.set(scripts.key("log:user:b"), "not a log")
    with listening(scripts, "broadcast") as messages:
        with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
            scripts.call([("1", True, [("broadcast", ""), ("user", "a")]), ("2", True, [("user", "a"), ("user", "b")])])
        assert messages(0) == []
    assert scripts.ids() == [first] == scripts.ids("user:a")
    after = scripts.publish("broadcast", ("user", "a"))
    assert epoch_of(after) == epoch_of(first), "ids that the logs remember are not used again"
    assert scripts.prevs() == ["0-0", first] == scripts.prevs("user:a")


def test_full_memory_refuses_events_and_lets_the_canary_live():
    with server() as s:
        scripts = Scripts(s.client())
        scripts.settings = [100, 100, 10 * MINUTE]
        only = scripts.publish("broadcast")
        scripts.canary(local=1)
        age(scripts, 12)
        scripts.client.config_set("maxmemory", 1)
        before = scripts.all_data()
        for replay in (True, False):
            with pytest.raises(redis.ResponseError, match="command not allowed when used memory"):
                scripts.publish("broadcast", ("user", "a"), replay=replay)
        assert scripts.all_data() == before
        with listening(scripts, "node:n1") as messages:
            assert scripts.canary(local=2)[1:] == [1, 1, only, 1, ""], "the floor goes on rising, which frees memory"
            assert len(messages(1)) == 1
        assert scripts.client.hget(scripts.key("node:n1"), "local") == "1"
        with pytest.raises(redis.ResponseError, match="command not allowed when used memory"):
            scripts.canary("n2")
        scripts.client.config_set("maxmemory", 0)
        assert seq_of(scripts.publish("broadcast")) == 2


def test_a_replica_and_a_master_without_replicas_refuse():
    with server() as s:
        scripts = Scripts(s.client())
        scripts.publish("broadcast")
        before = scripts.all_data()
        scripts.client.config_set("min-replicas-to-write", 1)
        for call in (lambda: scripts.publish("broadcast"), scripts.canary):
            with pytest.raises(redis.ResponseError, match="Not enough good replicas"):
                call()
        scripts.client.config_set("min-replicas-to-write", 0)
        scripts.client.replicaof("127.0.0.1", 1)
        for call in (lambda: scripts.publish("broadcast"), scripts.canary):
            with pytest.raises(redis.ResponseError, match="You can't write against a read only replica"):
                call()
        assert scripts.all_data() == before


# What other services rely on


def rules():
    """The ACL rules of docs/protocol.md, by user."""
    lines = re.findall(r"^ACL SETUSER (\w+) (.*)$", (ROOT / "docs" / "protocol.md").read_text(), re.MULTILINE)
    assert [user for user, _ in lines] == ["belfry", "publisher"]
    return dict(lines)


def limited(s, user, prefix="ws:"):
    rule = rules()[user].replace("ws:", prefix).split()
    admin = s.client()
    admin.execute_command("ACL", "SETUSER", user, "reset", *rule)
    return s.client(username=user, password="any"), admin


@pytest.mark.parametrize("user", ["belfry", "publisher"])
def test_the_documented_access_rules_suffice_for_everything_that_the_scripts_do(user):
    with server() as s:
        client, admin = limited(s, user)
        scripts, all_powers = Scripts(client, "ws:"), Scripts(admin, "ws:")
        scripts.idem, scripts.fingerprint, scripts.remember = "k", "f", 60_000
        all_powers.register(("c", 1, "a"), ("d", 1, "a"))
        all_powers.leave(("d", 1, "a"))
        first = scripts.publish("broadcast", ("user", "a"), ("connection", "c"), ("connection", "d"))
        scripts.call([("x", True, [("broadcast", ""), ("user", "a"), ("connection", "c"), ("connection", "none")])])
        scripts.fingerprint = ""
        all_powers.settings = scripts.settings = [100, 100, 10 * MINUTE]
        # Each way of the scripts once: another epoch, a minute past, a clock gone back, a log that refuses, a failure.
        scripts.publish("broadcast", seen=epoch_of(first) + 10**6)
        age(all_powers, 12)
        scripts.publish("broadcast")
        age(all_powers, -1)
        scripts.publish("broadcast")
        admin.xadd("ws:log:user:b", {"payload": "x"}, id=f"{epoch_of(first) + 10**9}-9")
        scripts.publish("broadcast", ("user", "b"))
        admin.set("ws:log:user:w", "not a log")
        with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
            scripts.publish("broadcast", ("user", "w"))
        admin.hdel("ws:head", "epoch")
        scripts.settings = ["", "", ""]
        scripts.publish("broadcast")
        if user == "belfry":
            all_powers.settings = scripts.settings = [100, 100, 10 * MINUTE]
            scripts.canary()
            assert scripts.totals()[2] == 1
            scripts.register(("c", 1, "a"))
            scripts.register(("f", "c", "a"), node="n2")
            assert scripts.leave(("c", 2, "a"), node="n2") == 1
            scripts.register(("e", 1, "a"), node="n2")
            assert scripts.reap("n2")[1] == 1
        # Python's client announces itself where it may, and goes on where it may not.
        assert not [entry for entry in admin.acl_log() if entry["object"].split("|")[0] != "client"]


def test_the_documented_access_rules_keep_the_rest_out():
    with server() as s:
        client, _ = limited(s, "publisher")
        for command in (["SET", "other", "1"], ["PUBLISH", "other", "1"], ["FLUSHALL"], ["CONFIG", "GET", "*"],
                        ["KEYS", "*"], ["SUBSCRIBE", "other"]):
            with pytest.raises((redis.exceptions.NoPermissionError, redis.ResponseError)):
                client.execute_command(*command)


@pytest.mark.parametrize("call", ["publish", "canary"])
def test_without_info_the_missing_rule_is_named(call):
    with server() as s:
        client, admin = limited(s, "belfry")
        admin.execute_command("ACL", "SETUSER", "belfry", "-info")
        scripts = Scripts(client, "ws:")
        with pytest.raises(redis.ResponseError, match=r"^BELFRY_INFO .*\+info"):
            scripts.publish("broadcast") if call == "publish" else scripts.canary()
        assert admin.dbsize() == 0


def test_a_service_publishes_by_following_the_documentation():
    """Nothing but docs/protocol.md and the text itself: its example, with the paths to Redis and to the text put in."""
    docs = (ROOT / "docs" / "protocol.md").read_text()
    example = re.search(r"^In Python:\n\n```python\n(.*?)```", docs, re.M | re.S)[1]
    for theirs, ours in ('subprocess.check_output(["belfry", "script"])', "text"), ("redis.Redis()", "client"):
        assert theirs in example
        example = example.replace(theirs, ours)
    with server() as s, s.client() as client, client.pubsub(ignore_subscribe_messages=True) as pubsub:
        pubsub.subscribe("ws:user:alice")
        wait_for(lambda: client.pubsub_numsub("ws:user:alice")[0][1] == 1)
        names = {"client": client, "text": TEXTS["publish"]}
        exec(compile(example, "docs/protocol.md", "exec"), names)
        assert names["status"] == "ok" and names["seq"] == 1 and names["workers"] == 1
        message = wait_for(lambda: pubsub.get_message(timeout=0.1))
        envelope = json.loads(message["data"])
        assert envelope["event_id"] == names["event_id"] == f"{names['epoch']}-1"
        assert list(envelope) == ["type", "event_id", "timestamp", "data"]
        assert client.xrange("ws:log:user:alice")[0][1]["payload"] == message["data"]


def test_documentation_and_text_list_the_same_arguments():
    usage = (ROOT / "pubsub" / "publish_usage.lua").read_text()
    docs = (ROOT / "docs" / "protocol.md").read_text()
    for word in ["ws:head", "ws:epochs", "ws:minutes", "ws:log:broadcast", "ws:conns", "ws:idem:<name>",
                 "ws:log:user:<user id>", "ws:log:conn:<connection id>", "ws:away:<connection id>",
                 "REPLAY_EVENTS", "REPLAY_USER_EVENTS", "REPLAY_TTL", "IDEMPOTENCY_TTL", "fingerprint of the request",
                 "number of events", "number of audiences", "key_reused",
                 *re.findall(r"fail\('(\w+)'", "".join(TEXTS.values()))]:
        assert word in usage and word in docs, word
