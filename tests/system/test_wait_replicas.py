"""REDIS_WAIT_REPLICAS: a 2xx means that replicas hold the event too; real masters and replicas, which stop and go on."""

import asyncio
import re
import time

import pytest

from belfry import PATIENCE, ROOT, RedisServer, token, wait_for
from clients import Client, user

PUBLISHER = token("publisher", "events:publish")
TIMEOUT = 1.0


@pytest.fixture
def replica_of():
    """replica_of(master) starts a replica and waits until it follows."""
    started = []

    def start(master):
        admin = master.client()
        known = online(admin)
        replica = RedisServer("--replicaof", "127.0.0.1", master.port)
        started.append(replica)
        wait_for(lambda: acknowledging(admin) > known, 15, "the replica")
        return replica

    yield start
    for replica in started:
        replica.remove()


@pytest.fixture
def redis_server():
    master = RedisServer("--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1")
    yield master
    master.remove()


def online(admin):
    info = admin.info("replication")
    return sum(info[name].get("state") == "online" for name in info if name.startswith("slave") and name[5:].isdigit())


def acknowledging(admin):
    """A replica may be online for a second before it tells for the first time how far it is."""
    admin.publish("acknowledging", "")  # WAIT looks at what this connection has written last
    return admin.wait(online(admin), 200)


def start(belfry, replicas=1, **env):
    return belfry({"REDIS_WAIT_REPLICAS": str(replicas), "REDIS_TIMEOUT": f"{TIMEOUT:g}s", **env})


def post(server, type="some.event", key=None, audience="broadcast", **members):
    """The answer, and how long it took."""
    began = time.monotonic()
    answer = server.rest("POST", "/events", PUBLISHER, headers={"Idempotency-Key": key} if key else {},
                         json={"type": type, "data": {}, "audience": audience, **members})
    return answer, time.monotonic() - began


def named(answer):
    return answer.status_code, answer.json()["type"].rsplit(":", 1)[1]


def accepted(server, **options):
    """Publishes until it is accepted: that there are replicas is known within a second."""
    def once():
        answer, _ = post(server, **options)
        assert answer.status_code == 202 or named(answer) == (503, "redis-no-replicas"), answer.text
        return answer.status_code == 202 and answer.json()
    return wait_for(once, 10, "an accepted event")


async def test_what_is_accepted_is_on_the_replicas(belfry, redis_server, replica_of):
    replicas = [replica_of(redis_server), replica_of(redis_server)]
    server = start(belfry, 2)
    async with await Client.connect(server, token(user())) as client:
        await client.welcome()
        for _ in range(20):
            event_id = (await asyncio.to_thread(post, server))[0].json()["event_id"]
            for replica in replicas:
                assert replica.client().xrevrange("ws:log:broadcast", count=1)[0][0] == event_id
        names = [c["name"].rsplit("-", 1)[1] for c in redis_server.client().client_list() if c["name"].startswith("belfry-")]
        assert sorted(names) == ["commands", "publishes", "subscriber"]
        await client.next("some.event")


async def test_while_a_replica_lags_the_answer_is_504_and_the_repeat_202(belfry, redis_server, replica_of):
    replica = replica_of(redis_server)
    one, two = start(belfry), start(belfry)
    async with await Client.connect(one, token(user())) as client:
        await client.welcome()
        await asyncio.to_thread(accepted, one, type="before")
        replica.pause()
        answer, took = await asyncio.to_thread(post, one, key="k")
        assert named(answer) == (504, "replicas-behind")
        assert "repeat with the same Idempotency-Key" in answer.json()["detail"]
        assert TIMEOUT / 2 < took < 2 * TIMEOUT + 1 * PATIENCE
        # The same process, and one whose connection has never written anything.
        for server in (one, two):
            answer, took = await asyncio.to_thread(post, server, key="k")
            assert named(answer) == (504, "replicas-behind"), answer.text
            assert took < 2 * TIMEOUT + 1 * PATIENCE
        replica.resume()
        answers = [await asyncio.to_thread(accepted, server, key="k") for server in (one, two)]
        held = replica.client().xrevrange("ws:log:broadcast", count=1)[0][0]
        assert [answer["event_id"] for answer in answers] == [held, held]
        await asyncio.to_thread(accepted, one, type="the.end")
        await client.next("the.end")
        assert [e["event_id"] for e in client.events() if e["type"] == "some.event"] == [held]
        assert one.logs("wait_for_replicas_failed")[0]["reason"] == "0 of 1 replicas hold the events in time"


async def test_a_wait_holds_up_nothing_but_publishes_that_need_it(belfry, redis_server, replica_of):
    replica = replica_of(redis_server)
    server = start(belfry, REDIS_TIMEOUT="8s")
    replica.pause()
    publishing = asyncio.create_task(asyncio.to_thread(post, server, "held.up"))
    await asyncio.to_thread(wait_for, lambda: redis_server.client().info("clients")["blocked_clients"] == 1, 5, "a WAIT")
    began = time.monotonic()
    async with await Client.connect(server, token(user())) as client:
        await client.welcome()  # its head is read on the other connection
        assert server.rest("GET", "/ws/health").status_code == 200
        assert time.monotonic() - began < 2 * PATIENCE
    assert not publishing.done()
    replica.resume()
    assert (await publishing)[0].status_code == 202


