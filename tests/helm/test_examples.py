"""What stands beside the chart, and what `helm test` runs: the sidecar, compose.yaml, and the script against a real belfry."""

import os
import re
import shutil
import signal
import socket
import subprocess
import time

import pytest
import yaml

import chart

BINARY = os.environ.get("BELFRY_BINARY") or str(chart.ROOT / "build" / "belfry")
SECRET = "a-secret-of-the-chart-tests-0123456789-abcdefgh"


def variables():
    table = subprocess.run([BINARY, "--help-markdown"], check=True, capture_output=True, text=True, timeout=30).stdout
    return set(re.findall(r"^\| `([A-Z_]+)` \|", table, re.MULTILINE))


def test_the_sidecar_is_valid_and_restricted():
    objects = chart.documents((chart.ROOT / "helm" / "examples" / "sidecar.yaml").read_text())
    assert [o["kind"] for o in objects] == ["Deployment", "Service"]
    for obj in objects:
        chart.validate(obj, chart.KUBERNETES[-1])
    spec = chart.pod_of(objects[0])[1]
    assert chart.restricted_complaints(spec) == [] and chart.loose_ends(spec) == []


def test_the_sidecar_is_native_and_shares_a_socket():
    objects = chart.documents((chart.ROOT / "helm" / "examples" / "sidecar.yaml").read_text())
    spec = chart.pod_of(objects[0])[1]
    belfry, app = spec["initContainers"][0], spec["containers"][0]
    env = {e["name"]: e.get("value") for e in belfry["env"]}
    assert belfry["restartPolicy"] == "Always" and set(env) <= variables()
    assert spec["terminationGracePeriodSeconds"] >= int(env["DRAIN_SECONDS"].rstrip("s")) + 15
    folder = os.path.dirname(env["API_LISTEN"].removeprefix("unix:"))
    shared = {m["name"] for m in belfry["volumeMounts"] if m["mountPath"] == folder} & {m["name"] for m in app["volumeMounts"] if m["mountPath"] == folder}
    assert len(shared) == 1
    files = {m["mountPath"]: m["name"] for m in belfry["volumeMounts"]}
    secrets = next(v for v in spec["volumes"] if v["name"] == files[os.path.dirname(env["SECRET_KEY_FILE"])])
    assert {os.path.basename(env[n]) for n in ("SECRET_KEY_FILE", "API_KEYS_FILE")} == {i["path"] for i in secrets["secret"]["items"]}


def compose():
    return yaml.safe_load((chart.ROOT / "compose.yaml").read_text())


SERVICE_KEYS = {"build", "image", "environment", "configs", "depends_on", "healthcheck", "stop_grace_period", "read_only", "cap_drop",
                "security_opt", "ulimits", "restart", "command", "volumes", "ports", "init"}


def test_compose_has_the_shape_of_the_compose_specification():
    spec = compose()
    assert set(spec) <= {"name", "services", "configs", "volumes", "networks", "secrets"}
    assert set(spec["services"]) == {"belfry", "redis", "nginx", "publisher"}
    for name, service in spec["services"].items():
        assert set(service) <= SERVICE_KEYS, name
        assert "image" in service or "build" in service
        for other, how in service.get("depends_on", {}).items():
            assert how == {"condition": "service_healthy"} and "healthcheck" in spec["services"][other]
        for config in service.get("configs", []):
            assert config["source"] in spec["configs"] and config["target"].startswith("/")
        for volume in service.get("volumes", []):
            assert volume.split(":")[0] in spec["volumes"]
        for value in service.get("environment", {}).values():
            assert isinstance(value, str), f"{name}: {value!r} is no text"
    for name in ("belfry", "redis", "nginx"):
        check = spec["services"][name]["healthcheck"]
        assert check["test"][0] in ("CMD", "CMD-SHELL") and {"interval", "timeout", "retries"} <= set(check)


def test_compose_names_variables_of_belfry_and_time_for_its_drain():
    belfry = compose()["services"]["belfry"]
    assert set(belfry["environment"]) <= variables()
    assert int(belfry["stop_grace_period"].rstrip("s")) >= int(belfry["environment"]["DRAIN_SECONDS"].rstrip("s")) + 5
    assert belfry["environment"]["API_KEYS_FILE"] in {c["target"] for c in belfry["configs"]}
    assert not re.search(r"[A-Za-z0-9+/]{32,}", str(belfry)), "a secret stands in compose.yaml"


@pytest.mark.skipif(subprocess.run(["docker", "compose", "version"], capture_output=True).returncode != 0 if shutil.which("docker") else True,
                    reason="no docker compose on this machine")
