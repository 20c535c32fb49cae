"""The scripts' history: epochs after failover, restart and loss; how long what is kept, and what the floor says."""

import pytest
import redis

from belfry import wait_for
from redis_scripts import DAY, HEAD, MINUTE, TAIL, Scripts, age, epoch_of, seq_of, server


# Epochs


def test_a_caller_who_has_seen_a_greater_epoch_opens_one_above_it(scripts):
    first = scripts.publish("broadcast")
    seen = epoch_of(first) + 10**9
    second = scripts.publish("broadcast", seen=seen)
    assert second == f"{seen + 1}-2"
    assert scripts.epochs() == {str(epoch_of(first)): "1"}
    assert scripts.prevs() == ["0-0", first]
    assert epoch_of(scripts.publish("broadcast", seen=seen + 1)) == seen + 1
    assert epoch_of(scripts.publish("broadcast", seen=epoch_of(first))) == seen + 1


def test_a_restart_that_keeps_the_data_opens_an_epoch_and_notes_the_old_one_in_full():
    with server("--appendonly", "yes") as s:
        scripts = Scripts(s.client())
        first = [scripts.publish("broadcast") for _ in range(3)][-1]
        s.restart()
        scripts = Scripts(s.client(), scripts.prefix)
        second = scripts.publish("broadcast")
        assert epoch_of(second) > epoch_of(first) and seq_of(second) == 4
        assert scripts.epochs() == {str(epoch_of(first)): "3"}
        assert scripts.prevs()[-1] == first and scripts.head()["floor"] == "0"


def test_a_failover_that_loses_the_tail_notes_how_far_the_old_epoch_survived():
    with (server("--repl-diskless-sync-delay", "0") as master,
          server("--replicaof", "127.0.0.1", str(master.port)) as replica):
        wait_for(lambda: replica.client().info("replication")["master_link_status"] == "up")
        old = Scripts(master.client())
        kept = [old.publish("broadcast", ("user", "a")) for _ in range(2)][-1]
        assert master.client().wait(1, 5000) == 1
        new = Scripts(replica.client(), old.prefix)
        new.client.replicaof("NO", "ONE")
        lost = [old.publish("broadcast") for _ in range(4)][-1]
        master.kill()
        after = new.publish("broadcast", seen=epoch_of(lost))
        assert epoch_of(after) > epoch_of(lost) and seq_of(after) == seq_of(kept) + 1 < seq_of(lost)
        assert new.epochs()[str(epoch_of(kept))] == str(seq_of(kept))
        assert new.ids()[-2:] == [kept, after] and new.prevs()[-1] == kept


def test_a_lost_head_starts_above_all_that_the_logs_still_tell(scripts):
    ids = [scripts.publish("broadcast", ("user", "a"), seen=4 * 10**12) for _ in range(3)]
    ids.append(scripts.publish(("user", "a")))
    scripts.client.delete(scripts.key("head"))
    after = scripts.publish("broadcast", ("user", "a"))
    assert epoch_of(after) > epoch_of(ids[-1])
    assert seq_of(after) == seq_of(ids[-1]) + 2, "one is left out, so that every old position is below the floor"
    head = scripts.head()
    assert int(head["floor"]) == seq_of(after) - 1 and head["schema"] == "1"
    assert scripts.log("user:a")[-1][1]["prev"] == ids[-1]
    assert scripts.log()[-1] == (after, {"payload": HEAD + after + TAIL % "x", "prev": ids[2]})


def test_a_canary_after_a_lost_head_drops_what_can_no_longer_be_judged(scripts):
    first = scripts.publish("broadcast")
    scripts.client.delete(scripts.key("head"))
    epoch, seq, floor, oldest, _, _ = scripts.canary()
    assert seq == floor == 2 and oldest == f"{epoch}-2" and scripts.ids() == []
    assert scripts.publish("broadcast") == f"{epoch}-3"
    assert scripts.prevs() == [first]


