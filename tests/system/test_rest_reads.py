"""Reading and erasing what was published, over REST: pages of the logs, positions, erasure."""

import json
import threading
import time
from urllib.parse import quote

import pytest
import requests

from belfry import PATIENCE, token, wait_for
from clients import Client, Raw, user
from redis_scripts import Scripts, age
from test_rest import of_schema, problem

READER = token("reader", "events:read")
PUBLISHER = token("publisher", "events:publish")


def get(server, path="/events", status=200, **query):
    answer = server.rest("GET", path, READER, params=query)
    assert answer.status_code == status, (answer.status_code, answer.text)
    return answer.json()


def position(server):
    return get(server, "/events/position")["position"]


def erase(server, name, status=202):
    answer = server.rest("DELETE", f"/users/{name}/events", PUBLISHER)
    assert answer.status_code == status, (answer.status_code, answer.text)
    return answer.json()


def publish(server, *audiences):
    """One event to each audience in turn; their ids."""
    return [server.publish("some.event", {"n": n}, audience)["event_id"] for n, audience in enumerate(audiences)]


def ids(page):
    return [event["event_id"] for event in page["events"]]


def pages(server, **query):
    """All pages from a position to the end."""
    while True:
        page = get(server, **query)
        yield page
        if not page["more"]:
            return
        query["after"] = page["position"]


# ---- pages


def test_a_position_moves_on_with_each_event(shared):
    before = get(shared, "/events/position")
    (event,) = publish(shared, "broadcast")
    after = get(shared, "/events/position")
    assert after["position"] == event and after["oldest"] == before["oldest"]


def test_an_empty_log_has_a_page_without_events(belfry):
    page = get(belfry())
    assert page["events"] == [] and page["more"] is False
    of_schema(page["position"], "Position")


def test_a_user_gets_both_logs_in_the_one_order_and_nobody_elses(shared):
    alice, bob, start = user(), user(), position(shared)
    sent = publish(shared, "broadcast", {"user": alice}, {"user": bob}, "broadcast", {"users": [bob, alice]}, "broadcast")
    page = get(shared, after=start, user=alice)
    assert ids(page) == [sent[0], sent[1], sent[3], sent[4], sent[5]]
    assert page["more"] is False and page["position"] == sent[5]
    assert ids(get(shared, after=start)) == [sent[0], sent[3], sent[5]]
    assert ids(get(shared, after=sent[3], user=bob)) == sent[4:]


@pytest.mark.parametrize("limit", [1, 2, 3, 7])
def test_pages_of_any_size_tell_every_event_once(shared, limit):
    alice, start = user(), position(shared)
    audiences = ["broadcast", {"user": alice}, {"user": alice}, {"user": "another"}, "broadcast", "broadcast"] * 3
    sent = publish(shared, *audiences)
    expected = [i for i, a in zip(sent, audiences) if a != {"user": "another"}]
    found = list(pages(shared, after=start, user=alice, limit=limit))
    assert [i for page in found for i in ids(page)] == expected
    assert all(len(page["events"]) == limit for page in found[:-1])
    # Any event's own id is as good a place to go on from as the page's.
    assert ids(get(shared, after=expected[4], user=alice, limit=limit)) == expected[5:5 + limit]


async def test_events_are_byte_for_byte_what_clients_get(shared):
    alice, start, texts = user(), position(shared), []
    async with await Raw.websocket(shared, token(alice)) as client:
        await client.next("welcome")
        body = '{"type":"some.event","data":{ "n":1.50,"t":"\\u00e4 \\/"},"audience":%s}'
        for audience in ('"broadcast"', json.dumps({"user": alice})):
            answer = shared.rest("POST", "/events", PUBLISHER, data=body % audience,
                                 headers={"Content-Type": "application/json"})
            assert answer.status_code == 202
        while len(texts) < 2:
            text = (await client.read_frame())[1].decode()
            if '"some.event"' in text:
                texts.append(text)
    answer = shared.rest("GET", "/events", READER, params={"after": start, "user": alice})
    assert answer.text.startswith('{"events":[' + ",".join(texts) + '],"position":"'), (answer.text, texts)


def test_events_that_are_not_kept_or_go_to_a_connection_are_not_told(shared):
    start = position(shared)
    shared.publish("some.event", {}, replay=False)
    shared.publish("some.event", {}, {"connection": "nobody"}, status=404)
    page = get(shared, after=start)
    assert page["events"] == [] and page["position"] != start and page["position"] == position(shared)


