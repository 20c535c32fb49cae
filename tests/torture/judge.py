"""Judges a run: pure functions from what was published and what the clients wrote down to a list of violations.

What is owed to a client follows from positions alone. A chain begins where a client was told a position without having
brought one (a fresh welcome, an acknowledged position, a resync_required) and goes on over all its connections. Whatever
is acknowledged, meant for it and lies between two positions of one chain has to have come between them, once, in order.

    judge.py FOLDER            judges a kept run again
    judge.py FOLDER CLIENT     prints one client's diary
"""

import array
import bisect
import collections
import dataclasses
import heapq
import json
import pathlib
import sys

import record
from record import (ACKED, BACK, BROKEN, BY_ACKED, BY_POSITION, CAUGHT_UP, CLOSED, CONNECT, EVENT, OTHER, RECOVERING,
                    RESUMED, RESYNC, WELCOME, WITH_IDENTITY)

KINDS = ("lost", "duplicated", "out of order", "wrong recipient", "needless resync", "position", "protocol", "phantom",
         "stuck")
# Shorter gaps count for the percentiles only.
WORTH_A_LOOK_US = 100_000
# A fault may explain the gap of an event that was sent a moment after it.
FAULT_BEFORE_US = 500_000


@dataclasses.dataclass
class Violation:
    kind: str
    client: str
    when: int  # µs
    text: str


@dataclasses.dataclass
class Run:
    """What is known of a run as a whole."""
    events: dict  # number → Event
    epochs: dict = dataclasses.field(default_factory=dict)  # epoch that ended → the seq at its end
    end: tuple = None  # a position that every client must have reached; None: not judged
    faults: list = dataclasses.field(default_factory=list)  # (µs, kind), in order
    allow_resync: bool = False
    durable: bool = False  # Redis lost nothing: whoever asks for his own identity within minutes has to get it

    def __post_init__(self):
        self.broadcasts, self.users, self.connections = [], collections.defaultdict(list), collections.defaultdict(list)
        for event in self.events.values():
            if event.acked is None or not event.kept:
                continue
            kind, *names = event.audience
            for owed in [self.broadcasts] if kind == "broadcast" else \
                    [(self.users if kind == "users" else self.connections)[name] for name in set(names)]:
                owed.append((event.id, event.n))
        for owed in [self.broadcasts, *self.users.values(), *self.connections.values()]:
            owed.sort()

    def survived(self, at):
        """Whether what a client saw up to there is still the server's history."""
        epoch, seq = at
        return epoch not in self.epochs or seq <= self.epochs[epoch]


def between(owed, after, until):
    """The numbers of those with after < id <= until."""
    begin = bisect.bisect_right(owed, (after, float("inf")))
    return [n for _, n in owed[begin:bisect.bisect_right(owed, (until, float("inf")))]]


@dataclasses.dataclass
class Summary:
    violations: list = dataclasses.field(default_factory=list)
    deliveries: int = 0  # of acknowledged events
    resyncs: collections.Counter = dataclasses.field(default_factory=collections.Counter)  # by reason
    connections: int = 0
    resumed: int = 0  # connections that kept the identity they asked for
    refused: int = 0  # and those that did not
    caught_up: int = 0
    gaps: array.array = dataclasses.field(default_factory=lambda: array.array("q"))  # µs, of each delivery
    away: array.array = dataclasses.field(default_factory=lambda: array.array("q"))  # µs, from a server's 1012 to caught_up
    worst: list = dataclasses.field(default_factory=list)  # (µs, number, client) of the longest
    worst_of_fault: dict = dataclasses.field(default_factory=dict)  # kind → µs, of events under way when it began

    def note_gap(self, run, begun, when, n, client):
        """From when an event was first sent, or its client came back of its own will, until it arrived."""
        gap = when - begun
        self.gaps.append(gap)
        if gap < WORTH_A_LOOK_US:
            return
        heapq.heappush(self.worst, (gap, n, client))
        if len(self.worst) > 20:
            heapq.heappop(self.worst)
        for kind in {kind for _, kind in run.faults[bisect.bisect_left(run.faults, (begun - FAULT_BEFORE_US, "")):
                                                    bisect.bisect_right(run.faults, (when, ""))]}:
            self.worst_of_fault[kind] = max(gap, self.worst_of_fault.get(kind, 0))

    def counts(self):
        found = collections.Counter(v.kind for v in self.violations)
        return {kind: found[kind] for kind in KINDS}