def test_what_is_not_kept_waits_for_no_replica(belfry, redis_server, replica_of):
    replica = replica_of(redis_server)
    server = start(belfry)
    replica.pause()
    answer, took = post(server, replay=False)
    assert answer.status_code == 202 and took < TIMEOUT / 2 * PATIENCE
    replica.resume()


async def test_replicas_that_are_known_to_be_missing_refuse_at_once(belfry, redis_server, replica_of):
    replica_of(redis_server).kill()  # the first one that a Redis ever has begins another history
    wait_for(lambda: online(redis_server.client()) == 0, 5, "no replica")
    server = start(belfry)
    async with await Client.connect(server, token(user())) as client:
        await client.welcome()
        answer, took = await asyncio.to_thread(post, server, "refused")
        assert named(answer) == (503, "redis-no-replicas") and answer.headers["Retry-After"] == "2"
        assert took < TIMEOUT / 2 * PATIENCE
        assert (await asyncio.to_thread(post, server, "tick", replay=False))[0].status_code == 202
        replica = replica_of(redis_server)
        await asyncio.to_thread(accepted, server, type="taken")
        replica.kill()

        def known():
            """Until then the answer may take its time."""
            answer, _ = post(server, "refused.again")
            assert named(answer) in ((503, "redis-no-replicas"), (504, "replicas-behind"))
            return answer.status_code == 503

        await asyncio.to_thread(wait_for, known, 10, "503")
        await client.next("taken")
        assert "refused" not in [e["type"] for e in client.events()]


@pytest.mark.parametrize("seconds", [0, 0.4])
async def test_many_at_once_are_all_answered_in_time(belfry, redis_server, replica_of, seconds):
    """Also while the replica stops for a moment: what comes meanwhile waits for the round before its own."""
    replica = replica_of(redis_server)
    server = start(belfry)
    async with await Client.connect(server, token(user())) as client:
        await client.welcome()
        if seconds:
            replica.pause()
        calls = [asyncio.create_task(asyncio.to_thread(post, server, "many")) for _ in range(60)]
        await asyncio.sleep(seconds)
        replica.resume()
        answers = [await call for call in calls]
        assert {answer.status_code for answer, _ in answers} == {202}
        assert max(took for _, took in answers) < 2 * TIMEOUT + 1 * PATIENCE
        await asyncio.to_thread(accepted, server, type="the.end")
        await client.next("the.end")
        came = [e["event_id"] for e in client.events() if e["type"] == "many"]
        assert sorted(came) == sorted(answer.json()["event_id"] for answer, _ in answers) and len(set(came)) == 60


async def test_publishes_that_never_reach_a_replica_are_all_answered_in_time(belfry, redis_server, replica_of):
    replica = replica_of(redis_server)
    server = start(belfry)
    replica.pause()
    calls = []
    for _ in range(12):
        calls.append(asyncio.create_task(asyncio.to_thread(post, server, "many")))
        await asyncio.sleep(0.1)
    answers = [await call for call in calls]
    assert {named(answer) for answer, _ in answers} == {(504, "replicas-behind")}
    assert max(took for _, took in answers) < 2 * TIMEOUT + 0.5 * PATIENCE
    replica.resume()


async def test_a_publish_whose_connection_breaks_in_the_wait_comes_once(belfry, redis_server, replica_of):
    replica, admin = replica_of(redis_server), redis_server.client()
    server = start(belfry, REDIS_TIMEOUT="4s")
    async with await Client.connect(server, token(user())) as client:
        await client.welcome()
        replica.pause()
        publishing = asyncio.create_task(asyncio.to_thread(post, server))
        await asyncio.to_thread(wait_for, lambda: admin.info("clients")["blocked_clients"] == 1, 5, "a WAIT")
        [blocked] = [c["id"] for c in admin.client_list() if c["name"].endswith("-publishes")]
        admin.client_kill_filter(_id=blocked)
        server.wait_log("redis_publishes_lost")
        replica.resume()
        answer, _ = await publishing
        assert answer.status_code == 202, answer.text
        await asyncio.to_thread(accepted, server, type="the.end")
        await client.next("the.end")
        assert [e["event_id"] for e in client.events() if e["type"] == "some.event"] == [answer.json()["event_id"]]


def test_the_documented_access_rules_are_enough(belfry, redis_server, replica_of):
    replica_of(redis_server)
    admin = redis_server.client()
    rule = re.search(r"^ACL SETUSER belfry .*$", (ROOT / "docs" / "protocol.md").read_text(), re.M)[0]
    admin.execute_command(*rule.replace("nopass", ">secret").split())
    server = start(belfry, REDIS_URL=f"redis://belfry:secret@127.0.0.1:{redis_server.port}")
    assert post(server)[0].status_code == 202
    assert admin.execute_command("ACL", "LOG") == []


async def test_a_websocket_publish_is_told_too(belfry, redis_server, replica_of):
    replica = replica_of(redis_server)
    server = start(belfry)
    async with await Client.connect(server, token(user(), "events:publish")) as client:
        await client.welcome()
        replica.pause()
        await client.send("some.event", event_id="mine", data={}, audience="broadcast")
        error = await client.next("error")
        assert error["data"]["code"] == "outcome_unknown" and error["data"]["ref"] == "mine"
        replica.resume()
