"""ServiceMonitor, PrometheusRule and dashboard of the chart: they fit belfry's metrics, Prometheus, and each other."""

import json
import os
import re
import subprocess

import pytest
import yaml

import chart
import test_alerts

BINARY = os.environ.get("BELFRY_BINARY") or str(chart.ROOT / "build" / "belfry")
DASHBOARD = chart.CHART / "files" / "dashboard.json"
ON = {"monitoring": {part: {"enabled": True} for part in ("serviceMonitor", "prometheusRule", "dashboard")}}
# What Prometheus and the ServiceMonitor put on every series; le is a histogram's.
TARGET_LABELS = {"namespace", "job", "instance"}
NAME = re.compile(r"\b((?:belfry|process)_[a-z0-9_]+|up)\b")
SELECTOR = re.compile(r"\b((?:belfry|process)_[a-z0-9_]+|up)\{([^}]*)\}")
MATCHER = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"')
VARIABLE_METRICS = re.compile(r"label_values\(([a-z_]+)")


def metrics():
    """{name of a series: {label: its values, or None where they are open}}, of the table in the code."""
    table = subprocess.run([BINARY, "--metrics-markdown"], check=True, capture_output=True, text=True, timeout=30).stdout
    found = {"up": {}}
    for name, kind, labels in re.findall(r"^\| `(\w+)` \| (\w+) \| ([^|]*) \|", table, re.MULTILINE):
        known = {}
        for part in filter(None, labels.strip().split("; ")):
            label, _, values = part.partition(": ")
            known[label.strip("`")] = set(values.split(", ")) if values else None
        if kind == "histogram":
            found[f"{name}_sum"] = found[f"{name}_count"] = known
            found[f"{name}_bucket"] = {**known, "le": None}
        else:
            found[name] = known
    assert len(found) > 40
    return found


METRICS = metrics()


def test_the_table_that_is_printed_is_the_one_of_the_code():
    header = (chart.ROOT / "core" / "metrics_table.h").read_text()
    names = set(re.findall(r'"((?:belfry|process)_\w+)"', header))
    assert len(names) > 40
    assert {re.sub(r"_(sum|count|bucket)$", "", n) if n not in names else n for n in METRICS} - names <= {"up", "belfry_build_info"}


def complaints(expr):
    """What in an expression is no metric of belfry, no label of it, or no value of that label."""
    bare = re.sub(r'"[^"]*"', '""', expr)
    for name in set(NAME.findall(bare)):
        if name not in METRICS:
            yield f"{name}: no such metric"
        if len(re.findall(rf"\b{name}\b(?!\{{)", bare)):
            yield f"{name}: without a selector"
    for name, inside in SELECTOR.findall(expr):
        for label, operator, value in MATCHER.findall(inside):
            if label in TARGET_LABELS:
                continue
            if label not in METRICS.get(name, {}):
                yield f"{name} has no label {label}"
            elif METRICS[name][label] is not None:
                wrong = set(value.split("|") if "~" in operator else [value]) - METRICS[name][label]
                if wrong:
                    yield f"{name}: {label} is never {wrong}"


def kept_labels(expr):
    """Labels that a result of the expression may have."""
    by = [set(re.split(r",\s*", labels)) for labels in re.findall(r"\bby \(([^)]*)\)", expr)]
    if by:
        return set.union(*by)
    if re.match(r"(sum|max|min|avg|count)\b", expr):
        return set()
    return set.union(TARGET_LABELS, *(METRICS[name] for name in NAME.findall(re.sub(r'"[^"]*"', "", expr))))


def rules(objects):
    return {rule["alert"]: rule for group in chart.find(objects, "PrometheusRule")["spec"]["groups"] for rule in group["rules"]}


# ---- alert rules

@pytest.mark.parametrize("name", test_alerts.RULES)
def test_every_metric_of_a_rule_exists(name):
    expr = test_alerts.RULES[name]["expr"]
    assert NAME.search(expr) and list(complaints(expr)) == []
    assert all('job="belfry"' in inside for _, inside in SELECTOR.findall(expr))


@pytest.mark.parametrize("expr,complaint", [
    ('belfry_redy{job="belfry"}', "no such metric"), ("belfry_ready", "without a selector"), ('belfry_ready{worker="0"}', "has no label worker"),
    ('belfry_resyncs_total{reason=~"epoch|gone"}', "never {'gone'}"), ('belfry_delivery_seconds{}', "no such metric")])
def test_what_is_no_metric_is_found(expr, complaint):
    assert any(complaint in found for found in complaints(expr))


