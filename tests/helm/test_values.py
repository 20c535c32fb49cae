"""The chart's values: each variable of belfry has one, mistakes are named, and the documents are what the files say."""

import json
import os
import pathlib
import re
import subprocess

import pytest
import yaml

import chart
import readme

BINARY = os.environ.get("BELFRY_BINARY") or str(chart.ROOT / "build" / "belfry")
EXTERNAL = {"redis": {"enabled": False}, "externalRedis": {"existingSecret": "push-redis"}}
TLS = chart.merged(EXTERNAL, {"externalRedis": {"tls": {"existingSecret": "t", "certKey": "c", "privateKeyKey": "k"}}})
# Variables whose value is no `config.<name>`: the values that set them, and what they are then.
ELSEWHERE = {
    "REDIS_URL": (EXTERNAL, "push-redis/redis-url"),
    "REDIS_CA_FILE": (TLS, "/etc/belfry/redis-tls/ca.crt"),
    "REDIS_CERT_FILE": (TLS, "/etc/belfry/redis-tls/tls.crt"),
    "REDIS_KEY_FILE": (TLS, "/etc/belfry/redis-tls/tls.key"),
    "SECRET_KEY": ({"auth": {"mountAsFile": False}}, "belfry-auth/secret-key"),
    "SECRET_KEY_FILE": ({"auth": {"existingSecret": "", "secretKeyFile": "/k"}}, "/k"),
    "API_KEYS_FILE": ({"apiKeys": {"file": "/a"}}, "/a"),
    "TLS_CERT_FILE": ({"tls": {"enabled": True, "existingSecret": "t"}}, "/etc/belfry/tls/tls.crt"),
    "TLS_KEY_FILE": ({"tls": {"enabled": True, "existingSecret": "t"}}, "/etc/belfry/tls/tls.key"),
}
# A value other than the default, where `1` would be none.
SAMPLES = {
    "listen": "0.0.0.0:8080", "apiListen": "127.0.0.1:8001", "metricsListen": ":9999", "basePath": "/push", "demo": "on", "queryToken": "off",
    "compression": "off", "lifecycle": "on", "proxyProtocol": "v1", "algorithm": "ES256", "logLevel": "debug", "logFormat": "text",
    "allowedOrigins": "https://a.example", "trustedProxies": "10.0.0.0/8", "clientRate": "5/s burst 10", "publishRate": "100/s",
    "redisPrefix": "mine:", "dataDir": "/data", "jwtIssuer": "i", "jwtAudience": "a", "tokenCookie": "c", "tapeBytes": "32M",
    "maxMessageBytes": "32K", "maxBodyBytes": "2M",
}


def variables():
    table = subprocess.run([BINARY, "--help-markdown"], check=True, capture_output=True, text=True, timeout=30).stdout
    names = re.findall(r"^\| `([A-Z_]+)` \|", table, re.MULTILINE)
    assert len(names) > 40
    return names


def camel(name):
    first, *rest = name.lower().split("_")
    return first + "".join(word.capitalize() for word in rest)


def config_names():
    return yaml.safe_load((chart.CHART / "values.yaml").read_text())["config"]


@pytest.mark.parametrize("name", variables())
def test_every_variable_can_be_set(name):
    if name in ELSEWHERE:
        values, expected = ELSEWHERE[name]
    else:
        expected = SAMPLES.get(camel(name), "7")
        values = {"config": {camel(name): expected}}
    assert chart.environment(chart.render(values))[name] == expected


def test_every_configuration_value_is_a_variable():
    assert {camel(name) for name in variables()} - {camel(name) for name in ELSEWHERE} == set(config_names())


def test_only_variables_of_belfry_are_set():
    everything = {"config": {name: SAMPLES.get(name, "7") for name in config_names()}}
    known = set(variables())
    for values in [everything, *(values for values, _ in ELSEWHERE.values())]:
        unknown = set(chart.environment(chart.render(values))) - known
        assert unknown <= {"REDIS_PASSWORD"}, unknown


def test_an_empty_value_is_left_to_belfry():
    assert set(chart.environment(chart.render())) == {"LISTEN", "METRICS_LISTEN", "DRAIN_SECONDS", "SECRET_KEY_FILE", "REDIS_URL", "REDIS_PASSWORD"}


def test_yaml_does_not_change_what_is_meant():
    """YAML takes `off` for false, helm a large number for a float, and a list is what one would write for origins."""
    env = chart.environment(chart.render({"config": {
        "compression": False, "demo": True, "maxConnections": 100000000, "redisWaitReplicas": 0, "clientRate": False,
        "allowedOrigins": ["https://a.example", "https://b.example"], "jwtAudience": "123"}}))
    wanted = {"COMPRESSION": "off", "DEMO": "on", "MAX_CONNECTIONS": "100000000", "REDIS_WAIT_REPLICAS": "0", "CLIENT_RATE": "off",
              "ALLOWED_ORIGINS": "https://a.example,https://b.example", "JWT_AUDIENCE": "123"}
    assert {name: env[name] for name in wanted} == wanted


