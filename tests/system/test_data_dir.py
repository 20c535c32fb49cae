"""DATA_DIR: what the embedded Redis keeps survives every end of belfry; a folder that cannot be used is told."""

import asyncio
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile

import pytest
import redis

from belfry import binary, environment, token, wait_for
from clients import Client, user
from test_redis_access import alive, ended, redis_pid


@pytest.fixture
def folder():
    path = pathlib.Path(tempfile.mkdtemp(prefix="data-"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def kept(belfry, folder):
    """kept() starts a belfry whose own Redis keeps its data in folder/data."""
    def start(**options):
        return belfry({"REDIS_URL": None, "TMPDIR": folder, "DATA_DIR": folder / "data"}, **options)
    return start


def client_of(server):
    """Of its Redis, by the socket in belfry's folder."""
    [path] = pathlib.Path(server.env["TMPDIR"]).glob(f"belfry-{server.pid}-*/redis.sock")
    return redis.Redis(unix_socket_path=str(path), decode_responses=True)


def order(event_id):
    return tuple(int(part) for part in event_id.split("-"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_events_survive_the_end_of_belfry(kept, folder, number):
    server = kept()
    assert (folder / "data").stat().st_mode & 0o7777 == 0o700
    assert "DATA_DIR" in server.wait_log("embedded_redis")["durability"]
    ids = [(await asyncio.to_thread(server.publish, "some.event", {"n": n}))["event_id"] for n in range(50)]
    alone = (await asyncio.to_thread(server.publish, "some.event", {}, {"user": "alice"}))["event_id"]
    pid = redis_pid(server)
    if number == signal.SIGKILL:
        server.kill()
        # At once: the server of the killed one may still be ending.
    else:
        assert server.stop(number) == 0 and not alive(pid)
    server.start()
    data = client_of(server)
    assert [entry[0] for entry in data.xrange("ws:log:broadcast")] == ids
    assert [entry[0] for entry in data.xrange("ws:log:user:alice")] == [alone]
    # A Redis that starts has another history to itself, so an epoch opens; but the old one ended at its last event, so
    # that every position of it stays good, and the order goes on.
    epoch, seq = order(alone)
    assert data.hgetall("ws:epochs") == {str(epoch): str(seq)}
    after = order((await asyncio.to_thread(server.publish, "after", {}))["event_id"])
    assert after[0] > epoch and after[1] == seq + 1
    async with await Client.connect(server, token(user())) as client:
        assert order((await client.welcome())["event_id"]) == after
        await asyncio.to_thread(server.publish, "live", {})
        await client.next("live")
    async with await Client.connect(server, token(user()), query=f"last_event_id={ids[9]}") as client:
        await client.welcome()
        await client.next("caught_up", 10)
        assert [e["event_id"] for e in client.events() if e["type"] == "some.event"] == ids[10:]
        assert "resync_required" not in [f["type"] for f in client.frames]
    assert server.stop() == 0
    assert list(folder.glob("belfry-*")) == [] and (folder / "data").is_dir()


def test_without_data_dir_it_says_that_nothing_is_kept(belfry, folder):
    server = belfry({"REDIS_URL": None, "TMPDIR": folder})
    assert server.wait_log("embedded_redis")["durability"].startswith("none")
    server.publish("some.event", {})
    assert server.stop() == 0
    server.start()
    assert client_of(server).exists("ws:log:broadcast") == 0


def test_a_folder_in_use_is_told(belfry, kept, folder):
    one = kept()
    two = kept(ready=False)
    ended(two, 1, "DATA_DIR", "is in use by another belfry")
    assert one.publish("some.event", {})["receivers"] == 1


def test_a_folder_that_cannot_be_used_is_told(belfry, folder):
    (folder / "file").touch()
    for path, text in ((folder / "file", "Not a directory"), (folder / "no" / "where", "cannot be made")):
        ended(belfry({"REDIS_URL": None, "TMPDIR": folder, "DATA_DIR": path}, ready=False), 1, "DATA_DIR", text)


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("setpriv"), reason="only root can be somebody else")
def test_a_folder_without_the_right_to_write_is_told(folder):
    data = folder / "data"
    data.mkdir(mode=0o755)
    folder.chmod(0o777)
    env = environment({"SECRET_KEY": "x" * 40, "DATA_DIR": data, "TMPDIR": folder, "LISTEN": "127.0.0.1:0",
                       "METRICS_LISTEN": "off"})
    done = subprocess.run(["setpriv", "--reuid", "65534", "--clear-groups", "--bounding-set", "-all", "--inh-caps", "-all",
                           binary()], env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and "cannot be written to: Permission denied" in done.stderr, done.stderr


def test_data_that_cannot_be_read_are_told_and_left_alone(kept, folder, belfry):
    server = kept()
    server.publish("some.event", {})
    assert server.stop() == 0
    [manifest] = folder.glob("data/appendonlydir/*.manifest")
    manifest.write_text("junk")
    broken = kept(ready=False)
    wait_for(lambda: not broken.running, 15, "its end")
    assert broken.process.returncode == 1 and "redis-server ended with exit code 1" in broken.output()
    assert manifest.read_text() == "junk"
