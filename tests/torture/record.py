"""What a run leaves behind: every event that was published, and every client's diary. Written by the run, read by the judge.

A diary is a flat array of 64-bit numbers, five for each entry (kind, epoch, seq, value, time in µs), so that millions of
deliveries fit into memory. `epoch` and `seq` are the position that the entry carries, 0 and 0 where it carries none."""

import array
import dataclasses
import json
import time

# Entries that the client makes by itself. `value` is told after each.
CONNECT = 1  # a connection begins; the position asked with; flags below
CLOSED = 2  # close code, or 0 where the line broke
BACK = 3  # the client can take events again of its own will: it had left, or not read
ACKED = 4  # the client acknowledged this position
BROKEN = 5  # something that no server may send; index into the texts
# Frames of the server.
WELCOME = 10  # flags below, and the index of the connection_id in the texts, times 16
EVENT = 11  # the event's number
CAUGHT_UP = 12  # `replayed`
RESYNC = 13  # index of the reason in REASONS
OTHER = 14  # ping, pong, ack, reconnect: only the position matters

# Flags of CONNECT: how it asks.
FRESH, BY_POSITION, BY_ACKED = 0, 1, 2
WITH_IDENTITY = 4
# Flags of WELCOME.
RESUMED, RECOVERING = 1, 2

REASONS = ("unknown", "epoch", "ahead", "expired")
WIDTH = 5


def now_us():
    return time.monotonic_ns() // 1000


def position(text):
    """(epoch, seq) of a position; a foreign event's `.n` counts for nothing, as it does when one resumes."""
    epoch, seq = text.split(".")[0].split("-")
    return int(epoch), int(seq)


@dataclasses.dataclass
class Event:
    """A published event. `id` and `acked` are None until a 2xx came; only then is anything owed."""
    n: int
    audience: tuple  # ("broadcast",), ("users", name, …) or ("connection", id)
    publisher: str
    count: int  # of its publisher
    first: int  # µs, when it was first sent
    kept: bool = True  # False: "replay": false, owed to nobody
    id: tuple = None
    acked: int = None

    def line(self):
        return json.dumps(dataclasses.asdict(self)) + "\n"

    @classmethod
    def of_line(cls, line):
        fields = json.loads(line)
        fields["audience"] = tuple(fields["audience"])
        fields["id"] = tuple(fields["id"]) if fields["id"] else None
        return cls(**fields)


class Diary:
    """What one client did and was told, in order."""

    def __init__(self, name, user, texts=None, numbers=None):
        self.name, self.user = name, user
        self.texts = texts if texts is not None else []
        self.numbers = numbers if numbers is not None else array.array("q")

    def add(self, kind, at=(0, 0), value=0, time=None):
        self.numbers.extend((kind, at[0], at[1], value, now_us() if time is None else time))

    def text(self, text):
        """The index by which an entry refers to it."""
        self.texts.append(text)
        return len(self.texts) - 1

    def entries(self):
        """(kind, position, value, time), one after the other."""
        numbers = self.numbers
        for i in range(0, len(numbers), WIDTH):
            kind, epoch, seq, value, when = numbers[i:i + WIDTH]
            yield kind, (epoch, seq), value, when

    def save(self, folder):
        (folder / f"{self.name}.json").write_text(json.dumps([self.name, self.user, self.texts]))
        with open(folder / f"{self.name}.diary", "wb") as file:
            self.numbers.tofile(file)

    @classmethod
    def load(cls, folder, name):
        name, user, texts = json.loads((folder / f"{name}.json").read_text())
        numbers = array.array("q")
        numbers.frombytes((folder / f"{name}.diary").read_bytes())
        return cls(name, user, texts, numbers)
