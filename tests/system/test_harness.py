"""The harness itself: what it starts really runs, ends, and is looked at when it has ended."""

import pytest

import belfry as processes
from clients import Client, user


def test_redis_keeps_its_addresses_over_a_restart(redis_server):
    port, pid = redis_server.port, redis_server.pid
    redis_server.client().set("key", "value")
    redis_server.restart()
    assert redis_server.pid != pid and redis_server.port == port
    assert redis_server.client().get("key") is None
    redis_server.kill()
    assert not redis_server.answers()
    redis_server.start()
    assert redis_server.answers()


def test_a_paused_redis_does_not_answer(redis_server):
    redis_server.pause()
    assert not redis_server.answers()
    redis_server.resume()
    assert redis_server.answers()


async def test_a_client_records_what_it_is_told(shared, token):
    me = user()
    async with await Client.connect(shared, token(me)) as client:
        welcome = await client.welcome()
        assert welcome["data"]["user_id"] == me
        assert client.frames == [welcome]


def test_a_restarted_belfry_keeps_its_addresses(belfry):
    server = belfry()
    before = dict(server.addresses)
    server.kill()
    server.start()
    assert server.addresses == before and server.ready()


def test_an_unclean_end_fails_the_test(belfry):
    server = belfry()
    server.expected_exit = 77
    with pytest.raises(AssertionError, match="exit code 0"):
        server.finish()
    assert not server.dir.exists()


@pytest.mark.parametrize("line", [
    "==1==ERROR: AddressSanitizer: heap-use-after-free on address",
    "==1==ERROR: LeakSanitizer: detected memory leaks",
    "WARNING: ThreadSanitizer: data race (pid=1)",
    "core/x.c:1:2: runtime error: signed integer overflow",
])
def test_a_sanitizer_report_fails_the_test(belfry, line):
    server = belfry()
    with open(server.log_path, "a") as log:
        log.write(line + "\n")
    with pytest.raises(AssertionError, match="Sanitizer|runtime error"):
        server.finish()


def test_a_belfry_that_ends_at_start_says_why(belfry):
    with pytest.raises(AssertionError, match="SECRET_KEY"):
        belfry(env={"SECRET_KEY": "short"})


def test_tokens_can_lack_a_claim():
    import jwt
    claims = jwt.decode(processes.token("a", exp=None), options={"verify_signature": False})
    assert claims == {"sub": "a"}
