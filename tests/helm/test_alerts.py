"""Each alert rule, by Prometheus' own evaluation: series at which it fires, with its text, and series at which it is quiet."""

import re
import subprocess

import pytest
import yaml

import chart

FILE = chart.CHART / "files" / "alerts.yaml"
GROUPS = yaml.safe_load(FILE.read_text())["groups"]
RULES = {rule["alert"]: rule for group in GROUPS for rule in group["rules"]}
RUNBOOK = chart.ROOT / "docs" / "runbook.md"


def on(name, instance="a", **labels):
    pairs = {"job": "belfry", "instance": instance, **labels}
    return name + "{" + ", ".join(f'{k}="{v}"' for k, v in pairs.items()) + "}"


def worker(name, n=0, instance="a"):
    return on(name, instance, worker=n)


def steady(n):
    return f"{n}+0x60"


def rising(per_minute, start=0):
    return f"{start}+{per_minute}x60"


def live(n, instance="a"):
    return {on("belfry_connections", instance, worker=0, state="live"): steady(n)}


READY, DRAINING = on("belfry_ready"), on("belfry_draining")
AGE, UP, PUBSUB = worker("belfry_canary_age_seconds"), worker("belfry_redis_up"), worker("belfry_pubsub_up")
A = {"instance": "a"}


def publishes(**per_minute):
    return {on("belfry_publishes_total", result=result): rising(n) for result, n in per_minute.items()}


def delivery(within_one_second, within_five):
    """Deliveries a minute by the bound that they are within."""
    bounds = {"0.5": 0, "1": within_one_second, "5": within_five, "+Inf": within_five}
    return {on("belfry_delivery_seconds_bucket", le=le): rising(n) for le, n in bounds.items()}


def subscriber(per_minute, workers):
    series = {worker("belfry_pubsub_up", n): steady(1) for n in range(workers)}
    return {**series, on("belfry_redis_connects_total", connection="subscriber"): rising(per_minute, workers)}


def resyncs(reason, values):
    return {on("belfry_resyncs_total", reason=reason): values}


def closes(code, values):
    return {on("belfry_closes_total", code=code): values}


def catching_up(n, of):
    return {**live(of - n), on("belfry_connections", worker=0, state="catching_up"): steady(n)}