class Reader:
    """Goes through one client's diary."""

    def __init__(self, run, diary, summary):
        self.run, self.diary, self.summary = run, diary, summary
        self.start = None  # of the chain; None: no chain yet
        self.at = None  # the last position that the client was given
        self.begun = 0
        self.came = set()  # numbers, in this chain
        self.ids = {}  # connection_id → [from, until], in this chain
        self.identity = None
        self.acked = None
        self.back = 0
        self.sent_away = None  # when the server closed by 1012, until it has caught up
        # Of the connection at hand.
        self.asked, self.flags, self.welcomed, self.recovering, self.caught, self.replayed = None, 0, True, False, False, 0

    def blame(self, kind, when, text):
        self.summary.violations.append(Violation(kind, self.diary.name, when, text))

    # ---- chains

    def begin_chain(self, at, when):
        self.end_chain(when)
        self.start = self.at = at
        self.came = set()
        self.ids = {self.identity: [at, at]} if self.identity else {}

    def end_chain(self, when):
        """Everything owed up to the last position has to be there."""
        if self.start is None:
            return
        owed = [("everybody", n) for n in between(self.run.broadcasts, self.start, self.at)]
        owed += [("its user", n) for n in between(self.run.users.get(self.diary.user, []), self.start, self.at)]
        for name, (begin, until) in self.ids.items():
            owed += [("its connection", n) for n in between(self.run.connections.get(name, []), begin, until)]
        for whom, n in owed:
            if n not in self.came:
                event = self.run.events[n]
                self.blame("lost", when, f"event {n} ({show(event.id)}, to {whom}) did not come between "
                                         f"{show(self.start)} and {show(self.at)}")
        self.start = None

    def move(self, at, when, what):
        """A position that came in a frame other than an event."""
        if self.at is not None and at < self.at:
            self.blame("position", when, f"{what} goes back from {show(self.at)} to {show(at)}")
            return
        self.at = at
        if self.identity in self.ids:
            self.ids[self.identity][1] = at

    # ---- entries

    def read(self):
        take = {CONNECT: self.connect, CLOSED: self.closed, BACK: self.came_back, ACKED: self.acknowledge,
                BROKEN: self.broken, WELCOME: self.welcome, EVENT: self.event, CAUGHT_UP: self.caught_up,
                RESYNC: self.resync, OTHER: self.other}
        when = 0
        for kind, at, value, when in self.diary.entries():
            if kind in (EVENT, CAUGHT_UP, RESYNC, OTHER) and not self.welcomed:
                self.blame("protocol", when, "a frame before the welcome")
                self.welcomed = True
            take[kind](at, value, when)
        self.end_chain(when)
        if self.run.end and (self.at is None or self.at < self.run.end):
            self.blame("stuck", when, f"never got beyond {show(self.at)}: the end is {show(self.run.end)}")
        elif self.run.end and self.recovering and not self.caught:
            self.blame("protocol", when, "recovering, but neither caught_up nor resync_required ever came")

    def connect(self, at, flags, when):
        self.summary.connections += 1
        self.asked, self.flags, self.welcomed = at, flags, False
        self.recovering = self.caught = False
        self.replayed = 0

    def closed(self, at, code, when):
        if code == 1012:
            self.sent_away = when
        if code in (1002, 1003, 1007, 1009, 1011, 4400, 4401, 4403):
            self.blame("protocol", when, f"closed by {code}")

    def came_back(self, at, value, when):
        self.back = when

    def acknowledge(self, at, value, when):
        self.acked = max(self.acked or at, at)

    def broken(self, at, value, when):
        self.blame("protocol", when, self.diary.texts[value])

    def welcome(self, at, value, when):
        if self.welcomed:
            self.blame("protocol", when, "a second welcome")
        self.welcomed = True
        self.recovering = bool(value & RECOVERING)
        if not self.recovering:
            self.sent_away = None
        way = self.flags & 3
        self.take_identity(self.diary.texts[value >> 4], bool(value & RESUMED), when)
        if way == BY_POSITION:
            if not self.recovering:
                self.blame("protocol", when, "brought a position, but recovering is false")
            if at != self.asked:
                self.blame("position", when, f"asked with {show(self.asked)}, welcomed at {show(at)}")
            self.hold_identity()
        elif way == BY_ACKED and self.recovering:
            if self.acked is None or at > self.acked:
                self.blame("position", when, f"resumes as acknowledged at {show(at)}: acknowledged was {show(self.acked)}")
            self.begin_chain(at, when)
        else:
            if self.recovering:
                self.blame("protocol", when, "brought no position, but recovering is true")
            self.begin_chain(at, when)

    def take_identity(self, name, resumed, when):
        if self.flags & WITH_IDENTITY:
            self.summary.resumed += resumed
            self.summary.refused += not resumed
            if self.run.durable and not resumed:
                self.blame("protocol", when, f"the identity {self.identity} was not kept")
        if resumed and not self.flags & WITH_IDENTITY:
            self.blame("protocol", when, "an identity was resumed that was not asked for")
        if resumed != (name == self.identity) and self.identity:
            self.blame("protocol", when, f"resumed is {resumed} of {self.identity}, now {name}")
        self.identity = name

    def hold_identity(self):
        """Events to a connection_id are owed from where it was first held in this chain."""
        if self.identity not in self.ids:
            self.ids[self.identity] = [self.at, self.at]

    def event(self, at, n, when):
        event = self.run.events.get(n)
        if event is None:
            self.blame("phantom", when, f"event {n} at {show(at)} was never published")
            return
        if n in self.came:
            self.blame("duplicated", when, f"event {n} came again at {show(at)}")
        elif self.at is not None and at <= self.at:
            self.blame("out of order", when, f"event {n} at {show(at)} came after {show(self.at)}")
        if event.id is not None and event.id != at and self.run.survived(at):
            self.blame("phantom", when, f"event {n} came as {show(at)}, acknowledged was {show(event.id)}")
        self.came.add(n)
        self.replayed += 1
        self.judge_recipient(event, when)
        self.move(max(at, self.at or at), when, "an event")
        if event.acked is not None:
            self.summary.deliveries += 1
            self.summary.note_gap(self.run, max(event.first, self.back), when, n, self.diary.name)

    def judge_recipient(self, event, when):
        kind, *names = event.audience
        if (kind == "users" and self.diary.user not in names) or (kind == "connection" and self.identity not in names):
            self.blame("wrong recipient", when, f"event {event.n} is for {kind} {names}; this is {self.diary.user}, "
                                                f"{self.identity}")

    def caught_up(self, at, replayed, when):
        self.summary.caught_up += 1
        if not self.recovering or self.caught:
            self.blame("protocol", when, "a caught_up that nobody waits for")
        elif replayed != self.replayed:
            self.blame("protocol", when, f"caught_up counts {replayed}, {self.replayed} came")
        self.caught = True
        if self.sent_away is not None:
            self.summary.away.append(when - self.sent_away)
            self.sent_away = None
        self.move(at, when, "caught_up")

    def resync(self, at, reason, when):
        self.summary.resyncs[record.REASONS[reason]] += 1
        if not self.run.allow_resync and (record.REASONS[reason] != "epoch" or self.run.survived(self.at)):
            self.blame("needless resync", when, f"{record.REASONS[reason]} at {show(self.at)}, on from {show(at)}")
        self.caught = True
        if self.at is not None and at < self.at:
            self.blame("position", when, f"resync_required goes back from {show(self.at)} to {show(at)}")
        self.begin_chain(at, when)

    def other(self, at, value, when):
        self.move(at, when, "a frame's position")


