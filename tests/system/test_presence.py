"""Who is connected, across processes: pages, one connection asked of its node, and ends by an operator."""

import asyncio
import json
import pathlib
import secrets
import time
from datetime import datetime
from urllib.parse import quote, urlencode

import pytest

from belfry import token, wait_for
from clients import Client, user

READER = token("operator", ["connections:read"])
WRITER = token("operator", ["connections:write"])
DEFAULT_REASON = "disconnected by an operator"


def get(server, path, status=200, **params):
    answer = server.rest("GET", path, READER, params=params)
    assert answer.status_code == status, answer.text
    return answer.json()


def delete(server, path, status=202, **params):
    answer = server.rest("DELETE", path, WRITER, params=urlencode(params, quote_via=quote))
    assert answer.status_code == status, answer.text
    return answer.json()


def walk(server, path="/connections", **params):
    """All pages, each a list."""
    pages, cursor = [], {}
    while True:
        page = get(server, path, **params, **cursor)
        pages.append(page["connections"])
        if page["cursor"] is None:
            return pages
        cursor = {"cursor": page["cursor"]}
        assert len(pages) < 1000


def names(pages):
    return [c["connection_id"] for page in pages for c in page]


async def arrive(server, who, query="", **options):
    client = await Client.connect(server, token(who, ["events:publish"]), query=query, **options)
    return client, (await client.welcome())["data"]["connection_id"]


async def arrive_all(server, who, n):
    return await asyncio.gather(*(arrive(server, who, compression=None) for _ in range(n)))


async def leave(*clients):
    await asyncio.gather(*(c.close() for c in clients))


def entry_of(redis_server, name):
    with redis_server.client() as r:
        return json.loads(r.hget("ws:conns", name) or "null")


def put(redis_server, *names, **members):
    """Connections as a worker writes them, without a worker."""
    entry = {"user": "ghost", "node": "n" * 22, "gen": 1, "address": None, "user_agent": None, "since": 1, **members}
    with redis_server.client() as r:
        r.hset("ws:conns", mapping={name: json.dumps(entry, separators=(",", ":")) for name in names})
        r.sadd(f"ws:user:{entry['user']}:conns", *names)


def pause(server):
    """Stops the process, and returns when each of its threads has."""
    server.pause()
    tasks = pathlib.Path(f"/proc/{server.pid}/task")
    wait_for(lambda: all(t.read_text().rsplit(")", 1)[1].split()[0] == "T" for t in tasks.glob("*/stat")))


def problem_of(answer):
    return answer["type"].rsplit(":", 1)[-1]


# Pages


async def test_a_connection_is_listed_with_what_is_written_once(belfry, redis_server):
    one, two = belfry(), belfry()
    me = user() + "/ü"
    before = time.time()
    client, name = await arrive(one, me, user_agent_header="Tester/1.0")
    for page in (get(two, "/connections"), get(two, "/connections", user=me), get(two, f"/users/{quote(me, safe='')}/connections")):
        assert page["cursor"] is None
        (found,) = page["connections"]
        assert abs(datetime.fromisoformat(found.pop("since")).timestamp() - before) < 5
        assert found == {"connection_id": name, "user": me, "node": entry_of(redis_server, name)["node"],
                         "address": "127.0.0.1", "user_agent": "Tester/1.0"}
    assert get(two, "/connections", user="nobody") == {"connections": [], "cursor": None}
    await leave(client)
    wait_for(lambda: get(two, "/connections")["connections"] == [])


async def test_pages_of_all_connections_tell_each_once_and_keep_the_limit(belfry):
    one, two = belfry({"MAX_CONNECTIONS_PER_USER": "0"}), belfry({"MAX_CONNECTIONS_PER_USER": "0"})
    clients = [c for s in (one, two) for c in await arrive_all(s, user(), 60)]
    expected = sorted(name for _, name in clients)
    for limit in (1, 7, 50, 1000):
        pages = walk(one, limit=limit)
        assert sorted(names(pages)) == expected, limit
        assert all(len(page) <= limit for page in pages)
    assert len(names(walk(two))) == 120 and len(walk(two)[0]) == 100
    await leave(*(c for c, _ in clients))