def test_the_prefix_is_the_releases_name_on_an_external_redis():
    assert chart.environment(chart.render(EXTERNAL, release="bells"))["REDIS_PREFIX"] == "bells:"
    assert "REDIS_PREFIX" not in chart.environment(chart.render(release="bells"))


def test_a_password_alone_fills_the_url():
    env = chart.environment(chart.render({"redis": {"enabled": False}, "externalRedis": {
        "url": "redis://app:$(REDIS_PASSWORD)@r:6379/0", "existingSecret": "r", "existingSecretPasswordKey": "pw"}}))
    assert (env["REDIS_PASSWORD"], env["REDIS_URL"]) == ("r/pw", "redis://app:$(REDIS_PASSWORD)@r:6379/0")
    names = [e["name"] for e in chart.container(chart.render())["env"]]
    assert names.index("REDIS_PASSWORD") < names.index("REDIS_URL")  # or Kubernetes would not expand it


def real_files(objects, folder):
    """Writes what the chart's own Secret mounts into `folder`, and returns belfry's variables with their paths there."""
    secret = chart.find(objects, "Secret", "push-belfry")["stringData"]
    env = dict(chart.find(objects, "ConfigMap", "push-belfry")["data"])
    for volume in chart.find(objects, "Deployment")["spec"]["template"]["spec"]["volumes"]:
        for item in volume["secret"]["items"]:
            path = pathlib.Path(folder) / volume["name"] / item["path"]
            path.parent.mkdir(exist_ok=True)
            path.write_text(secret[item["key"]])
    for name, value in env.items():
        env[name] = value.replace("/etc/belfry", str(folder))
    return env, secret


