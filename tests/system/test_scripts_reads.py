"""The scripts that erase a log and that store cursors, on a real redis-server."""

import pytest
import redis

from redis_scripts import DAY, MINUTE, TEXTS, Scripts, age, epoch_of, seq_of, server

HOUR = 60 * MINUTE


# Erasing


def test_an_erased_log_holds_a_marker_that_names_the_last_erased_event(scripts):
    ids = [scripts.publish(("user", "a")) for _ in range(3)]
    other = scripts.publish("broadcast", ("user", "b"))
    erased = scripts.erase("a")
    assert seq_of(erased) == seq_of(other) + 1 and scripts.head()["seq"] == str(seq_of(erased))
    assert scripts.log("user:a") == [(erased, {"prev": ids[-1]})]
    assert scripts.ids() == scripts.ids("user:b") == [other] and scripts.head()["last"] == other
    after = scripts.publish(("user", "a"))
    assert scripts.prevs("user:a") == [ids[-1], erased] and scripts.ids("user:a") == [erased, after]


def test_the_log_lives_as_long_after_an_erasure_as_after_an_event(scripts):
    scripts.publish(("user", "a"))
    scripts.client.pexpire(scripts.key("log:user:a"), 1000)
    scripts.erase("a")
    assert DAY + HOUR - 5000 < scripts.client.pttl(scripts.key("log:user:a")) <= DAY + HOUR


def test_erasing_twice_still_names_the_last_event(scripts):
    last = scripts.publish(("user", "a"))
    scripts.erase("a")
    again = scripts.erase("a")
    assert scripts.log("user:a") == [(again, {"prev": last})]


def test_where_there_is_nothing_to_erase_no_log_is_made(scripts):
    scripts.publish("broadcast")
    assert seq_of(scripts.erase("nobody")) == 2
    assert not scripts.client.exists(scripts.key("log:user:nobody"))
    assert seq_of(scripts.publish("broadcast")) == 3


def test_an_erasure_may_be_the_first_of_all(scripts):
    assert seq_of(scripts.erase("a")) == 1
    assert scripts.head()["last"] == "0-0"


def test_an_erasure_opens_an_epoch_above_the_log_like_any_writer(scripts):
    first = scripts.publish(("user", "a"))
    scripts.client.hset(scripts.key("head"), "replid", "another")
    erased = scripts.erase("a")
    assert epoch_of(erased) > epoch_of(first) and scripts.epochs() == {str(epoch_of(first)): "1"}
    assert scripts.prevs("user:a") == [first]
    seen = epoch_of(erased) + 1000
    assert epoch_of(scripts.erase("a", seen=seen)) == seen + 1


def test_a_log_that_holds_greater_ids_is_erased_under_a_greater_epoch(scripts):
    first = scripts.publish(("user", "a"))
    scripts.client.xadd(scripts.key("log:user:a"), {"payload": "x", "prev": first}, id=f"{epoch_of(first) + 7}-9")
    erased = scripts.erase("a")
    assert epoch_of(erased) > epoch_of(first) + 7
    assert scripts.ids("user:a") == [erased] and scripts.head()["epoch"] == str(epoch_of(erased))


