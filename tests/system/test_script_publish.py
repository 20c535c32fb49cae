"""`belfry script` as its readers use it: the programs of docs/publish-from-redis.md, run as they stand there."""

import asyncio
import os
import re
import shutil
import subprocess
import sys

import pytest

from belfry import PATIENCE, ROOT, binary, environment, token
from clients import Client

PAGE = (ROOT / "docs" / "publish-from-redis.md").read_text()
PROGRAMS = {"python": ("py", sys.executable), "js": ("js", shutil.which("node") or "/usr/bin/node")}


def program(language):
    [text] = re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.M | re.S)
    return text


def run(language, folder, redis):
    """What it prints, line by line."""
    ending, interpreter = PROGRAMS[language]
    path = folder / f"program.{ending}"
    path.write_text(program(language))
    env = environment({"REDIS_URL": redis.tcp_url, "PATH": f"{binary().parent}:{os.environ['PATH']}"})
    done = subprocess.run([interpreter, path], env=env, capture_output=True, text=True, timeout=30 * PATIENCE)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    return [line.split() for line in done.stdout.splitlines()]


@pytest.mark.parametrize("language", PROGRAMS)
async def test_the_documented_program_publishes_to_clients(belfry, redis_server, tmp_path, language):
    server = belfry()
    async with await Client.connect(server, token("alice")) as alice, await Client.connect(server, token("bob")) as bob:
        for client in (alice, bob):
            await client.welcome()
        for _ in range(2):  # the second time the script is known, and the batch published already
            [to_all], [to_one], batch = await asyncio.to_thread(run, language, tmp_path, redis_server)
            assert (await alice.next("notification", title="To all"))["event_id"] == to_all
            assert (await alice.next("notification", title="To one"))["event_id"] == to_one
            assert (await bob.next("notification", title="To all"))["event_id"] == to_all
        end = (await asyncio.to_thread(server.publish, "the.end", {}))["event_id"]
        for client in (alice, bob):
            assert (await client.next("the.end"))["event_id"] == end
            updates = [f for f in client.events() if f["type"] == "task_status_update"]
            assert [f["event_id"] for f in updates] == batch
            assert [f["data"] for f in updates] == [{"task_id": "7", "status": s} for s in ("running", "completed")]
        assert [f["data"]["title"] for f in bob.events() if f["type"] == "notification"] == ["To all"] * 2
        log = [entry[0] for entry in redis_server.client().xrange("ws:log:user:alice")]
        assert to_one in log and batch[1] in log and batch[0] not in log
        assert server.logs("foreign_dropped") == []


@pytest.mark.parametrize("language", PROGRAMS)
def test_the_documented_program_tells_of_an_error(belfry, redis_server, tmp_path, language):
    """An error of Redis reaches the caller; one that changes nothing in the program's own steps."""
    redis_server.client().hset("ws:head", "schema", "2")
    with pytest.raises(AssertionError, match="BELFRY_SCHEMA 2"):
        run(language, tmp_path, redis_server)
