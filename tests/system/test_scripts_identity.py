"""The scripts that keep identities, on a real redis-server: registering, claiming, leaving, reaping, and events to them."""

import json

import pytest
import redis

from belfry import wait_for
from redis_scripts import DAY, MINUTE, TEXTS, listening, seq_of

SUPERSEDED, HELD, NEW, CLAIMED = range(4)
LOG_LIVES = DAY + 60 * MINUTE


def members(scripts, user):
    return scripts.client.smembers(scripts.key(f"user:{user}:conns"))


def nodes(scripts):
    return scripts.client.zrange(scripts.key("nodes"), 0, -1)


# Registering


def test_a_new_connection_is_known_by_its_id_and_to_its_user(scripts):
    assert scripts.register(("c", 1, "ü \"x\\"), ("d", 1, "b")) == [(NEW, 1), (NEW, 1)]
    assert scripts.identity("c") == ("here", {"user": "ü \"x\\", "node": "n1", "gen": 1, "address": None})
    assert members(scripts, "ü \"x\\") == {"c"} and members(scripts, "b") == {"d"}


def test_registering_again_changes_nothing(scripts):
    scripts.canary()
    scripts.register(("c", 1, "a"))
    before = scripts.all_data()
    assert scripts.register(("c", 1, "a")) == [(HELD, 1)]
    assert scripts.all_data() == before


@pytest.mark.parametrize("left", [False, True])
def test_a_registration_yields_to_a_newer_socket(scripts, left):
    scripts.register(("c", 3, "a"), node="n2")
    if left:
        assert scripts.leave(("c", 3, "a"), node="n2") == 1
    before = scripts.identity("c")
    assert scripts.register(("c", 2, "a"), ("d", 1, "a")) == [(SUPERSEDED, 3), (NEW, 1)]
    assert scripts.identity("c") == before


def test_of_two_nodes_with_the_same_gen_the_one_that_is_known_stays(scripts):
    scripts.register(("c", 2, "a"), node="n2")
    assert scripts.register(("c", 2, "a"), node="n1") == [(SUPERSEDED, 2)]
    assert scripts.register(("c", 2, "a"), node="n2") == [(HELD, 2)]
    assert scripts.register(("c", 3, "a"), node="n1") == [(HELD, 3)]
    assert scripts.identity("c")[1]["node"] == "n1"


def test_who_was_reaped_and_comes_back_is_here_again(scripts):
    scripts.register(("c", 1, "a"))
    event_id = scripts.publish(("connection", "c"))
    scripts.reap("n1")
    assert scripts.identity("c")[0] == "away"
    assert scripts.register(("c", 1, "a")) == [(HELD, 1)]
    assert scripts.identity("c")[0] == "here" and members(scripts, "a") == {"c"}
    assert scripts.ids("conn:c") == [event_id]
    assert scripts.client.pttl(scripts.key("log:conn:c")) > DAY


@pytest.mark.parametrize("junk", ["", "null", "[1]", "{", '{"user":1,"node":"n","gen":1}', '{"user":"a","node":"n"}'])
def test_what_belfry_has_not_written_does_not_stop_a_registration(scripts, junk):
    scripts.client.hset(scripts.key("conns"), "c", junk)
    assert scripts.leave(("c", 1, "a")) == 0
    assert scripts.register(("e", "c", "a"), ("c", 1, "a")) == [(NEW, 1), (NEW, 1)]


def test_a_node_without_lease_that_registers_can_be_found_dead_later(scripts):
    scripts.register(("c", 1, "a"))
    assert nodes(scripts) == ["n1"]
    assert scripts.canary("n2")[5] == "n1"
    scripts.canary("n1")
    score = scripts.client.zscore(scripts.key("nodes"), "n1")
    scripts.register(("d", 1, "a"))
    assert scripts.client.zscore(scripts.key("nodes"), "n1") == score


# Claiming


def test_a_claim_takes_the_identity_over_and_orders_the_older_socket_to_close(scripts):
    scripts.register(("c", 1, "a"))
    with listening(scripts, "node:n1", "node:n2") as messages:
        assert scripts.register(("fresh", "c", "a"), node="n2") == [(CLAIMED, 2)]
        assert messages(1) == [("node:n1", "close c 2")]
    assert scripts.identity("c") == ("here", {"user": "a", "node": "n2", "gen": 2, "address": None})
    assert scripts.identity("fresh") is None and members(scripts, "a") == {"c"}