async def test_pages_of_a_user_and_of_a_node(belfry, redis_server):
    one, two = belfry({"MAX_CONNECTIONS_PER_USER": "0"}), belfry({"MAX_CONNECTIONS_PER_USER": "0"})
    me = user()
    mine, elsewhere, others = await arrive_all(one, me, 40), await arrive_all(two, me, 20), await arrive_all(one, user(), 30)
    here = entry_of(redis_server, mine[0][1])["node"]
    for params, clients in (({"user": me}, mine + elsewhere), ({"node": here}, mine + others),
                            ({"user": me, "node": here}, mine), ({"node": "x" * 22}, [])):
        expected = sorted(name for _, name in clients)
        for limit in (1, 9, 1000):
            pages = walk(two, limit=limit, **params)
            assert sorted(names(pages)) == expected and all(len(page) <= limit for page in pages)
    await leave(*(c for c, _ in mine + elsewhere + others))


def test_a_walk_tells_all_that_stay_while_others_come_and_go(belfry, redis_server):
    server = belfry()
    staying = [f"{secrets.token_hex(9)}stay" for _ in range(2000)]
    put(redis_server, *staying[::2], user="u0")
    put(redis_server, *staying[1::2], user="u1")
    for params, expected in (({}, staying), ({"user": "u1"}, staying[1::2])):
        found, cursor, moving = [], {}, ["none"]
        for _ in range(1000):
            page = get(server, "/connections", limit=50, **params, **cursor)
            found += [c["connection_id"] for c in page["connections"]]
            if page["cursor"] is None:
                break
            cursor = {"cursor": page["cursor"]}
            with redis_server.client() as r:
                r.hdel("ws:conns", *moving)
                r.srem("ws:user:u1:conns", *moving[::2])
            moving = [f"{secrets.token_hex(9)}move" for _ in range(100)]
            put(redis_server, *moving, user="u1")
        assert set(expected) <= set(found)
        stay = [name for name in found if name.endswith("stay")]
        assert len(stay) < 2 * len(expected)
        if params:
            assert len(set(found)) == len(found)


def test_a_node_with_many_connections_fills_pages_and_no_more(belfry, redis_server):
    server = belfry()
    names_here, others = [[f"{secrets.token_hex(9)}{kind}" for _ in range(2000)] for kind in ("here", "else")]
    put(redis_server, *names_here, node="h" * 22)
    put(redis_server, *others, node="e" * 22)
    for limit in (20, 100, 1000):
        pages = walk(server, node="h" * 22, limit=limit)
        assert sorted(names(pages)) == sorted(names_here) and all(len(page) <= limit for page in pages)


def test_what_is_no_connection_is_left_out(belfry, redis_server):
    server = belfry()
    put(redis_server, "good" + "0" * 18, user="u", user_agent='a"\u2028', address="192.0.2.1")
    with redis_server.client() as r:
        for i, junk in enumerate(["", "x", "[]", "{}", '{"user":"u"}', '{"user":1,"node":"%s","gen":1,"since":1}' % ("n" * 22),
                                  '{"user":"u","node":"n","gen":1,"address":null,"user_agent":null,"since":1}',
                                  '{"user":"u","node":"%s","gen":1,"address":null,"user_agent":null,"since":-1}' % ("n" * 22),
                                  '{"user":"u","node":"%s","gen":1,"address":null,"user_agent":"%s","since":1}' % ("n" * 22, "x" * 5000)]):
            r.hset("ws:conns", f"junk{i:018d}", junk)
            r.sadd("ws:user:u:conns", f"junk{i:018d}")
        r.hset("ws:conns", "an id of another form", r.hget("ws:conns", "good" + "0" * 18))
        r.sadd("ws:user:u:conns", "an id of another form", "none" + "0" * 18)
    for page in (get(server, "/connections"), get(server, "/users/u/connections")):
        assert names([page["connections"]]) == ["good" + "0" * 18] and page["connections"][0]["user_agent"] == 'a"\u2028'
    assert problem_of(get(server, "/connections/junk" + "0" * 18, 404)) == "connection-not-found"