def test_without_a_position_reading_begins_at_the_oldest_that_is_kept(belfry):
    server = belfry({"REPLAY_EVENTS": "5", "REPLAY_USER_EVENTS": "2"})
    first = publish(server, *["broadcast"] * 8)
    assert ids(get(server)) == first[3:] and get(server, "/events/position")["oldest"] == first[2]
    assert [i for page in pages(server, limit=2) for i in ids(page)] == first[3:]
    sent = publish(server, *[{"user": "a"}] * 4)
    # The user's log is complete only from its third event on, so what is older is not told half.
    assert ids(get(server, user="a")) == sent[2:]
    assert ids(get(server, user="b")) == first[3:]


def test_a_page_of_large_events_ends_early(belfry):
    server = belfry({"MAX_MESSAGE_BYTES": "900K"})
    start = position(server)
    sent = [server.publish("some.event", {"text": "x" * 800_000})["event_id"] for _ in range(8)]
    found = list(pages(server, after=start))
    assert [i for page in found for i in ids(page)] == sent
    assert len(found) == 2 and len(found[0]["events"]) == 6


def test_paging_while_publishing_goes_on_finds_every_event_once(belfry):
    one, two = belfry(), belfry({"WORKERS": "2"})
    start, sent, stop = position(one), [], threading.Event()

    def go_on(server):
        session = requests.Session()
        while not stop.is_set():
            audience = [{"user": "a"}, "broadcast", {"users": ["b", "a"]}, {"user": "b"}][len(sent) % 4]
            answer = session.post(server.http("/events"), headers={"Authorization": f"Bearer {PUBLISHER}"}, timeout=10,
                                  json={"type": "some.event", "data": {}, "audience": audience})
            sent.append((answer.json()["event_id"], audience))

    publishers = [threading.Thread(target=go_on, args=[server]) for server in (one, two)]
    for thread in publishers:
        thread.start()
    try:
        found, at, deadline = [], start, time.monotonic() + 20 * PATIENCE
        while len(found) < 600:
            assert time.monotonic() < deadline
            page = get(two, after=at, user="a", limit=7)
            found += ids(page)
            at = page["position"]
    finally:
        stop.set()
        for thread in publishers:
            thread.join()
    found += [i for page in pages(one, after=at, user="a", limit=1000) for i in ids(page)]
    expected = {event_id for event_id, audience in sent if audience != {"user": "b"}}
    assert len(found) == len(set(found)) and set(found) == expected
    assert found == sorted(found, key=lambda i: int(i.split("-")[1]))


# ---- positions that cannot be served


def gone(server, reason, **query):
    answer = server.rest("GET", "/events", READER, params=query)
    problem(answer, 410, "position-gone")
    body = answer.json()
    assert body["reason"] == reason
    assert get(server, after=body["position"])["events"] == []
    get(server, after=body["oldest"])
    return body


def test_a_position_of_another_history_or_of_the_future_is_gone(shared):
    (event,) = publish(shared, "broadcast")
    epoch, seq = map(int, event.split("-"))
    gone(shared, "ahead", after=f"{epoch}-{seq + 1}")
    gone(shared, "epoch", after=f"{epoch - 1}-1")
    gone(shared, "epoch", after=f"{epoch + 1}-1")
    gone(shared, "epoch", after="18446744073709551615-18446744073709551615.18446744073709551615")
    assert get(shared, after=f"{event}.7") == get(shared, after=event)


def test_what_was_trimmed_is_expired(belfry):
    server = belfry({"REPLAY_EVENTS": "5", "REPLAY_USER_EVENTS": "2"})
    sent = publish(server, *["broadcast"] * 8)
    assert gone(server, "expired", after=sent[1])["oldest"] == sent[2]
    assert ids(get(server, after=sent[2])) == sent[3:]
    mine = publish(server, *[{"user": "a"}] * 3)
    gone(server, "expired", after=sent[7], user="a")
    assert ids(get(server, after=mine[0], user="a")) == mine[1:]
    assert ids(get(server, after=sent[7])) == []


def test_what_time_took_is_expired_also_across_epochs(belfry, redis_server):
    server = belfry()
    scripts = Scripts(redis_server.client(), "ws:")
    old = publish(server, "broadcast", "broadcast")
    age(scripts, 2 * 24 * 60)
    kept = publish(server, "broadcast")
    gone(server, "expired", after=old[0])
    redis_server.client().hset("ws:head", "replid", "another")
    kept += publish(server, "broadcast", "broadcast")
    assert kept[0].split("-")[0] != kept[1].split("-")[0]
    wait_for(lambda: server.rest("GET", "/events", READER).status_code == 200, 10, "the new epoch")
    # The oldest position is of the earlier epoch: in the new one it would be behind the first of the kept.
    oldest = get(server, "/events/position")["oldest"]
    assert oldest == old[1]
    assert ids(get(server, after=oldest)) == ids(get(server)) == kept


# ---- what is wrong with a request