def test_a_claim_brings_back_who_is_away_with_its_events(scripts):
    scripts.register(("c", 1, "a"))
    scripts.leave(("c", 1, "a"))
    event_id = scripts.publish(("connection", "c"))
    with listening(scripts, "node:n1") as messages:
        assert scripts.register(("fresh", "c", "a"), node="n2") == [(CLAIMED, 2)]
        assert messages(1) == [("node:n1", "close c 2")]  # its node may only have been stopped
    assert scripts.identity("c")[0] == "here" and members(scripts, "a") == {"c"}
    assert scripts.ids("conn:c") == [event_id] and scripts.client.pttl(scripts.key("log:conn:c")) > DAY


def test_a_claim_of_nobodys_or_of_anothers_id_is_answered_alike_by_a_new_one(scripts):
    scripts.register(("c", 1, "a"), ("d", 1, "a"))
    scripts.leave(("d", 1, "a"))
    with listening(scripts, "node:n1") as messages:
        claims = [("f1", "c", "b"), ("f2", "d", "b"), ("f3", "none", "b")]
        assert scripts.register(*claims, node="n2") == [(NEW, 1)] * 3
        assert messages(0) == []
    assert scripts.identity("c")[1]["node"] == "n1" and scripts.identity("d")[0] == "away"
    assert scripts.identity("none") is None and members(scripts, "b") == {"f1", "f2", "f3"}


def test_of_racing_claims_the_last_one_stays_and_every_other_is_told(scripts):
    scripts.register(("c", 1, "a"))
    with listening(scripts, "node:n1", "node:n2", "node:n3") as messages:
        assert scripts.register(("f2", "c", "a"), node="n2") == [(CLAIMED, 2)]
        assert scripts.register(("f3", "c", "a"), node="n3") == [(CLAIMED, 3)]
        assert scripts.register(("c", 2, "a"), node="n2") == [(SUPERSEDED, 3)]
        assert scripts.leave(("c", 1, "a"), node="n1") + scripts.leave(("c", 2, "a"), node="n2") == 0
        assert messages(2) == [("node:n1", "close c 2"), ("node:n2", "close c 3")]
    assert scripts.identity("c")[1]["node"] == "n3" and members(scripts, "a") == {"c"}


def test_two_claims_in_one_call_leave_one(scripts):
    scripts.register(("c", 1, "a"))
    assert scripts.register(("f1", "c", "a"), ("f2", "c", "a"), node="n2") == [(CLAIMED, 2), (CLAIMED, 3)]
    assert scripts.identity("c")[1]["gen"] == 3


# Leaving


def test_who_leaves_is_away_for_five_minutes_and_its_log_a_minute_longer(scripts):
    scripts.register(("c", 1, "a"), ("d", 1, "a"))
    scripts.publish(("connection", "c"))
    assert scripts.leave(("c", 1, "a")) == 1
    assert scripts.identity("c") == ("away", {"user": "a", "node": "n1", "gen": 1, "address": None})
    assert members(scripts, "a") == {"d"}
    assert 290_000 < scripts.client.pttl(scripts.key("away:c")) <= 300_000
    assert 350_000 < scripts.client.pttl(scripts.key("log:conn:c")) <= 360_000
    assert scripts.leave(("c", 1, "a")) == 0


def test_only_who_holds_the_identity_can_leave(scripts):
    scripts.register(("c", 2, "a"))
    assert scripts.leave(("c", 1, "a"), ("c", 3, "a"), ("none", 1, "a")) == 0
    assert scripts.leave(("c", 2, "a"), node="n2") == 0
    assert scripts.identity("c")[0] == "here" and members(scripts, "a") == {"c"}


# Reaping


