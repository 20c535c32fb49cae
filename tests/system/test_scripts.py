"""Publishing, canary and totals scripts on a real redis-server: ids, logs, channels, settings, idempotency, leases."""

import json
import time

import pytest

from belfry import wait_for
from redis_scripts import DAY, HEAD, MINUTE, TAIL, Scripts, epoch_of, listening, seq_of


# Ids, logs, channels


def test_the_first_event_opens_an_epoch_and_ids_count_on(scripts):
    before = int(time.time() * 1000)
    first = scripts.publish("broadcast")
    assert before - 5 <= epoch_of(first) <= time.time() * 1000 + 5 and seq_of(first) == 1
    assert scripts.publish(("user", "a")) == f"{epoch_of(first)}-2"
    assert scripts.publish("broadcast") == f"{epoch_of(first)}-3"
    head = scripts.head()
    assert head["schema"] == "1" and head["epoch"] == str(epoch_of(first)) and head["seq"] == "3"
    assert head["floor"] == "0" and head["last"] == f"{epoch_of(first)}-3"
    assert head["replid"] == scripts.client.info("replication")["master_replid"]
    assert scripts.epochs() == {}


def test_channel_and_log_carry_the_same_envelope_with_its_id(scripts):
    with listening(scripts, "broadcast", "user:a", "connection:c") as messages:
        one = scripts.publish("broadcast", ("user", "a"), text="both")
        scripts.register(("c", 1, "a"))
        two = scripts.publish(("connection", "c"), text="direct")
        received = messages(3)
    assert [channel for channel, _ in received] == ["broadcast", "user:a", "connection:c"]
    payload = HEAD + one + TAIL % "both"
    assert received[0][1] == received[1][1] == payload and payload[0] == " "
    assert json.loads(payload)["event_id"] == one
    assert received[2][1] == HEAD + two + TAIL % "direct"
    assert scripts.log() == [(one, {"payload": payload, "prev": "0-0"})] == scripts.log("user:a")
    assert scripts.log("conn:c") == [(two, {"payload": received[2][1], "prev": "0-0"})]


def test_each_entry_names_the_one_before_it_in_its_log(scripts):
    b1, a1, b2, a2 = (scripts.publish(x) for x in ("broadcast", ("user", "a"), "broadcast", ("user", "a")))
    assert scripts.ids() == [b1, b2] and scripts.prevs() == ["0-0", b1]
    assert scripts.ids("user:a") == [a1, a2] and scripts.prevs("user:a") == ["0-0", a1]


def test_an_event_that_is_not_kept_takes_a_seq_and_leaves_the_logs_alone(scripts):
    first = scripts.publish("broadcast")
    with listening(scripts, "broadcast", "user:a") as messages:
        live = scripts.publish("broadcast", ("user", "a"), replay=False)
        assert len(messages(2)) == 2
    second = scripts.publish("broadcast")
    assert [seq_of(i) for i in (first, live, second)] == [1, 2, 3]
    assert scripts.ids() == [first, second] and scripts.prevs() == ["0-0", first]
    assert not scripts.client.exists(scripts.key("log:user:a"))


def test_the_first_event_ever_may_be_one_that_is_not_kept(scripts):
    assert seq_of(scripts.publish(("user", "a"), replay=False)) == 1
    assert scripts.head()["last"] == "0-0" and scripts.ids() == []


def test_logs_keep_as_many_entries_as_asked_and_their_prev_tells_of_the_rest(scripts):
    scripts.settings = [3, 2, DAY]
    ids = [scripts.publish("broadcast", ("user", "a")) for _ in range(5)]
    assert scripts.ids() == ids[2:] and scripts.prevs() == ids[1:4]
    assert scripts.ids("user:a") == ids[3:] and scripts.prevs("user:a") == ids[2:4]


def test_a_limit_of_nothing_keeps_the_last_entry_to_tell_what_is_missing(scripts):
    scripts.settings = [0, 0, DAY]
    ids = [scripts.publish("broadcast", ("user", "a")) for _ in range(3)]
    assert scripts.ids() == [ids[2]] == scripts.ids("user:a") and scripts.prevs() == [ids[1]] == scripts.prevs("user:a")


def test_receivers_are_counted_over_all_channels_and_a_user_named_twice_counts_once(scripts):
    with listening(scripts, "broadcast", "user:a", "user:b") as messages:
        audiences = [("broadcast", ""), ("user", "a"), ("user", "b"), ("user", "a"), ("user", "z")]
        reply = scripts.call([("x", True, audiences), ("y", True, [("user", "z")])])
        assert reply[4] == 3 and reply[6] == 0
        assert [c for c, _ in messages(3)] == ["broadcast", "user:a", "user:b"]
    assert scripts.ids("user:a") == [reply[3]] and scripts.ids("user:z") == [reply[3], reply[5]]


def test_a_batch_is_logged_in_whole_before_it_is_announced_in_order(scripts):
    with listening(scripts, "broadcast", "user:a") as messages:
        reply = scripts.call([(str(i), True, [("broadcast", "")] if i % 2 else [("user", "a")]) for i in range(1000)])
        received = messages(1000)
    ids = reply[3::2]
    assert reply[2] == 1000 and [seq_of(i) for i in ids] == list(range(1, 1001))
    assert [json.loads(m)["event_id"] for _, m in received] == ids
    assert scripts.ids() == ids[1::2] and scripts.prevs() == ["0-0", *ids[1::2][:-1]]
    assert scripts.client.xlen(scripts.key("log:user:a")) == 500