def test_rules_of_the_chart_look_at_its_own_belfry_only(tmp_path):
    objects = chart.render(ON, release="bells")
    assert set(rules(objects)) == set(test_alerts.RULES)
    for name, rule in rules(objects).items():
        assert "job=\"belfry\"" not in rule["expr"]
        assert all('namespace="apps", job="bells-belfry-metrics"' in inside for _, inside in SELECTOR.findall(rule["expr"])), name
        assert rule["annotations"]["runbook_url"] == f"docs/runbook.md#{name.lower()}"
        assert {k: v for k, v in rule["annotations"].items()} == test_alerts.RULES[name]["annotations"]
    path = tmp_path / "rules.yaml"
    path.write_text(yaml.safe_dump(chart.find(objects, "PrometheusRule")["spec"]))
    done = test_alerts.promtool("check", "rules", path)
    assert done.returncode == 0 and f"{len(test_alerts.RULES)} rules found" in done.stdout, done.stdout + done.stderr
    own = {"namespace": "apps", "job": "bells-belfry-metrics", "instance": "bells-belfry-x"}
    fires = test_alerts.expected("BelfryNotReady", own, None)

    def case(**labels):
        series = {test_alerts.on(name, **{**own, **labels}): "0x10" for name in ("belfry_ready", "belfry_draining")}
        return test_alerts.case("BelfryNotReady", series, 5, [] if labels else [fires])

    done = test_alerts.run([case(), case(job="other-belfry-metrics"), case(namespace="elsewhere")], tmp_path, rules=path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_rule_values_do_what_they_say():
    objects = chart.render(chart.merged(ON, {"monitoring": {"prometheusRule": {
        "alertLabels": {"team": "push", "severity": "none"}, "runbookUrl": "https://git.example.com/r.md", "job": "mine",
        "disabled": ["BelfryRestarts", "BelfryLoopLag", "BelfryLogLinesDropped"]}}}))
    found = rules(objects)
    assert set(test_alerts.RULES) - set(found) == {"BelfryRestarts", "BelfryLoopLag", "BelfryLogLinesDropped"}
    assert all(rule["labels"]["team"] == "push" for rule in found.values())
    assert found["BelfryNotReady"]["labels"]["severity"] == "critical"
    assert found["BelfryNotReady"]["annotations"]["runbook_url"] == "https://git.example.com/r.md#belfrynotready"
    assert 'job="mine"' in found["BelfryNotReady"]["expr"]
    groups = chart.find(objects, "PrometheusRule")["spec"]["groups"]
    assert "belfry-process" not in [group["name"] for group in groups] and len(groups) == 3
    assert "there is no alert BelfryNothing" in chart.refusal(chart.merged(ON, {"monitoring": {"prometheusRule": {"disabled": ["BelfryNothing"]}}}))


# ---- ServiceMonitor

def test_it_is_off_by_default():
    kinds = {o["kind"] for o in chart.render()}
    assert not kinds & {"ServiceMonitor", "PrometheusRule"}
    names = {o["metadata"]["name"] for o in chart.render()}
    assert not names & {"push-belfry-metrics", "push-belfry-dashboard"}


def test_the_service_monitor_finds_the_metrics_port_of_every_pod():
    objects = chart.render(chart.merged(ON, {"config": {"apiListen": "[::]:8001", "metricsListen": ":9999"}}))
    monitor = chart.find(objects, "ServiceMonitor")["spec"]
    services = [o for o in objects if o["kind"] == "Service" and
                monitor["selector"]["matchLabels"].items() <= o["metadata"]["labels"].items()]
    assert [s["metadata"]["name"] for s in services] == ["push-belfry-metrics"]
    spec = services[0]["spec"]
    assert spec["publishNotReadyAddresses"] is True and spec["clusterIP"] == "None"  # who is not ready is to be seen too
    assert monitor["endpoints"][0]["port"] in {p["name"] for p in spec["ports"]} and spec["ports"][0]["port"] == 9999
    assert monitor["namespaceSelector"] == {"matchNames": ["apps"]}
    ports = {p["name"]: p["containerPort"] for p in chart.container(objects)["ports"]}
    assert ports[spec["ports"][0]["targetPort"]] == 9999


@pytest.mark.parametrize("change", [{"endpoints": [{"prot": "metrics"}]}, {"selector": {"matchLabels": {"a": 1}}}, {"jobLabels": "x"}])
def test_the_schemas_of_the_operator_find_mistakes(change):
    monitor = chart.find(chart.render(ON), "ServiceMonitor")
    chart.validate(monitor, chart.KUBERNETES[-1])
    with pytest.raises(Exception, match="Failed validating"):
        chart.validate({**monitor, "spec": {**monitor["spec"], **change}}, chart.KUBERNETES[-1])


# ---- dashboard

BOARD = json.loads(DASHBOARD.read_text())
PANELS = [p for p in BOARD["panels"] if p["type"] != "row"]
EXPRESSIONS = [(p["title"], t["expr"], t["legendFormat"]) for p in PANELS for t in p["targets"]]
EXPRESSIONS += [(a["name"], a["expr"], a["titleFormat"]) for a in BOARD["annotations"]["list"]]


@pytest.mark.parametrize("title", [p["title"] for p in PANELS] + [a["name"] for a in BOARD["annotations"]["list"]])
def test_every_metric_of_a_panel_exists(title):
    for expr, legend in [(e, leg) for t, e, leg in EXPRESSIONS if t == title]:
        assert NAME.search(expr) and list(complaints(expr)) == [], expr
        for _, inside in SELECTOR.findall(expr):
            assert 'namespace=~"$namespace", job=~"$job", instance=~"$instance"' in inside
        assert set(re.findall(r"\{\{(\w+)\}\}", legend)) <= kept_labels(expr), legend


def test_promtool_takes_every_expression_of_the_dashboard(tmp_path):
    concrete = [expr.replace("$__rate_interval", "2m") for _, expr, _ in EXPRESSIONS]
    path = tmp_path / "rules.yaml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": [
        {"record": f"panel:n{n}", "expr": expr} for n, expr in enumerate(concrete)]}]}))
    done = test_alerts.promtool("check", "rules", path)
    assert done.returncode == 0 and f"{len(concrete)} rules found" in done.stdout, done.stdout + done.stderr