@pytest.mark.parametrize("query, field", [
    ("after=", "/after"), ("after=1", "/after"), ("after=1-01", "/after"), ("after=acked", "/after"), ("after=%", "/after"),
    ("after=1-18446744073709551616", "/after"), ("limit=0", "/limit"), ("limit=1001", "/limit"), ("limit=", "/limit"),
    ("limit=1e2", "/limit"), ("limit=-1", "/limit"), ("user=", "/user"), ("user=%00", "/user"), ("user=%c2%85", "/user"),
    ("user=" + "x" * 257, "/user"), ("user=%ff", "/user"),
])
def test_a_malformed_parameter_is_400_and_named(shared, query, field):
    answer = shared.rest("GET", f"/events?{query}", READER)
    problem(answer, 400, "bad-query")
    assert answer.json()["field"] == field


def test_an_id_in_the_query_is_decoded_like_one_in_a_path(shared):
    start = position(shared)
    name = "a/b +ä&" + user()
    sent = publish(shared, {"user": name})
    # A plus stays a plus in both.
    path = f"/events?after={start}&user={quote(name, safe='+')}"
    assert ids(shared.rest("GET", path, READER).json()) == sent
    assert shared.rest("HEAD", "/events", READER).status_code == 200


def test_while_redis_is_away_nothing_is_read_and_then_it_is(belfry, redis_server):
    server = belfry({"REDIS_TIMEOUT": "500ms"})
    redis_server.stop()
    for method, path in (("GET", "/events"), ("GET", "/events/position"), ("DELETE", "/users/a/events"),
                         ("GET", "/users/a/cursor")):
        answer = server.rest(method, path, token("both", "events:read events:publish"))
        problem(answer, 503, "redis-away")
        assert int(answer.headers["Retry-After"]) >= 1
    redis_server.start()
    wait_for(lambda: server.rest("GET", "/events", READER).status_code == 200, 15, "an answer")


def test_a_request_that_goes_away_is_forgotten(belfry, redis_server):
    server = belfry()
    redis_server.pause()
    for path in ("/events", "/events/position", "/users/a/cursor"):
        with pytest.raises(requests.Timeout):
            requests.get(server.http(path), headers={"Authorization": f"Bearer {READER}"}, timeout=0.2)
    redis_server.resume()
    wait_for(lambda: server.rest("GET", "/events", READER).status_code == 200, 15, "an answer")


# ---- erasing


def test_erasing_removes_a_users_events_and_tells_who_missed_them(shared):
    alice, bob, start = user(), user(), position(shared)
    sent = publish(shared, {"user": alice}, {"users": [alice, bob]}, "broadcast")
    erased = erase(shared, alice)
    assert erased == {"event_id": position(shared), "user_id": alice}
    later = publish(shared, {"user": alice})
    assert gone(shared, "expired", after=start, user=alice)["oldest"] == sent[1]
    gone(shared, "expired", after=sent[0], user=alice)
    # Who has had them all has missed nothing.
    assert ids(get(shared, after=sent[1], user=alice)) == [sent[2], *later]
    assert ids(get(shared, after=erased["event_id"], user=alice)) == later
    assert ids(get(shared, after=start, user=bob)) == sent[1:3]
    dump = str([shared.redis.client().xrange(key) for key in shared.redis.client().scan_iter("ws:log:user:" + alice)])
    assert sent[0] not in dump.replace(f"'prev': '{sent[0]}'", "") and later[0] in dump


def test_erasing_again_or_nothing_is_accepted(shared):
    alice = user()
    one, two = erase(shared, alice), erase(shared, alice)
    assert int(two["event_id"].split("-")[1]) == int(one["event_id"].split("-")[1]) + 1
    assert not shared.redis.client().exists("ws:log:user:" + alice)


def test_an_erasure_survives_that_redis_forgets_its_scripts(shared):
    publish(shared, {"user": "x y"})
    shared.redis.client().script_flush()
    assert erase(shared, "x%20y")["user_id"] == "x y"
    publish(shared, {"user": "x y"})


def test_a_log_lives_an_hour_longer_than_its_events_also_after_an_erasure(belfry, redis_server):
    server = belfry({"REPLAY_TTL": "2h"})
    publish(server, {"user": "a"})
    redis_server.client().expire("ws:log:user:a", 100)
    erase(server, "a")
    assert 3 * 3600 - 60 < redis_server.client().ttl("ws:log:user:a") <= 3 * 3600


async def test_a_client_that_is_live_during_an_erasure_goes_on(shared):
    alice = user()
    async with await Client.connect(shared, token(alice)) as client:
        await client.welcome()
        publish(shared, {"user": alice})
        erase(shared, alice)
        (last,) = publish(shared, {"user": alice})
        await client.next("some.event")
        assert (await client.next())["event_id"] == last