def test_ids_of_users_are_bytes_and_prefixes_may_hold_a_hash_tag(shared_redis):
    with shared_redis.client() as client:
        scripts = Scripts(client, "{tag%-head}:ws:head:")
        name = "ü \t'\"%s:head*"
        event_id = scripts.publish(("user", name))
        assert scripts.ids("user:" + name) == [event_id]


# Settings


def test_settings_left_out_are_those_of_the_last_canary(scripts):
    scripts.settings = [2, 1, DAY]
    scripts.canary()
    scripts.settings = ["", "", ""]
    ids = [scripts.publish("broadcast", ("user", "a")) for _ in range(3)]
    assert scripts.ids() == ids[1:] and scripts.ids("user:a") == ids[2:]
    scripts.settings = ["", 3, ""]
    ids += [scripts.publish("broadcast", ("user", "a")) for _ in range(3)]
    assert scripts.ids() == ids[4:] and scripts.ids("user:a") == ids[3:]
    assert DAY < scripts.client.pttl(scripts.key("log:user:a")) <= DAY + 60 * MINUTE


def test_settings_left_out_without_any_belfry_are_its_defaults(scripts):
    scripts.settings = ["", "", ""]
    scripts.publish(("user", "a"))
    assert DAY + 59 * MINUTE < scripts.client.pttl(scripts.key("log:user:a")) <= DAY + 60 * MINUTE


# Idempotency


def test_a_repeated_request_is_answered_as_the_first_and_delivered_once(scripts):
    scripts.idem, scripts.fingerprint, scripts.remember = "k", "body", 60_000
    events = [("1", True, [("broadcast", "")]), ("2", False, [("user", "a")])]
    with listening(scripts, "broadcast") as messages:
        first = scripts.call(events)
        scripts.fingerprint = ""
        scripts.publish("broadcast")
        scripts.fingerprint = "body"
        again = scripts.call(events)
        assert len(messages(2)) == 2
    assert first[0] == "ok" and again[0] == "again"
    assert again[3:] == first[3:] and again[2] == first[2] + 1
    assert 50_000 < scripts.client.pttl(scripts.key("idem:k")) <= 60_000


@pytest.mark.parametrize("other", ["body2", "bod", "body-", "-"])
def test_another_body_under_the_same_key_publishes_nothing(scripts, other):
    scripts.idem, scripts.fingerprint, scripts.remember = "k", "body", 60_000
    scripts.publish("broadcast")
    scripts.fingerprint = other
    before = scripts.all_data()
    reply = scripts.call([("x", True, [("broadcast", "")])])
    assert reply[0] == "key_reused" and reply[2] == 1 and len(reply) == 3
    assert scripts.all_data() == before


def test_a_forgotten_key_publishes_again(scripts):
    scripts.idem, scripts.fingerprint, scripts.remember = "k", "body", 1
    first = scripts.publish("broadcast")
    wait_for(lambda: not scripts.client.exists(scripts.key("idem:k")))
    assert seq_of(scripts.publish("broadcast")) == seq_of(first) + 1


# The canary and the totals


def test_the_first_canary_opens_the_epoch_and_comes_back_on_the_nodes_channel(scripts):
    with listening(scripts, "node:n1") as messages:
        epoch, seq, floor, oldest, existed, ended = scripts.canary(nonce="n once")
        assert messages(1) == [("node:n1", f"canary {epoch}-0 n once")]
    assert (seq, floor, oldest, existed, ended) == (0, 0, f"{epoch}-0", 0, "")
    assert scripts.publish("broadcast") == f"{epoch}-1"
    assert scripts.canary()[:2] == [epoch, 1]


def test_a_canary_renews_the_lease_and_tells_whether_it_had_expired(scripts):
    assert scripts.canary(local=3, dead=1, since=17)[4] == 0
    lease = scripts.key("node:n1")
    assert scripts.client.hgetall(lease) == {"local": "3", "dead": "1", "since": "17"}
    assert 25_000 < scripts.client.pttl(lease) <= 30_000
    assert scripts.canary(local=4, lease=1)[4] == 1
    wait_for(lambda: not scripts.client.exists(lease))
    assert scripts.canary()[4] == 0


def test_a_canary_points_one_worker_at_each_node_whose_lease_has_ended(scripts):
    now = time.time() * 1000
    scripts.client.zadd(scripts.key("nodes"), {"gone": now - 8 * DAY, "dead": now - 1000, "alive": now + 20_000})
    assert [scripts.canary(node)[5] for node in ("n1", "n2", "n1", "n2")] == ["gone", "dead", "", ""]
    scripts.client.zadd(scripts.key("nodes"), {"dead": now - 1})
    assert scripts.canary("n2")[5] == "dead"


def test_a_canary_opens_an_epoch_above_the_greatest_seen(scripts):
    epoch = scripts.canary()[0]
    assert scripts.canary(seen=epoch)[0] == epoch
    assert scripts.canary(seen=epoch + 1000)[0] == epoch + 1001
    assert scripts.epochs() == {str(epoch): "0"}


def test_totals_are_the_sum_of_the_leases_that_live(scripts):
    assert scripts.totals() == [0, 0, 0]
    scripts.canary("n1", local=3, dead=1)
    scripts.canary("n2", local=40, dead=2)
    scripts.canary("n3", local=500, dead=5, lease=1)
    wait_for(lambda: scripts.totals() == [43, 3, 2])
    before = scripts.all_data()
    scripts.totals()
    assert scripts.all_data() == before