def test_the_dashboard_is_whole():
    ids = [p["id"] for p in BOARD["panels"]]
    assert len(ids) == len(set(ids)) and len(PANELS) > 30
    cells = set()
    for panel in BOARD["panels"]:
        at = panel["gridPos"]
        assert 0 <= at["x"] and at["x"] + at["w"] <= 24
        own = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not own & cells, f"{panel['title']} lies on another panel"
        cells |= own
    for panel in PANELS:
        assert panel["description"] and panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert [t["refId"] for t in panel["targets"]] == [chr(65 + n) for n in range(len(panel["targets"]))]
    variables = {v["name"]: v for v in BOARD["templating"]["list"]}
    assert set(variables) == {"datasource", "namespace", "job", "instance"}
    assert all(set(VARIABLE_METRICS.findall(v["definition"])) <= set(METRICS) for v in variables.values() if v["type"] == "query")


def test_the_rows_are_the_questions_at_three_in_the_morning():
    rows = [p["title"] for p in BOARD["panels"] if p["type"] == "row"]
    assert [re.search(words, title) is not None for words, title in zip(
        ("delivering", "connected", "closed", "late", "Redis", "process"), rows, strict=True)] == [True] * 6


def test_panels_lead_to_entries_of_the_runbook():
    named = {word for p in PANELS for word in re.findall(r"\bBelfry\w+", p["description"])}
    assert named <= set(test_alerts.RULES)
    assert set(test_alerts.RULES) - named <= {"BelfryAbsent", "BelfryUnreachable"}  # then there is nothing to show


def test_the_config_map_holds_the_dashboard():
    found = chart.find(chart.render(ON), "ConfigMap", "push-belfry-dashboard")
    assert json.loads(found["data"]["belfry.json"]) == BOARD
    assert found["metadata"]["labels"]["grafana_dashboard"] == "1"


# ---- runbook

RUNBOOK = test_alerts.RUNBOOK.read_text()


def test_the_runbook_names_what_there_is():
    variables = subprocess.run([BINARY, "--help-markdown"], check=True, capture_output=True, text=True, timeout=30).stdout
    log = (chart.ROOT / "docs" / "logs.md").read_text()
    named = [n for group in re.findall(r"belfry_\(([a-z_|]+)\)", RUNBOOK) for n in group.split("|")]  # in a pattern of grep
    assert len(named) > 10
    for name in [f"belfry_{n}" for n in named] + re.findall(r"\b(belfry_[a-z_]+[a-z]|process_[a-z_]+[a-z])\b", RUNBOOK):
        assert any(m == name or m.startswith(f"{name}_") for m in METRICS), name
    known = set(re.findall(r"^\| `([A-Z_]+)` \|", variables, re.MULTILINE))
    assert {v for v in re.findall(r"`([A-Z]+_[A-Z_]+)(?:=[^`]*)?`", RUNBOOK)} <= known
    events = set(re.findall(r"`((?:redis|canary|publish|broadcasts|page|start|listen)_[a-z_]+)`", RUNBOOK)) - set(METRICS)
    results = METRICS["belfry_publishes_total"]["result"]
    assert events - results and all(f"| `{event}` |" in log for event in events - results - {"pages_pending"})
    assert set(re.findall(r"^\| `(\w+)`", RUNBOOK, re.MULTILINE)) <= results


def anchor(heading):
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("page", ["docs/runbook.md", "docs/logs.md", "docs/deploy.md", "docs/metrics.md", "helm/belfry/README.md"])
def test_links_lead_somewhere(page):
    path = chart.ROOT / page
    links = re.findall(r"\]\((?![a-z]+:)([^)#\s]*)(?:#([^)]*))?\)", path.read_text())
    for target, heading in links:
        other = (path.parent / target).resolve() if target else path
        assert other.exists(), target
        if heading:
            headings = re.findall(r"^#+ (.*)$", other.read_text(), re.MULTILINE)
            assert heading in map(anchor, headings), f"{target}#{heading}"