def test_a_dead_node_is_reaped_in_steps_and_nobody_else_is(scripts):
    scripts.register(*[(f"c{i}", 1, f"u{i % 7}") for i in range(1200)])
    scripts.register(*[(f"x{i}", 1, "other") for i in range(800)], node="n2")
    scripts.register(("f", "c0", "u0"), node="n2")
    cursor, moved, steps = "0", 0, 0
    while steps == 0 or cursor != "0":
        assert "n1" in nodes(scripts)
        cursor, n = scripts.reap("n1", cursor, 100)
        moved, steps = moved + n, steps + 1
    assert moved == 1199 and steps > 5
    assert scripts.client.hlen(scripts.key("conns")) == 801
    assert scripts.identity("c1")[0] == "away" and scripts.identity("c0")[0] == "here"
    assert members(scripts, "u1") == set() and members(scripts, "u0") == {"c0"} and len(members(scripts, "other")) == 800
    assert "n1" not in nodes(scripts) and "n2" in nodes(scripts)


def test_two_workers_that_reap_the_same_node_do_no_harm(scripts):
    scripts.register(*[(f"c{i}", 1, "u") for i in range(600)])
    scripts.client.zadd(scripts.key("nodes"), {"n1": 1})
    one, n_one = scripts.reap("n1", "0", 100)
    moved = n_one
    for cursor in ("0", one):
        while True:
            cursor, n = scripts.reap("n1", cursor, 100)
            moved += n
            if cursor == "0":
                break
    assert moved == 600 and scripts.client.hlen(scripts.key("conns")) == 0 and nodes(scripts) == []


def test_a_node_that_has_come_back_is_left_alone(scripts):
    scripts.canary("n1")
    scripts.register(("c", 1, "a"))
    assert scripts.reap("n1") == ["0", 0]
    assert scripts.identity("c")[0] == "here" and nodes(scripts) == ["n1"]


def test_while_a_node_is_reaped_no_other_worker_is_pointed_at_it(scripts):
    scripts.register(*[(f"c{i}", 1, "u") for i in range(600)])
    assert scripts.canary("n2")[5] == "n1"
    scripts.client.zadd(scripts.key("nodes"), {"n1": 1})
    scripts.reap("n1", "0", 100)
    assert scripts.canary("n3")[5] == ""


def test_a_user_whose_name_looks_like_a_node_is_not_reaped(scripts):
    scripts.register(("c", 1, '","node":"n1"'), ("d", 1, '"node":"n1"'), node="n2")
    assert scripts.reap("n1") == ["0", 0]


# Events to a connection


def test_an_event_to_a_connection_is_kept_while_it_is_here_and_while_it_is_away(scripts):
    scripts.register(("c", 1, "a"))
    here = scripts.publish(("connection", "c"))
    assert DAY < scripts.client.pttl(scripts.key("log:conn:c")) <= LOG_LIVES
    scripts.leave(("c", 1, "a"), away=100_000)
    away = scripts.publish(("connection", "c"))
    assert 150_000 < scripts.client.pttl(scripts.key("log:conn:c")) <= 160_000
    assert scripts.ids("conn:c") == [here, away] and scripts.prevs("conn:c") == ["0-0", here]


def test_a_connection_has_its_last_hundred_events(scripts):
    scripts.register(("c", 1, "a"))
    ids = [scripts.publish(("connection", "c")) for _ in range(120)]
    assert scripts.ids("conn:c") == ids[20:] and scripts.prevs("conn:c")[0] == ids[19]


def test_an_event_to_nobody_takes_no_seq_and_is_neither_kept_nor_published(scripts):
    first = scripts.publish("broadcast")
    with listening(scripts, "connection:c") as messages:
        reply = scripts.call([("x", True, [("connection", "c")])])
        assert messages(0) == []
    assert reply[0] == "ok" and reply[2:] == [1, "0-0", -1]
    assert not scripts.client.exists(scripts.key("log:conn:c"))
    assert seq_of(scripts.publish("broadcast")) == seq_of(first) + 1


def test_the_very_first_event_may_be_one_to_nobody(scripts):
    reply = scripts.call([("x", True, [("connection", "c")])])
    assert reply[2:] == [0, "0-0", -1]
    assert seq_of(scripts.publish("broadcast")) == 1