def show(at):
    return "nothing" if at is None else f"{at[0]}-{at[1]}"


def judge_publishers(run, summary):
    """What one publisher sent one after the other has ids in that order."""
    last = {}
    for event in sorted((e for e in run.events.values() if e.id is not None), key=lambda e: e.count):
        if event.publisher in last and event.id <= last[event.publisher].id:
            before = last[event.publisher]
            summary.violations.append(Violation("out of order", event.publisher, event.acked, (
                f"event {event.n} got {show(event.id)}, but {before.n}, published before it, {show(before.id)}")))
        last[event.publisher] = event


def judge(run, diaries):
    """A Summary over all clients."""
    summary = Summary()
    judge_publishers(run, summary)
    for diary in diaries:
        Reader(run, diary, summary).read()
    return summary


# ---- kept runs


def load(folder):
    """(Run, the clients' diaries one by one) of a folder that a run has left."""
    facts = json.loads((folder / "run.json").read_text())
    events = [record.Event.of_line(line) for line in open(folder / "published.jsonl")]
    run = Run({event.n: event for event in events}, {int(k): int(v) for k, v in facts["epochs"].items()},
              tuple(facts["end"]) if facts["end"] else None, [tuple(f) for f in facts["faults"]], facts["allow_resync"],
              facts["durable"])
    names = sorted(path.stem for path in (folder / "diaries").glob("*.json"))
    return run, (record.Diary.load(folder / "diaries", name) for name in names)


def print_diary(diary):
    names = {value: name for name, value in vars(record).items() if name.isupper() and isinstance(value, int)
             and name in "CONNECT CLOSED BACK ACKED BROKEN WELCOME EVENT CAUGHT_UP RESYNC OTHER".split()}
    for kind, at, value, when in diary.entries():
        more = diary.texts[value >> 4] if kind == WELCOME else record.REASONS[value] if kind == RESYNC else \
            diary.texts[value] if kind == BROKEN else ""
        print(f"{when / 1e6:.6f} {names[kind]:10} {show(at):28} {value} {more}".rstrip())


def main():
    folder = pathlib.Path(sys.argv[1])
    if len(sys.argv) > 2:
        print_diary(record.Diary.load(folder / "diaries", sys.argv[2]))
        return 0
    summary = judge(*load(folder))
    for violation in summary.violations[:200]:
        print(f"{violation.when / 1e6:.6f} {violation.client} {violation.kind}: {violation.text}")
    print(summary.counts())
    return 1 if summary.violations else 0


if __name__ == "__main__":
    sys.exit(main())