# alert: (series, minutes, labels of the alert, its value as its text says it), then what has to be quiet: (series, minutes) …
CASES = {
    "BelfryAbsent": (
        ({on("up"): steady(0)}, 4, {}, None),
        ({READY: steady(0)}, 4), ({READY: "1 _ _ 1 1 1"}, 5)),
    "BelfryUnreachable": (
        ({on("up"): steady(0), on("up", "b"): steady(1)}, 4, A, None),
        ({on("up"): steady(1)}, 10), ({on("up"): "1 0 0 1 1"}, 4)),
    "BelfryNotReady": (
        ({READY: steady(0), DRAINING: steady(0)}, 3, A, None),
        ({READY: steady(1), DRAINING: steady(0)}, 10), ({READY: steady(0), DRAINING: steady(1)}, 10),
        ({READY: steady(0), DRAINING: steady(0)}, 1)),
    "BelfryDeliveryNotProven": (
        ({AGE: steady(3), worker("belfry_canary_age_seconds", 1): "10+60x9", UP: steady(1)}, 4, A, "4m 10s"),
        ({AGE: steady(20), UP: steady(1)}, 10), ({AGE: "10+60x9", UP: steady(0)}, 8), ({AGE: "5 3000 2 4 5 6"}, 1)),
    "BelfryRedisDown": (
        ({UP: steady(1), worker("belfry_redis_up", 1): steady(0)}, 2, A, None),
        ({UP: steady(1)}, 10), ({UP: "1 0 1 1 1"}, 3)),
    "BelfryPublishesFail": (
        (publishes(ok=900, redis_away=100, outcome_unknown=0), 9, {"result": "redis_away"}, "10%"),
        (publishes(ok=900, redis_away=5), 30), (publishes(ok=100, key_reused=50, draining=50), 30), (publishes(ok=0, redis_away=0), 30)),
    "BelfryDeliveryLate": (
        (delivery(50, 100), 12, {}, "4.92s"),
        (delivery(100, 100), 30), (delivery(0, 0), 30)),
    "BelfryClientsNotLive": (
        (catching_up(50, of=200), 11, A, None),
        (catching_up(15, of=200), 30), (catching_up(5, of=6), 30), (catching_up(50, of=200), 8)),
    "BelfrySubscriptionsLost": (
        (subscriber(1, 2), 20, A, "15"),
        ({**subscriber(0, 4), on("belfry_redis_connects_total", connection="subscriber"): "4 8 8 8+0x20"}, 15),
        (subscriber(0.2, 1), 40)),
    "BelfryHistoryLost": (
        (resyncs("epoch", "0+0x10 9+0x20"), 15, {"reason": "epoch"}, "9"),
        (resyncs("expired", rising(20)), 20), (resyncs("epoch", steady(7)), 20), (resyncs("ahead", "0 5+0x40"), 30)),
    "BelfryReplayTooShort": (
        ({**resyncs("expired", rising(1)), on("belfry_connect_seconds_count"): rising(10)}, 60, {}, "60"),
        ({**resyncs("expired", rising(1)), on("belfry_connect_seconds_count"): rising(50)}, 60),
        ({**resyncs("epoch", rising(1)), on("belfry_connect_seconds_count"): rising(10)}, 60)),
    "BelfryPositionsUnknown": (
        (resyncs("unknown", rising(1)), 60, {}, "60"),
        (resyncs("unknown", "0+0x20 5+0x40"), 60), (resyncs("epoch", rising(1)), 60)),
    "BelfryForgedEvents": (
        ({on("belfry_forgeries_total"): "0+0x9 15+0x50"}, 15, {}, "15"),
        ({on("belfry_forgeries_total"): steady(15)}, 30)),
    "BelfryRedisMayEvict": (
        ({on("belfry_redis_eviction_policy", policy="allkeys-lru"): steady(1), on("belfry_redis_eviction_policy", policy="noeviction"): steady(0)},
         6, {"policy": "allkeys-lru"}, None),
        ({on("belfry_redis_eviction_policy", policy="allkeys-lru"): steady(0), on("belfry_redis_eviction_policy", policy="noeviction"): steady(1)}, 30)),
    "BelfryRedisMemoryHigh": (
        ({on("belfry_redis_memory_bytes"): steady(900), on("belfry_redis_memory_max_bytes"): steady(1000)}, 6, {}, "90%"),
        ({on("belfry_redis_memory_bytes"): steady(800), on("belfry_redis_memory_max_bytes"): steady(1000)}, 30),
        ({on("belfry_redis_memory_bytes"): steady(900), on("belfry_redis_memory_max_bytes"): steady(0)}, 30)),
    "BelfryFull": (
        ({on("belfry_handshakes_total", result="process_full"): rising(120)}, 9, A, "2"),
        ({on("belfry_handshakes_total", result="process_full"): steady(120), on("belfry_handshakes_total", result="token"): rising(60)}, 30)),
    "BelfryDescriptorsHigh": (
        ({on("belfry_descriptors"): steady(900), on("belfry_descriptors_max"): steady(1000)}, 6, A, "90%"),
        ({on("belfry_descriptors"): steady(800), on("belfry_descriptors_max"): steady(1000)}, 30),
        ({on("belfry_descriptors"): steady(900), on("belfry_descriptors_max"): steady(0)}, 30)),
    "BelfryConnectionsDrop": (
        ({**closes("1006", rising(60)), **live(1000)}, 20, {}, "300"),
        ({**closes("1006", rising(10)), **live(1000)}, 20), ({**closes("1012", rising(500)), **live(1000)}, 20),
        ({**closes("1006", rising(0.5)), **live(3)}, 20)),
    "BelfrySpreadUneven": (
        ({**live(5000), **live(4000, "b"), **live(7, "c")}, 31, {"instance": "c"}, "7"),
        ({**live(5000), **live(4000, "b"), **live(900, "c")}, 59), ({**live(7)}, 59), ({**live(90), **live(1, "b")}, 59),
        ({**live(5000), **live(4000, "b"), **live(7, "c")}, 20)),
    "BelfryRestarts": (
        ({on("process_start_time_seconds"): "1 1 2 2 3 3 4+0x50"}, 20, A, "3"),
        ({on("process_start_time_seconds"): "1 1 2+0x50"}, 20)),
    "BelfryLoopLag": (
        ({worker("belfry_loop_lag_seconds"): steady(0.01), worker("belfry_loop_lag_seconds", 1): steady(2)}, 6, A, "2s"),
        ({worker("belfry_loop_lag_seconds"): steady(0.1)}, 30), ({worker("belfry_loop_lag_seconds"): "0 3 0 3 0 3 0 3"}, 7)),
    "BelfryLogLinesDropped": (
        ({on("belfry_log_lines_dropped_total"): "0+0x9 30+0x50"}, 15, A, "30"),
        ({on("belfry_log_lines_dropped_total"): steady(30)}, 30)),
}