def test_a_canary_tells_the_oldest_position_in_the_epoch_that_it_belongs_to(scripts):
    first = scripts.publish("broadcast")
    scripts.client.hset(scripts.key("head"), "replid", "0" * 40)
    second = scripts.publish("broadcast")
    assert epoch_of(second) > epoch_of(first)
    assert scripts.canary()[3] == f"{epoch_of(first)}-0"


def test_a_lost_head_is_replaced_with_its_floor_also_where_the_event_fails(scripts):
    scripts.publish("broadcast")
    scripts.client.delete(scripts.key("head"))
    scripts.client.set(scripts.key("log:user:w"), "not a log")
    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        scripts.publish(("user", "w"))
    assert scripts.head()["floor"] == scripts.head()["seq"] == "2"


def test_a_flushed_redis_starts_anew_above_what_the_caller_has_seen(scripts):
    first = scripts.publish("broadcast")
    for key in scripts.client.scan_iter(scripts.prefix + "*"):
        scripts.client.delete(key)
    second = scripts.publish("broadcast", seen=epoch_of(first))
    assert epoch_of(second) > epoch_of(first) and seq_of(second) == 1


def test_a_log_that_refuses_an_id_opens_a_greater_epoch_for_the_whole_event(scripts):
    first = scripts.publish("broadcast")
    far = epoch_of(first) + 10**9
    scripts.client.xadd(scripts.key("log:user:b"), {"payload": "x", "prev": "0-0"}, id=f"{far}-9")
    scripts.client.xtrim(scripts.key("log:user:b"), 0, approximate=False)
    reply = scripts.call([("1", True, [("broadcast", "")]),
                          ("2", True, [("broadcast", ""), ("user", "a"), ("user", "b")]),
                          ("3", True, [("user", "b")])])
    old = epoch_of(first)
    assert reply[:3] == ["ok", far + 1, 4]
    assert reply[3::2] == [f"{old}-2", f"{far + 1}-3", f"{far + 1}-4"]
    assert scripts.epochs() == {str(old): "2"}
    assert scripts.ids() == [first, f"{old}-2", f"{far + 1}-3"] and scripts.prevs() == ["0-0", first, f"{old}-2"]
    assert scripts.ids("user:a") == [f"{far + 1}-3"]
    assert scripts.ids("user:b") == [f"{far + 1}-3", f"{far + 1}-4"]
    assert scripts.prevs("user:b") == ["0-0", f"{far + 1}-3"]


def test_ids_beyond_what_lua_can_count_are_an_error_that_leaves_nothing(scripts):
    scripts.publish("broadcast")
    scripts.client.xadd(scripts.key("log:user:b"), {"payload": "x"}, id=f"{2**63}-9")
    with pytest.raises(redis.ResponseError, match="BELFRY_LOG"):
        scripts.call([("1", True, [("broadcast", ""), ("user", "b")])])
    assert len(scripts.ids()) == 1 and len(scripts.ids("user:b")) == 1


# Retention


def test_each_minute_notes_its_first_id_once(scripts):
    first = scripts.publish("broadcast")
    scripts.publish("broadcast")
    age(scripts, 5)
    third = scripts.publish(("user", "a"))
    scripts.publish("broadcast")
    noted = scripts.client.zrange(scripts.key("minutes"), 0, -1, withscores=True)
    # The clock may have moved on to the next minute between any two of them.
    assert [m for m, _ in noted][:2] == [first, third] or [m for m, _ in noted][0] == first
    assert len(noted) <= 4 and int(scripts.head()["minute"]) == noted[-1][1]


def test_events_go_when_their_minute_has_ended_the_whole_retention_ago(scripts):
    scripts.settings = [100, 100, 10 * MINUTE]
    old = [scripts.publish("broadcast") for _ in range(3)]
    age(scripts, 10)
    newer = scripts.publish("broadcast")
    assert scripts.ids() == [*old, newer] and scripts.head()["floor"] == "0"
    age(scripts, 1)
    newest = scripts.publish("broadcast")
    assert scripts.ids() == [newer, newest] and scripts.prevs() == [old[-1], newer]
    assert scripts.head()["floor"] == "3"
    assert old[0] not in scripts.client.zrange(scripts.key("minutes"), 0, -1)