def test_nobody_among_others_of_a_batch_or_of_an_event_does_not_hold_them_up(scripts):
    scripts.register(("c", 1, "a"))
    reply = scripts.call([("1", True, [("connection", "none")]), ("2", True, [("connection", "c")]),
                          ("3", True, [("connection", "none"), ("user", "a")]), ("4", False, [("connection", "none")])])
    epoch = reply[1]
    assert reply[2:] == [2, "0-0", -1, f"{epoch}-1", 0, f"{epoch}-2", 0, "0-0", -1]
    assert scripts.ids("conn:c") == [f"{epoch}-1"] and scripts.ids("user:a") == [f"{epoch}-2"]


def test_a_repeated_request_to_nobody_is_answered_as_the_first(scripts):
    scripts.idem, scripts.fingerprint, scripts.remember = "k", "body", 60_000
    events = [("1", True, [("connection", "c")]), ("2", True, [("broadcast", "")])]
    first = scripts.call(events)
    scripts.register(("c", 1, "a"))
    again = scripts.call(events)
    assert again[0] == "again" and again[3:] == first[3:] and first[3:5] == ["0-0", -1]


def test_an_identity_that_has_been_away_for_too_long_is_nobody(scripts):
    scripts.register(("c", 1, "a"))
    scripts.leave(("c", 1, "a"), away=1)
    wait_for(lambda: scripts.identity("c") is None)
    assert scripts.call([("x", True, [("connection", "c")])])[4] == -1
    assert scripts.register(("fresh", "c", "a")) == [(NEW, 1)]


# Where memory is full, and wrong arguments


def test_identities_come_and_go_where_redis_memory_is_full(scripts):
    scripts.register(("c", 1, "a"), ("d", 1, "a"))
    scripts.leave(("d", 1, "a"))
    scripts.client.config_set("maxmemory", 1)
    try:
        with pytest.raises(redis.ResponseError, match="used memory"):
            scripts.client.set(scripts.key("probe"), 1)
        assert scripts.register(("f", "d", "a"), ("g", "none", "a"), ("e", 1, "a")) == [(CLAIMED, 2), (NEW, 1), (NEW, 1)]
        assert scripts.leave(("c", 1, "a")) == 1
        assert scripts.reap("n1")[1] == 3
    finally:
        scripts.client.config_set("maxmemory", 0)
    assert all(scripts.identity(name)[0] == "away" for name in "cdeg")


SHARED = ["ws:conns", "ws:lifecycle", "ws:lifecycle:due"]


@pytest.mark.parametrize("name, keys, argv", [
    ("register", [*SHARED, "ws:nodes", "ws:node:n"], ["", "n", 1]),
    ("register", [*SHARED, "ws:nodes", "ws:node:n", "ws:away:c"], ["", "n", 1, "", "c", 1, "a", "", ""]),
    ("leave", SHARED, ["", "n", 1]),
    ("leave", [*SHARED, "a", "b", "c"], ["", "n", "x", "c", 1, 1000, 7]),
    ("leave", [*SHARED, "a", "b", "c"], ["", "n", 1, "c", 1]),
    ("reap", [*SHARED, "ws:nodes"], ["", "n", "0", 1, 1, 1]),
    ("reap", ["ws:other", *SHARED[1:], "ws:nodes", "ws:node:n"], ["", "n", "0", 1, 1, 1]),
    ("disconnect", [*SHARED, "ws:away:c"], ["", "connection", "c", 1, 1, "why"]),
    ("disconnect", [*SHARED, "ws:away:c"], ["", "nobody", "c", 1, 1, "why"]),
    ("disconnect", [*SHARED, "ws:user:a:conns"], ["", "user", "a", 1, 1]),
    ("offline", SHARED, ["", 1]),
    ("offline", SHARED[:2], [1, 1]),
])
def test_wrong_arguments_are_refused_before_anything_is_written(scripts, name, keys, argv):
    with pytest.raises(redis.ResponseError, match="BELFRY_ARGS"):
        scripts.client.eval(TEXTS[name], len(keys), *keys, *argv)
    assert scripts.client.keys("ws:*") == []


def test_the_entry_is_json_however_the_user_is_called(scripts):
    for n, user in enumerate(['"gen":7,"', "\\", "a\tb", "\u2028"]):
        name = f"c{n}"
        scripts.register((name, 1, user))
        assert scripts.register(("f", name, user)) == [(CLAIMED, 2)]
        assert json.loads(scripts.client.hget(scripts.key("conns"), name))["user"] == user