@pytest.mark.parametrize("params, field", [
    ({"limit": "0"}, "/limit"), ({"limit": "1001"}, "/limit"), ({"limit": "x"}, "/limit"), ({"user": "a\x80"}, "/user"),
    ({"node": "a\x80"}, "/node"), ({"cursor": "x"}, "/cursor"),
    ({"cursor": "s"}, "/cursor"), ({"cursor": "s0"}, "/cursor"), ({"cursor": "s-1"}, "/cursor"),
    ({"cursor": "s7.short"}, "/cursor"), ({"cursor": "u" + "a" * 22}, "/cursor"), ({"cursor": "s7", "user": "u"}, "/cursor"),
    ({"cursor": "u" + "a" * 21, "user": "u"}, "/cursor"), ({"cursor": "s7" + ("." + "a" * 22) * 101}, "/cursor"),
])
def test_a_malformed_parameter_is_400(shared, params, field):
    problem = get(shared, "/connections", 400, **params)
    assert (problem_of(problem), problem["field"]) == ("bad-query", field)


# One connection


async def test_one_connection_is_asked_of_its_node(belfry, redis_server):
    one, two = belfry(), belfry()
    me = user()
    client, name = await arrive(one, me)
    event = one.publish("to.one", {}, {"user": me})
    await client.next("to.one")
    for server in (one, two):
        found = get(server, f"/connections/{name}")
        (listed,) = get(server, "/connections", user=me)["connections"]
        assert {k: v for k, v in found.items() if k in listed} == listed
        assert set(found) - set(listed) == {"state", "last_seen", "position"}
        assert (found["state"], found["position"]) == ("live", event["event_id"])
        assert abs(datetime.fromisoformat(found["last_seen"]).timestamp() - time.time()) < 10
    seen = found["last_seen"]
    await client.send("pong")
    await asyncio.to_thread(wait_for, lambda: get(two, f"/connections/{name}")["last_seen"] > seen)
    await leave(client)


async def test_one_that_is_away_has_that_state_and_one_that_never_was_is_404(belfry, redis_server):
    one, two = belfry(), belfry()
    me = user()
    client, name = await arrive(one, me)
    await leave(client)
    wait_for(lambda: entry_of(redis_server, name) is None)
    found = get(two, f"/connections/{name}")
    assert (found["state"], found["last_seen"], found["position"], found["user"]) == ("away", None, None, me)
    for unknown in ("A" * 22, "x", "%2F"):
        assert problem_of(get(two, f"/connections/{unknown}", 404)) == "connection-not-found"


async def test_a_node_that_does_not_answer_is_504_after_a_second(belfry, redis_server):
    one, two = belfry(), belfry()
    client, name = await arrive(one, user())
    pause(one)
    begun = time.monotonic()
    assert problem_of(get(two, f"/connections/{name}", 504)) == "node-silent"
    assert 0.9 < time.monotonic() - begun < 2.5
    one.resume()
    assert wait_for(lambda: two.rest("GET", f"/connections/{name}", READER).status_code == 200)
    await leave(client)
    put(redis_server, "dead" + "0" * 18)
    get(two, "/connections/dead" + "0" * 18, 504)


async def test_an_answer_that_somebody_forges_is_not_believed(belfry, redis_server):
    server = belfry()
    put(redis_server, "dead" + "0" * 18)
    own = entry_of(redis_server, (await arrive(server, user()))[1])["node"]
    request = asyncio.create_task(asyncio.to_thread(get, server, "/connections/dead" + "0" * 18, 504))
    with redis_server.client() as r:
        while not request.done():
            for forged in ("answer", f"answer {'a' * 22} dead{'0' * 18} live 1 1-1", "ask", f"ask {'a' * 22} x y",
                           f"disconnect dead{'0' * 18}", f"disconnect {'a' * 22} x y", "answer \x00 \xff"):
                r.publish(f"ws:node:{own}", forged)
            await asyncio.sleep(0.05)
    await request


# Ends by an operator


async def test_a_connection_is_closed_wherever_it_is_and_cannot_be_resumed(belfry, redis_server):
    one, two = belfry(), belfry()
    me = user()
    client, name = await arrive(one, me)
    other, other_name = await arrive(one, me)
    assert delete(two, f"/connections/{name}", reason="naughty:_ü+") == {"ordered": 1}
    assert await client.closed() == (4403, "naughty:_ü+")
    assert problem_of(get(two, f"/connections/{name}", 404)) == "connection-not-found"
    assert problem_of(delete(two, f"/connections/{name}", 404)) == "connection-not-found"
    assert await asyncio.to_thread(two.publish, "to.one", {}, {"connection": name}, None, 404)
    again, fresh = await arrive(two, me, f"connection_id={name}")
    assert fresh != name and again.frames[0]["data"]["resumed"] is False
    assert sorted(names(walk(one, user=me))) == sorted([other_name, fresh])
    assert delete(one, f"/connections/{fresh}") == {"ordered": 1}
    assert await again.closed() == (4403, DEFAULT_REASON)
    assert not other.reader.done()
    await leave(other)


