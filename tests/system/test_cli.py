"""The subcommands that do not serve: help, version, check, script, health, and what is no subcommand."""

import os
import subprocess

import pytest

import belfry as processes
from belfry import SECRET, PATIENCE


def run(*arguments, **env):
    return subprocess.run([processes.binary(), *arguments], env=processes.environment(env), capture_output=True, text=True,
                          timeout=20 * PATIENCE)


def settings(output):
    """What `belfry check` prints, by variable."""
    return dict(line.split("  # ")[0].split("=", 1) for line in output.splitlines())


def test_help_and_version_go_to_stdout():
    for argument in ("--help", "-h"):
        shown = run(argument)
        assert (shown.returncode, shown.stderr) == (0, "")
        for word in ("serve", "token", "check", "script", "health", "status", "REDIS_URL", "PING_INTERVAL (30s)"):
            assert word in shown.stdout
    version = run("--version")
    assert version.returncode == 0 and version.stdout.startswith("belfry ")


@pytest.mark.parametrize("arguments", [("server",), ("--port", "8000"), ("",), ("check", "now"), ("serve", "--reload")])
def test_what_is_no_command_exits_2_with_a_hint(arguments):
    refused = run(*arguments, SECRET_KEY=SECRET)
    assert refused.returncode == 2 and refused.stdout == ""
    assert "belfry --help" in refused.stderr


def test_an_output_that_cannot_be_written_is_a_failure():
    with open("/dev/full", "w") as full:
        for argument in ("--help", "--version", "script"):
            assert subprocess.run([processes.binary(), argument], stdout=full).returncode == 1


def test_check_prints_what_is_in_effect_with_secrets_masked():
    checked = run("check", SECRET_KEY=SECRET, BELFRY_WORKERS="3", WORKERS="2", REDIS_URL="embedded")
    assert checked.returncode == 0, checked.stderr
    shown = settings(checked.stdout)
    assert (shown["WORKERS"], shown["SECRET_KEY"], shown["REDIS_URL"]) == ("3", "***", "embedded")
    assert SECRET not in checked.stdout + checked.stderr
    assert "warning: QUERY_TOKEN: " in checked.stderr


def test_check_names_every_mistake_at_once_and_serve_does_too(tmp_path):
    keys = tmp_path / "keys"
    keys.write_text("one:short:events:publish\n")
    bad = {"PING_INTERVAL": "soon", "BELFRY_ALGORITM": "x", "WORKERS": "0", "SECRET_KEY": "short", "API_KEYS_FILE": str(keys),
           "TLS_CERT_FILE": "/nonexistent", "TLS_KEY_FILE": "/nonexistent"}
    for arguments in (("check",), ("serve",), ()):
        refused = run(*arguments, **bad)
        assert (refused.returncode, refused.stdout) == (2, ""), refused
        for text in ("PING_INTERVAL: must be", "did you mean BELFRY_ALGORITHM?", "WORKERS: must be",
                     "SECRET_KEY: HS256 needs at least 32 bytes", "API_KEYS_FILE: line 1", "TLS_CERT_FILE: /nonexistent"):
            assert text in refused.stderr


def test_check_asks_redis(redis_server):
    fit = run("check", SECRET_KEY=SECRET, REDIS_URL=redis_server.tcp_url)
    assert fit.returncode == 0
    assert "cannot be used" not in fit.stderr and "maxmemory-policy" not in fit.stderr
    redis_server.client().config_set("maxmemory-policy", "allkeys-lru")
    unwise = run("check", SECRET_KEY=SECRET, REDIS_URL=redis_server.url)
    assert unwise.returncode == 0
    assert "warning: REDIS_URL: maxmemory-policy is allkeys-lru" in unwise.stderr


def test_check_authenticates_and_never_shows_the_password(redis_server):
    redis_server.client().execute_command("ACL", "SETUSER", "belfry", "on", ">pass/word", "+info", "+ping")
    right = run("check", SECRET_KEY=SECRET, REDIS_URL=f"redis://belfry:pass%2Fword@127.0.0.1:{redis_server.port}")
    assert right.returncode == 0 and "authentication" not in right.stderr
    assert settings(right.stdout)["REDIS_URL"] == f"redis://belfry:***@127.0.0.1:{redis_server.port}/0"
    wrong = run("check", SECRET_KEY=SECRET, REDIS_URL=f"redis://belfry:wr0ng@127.0.0.1:{redis_server.port}")
    assert wrong.returncode == 0
    assert "warning: REDIS_URL: Redis cannot be used: AUTH or SELECT: WRONGPASS" in wrong.stderr
    assert "wr0ng" not in wrong.stdout + wrong.stderr


def test_check_warns_of_a_redis_that_is_away_and_of_one_that_hangs(redis_server):
    away = run("check", SECRET_KEY=SECRET, REDIS_URL=f"redis://127.0.0.1:{processes.free_port()}")
    assert away.returncode == 0
    assert "warning: REDIS_URL: Redis cannot be used: " in away.stderr and "Connection refused" in away.stderr
    redis_server.pause()
    hanging = run("check", SECRET_KEY=SECRET, REDIS_URL=redis_server.url, REDIS_TIMEOUT="100ms")
    redis_server.resume()
    assert hanging.returncode == 0
    assert "warning: REDIS_URL: Redis cannot be used: Redis does not answer within REDIS_TIMEOUT" in hanging.stderr


def test_script_prints_lua():
    script = run("script")
    assert script.returncode == 0
    assert "KEYS[1]" in script.stdout and "ARGV[1]" in script.stdout


def test_health_follows_a_running_server(belfry):
    server = belfry()
    assert run("health", METRICS_LISTEN=server.address("metrics")).returncode == 0
    server.kill()
    gone = run("health", METRICS_LISTEN=server.address("metrics"))
    assert gone.returncode == 1 and "Connection refused" in gone.stderr


@pytest.mark.parametrize("address", ["off", "127.0.0.1:0", "nowhere"])
def test_health_without_an_address_to_ask_is_unhealthy(address):
    unknown = run("health", METRICS_LISTEN=address)
    assert unknown.returncode == 1 and "METRICS_LISTEN" in unknown.stderr


def test_health_gives_up_on_a_server_that_hangs(belfry):
    server = belfry()
    server.pause()
    started = os.times().elapsed
    assert run("health", METRICS_LISTEN=server.address("metrics")).returncode == 1
    assert os.times().elapsed - started < 4 * PATIENCE
    server.resume()