def test_docker_compose_takes_it():
    env = {**os.environ, "SECRET_KEY": "s" * 48, "PUBLISHER_KEY": "p" * 48}
    done = subprocess.run(["docker", "compose", "-f", str(chart.ROOT / "compose.yaml"), "config", "-q"], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def compose_content(name, **environment):
    """A config's text as compose would make it."""
    text = compose()["configs"][name]["content"]
    text = re.sub(r"(?<!\$)\$\{(\w+)[^}]*\}", lambda m: environment[m.group(1)], text)
    return text.replace("$$", "$")


def test_belfry_takes_the_environment_of_compose(tmp_path):
    (tmp_path / "keys").write_text(compose_content("api-keys", PUBLISHER_KEY="p" * 48))
    env = {**compose()["services"]["belfry"]["environment"], "SECRET_KEY": "s" * 48, "REDIS_URL": "redis://127.0.0.1:1/0",
           "API_KEYS_FILE": str(tmp_path / "keys")}
    done = subprocess.run([BINARY, "check"], env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(not shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin"), reason="no nginx on this machine")
def test_nginx_takes_the_configuration_of_compose(tmp_path):
    nginx = shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin")
    site = compose_content("nginx").replace("/dev/stdout", str(tmp_path / "access")).replace("server belfry:8000", "server 127.0.0.1:8000")
    assert "$http_upgrade" in site and "$$" not in site
    (tmp_path / "nginx.conf").write_text(f"pid {tmp_path}/pid;\nevents {{}}\nhttp {{\n{site}\n}}\n")
    done = subprocess.run([nginx, "-t", "-p", str(tmp_path), "-e", str(tmp_path / "error"), "-c", str(tmp_path / "nginx.conf")],
                          capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Server:
    """A belfry with an embedded Redis, as the chart's test pod would meet it."""

    def __init__(self, folder, **env):
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.key = folder / "secret-key"
        self.key.write_text(f"# the first key mints\nk1:{SECRET}\nk2:{SECRET[::-1]}\n")
        env = {"PATH": os.environ["PATH"], "LISTEN": f"127.0.0.1:{port}", "METRICS_LISTEN": "off", "SECRET_KEY_FILE": str(self.key),
               "WORKERS": "1", "DRAIN_SECONDS": "0", **env}
        self.process = subprocess.Popen([BINARY], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 20
        while True:
            with socket.socket() as s:
                if s.connect_ex(("127.0.0.1", port)) == 0:
                    return
            assert time.monotonic() < deadline and self.process.poll() is None, "belfry does not listen"
            time.sleep(0.05)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@pytest.fixture
def serve(tmp_path):
    servers = []

    def start(**env):
        servers.append(Server(tmp_path, **env))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


def pod_script(values):
    """The test pod's script and environment, as the chart renders them."""
    objects = chart.render(values)
    script = chart.find(objects, "ConfigMap", "push-belfry-test")["data"]["test.sh"]
    pod = chart.find(objects, "Pod", "push-belfry-test")["spec"]["containers"][0]
    return script, {e["name"]: e["value"] for e in pod["env"]}


def run_test_pod(server, values, folder, shell=("sh",), **changes):
    script, env = pod_script(values)
    (folder / "test.sh").write_text(script)
    for name in ("PUBLIC_URL", "API_URL"):
        assert env[name].startswith("http://push-belfry:80")
        env[name] = env[name].replace("http://push-belfry:80", server.url)
    if "SECRET_KEY_FILE" in env:
        env["SECRET_KEY_FILE"] = str(server.key)
    env.update(PATH=os.environ["PATH"], TMPDIR=str(folder), **changes)
    return subprocess.run([*shell, str(folder / "test.sh")], env=env, capture_output=True, text=True, timeout=90)


CURL = pytest.mark.skipif(not shutil.which("curl"), reason="no curl on this machine")
SHELLS = [("sh",), ("bash",), *([("busybox", "sh")] if shutil.which("busybox") else [])]


@CURL
@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
def test_the_test_pod_connects_publishes_and_hears(serve, tmp_path, shell):
    done = run_test_pod(serve(), {}, tmp_path, shell)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "the event arrives" in done.stdout and "healthy" in done.stdout


@CURL
def test_the_test_pod_follows_issuer_audience_base_path_and_proxy_protocol(serve, tmp_path):
    values = {"config": {"jwtIssuer": "me", "jwtAudience": "you", "basePath": "/push", "proxyProtocol": "v1"}}
    server = serve(JWT_ISSUER="me", JWT_AUDIENCE="you", BASE_PATH="/push", PROXY_PROTOCOL="v1")
    done = run_test_pod(server, values, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


@CURL
def test_the_test_pod_uses_a_given_token(serve, tmp_path):
    server = serve()
    env = {"PATH": os.environ["PATH"], "SECRET_KEY_FILE": str(server.key)}
    token = subprocess.run([BINARY, "token", "--user", "u", "--scope", "events:publish"], env=env, capture_output=True, text=True, check=True).stdout
    (tmp_path / "token").write_text(token)
    done = run_test_pod(server, {"tests": {"tokenSecret": "t"}}, tmp_path, TOKEN_FILE=str(tmp_path / "token"))
    assert done.returncode == 0, done.stdout + done.stderr


@CURL
def test_the_test_pod_fails_where_the_key_is_another(serve, tmp_path):
    server = serve()
    (tmp_path / "other").write_text("x" * 48)
    done = run_test_pod(server, {}, tmp_path, SECRET_KEY_FILE=str(tmp_path / "other"))
    assert done.returncode == 1 and "FAILED: no welcome" in done.stderr
    assert "signature does not match" in done.stderr and SECRET not in done.stderr


def test_the_test_pod_says_when_it_cannot_make_a_token(tmp_path):
    script, env = pod_script({"config": {"algorithm": "ES256"}})
    (tmp_path / "test.sh").write_text(script)
    done = subprocess.run(["sh", str(tmp_path / "test.sh")], env={**env, "PATH": os.environ["PATH"]}, capture_output=True, text=True, timeout=30)
    assert done.returncode == 1 and "set tests.tokenSecret" in done.stderr