def test_an_erasure_notes_its_minute_and_raises_the_floor(scripts):
    scripts.publish("broadcast")
    age(scripts, DAY // MINUTE + 2)
    erased = scripts.erase("a")
    assert scripts.head()["floor"] == str(seq_of(erased) - 1) and scripts.ids() == []


def test_a_key_of_another_kind_is_told_and_left_alone(scripts):
    scripts.publish("broadcast")
    scripts.client.set(scripts.key("log:user:a"), "mine")
    before = scripts.all_data()
    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        scripts.erase("a")
    assert scripts.all_data() == before


def test_erasing_works_with_redis_memory_full():
    with server() as s, s.client() as client:
        scripts = Scripts(client)
        last = scripts.publish(("user", "a"))
        scripts.publish("broadcast")
        client.config_set("maxmemory", 1)
        with pytest.raises(redis.exceptions.OutOfMemoryError):
            scripts.publish("broadcast")
        erased = scripts.erase("a")
        assert scripts.log("user:a") == [(erased, {"prev": last})]


@pytest.mark.parametrize("keys, argv", [(4, 4), (6, 4), (5, 3), (5, 5)])
def test_wrong_arguments_change_nothing(scripts, keys, argv):
    scripts.publish(("user", "a"))
    before = scripts.all_data()
    names = [scripts.key(k) for k in ("head", "epochs", "minutes", "log:broadcast", "log:user:a", "log:user:b")]
    with pytest.raises(redis.ResponseError, match="BELFRY_ARGS"):
        scripts.client.eval(TEXTS["erase"], keys, *names[:keys], *[0, 1, 1, DAY, 0][:argv])
    assert scripts.all_data() == before


# Cursors


@pytest.fixture
def head(scripts):
    """The epoch of a history that has come to seq 100."""
    epoch = epoch_of(scripts.publish("broadcast"))
    scripts.client.hset(scripts.key("head"), "seq", "100")
    return epoch


def stored(scripts, user="a"):
    return scripts.client.hgetall(scripts.key("cursor:" + user))


def test_a_cursor_goes_forward_only_by_numbers_not_by_letters(scripts, head):
    assert scripts.cursors(("a", "default", f"{head}-9")) == 1
    for position, changed in ((f"{head}-10", 1), (f"{head}-10", 0), (f"{head}-9", 0), (f"{head - 1}-90", 0),
                              (f"{head}-100", 1), ("999-100", 0)):
        assert scripts.cursors(("a", "default", position)) == changed, position
    assert stored(scripts) == {"default": f"{head}-100"}


def test_it_never_passes_the_head(scripts, head):
    assert scripts.cursors(("a", "default", f"{head}-101"), ("a", "x", f"{head + 1}-1"),
                           ("a", "y", "18446744073709551615-18446744073709551615")) == 0
    scripts.client.delete(scripts.key("head"))
    assert scripts.cursors(("a", "default", f"{head}-1")) == 0
    assert stored(scripts) == {}


def test_many_at_once_and_each_under_its_name(scripts, head):
    cursors = [(f"u{i}", name, f"{head}-{i + 1}") for i in range(90) for name in ("default", "phone: ä b")]
    assert scripts.cursors(*cursors) == 180
    assert stored(scripts, "u41") == {"default": f"{head}-42", "phone: ä b": f"{head}-42"}


def test_a_users_cursors_expire_after_their_last_change(scripts, head):
    key = scripts.key("cursor:a")
    scripts.cursors(("a", "default", f"{head}-5"), lives=50_000)
    assert 45_000 < scripts.client.pttl(key) <= 50_000
    scripts.cursors(("a", "default", f"{head}-4"), lives=90_000)
    assert scripts.client.pttl(key) <= 50_000
    scripts.cursors(("a", "phone", f"{head}-4"), lives=90_000)
    assert 85_000 < scripts.client.pttl(key) <= 90_000


def test_of_too_many_names_the_one_furthest_behind_gives_way(scripts, head):
    scripts.cursors(*[("a", f"n{i}", f"{head}-{10 + (i + 40) % 90}") for i in range(100)])
    before = stored(scripts)
    assert len(before) == 100
    scripts.cursors(("a", "new", f"{head}-5"), ("a", "n0", f"{head}-99"))
    least = {name for name, position in before.items() if seq_of(position) == 10}
    gone = set(before) - set(stored(scripts))
    assert len(stored(scripts)) == 100 and "new" in stored(scripts) and len(gone) == 1 and gone <= least


def test_a_key_of_another_kind_does_not_hold_up_the_others(scripts, head):
    scripts.client.set(scripts.key("cursor:a"), "mine")
    assert scripts.cursors(("a", "default", f"{head}-5"), ("b", "default", f"{head}-5")) == 1
    assert scripts.client.get(scripts.key("cursor:a")) == "mine" and stored(scripts, "b") == {"default": f"{head}-5"}


def test_a_junk_cursor_is_replaced(scripts, head):
    scripts.client.hset(scripts.key("cursor:a"), "default", "junk")
    assert scripts.cursors(("a", "default", f"{head}-5")) == 1
    assert stored(scripts) == {"default": f"{head}-5"}


def test_cursors_without_their_arguments_are_refused(scripts, head):
    for keys, argv in ((["h"], [1]), (["h", "c"], [1, "n"]), (["h", "c"], ["x", "n", "1-1"]), (["h", "c"], [1, "n", "1-1", "m"])):
        with pytest.raises(redis.ResponseError, match="BELFRY_ARGS"):
            scripts.client.eval(TEXTS["cursors"], len(keys), *map(scripts.key, keys), *argv)
