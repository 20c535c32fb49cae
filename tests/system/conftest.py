"""Fixtures of the system tests. Tests may be coroutines; each runs in a loop of its own, bounded in time."""

import asyncio
import contextlib
import inspect

import pytest

import belfry as processes
import redis_scripts
from clients import Client

COROUTINE_TIMEOUT = 60

# Fixtures, as far as pytest is concerned.
scripts, shared_redis = redis_scripts.scripts, redis_scripts.shared_redis


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem):
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}

    async def bounded():
        async with asyncio.timeout(COROUTINE_TIMEOUT * processes.PATIENCE):
            await pyfuncitem.obj(**arguments)

    asyncio.run(bounded())
    return True


@pytest.fixture
def redis_server():
    """A private redis-server of this test; belfry uses it where the test asks for both."""
    server = processes.RedisServer()
    yield server
    server.remove()


@pytest.fixture
def another_redis():
    """another_redis(option, …) starts one more redis-server."""
    started = []

    def start(*options):
        started.append(processes.RedisServer(*options))
        return started[-1]

    yield start
    for server in started:
        server.remove()


@contextlib.contextmanager
def belfry_factory(redis):
    """start(env={…}) makes a ready belfry on `redis`; REDIS_URL None in env means the embedded one. All end together."""
    started = []

    def start(env=None, **options):
        server = processes.Belfry({"REDIS_URL": redis.url, **(env or {})}, **options)
        started.append(server)
        return server

    failures = []
    try:
        yield start
    finally:
        for server in started:
            try:
                server.finish()
            except AssertionError as failure:
                failures.append(failure)
    if failures:
        raise failures[0]


@pytest.fixture
def belfry(redis_server):
    with belfry_factory(redis_server) as start:
        yield start


@pytest.fixture(scope="module")
def shared():
    """One belfry with default settings for all tests of a module that only look at it: they use user ids of their own.
    `shared.redis` is its Redis."""
    redis = processes.RedisServer()
    try:
        with belfry_factory(redis) as start:
            server = start({"LOG_LEVEL": "debug"})
            server.redis = redis
            yield server
    finally:
        redis.remove()


@pytest.fixture
def token():
    return processes.token


@pytest.fixture
def connect():
    """connect(server, token, …) opens a Client that is closed at the end of the test at the latest."""
    return Client.connect