def test_the_canary_moves_the_floor_to_the_head_when_nothing_is_young(scripts):
    scripts.settings = [100, 100, 10 * MINUTE]
    last = [scripts.publish("broadcast") for _ in range(3)][-1]
    assert scripts.canary()[1:4] == [3, 0, f"{epoch_of(last)}-0"]
    age(scripts, 12)
    assert scripts.canary()[1:4] == [3, 3, last]
    assert scripts.ids() == [] and scripts.client.zcard(scripts.key("minutes")) == 0
    assert scripts.head()["floor"] == "3" and scripts.head()["last"] == last
    after = scripts.publish("broadcast")
    assert scripts.prevs() == [last] and seq_of(after) == 4 and scripts.head()["floor"] == "3"


def test_the_floor_never_sinks_when_the_retention_grows(scripts):
    scripts.settings = [100, 100, MINUTE]
    scripts.publish("broadcast")
    age(scripts, 5)
    assert scripts.canary()[2] == 1
    scripts.settings = [100, 100, DAY]
    assert scripts.canary()[2] == 1
    scripts.publish("broadcast")
    assert scripts.head()["floor"] == "1"


def test_trimming_reaches_over_epochs_and_spares_greater_ids(scripts):
    # More than one node of the stream, ids of several epochs in one node: where Redis before 6.2.7 went wrong.
    scripts.settings = [1000, 100, 10 * MINUTE]
    for step in range(3):
        [scripts.publish("broadcast", seen=4 * 10**12 + step * 1000) for _ in range(110)]
    age(scripts, 11)
    # The clock may have noted two minutes meanwhile; only those of the past count.
    young = [scripts.publish("broadcast", seen=4 * 10**12 + 5000) for _ in range(2)]
    assert scripts.ids() == young and scripts.head()["floor"] == "330"


def test_epochs_that_ended_below_the_floor_are_dropped(scripts):
    scripts.settings = [100, 100, 10 * MINUTE]
    first = scripts.publish("broadcast")
    second = scripts.publish("broadcast", seen=epoch_of(first) + 10**6)
    third = scripts.publish("broadcast", seen=epoch_of(second) + 10**6)
    assert scripts.epochs() == {str(epoch_of(first)): "1", str(epoch_of(second)): "2"}
    age(scripts, 12)
    fourth = scripts.publish("broadcast", seen=epoch_of(third) + 10**6)
    assert scripts.head()["floor"] == "3" and scripts.epochs() == {str(epoch_of(third)): "3"}
    assert scripts.ids() == [fourth]


def test_a_clock_that_goes_back_lets_nothing_go_early(scripts):
    scripts.settings = [100, 100, 10 * MINUTE]
    old = scripts.publish("broadcast")
    age(scripts, 8)
    ahead = scripts.publish("broadcast")
    age(scripts, -5)  # the first is 3 minutes old now, the second 5 minutes ahead
    after = scripts.publish("broadcast")
    now = scripts.client.time()[0] // 60
    noted = scripts.client.zrange(scripts.key("minutes"), 0, -1, withscores=True)
    assert [m for m, _ in noted] == [old, ahead] and noted[-1][1] <= now
    assert int(scripts.head()["minute"]) <= now
    age(scripts, 9)
    scripts.publish("broadcast")
    assert scripts.ids()[:2] == [ahead, after]


def test_a_users_log_lives_an_hour_longer_than_the_retention(scripts):
    scripts.settings = [100, 100, 5000]
    scripts.publish(("user", "a"))
    assert 60 * MINUTE < scripts.client.pttl(scripts.key("log:user:a")) <= 60 * MINUTE + 5000
