"""Settings of Redis that may cost events are told at start, once for the process, and by `belfry check`."""

import re
import subprocess

from belfry import ROOT, SECRET, binary, environment, wait_for


def limited(redis):
    """Logs in as the user of the documented access rule, which may not ask for CONFIG."""
    rule = re.search(r"^ACL SETUSER belfry .*$", (ROOT / "docs" / "protocol.md").read_text(), re.M)[0]
    redis.client().execute_command(*rule.replace("nopass", ">secret").split())
    return f"redis://belfry:secret@127.0.0.1:{redis.port}"


def told(server):
    return [line["advice"].split(":")[0] for line in server.logs("redis_unwise")]


def checked(url):
    done = subprocess.run([binary(), "check"], env=environment({"REDIS_URL": url, "SECRET_KEY": SECRET}),
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stderr


EVICTS = "maxmemory-policy is allkeys-lru, which may silently evict what clients have yet to get"
FORGETS = "appendonly is off"


def test_a_policy_that_evicts_and_a_redis_that_forgets_are_told_once(belfry, another_redis):
    redis = another_redis("--maxmemory-policy", "allkeys-lru")
    url = limited(redis)
    server = belfry({"REDIS_URL": url, "WORKERS": "3"})
    wait_for(lambda: len(told(server)) == 2, 5, "two lines")
    redis.client().client_kill_filter(_type="normal", skipme=True)
    wait_for(lambda: len(server.logs("redis_connected")) >= 6, 10, "new connections")
    assert sorted(told(server)) == sorted([EVICTS, FORGETS])
    assert {line["level"] for line in server.logs("redis_unwise")} == {"warn"}
    text = checked(url)
    assert f"REDIS_URL: {EVICTS}: set maxmemory-policy noeviction on Redis" in text
    assert f"REDIS_URL: {FORGETS}" in text and "set appendonly yes on Redis" in text
    # Only Python's client asks for what it may not.
    assert {entry["object"] for entry in redis.client().acl_log()} <= {"client|setinfo"}


def test_a_redis_as_it_should_be_is_no_warning(belfry, another_redis):
    url = limited(another_redis("--appendonly", "yes"))
    server = belfry({"REDIS_URL": url})
    server.publish("some.event", {})
    assert told(server) == []
    assert "maxmemory-policy" not in checked(url) and "appendonly" not in checked(url)


def test_the_embedded_redis_is_not_judged(belfry):
    server = belfry({"REDIS_URL": None})
    server.publish("some.event", {})
    assert told(server) == []