async def test_one_that_is_away_cannot_be_resumed_after_its_end(belfry, redis_server):
    server = belfry()
    me = user()
    client, name = await arrive(server, me)
    await leave(client)
    wait_for(lambda: entry_of(redis_server, name) is None)
    delete(server, f"/connections/{name}")
    again, fresh = await arrive(server, me, f"connection_id={name}")
    assert fresh != name
    await leave(again)


async def test_all_connections_of_a_user_are_closed_and_nobody_elses(belfry):
    one, two = belfry({"MAX_CONNECTIONS_PER_USER": "0"}), belfry()
    me = user() + "/%"
    mine = await arrive_all(one, me, 700) + await arrive_all(two, me, 20)
    other, _ = await arrive(two, user())
    path = f"/users/{quote(me, safe='')}/connections"
    assert await asyncio.to_thread(delete, two, path, reason="gone") == {"ordered": 720}
    assert set(await asyncio.gather(*(c.closed(20) for c, _ in mine))) == {(4403, "gone")}
    assert delete(two, path) == {"ordered": 0}
    assert names(walk(one, user=me)) == [] and not other.reader.done()
    await leave(other)


async def test_a_node_that_has_missed_the_order_closes_when_it_is_back(belfry, redis_server):
    one, two = belfry(), belfry()
    me = user()
    client, name = await arrive(one, me)
    node = entry_of(redis_server, name)["node"]
    pause(one)
    with redis_server.client() as r:
        for connection in r.client_list():
            if node in connection["name"]:
                r.client_kill_filter(_id=connection["id"])
    assert delete(two, f"/connections/{name}", reason="missed it") == {"ordered": 1}
    one.resume()
    assert await client.closed(20) == (4403, "missed it")
    assert entry_of(redis_server, name) is None
    with redis_server.client() as r:
        assert r.smembers(f"ws:user:{me}:conns") == set()


@pytest.mark.parametrize("reason", ["x" * 101, "ü" * 51, "a\x80", "a\nb"])
def test_a_reason_that_is_too_long_or_has_control_characters_is_400(shared, reason):
    for path in ("/connections/" + "A" * 22, "/users/u/connections"):
        assert delete(shared, path, 400, reason=reason)["field"] == "/reason"


# Redis


async def test_while_redis_is_away_all_of_them_are_503(belfry, redis_server):
    server = belfry({"REDIS_TIMEOUT": "1s"})
    client, name = await arrive(server, user())
    redis_server.pause()
    try:
        for method, path in (("GET", "/connections"), ("GET", "/connections?user=u"), ("GET", f"/connections/{name}"),
                             ("DELETE", f"/connections/{name}"), ("DELETE", "/users/u/connections")):
            answer = await asyncio.to_thread(server.rest, method, path, READER if method == "GET" else WRITER)
            assert (answer.status_code, answer.headers["Retry-After"]) == (503, "2"), (method, path, answer.text)
            assert answer.json()["type"] == "urn:belfry:problem:redis-away"
    finally:
        redis_server.resume()
    await leave(client)


async def test_scripts_that_redis_has_lost_are_brought_again(belfry, redis_server):
    server = belfry()
    client, name = await arrive(server, user())
    with redis_server.client() as r:
        r.script_flush()
    assert delete(server, f"/connections/{name}") == {"ordered": 1}
    await client.closed()


async def test_idle_connections_cost_redis_nothing(belfry, redis_server):
    """Commands of the workers while nothing happens, with few connections and with many."""
    server = belfry({"MAX_CONNECTIONS_PER_USER": "0", "PING_INTERVAL": "1s"})

    async def commands(seconds):
        with redis_server.client() as r:
            r.config_resetstat()
            await asyncio.sleep(seconds)
            stats = r.info("commandstats")
        return sum(v["calls"] for k, v in stats.items() if k in ("cmdstat_evalsha", "cmdstat_eval", "cmdstat_ping"))

    clients = await arrive_all(server, user(), 300)
    await asyncio.sleep(1)
    assert await commands(5) <= 4
    await leave(*(c for c, _ in clients))