def test_belfry_takes_what_the_chart_renders(tmp_path):
    objects = chart.render({
        "auth": {"existingSecret": "", "secretKey": "now:" + "k" * 48 + "\nold:" + "j" * 48 + "\n"}, "redis": {"enabled": False},
        "externalRedis": {"url": "redis://127.0.0.1:1/0"},
        "apiKeys": {"keys": [{"name": "shop", "secret": "s" * 40, "scopes": ["events:publish", "events:read"]},
                             {"name": "ops", "secret": "o" * 40, "scopes": ["connections:write"]}]},
        "config": {"apiListen": "[::]:8001", "basePath": "/push", "maxConnections": 100000, "compression": False, "clientRate": "5/s burst 9",
                   "trustedProxies": ["10.0.0.0/8", "fd00::/8"], "allowedOrigins": ["https://*.example.com"], "pingInterval": "20s"}})
    env, secret = real_files(objects, tmp_path)
    env["REDIS_URL"] = secret["redis-url"]
    done = subprocess.run([BINARY, "check"], env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    shown = dict(line.split("  #")[0].strip().split("=", 1) for line in done.stdout.splitlines() if "=" in line)
    assert shown["REDIS_PREFIX"] == "push:" and shown["MAX_CONNECTIONS"] == "100000"
    assert "is not a variable" not in done.stderr


TYPOS = [{"replicas": 3}, {"image": {"repositry": "x"}}, {"config": {"pingIntervall": "1s"}}, {"ingress": {"classname": "nginx"}},
         {"service": {"prot": 80}}, {"redis": {"persistance": {"enabled": False}}}, {"autoscaling": {"min": 1}}, {"resources": {"limit": {}}},
         {"ingress": {"hosts": [{"hots": "x"}]}}, {"apiKeys": {"keys": [{"name": "a", "secret": "s" * 40, "scope": ["events:publish"]}]}},
         {"externalRedis": {"tls": {"existingSecert": "x"}}}, {"extraEnv": [{"nmae": "X"}]}, {"networkPolicy": {"allowexternal": True}},
         {"monitoring": {"prometheusRules": {"enabled": True}}}, {"monitoring": {"serviceMonitor": {"intervall": "1m"}}}]


@pytest.mark.parametrize("values", TYPOS, ids=json.dumps)
def test_a_typo_is_an_error(values):
    said = chart.refusal(values)
    assert "additional propert" in said and "not allowed" in said


WRONG = [({"config": {"drainSeconds": "soon"}}, "drainSeconds"), ({"config": {"pingInterval": "30 s"}}, "pingInterval"),
         ({"config": {"logLevel": "loud"}}, "logLevel"), ({"config": {"drainSeconds": "11m"}}, "at most 10m"), ({"config": {"algorithm": "none"}}, "algorithm"),
         ({"config": {"listen": "unix:/run/x"}}, "config.listen"), ({"config": {"listen": "[::]:0"}}, "config.listen"),
         ({"config": {"metricsListen": "off"}}, "config.metricsListen"), ({"config": {"apiListen": "8001"}}, "config.apiListen"),
         ({"service": {"port": 0}}, "port"), ({"replicaCount": "2"}, "replicaCount"), ({"image": {"pullPolicy": "Sometimes"}}, "pullPolicy"),
         ({"auth": {"secretKey": "x" * 48}}, "auth.secretKey and auth.existingSecret"), ({"auth": {"existingSecret": ""}}, "openssl rand -base64 48"),
         ({"redis": {"enabled": False}}, "externalRedis.url or externalRedis.existingSecret is required"),
         ({"externalRedis": {"existingSecret": "x"}}, "redis.enabled=false"), ({"externalRedis": {"url": "http://x"}}, "url"),
         ({"redis": {"enabled": False}, "externalRedis": {"existingSecret": "x", "existingSecretPasswordKey": "p"}}, "externalRedis.url with"),
         ({"redis": {"enabled": False}, "externalRedis": {"existingSecret": "x", "url": "redis://r:1"}}, "one of them"),
         ({"redis": {"enabled": False}, "externalRedis": {"url": "embedded"}}, "replicaCount=1"),
         (chart.merged(EXTERNAL, {"externalRedis": {"tls": {"existingSecret": "x", "certKey": "c"}}}), "belong together"),
         ({"externalRedis": {"tls": {"existingSecret": "x"}}}, "TLS is for an external Redis"), ({"tls": {"enabled": True}}, "tls.existingSecret"),
         ({"apiKeys": {"keys": [{"name": "a", "secret": "short", "scopes": ["events:publish"]}]}}, "secret"),
         ({"apiKeys": {"file": "/x", "existingSecret": "y"}}, "apiKeys.existingSecret and apiKeys.file"),
         ({"ingress": {"enabled": True}}, "ingress.hosts"), ({"httpRoute": {"enabled": True}}, "httpRoute.parentRefs"),
         ({"autoscaling": {"enabled": True, "minReplicas": 11}}, "maxReplicas")]


@pytest.mark.parametrize("values,named", WRONG, ids=lambda v: v if isinstance(v, str) else None)
def test_a_mistake_is_named(values, named):
    assert named in chart.refusal(values)


def test_the_missing_image_is_explained():
    assert yaml.safe_load((chart.CHART / "values.yaml").read_text())["image"]["repository"] == ""
    said = chart.refusal({}, base={})
    assert "image.repository is required" in said and "Dockerfile" in said


def test_the_schema_has_every_value_and_nothing_else():
    def walk(values, schema, path):
        if "properties" not in schema:
            return
        assert schema["additionalProperties"] is False, path
        if isinstance(values, dict) and values:
            extra = set(schema["properties"]) - set(values) - ({"global"} if path == "" else {"claims"})
            assert set(values) <= set(schema["properties"]) and not extra, f"{path}: {extra}"
            for name, value in values.items():
                walk(value, schema["properties"][name], f"{path}.{name}")

    schema = json.loads((chart.CHART / "values.schema.json").read_text())
    walk(yaml.safe_load((chart.CHART / "values.yaml").read_text()), schema, "")


def test_readme_is_what_values_yaml_says():
    assert readme.run(write=False) == 0


def test_a_value_without_comment_is_noticed():
    with pytest.raises(readme.Problem, match="a.c has no comment"):
        readme.tables("## T\n# The first\na:\n  # One\n  b: 1\n  c: 2\n")
    assert readme.tables("## T\n# A map\na:\n  b: 1\n") != readme.tables("## T\n# A map\na:\n  b: 2\n")


def notes(values, tmp_path):
    """NOTES.txt as a template of its own, since helm shows it at an installation only."""
    copy = tmp_path / "chart"
    subprocess.run(["cp", "-r", str(chart.CHART), str(copy)], check=True)
    (copy / "files" / "notes").write_text((copy / "templates" / "NOTES.txt").read_text())
    (copy / "templates" / "notes.yaml").write_text('kind: Notes\nmetadata: {name: notes}\ntext: {{ tpl (.Files.Get "files/notes") . | toJson }}\n')
    return chart.find(chart.render(values, chart=copy), "Notes")["text"]


@pytest.mark.parametrize("values,said", [
    ({}, "port-forward service/push-belfry 8000:80"), ({}, "helm -n apps test push"), ({}, "drain"),
    ({"ingress": {"enabled": True, "hosts": [{"host": "a.example"}], "tls": [{"secretName": "t"}]}, "config": {"basePath": "/push"}}, "wss://a.example/push/ws"),
    ({"httpRoute": {"enabled": True, "parentRefs": [{"name": "g"}], "hostnames": ["b.example"]}}, "wss://b.example/ws"),
    ({"config": {"apiListen": "[::]:8001"}}, "http://push-belfry-api.apps.svc:80/events"), (EXTERNAL, "the prefix is push:"),
    ({"autoscaling": {"enabled": True}}, "WARNING: autoscaling"), ({"terminationGracePeriodSeconds": 60}, "WARNING: terminationGracePeriodSeconds")])
def test_notes_tell_the_next_commands(values, said, tmp_path):
    text = notes(values, tmp_path)
    if said == "drain":
        said = "hands its clients over for 120 s, and is killed after 135 s"
    assert said in text
    assert "WARNING" in said or "WARNING" not in text
