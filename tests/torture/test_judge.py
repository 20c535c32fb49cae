"""The judge finds each kind of violation where it was planted, and none where there is none."""

import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from judge import Run, judge  # noqa: E402
from record import (ACKED, BROKEN, BY_ACKED, BY_POSITION, CAUGHT_UP, CLOSED, CONNECT, EVENT, FRESH, OTHER,  # noqa: E402
                    RECOVERING, REASONS, RESUMED, RESYNC, WELCOME, WITH_IDENTITY, Diary, Event, position)

E = 1000  # the epoch of all that does not say otherwise


def at(seq, epoch=E):
    return epoch, seq


def events(*audiences, **changes):
    """Event n has the id E-n, acknowledged; changes by number, as e3={"acked": None}."""
    made = {}
    for n, audience in enumerate(audiences, 1):
        fields = {"n": n, "audience": audience, "publisher": "p", "count": n, "first": n, "id": at(n), "acked": n + 1}
        made[n] = Event(**{**fields, **changes.get(f"e{n}", {})})
    return made


ALL, ALICE, BOB, BOTH, C1 = ("broadcast",), ("users", "alice"), ("users", "bob"), ("users", "alice", "bob"), ("connection", "c1")


class Story(Diary):
    """A diary of alice, written in the words of a test."""

    def __init__(self):
        super().__init__("a", "alice")

    def connects(self, seq=None, way=FRESH, identity=False, epoch=E):
        way = BY_POSITION if seq is not None else way
        self.add(CONNECT, at(seq, epoch) if seq is not None else (0, 0), way | WITH_IDENTITY * identity)
        return self

    def welcomed(self, seq, identity="c1", recovering=False, resumed=False, epoch=E):
        self.add(WELCOME, at(seq, epoch), self.text(identity) << 4 | RECOVERING * recovering | RESUMED * resumed)
        return self

    def gets(self, *numbers):
        for n in numbers:
            self.add(EVENT, at(n), n)
        return self

    def told(self, kind, seq, value=0, epoch=E):
        self.add(kind, at(seq, epoch), value)
        return self

    def resumes(self, seq, **options):
        return self.connects(seq).welcomed(seq, recovering=True, **options)


def begins(seq=0, identity="c1"):
    return Story().connects().welcomed(seq, identity)


def found(run_events, story, **facts):
    """The kinds of the violations, one for each."""
    facts.setdefault("end", None)
    return [v.kind for v in judge(Run(run_events, **facts), [story]).violations]


MIXED = events(ALL, ALICE, BOB, ALL, C1, BOTH)


def test_a_life_without_blame():
    story = begins().gets(1, 2).told(OTHER, 3).resumes(3, identity="c2").gets(4).told(CAUGHT_UP, 5, 1)
    assert found(events(ALL, ALICE, BOB, ALL, BOB, BOTH), story.gets(6), end=at(6)) == []
    summary = judge(Run(MIXED), [begins().gets(1, 2, 4, 5, 6)])
    assert summary.violations == [] and summary.deliveries == 5 and len(summary.gaps) == 5


@pytest.mark.parametrize("missing", [1, 2, 4, 5, 6])
def test_lost(missing):
    came = [n for n in (1, 2, 4, 5, 6) if n != missing]
    assert found(MIXED, begins().gets(*came).told(OTHER, 7)) == ["lost"]


def test_lost_between_two_connections():
    story = begins().gets(1, 2).resumes(2, identity="c2").told(CAUGHT_UP, 4, 0)
    assert found(events(ALL, ALICE, ALL, ALL), story) == ["lost", "lost"]


def test_lost_by_a_position_that_ran_ahead():
    story = begins().gets(1).told(OTHER, 4).resumes(4, identity="c2").told(CAUGHT_UP, 4, 0)
    assert found(events(ALL, ALL, BOB, BOB), story) == ["lost"]


def test_nothing_is_owed_beyond_the_last_position():
    assert found(MIXED, begins().gets(1)) == []
    assert found(MIXED, begins(4, "c2")) == []


def test_what_was_never_acknowledged_or_not_kept_is_owed_to_nobody():
    unacked = events(ALL, ALL, ALL, e1={"acked": None, "id": None}, e2={"kept": False})
    assert found(unacked, begins().gets(3)) == []
    assert found(unacked, begins().gets(1, 2, 3)) == []


def test_a_resync_covers_a_gap_and_begins_a_new_chain():
    story = begins().gets(1).told(RESYNC, 3, REASONS.index("expired")).gets(4)
    many = events(ALL, ALL, ALL, ALL)
    assert found(many, story, allow_resync=True) == []
    assert found(many, story) == ["needless resync"]
    later = begins().gets(1).told(RESYNC, 2, REASONS.index("expired")).told(OTHER, 4)
    assert found(many, later, allow_resync=True) == ["lost", "lost"]


def test_a_resync_where_history_was_lost():
    after = events(ALL, ALL, e2={"id": at(9, E + 1)})
    story = begins().gets(1).told(OTHER, 7).told(RESYNC, 8, REASONS.index("epoch"), epoch=E + 1)
    story.add(EVENT, at(9, E + 1), 2)
    assert found(after, story, epochs={E: 5}) == []
    assert found(after, story, epochs={E: 7}) == ["needless resync"]
    expired = begins().gets(1).told(OTHER, 7).told(RESYNC, 8, REASONS.index("expired"), epoch=E + 1)
    assert found(after, expired, epochs={E: 5}) == ["needless resync"]


def test_duplicated():
    assert found(MIXED, begins().gets(1, 2, 4, 4)) == ["duplicated"]
    again = begins().gets(1, 2).connects(2, identity=True).welcomed(2, resumed=True, recovering=True)
    assert found(MIXED, again.gets(2, 4)) == ["duplicated"]