def promtool(*arguments):
    return subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True, timeout=60)


def text(template, labels, value):
    """The template as Prometheus expands it; `value` is the value's text."""
    said = re.sub(r"\{\{ \$labels\.(\w+) \}\}", lambda m: labels[m.group(1)], template)
    return re.sub(r"\{\{ \$value \| \w+ \}\}", lambda _: value, said)


def expected(name, labels, value):
    rule = RULES[name]
    labels = {"job": "belfry", **labels} if name != "BelfryAbsent" else {"job": "belfry"}
    return {"exp_labels": {**labels, **rule["labels"]},
            "exp_annotations": {key: text(template, labels, value) for key, template in rule["annotations"].items()}}


def case(name, series, minutes, alerts):
    return {"interval": "1m", "input_series": [{"series": s, "values": v} for s, v in series.items()],
            "alert_rule_test": [{"eval_time": f"{minutes}m", "alertname": name, "exp_alerts": alerts}]}


def run(tests, folder, rules=FILE):
    path = folder / "test.yaml"
    path.write_text(yaml.safe_dump({"rule_files": [str(rules)], "evaluation_interval": "1m", "tests": tests}, width=1000))
    return promtool("test", "rules", path)


def test_promtool_takes_the_rules():
    done = promtool("check", "rules", FILE)
    assert done.returncode == 0 and f"{len(RULES)} rules found" in done.stdout, done.stdout + done.stderr


def test_each_alert_has_its_cases():
    assert set(CASES) == set(RULES) and len(RULES) > 15
    assert all(len(cases) >= 2 for cases in CASES.values())


@pytest.mark.parametrize("name", CASES)
def test_it_fires(name, tmp_path):
    series, minutes, labels, value = CASES[name][0]
    done = run([case(name, series, minutes, [expected(name, labels, value)])], tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", CASES)
def test_it_is_quiet(name, tmp_path):
    done = run([case(name, series, minutes, []) for series, minutes in CASES[name][1:]], tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_harness_sees_an_alert_that_fires_or_does_not(tmp_path):
    series, minutes, labels, value = CASES["BelfryNotReady"][0]
    assert run([case("BelfryNotReady", series, minutes, [])], tmp_path).returncode != 0
    quiet = CASES["BelfryNotReady"][1]
    assert run([case("BelfryNotReady", *quiet, [expected("BelfryNotReady", labels, value)])], tmp_path).returncode != 0


def sections(page):
    """{heading: text below it} of a page's sections of level three."""
    parts = re.split(r"^### (\w+)$", page, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2]))


def test_the_runbook_has_an_entry_for_each_alert_and_for_no_other():
    entries = sections(RUNBOOK.read_text())
    assert set(entries) == set(RULES)
    for name, entry in entries.items():
        for part in ("**Meaning.**", "**First.**", "**Cure.**"):
            assert entry.count(part) == 1, f"{name}: {part}"
        first = entry.split("**First.**")[1].split("**Cure.**")[0]
        assert re.search(r"^    \S", first, re.MULTILINE), f"{name}: no command"
        assert RULES[name]["annotations"]["runbook_url"] == f"docs/runbook.md#{name.lower()}"


def test_alerts_say_whom_they_are_about_and_how_bad_it_is():
    for name, rule in RULES.items():
        assert rule["labels"]["severity"] in ("critical", "warning"), name
        assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}, name
        told = set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["description"]))
        kept = set(re.findall(r"by \(([^)]*)\)", rule["expr"])[0].split(", ")) if " by (" in rule["expr"] else {"instance"}
        assert told <= kept, f"{name} speaks of {told - kept}"
