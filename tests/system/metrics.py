"""Reads /metrics as Prometheus does: samples by name and labels, and how they differ from those of a moment ago."""

import re

import requests

SAMPLE = re.compile(r'([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$')
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="([^"]*)"')


def text(server):
    answer = requests.get(server.http("/metrics", "metrics"), timeout=5)
    assert answer.status_code == 200, answer.text
    return answer.text


class Samples:
    def __init__(self, page):
        self.values = {}
        for line in page.splitlines():
            if line.startswith("#"):
                continue
            name, labels, value = SAMPLE.match(line).groups()
            self.values[name, frozenset(LABEL.findall(labels or ""))] = float(value)

    def get(self, name, **labels):
        """The sum of all samples of that name that have these labels; at least one."""
        found = [value for (n, all_labels), value in self.values.items() if n == name and labels.items() <= dict(all_labels).items()]
        assert found, (name, labels)
        return sum(found)


def now(server):
    return Samples(text(server))


class Since:
    """What has been counted since this was made."""

    def __init__(self, server):
        self.server, self.before = server, now(server)

    def get(self, name, **labels):
        return now(self.server).get(name, **labels) - self.before.get(name, **labels)

    def all(self, *wanted):
        """The differences of (name, label, value, …) tuples, of one moment."""
        moment = now(self.server)

        def difference(name, *labels):
            pairs = dict(zip(labels[::2], labels[1::2]))
            return moment.get(name, **pairs) - self.before.get(name, **pairs)
        return [difference(*one) for one in wanted]