def test_duplicated_under_another_id():
    story = begins().gets(1)
    story.add(EVENT, at(3), 1)
    assert found(events(ALL), story) == ["duplicated", "phantom"]


def test_going_back_to_what_was_acknowledged_is_no_duplicate():
    story = begins().gets(1).told(ACKED, 1).gets(2, 4).connects(way=BY_ACKED)
    assert found(MIXED, story.welcomed(1, "c2", recovering=True).gets(2, 4).told(CAUGHT_UP, 4, 2)) == []


def test_an_acknowledged_position_from_the_future():
    story = begins().gets(1).told(ACKED, 1).gets(2).connects(way=BY_ACKED).welcomed(2, "c2", recovering=True)
    assert found(MIXED, story) == ["position"]


def test_an_acknowledged_position_still_owes_what_follows():
    story = begins().gets(1).told(ACKED, 1).gets(2, 4).connects(way=BY_ACKED)
    assert found(MIXED, story.welcomed(1, "c2", recovering=True).gets(4).told(CAUGHT_UP, 4, 1)) == ["lost"]


def test_out_of_order():
    assert found(events(ALL, ALL, ALL), begins().gets(1, 3, 2)) == ["out of order"]
    assert found(events(ALL, ALL, ALL), begins().gets(1).told(OTHER, 3).gets(2, 3)) == ["out of order", "out of order"]


def test_out_of_order_ids_of_one_publisher():
    assert found(events(ALL, ALL, e1={"id": at(2)}, e2={"id": at(1)}), begins(5)) == ["out of order"]


def test_wrong_recipient():
    assert found(MIXED, begins().gets(1, 2, 3, 4, 5)) == ["wrong recipient"]
    assert found(MIXED, begins(identity="c9").gets(1, 2, 4, 5)) == ["wrong recipient"]


def test_events_to_an_identity_that_was_kept_and_to_one_that_was_given_up():
    kept = begins().gets(1, 2, 4).connects(4, identity=True).welcomed(4, resumed=True, recovering=True)
    assert found(MIXED, kept.told(CAUGHT_UP, 6, 0)) == ["lost", "lost"]
    given_up = begins().gets(1, 2, 4).resumes(4, identity="c2").gets(6).told(CAUGHT_UP, 6, 1)
    assert found(MIXED, given_up) == []


def test_an_identity_that_is_not_kept():
    story = begins().connects(0, identity=True).welcomed(0, "c2", recovering=True)
    assert found({}, story) == []
    assert found({}, story, durable=True) == ["protocol"]


def test_positions_that_go_back():
    assert found(MIXED, begins().gets(1, 2).told(OTHER, 1)) == ["position"]
    assert found(events(ALL), begins().gets(1).connects(1).welcomed(0, "c2", recovering=True)) == ["position"]
    back = begins(4).told(RESYNC, 2, REASONS.index("expired"))
    assert found({}, back, allow_resync=True) == ["position"]


@pytest.mark.parametrize("story", [
    begins().welcomed(0),
    Story().connects().told(OTHER, 1),
    Story().connects().welcomed(0, recovering=True),
    Story().connects(3).welcomed(3, "c1"),
    begins().told(CAUGHT_UP, 0),
    begins().resumes(0, identity="c2").told(CAUGHT_UP, 0, 0).told(CAUGHT_UP, 0, 0),
    begins().resumes(0, identity="c2").told(CAUGHT_UP, 0, 5),
    begins().connects(0, identity=True).welcomed(0, "c2", recovering=True, resumed=True),
    begins().connects(0).welcomed(0, "c1", recovering=True),
    begins().told(CLOSED, 0, 1011),
], ids=["two welcomes", "a frame before the welcome", "recovering from nothing", "not recovering from a position",
        "caught_up for nothing", "two caught_up", "a wrong count", "resumed, but another id", "kept, but not resumed",
        "closed by an error"])
def test_breaches_of_the_protocol(story):
    assert found({}, story)[:1] == ["protocol"]


def test_what_the_client_found_unreadable():
    story = begins()
    story.add(BROKEN, value=story.text("junk"))
    assert found({}, story) == ["protocol"]


def test_phantoms():
    assert found(MIXED, begins().gets(1, 2, 4, 77)) == ["phantom"]
    story = begins()
    story.add(EVENT, at(2), 1)
    assert found(events(ALL), story) == ["phantom"]


def test_stuck():
    assert found(events(ALL), begins(), end=at(1)) == ["stuck"]
    assert found({}, Story(), end=at(1)) == ["stuck"]
    assert found({}, begins().resumes(0, identity="c2").told(OTHER, 2), end=at(2)) == ["protocol"]


def test_gaps_are_measured_and_put_down_to_faults():
    run = Run(events(ALL, e1={"first": 1_000_000}), faults=[(900_000, "early"), (1_200_000, "amid"), (9_000_000, "late")])
    story = Story().connects().welcomed(0)
    story.add(EVENT, at(1), 1, time=1_500_000)
    summary = judge(run, [story])
    assert list(summary.gaps) == [500_000] and summary.worst == [(500_000, 1, "a")]
    assert summary.worst_of_fault == {"early": 500_000, "amid": 500_000}


def test_diaries_and_events_survive_the_disk(tmp_path):
    story = begins().gets(1)
    story.save(tmp_path)
    again = Diary.load(tmp_path, "a")
    assert list(again.entries()) == list(story.entries()) and again.texts == story.texts and again.user == "alice"
    for event in [*MIXED.values(), Event(1, ALL, "p", 1, 1)]:
        assert Event.of_line(event.line()) == event
    assert position("12-34.5") == (12, 34)
