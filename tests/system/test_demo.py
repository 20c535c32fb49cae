"""The demo page in a real browser: what a newcomer sees after `make run`."""

import json

import pytest
import requests

from browser import Browser, chromium
from clients import Client, Raw, user

pytestmark = pytest.mark.skipif(chromium() is None, reason="needs chromium (apt install chromium)")

ON = "document.getElementById('status').dataset.state === 'on'"
STATE = "document.getElementById('status').dataset.state"


def row(*texts):
    """An expression that is true once a row of the event list holds all the texts."""
    return f"[...document.querySelectorAll('#events > li')].some(li => {json.dumps(texts)}.every(t => li.textContent.includes(t)))"


def demo(belfry, **env):
    return belfry(env={"DEMO": "on", **env})


async def opened(browser, server, token):
    await browser.go(server.http("/") + "#token=" + token)
    await browser.until(ON)


async def send(browser, form, **fields):
    await browser.click(f"#tab-{form}")
    for name, value in fields.items():
        await browser.fill(f"#{form} [name={name}]", value)
    await browser.js("document.getElementById('answer').hidden = true")
    await browser.click("#send")
    await browser.until("!document.getElementById('answer').hidden")
    return await browser.text("#answer-line"), json.loads(await browser.text("#answer-body"))


async def test_the_page_opens_and_a_rest_call_arrives_in_it(belfry, token):
    server, me = demo(belfry), user()
    async with Browser.open() as browser:
        await opened(browser, server, token(me))
        assert await browser.text("#user") == me
        assert await browser.js("location.hash") == ""
        told = server.publish("task_status_update", {"task_id": "t-1", "status": "running", "progress": 30})
        await browser.until(row("task_status_update", "t-1", "30 %", told["event_id"]))
        assert await browser.text("#position") == told["event_id"]
        assert (await browser.text("#latency")).endswith(" ms")
        await browser.until("document.getElementById('health').textContent === 'healthy'")
        assert await browser.text("#local") == "1"
        assert browser.complaints == []


async def test_the_page_asks_nothing_of_other_hosts(belfry, token):
    server = demo(belfry)
    async with Browser.open() as browser:
        await opened(browser, server, token(user(), "events:publish"))
        await send(browser, "task")
        await browser.until("document.getElementById('health').textContent === 'healthy'")
        hosts = {url.split("/")[2] for url in browser.requests if not url.startswith(("data:", "about:"))}
        assert hosts == {server.address()}
        assert browser.complaints == []


async def test_the_token_travels_as_a_subprotocol_and_reaches_no_log(belfry, token):
    server, secret = demo(belfry, LOG_LEVEL="debug"), token(user())
    async with Browser.open() as browser:
        await opened(browser, server, secret)
        assert not [url for url in browser.requests if secret in url and not url.startswith("http")]
        assert all(secret not in url.split("#")[0] for url in browser.requests)
    assert secret not in server.output()


async def test_every_form_rings(belfry, token):
    server, me = demo(belfry), user()
    async with Browser.open() as browser:
        await opened(browser, server, token(me, "events:publish"))
        for form, fields, status, shown in (
            ("task", {"task_id": "a/b", "status": "completed", "progress": "100"}, "202", ("task_status_update", "a/b")),
            ("agent", {"agent_id": "scout", "activity": "reading"}, "202", ("agent_activity_update", "reading")),
            ("notification", {"title": "Dinner", "level": "warning"}, "202", ("notification", "Dinner", f"to {me}")),
            ("calendar", {"title": "Practice"}, "201", ("calendar_event_created", "Practice", "to everybody")),
            ("custom", {"type": "order.shipped", "data": '{"order": 99}'}, "202", ("order.shipped", '{"order":99}')),
        ):
            line, body = await send(browser, form, **fields)
            assert line.startswith(status), (form, line, body)
            await browser.until(row(*shown, body["event_id"]))
        assert await browser.text("#count") == "5"
        assert browser.complaints == []


async def test_an_audience_is_kept_to(belfry, token):
    server, me, other = demo(belfry), user(), user()
    async with Browser.open() as browser, await Client.connect(server, token(other)) as client:
        await client.welcome()
        await opened(browser, server, token(me, "events:publish"))
        await browser.click("#tab-custom")
        await browser.fill("#audience", "user")
        await browser.fill("#ids", other)
        _, body = await send(browser, "custom", type="for.other")
        assert body["audience"] == {"user": other}
        await browser.fill("#audience", "connection")
        _, body = await send(browser, "custom", type="for.me")
        await browser.until(row("for.me", body["event_id"]))
        assert (await client.next("for.other"))["type"] == "for.other"
        assert await browser.text("#count") == "1"


async def test_a_refusal_is_shown(belfry, token):
    server = demo(belfry)
    async with Browser.open() as browser:
        await opened(browser, server, token(user()))
        line, problem = await send(browser, "task")
        assert line.startswith("403") and "events:publish" in line
        assert problem["status"] == 403
        await browser.js("document.getElementById('custom').noValidate = true")
        await browser.click("#tab-custom")
        await browser.fill("#custom [name=data]", "{")
        await browser.click("#send")
        await browser.until("document.getElementById('answer-line').textContent.includes('not JSON')")


async def test_the_page_comes_back_by_itself_after_a_crash(belfry, token):
    server = demo(belfry)
    async with Browser.open() as browser:
        await opened(browser, server, token(user()))
        first = server.publish("before.crash", {"n": 1})
        await browser.until(row("before.crash"))
        server.kill()
        await browser.until(f"{STATE} === 'waiting'")
        server.start()
        await browser.until(ON, 40)
        server.publish("after.crash", {"n": 2})
        await browser.until(row("after.crash"))
        resumed = [url for url in browser.requests if "/ws?" in url]
        assert any("last_event_id=" in url and "connection_id=" in url for url in resumed)
        assert await browser.js("link.lastId") > first["event_id"]
        assert browser.complaints == []


async def test_the_page_comes_back_after_a_clean_restart(belfry, token):
    server = demo(belfry)
    async with Browser.open() as browser:
        await opened(browser, server, token(user()))
        assert server.stop() == 0
        await browser.until(f"{STATE} === 'waiting' || {STATE} === 'connecting'")
        server.start()
        await browser.until(ON, 40)


async def test_a_refused_token_stops_it_and_a_new_one_starts_it(belfry, token):
    server = demo(belfry)
    async with Browser.open() as browser:
        await browser.go(server.http("/") + "#token=" + token(user(), ttl=-3600))
        await browser.until(f"{STATE} === 'stopped'")
        assert "4401" in await browser.text("#notice")
        assert await browser.js("document.activeElement.id") == "token"
        await browser.fill("#token", token(user()))
        await browser.click("#connect")
        await browser.until(ON)


async def test_a_token_is_renewed_on_the_open_connection(belfry, token):
    server, me = demo(belfry), user()
    async with Browser.open() as browser:
        await opened(browser, server, token(me))
        connection = await browser.text("#connection-id")
        await browser.fill("#token", token(me, "events:publish", ttl=7200))
        assert await browser.text("#connect") == "Renew token"
        await browser.click("#connect")
        await browser.until("document.getElementById('notice').textContent.includes('renewed')")
        assert await browser.text("#connection-id") == connection


async def test_disconnect_and_connect(belfry, token):
    server = demo(belfry)
    async with Browser.open() as browser:
        await opened(browser, server, token(user()))
        await browser.click("#disconnect")
        assert await browser.js(STATE) == "off"
        await browser.click("#connect")
        await browser.until(ON)


async def test_a_reload_goes_on_where_it_was(belfry, token):
    server = demo(belfry)
    async with Browser.open() as browser:
        await opened(browser, server, token(user()))
        position = server.publish("some.event", {})["event_id"]
        await browser.until(row(position))
        browser.requests.clear()
        await browser.go(server.http("/"))
        await browser.until(ON)
        assert any(f"last_event_id={position}" in url for url in browser.requests)


async def test_a_burst_leaves_the_page_usable(belfry, token):
    server = demo(belfry)
    async with Browser.open() as browser:
        await opened(browser, server, token(user()))
        publisher = token("p", "events:publish")
        for batch in range(3):
            events = [{"type": "burst", "data": {"n": batch * 1000 + i}, "audience": "broadcast"} for i in range(1000)]
            assert server.rest("POST", "/events/batch", publisher, json={"events": events}).status_code == 202
        await browser.until("document.getElementById('count').textContent === '3000'")
        assert await browser.js("document.querySelectorAll('#events > li').length") == 200
        assert '"n":2999' in await browser.text("#events > li .text")


async def test_markup_in_an_event_stays_text(belfry, token):
    server = demo(belfry)
    async with Browser.open() as browser:
        await opened(browser, server, token(user()))
        evil = "<img src=x onerror=alert(1)><script>alert(1)</script>"
        server.publish("notification", {"title": evil, "message": evil, "link": "javascript:alert(1)"})
        await browser.until(row("notification", evil))
        assert await browser.js("document.querySelectorAll('#events img, #events script, #events a').length") == 0
        assert browser.complaints == []


@pytest.mark.parametrize("width", [390, 1280])
async def test_nothing_sticks_out_sideways(belfry, token, width):
    server = demo(belfry)
    async with Browser.open() as browser:
        await browser.call("Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=width < 500)
        await opened(browser, server, token("a-user-with-a-long-name-" * 8, "events:publish"))
        server.publish("x" * 64, {"word": "w" * 3000})
        await browser.until(row("xxxx"))
        for form in ("task", "agent", "notification", "calendar", "custom"):
            await browser.click(f"#tab-{form}")
            assert await browser.js("document.documentElement.scrollWidth <= innerWidth")


async def test_every_field_and_button_has_a_name(belfry, token):
    server = demo(belfry)
    async with Browser.open() as browser:
        await opened(browser, server, token(user()))
        nodes = (await browser.call("Accessibility.getFullAXTree"))["nodes"]
        nameless = [n for n in nodes if not n["ignored"] and n["role"]["value"] in ("textbox", "button", "combobox", "tab", "checkbox")
                    and not n["name"]["value"]]
        assert nameless == []


async def test_a_base_path_and_an_api_address_of_its_own(belfry, token):
    server = demo(belfry, BASE_PATH="/push", API_LISTEN="127.0.0.1:0")
    async with Browser.open() as browser:
        await browser.go(server.http("") + "#token=" + token(user()))
        await browser.until(ON)
        assert await browser.js("location.pathname") == "/push/"
        assert not await browser.visible("#send")
        assert await browser.visible(".rest-elsewhere")
        server.publish("some.event", {})
        await browser.until(row("some.event"))


def test_the_page_is_guarded(belfry):
    server = demo(belfry)
    answer = requests.get(server.http("/"), timeout=5)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    policy = dict(part.strip().split(" ", 1) for part in answer.headers["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert "unsafe" not in answer.headers["Content-Security-Policy"]
    assert policy["connect-src"] == f"'self' ws://{server.address()} wss://{server.address()}"


def test_head_has_the_length_and_no_body(belfry):
    server = demo(belfry)
    head, get = requests.head(server.http("/"), timeout=5), requests.get(server.http("/"), timeout=5)
    assert head.status_code == 200 and head.content == b""
    assert head.headers["Content-Length"] == str(len(get.content))


async def test_a_strange_host_does_not_bend_the_policy(belfry):
    server = demo(belfry)
    async with await Raw.open(server) as raw:
        await raw.send(b"GET / HTTP/1.1\r\nHost: a;script-src\r\nConnection: close\r\n\r\n")
        status, headers, _ = await raw.response()
        assert status != 200 or headers["content-security-policy"].endswith("connect-src 'self'")


def test_the_page_is_off_beside_a_redis_of_its_own(belfry):
    assert requests.get(belfry().http("/"), timeout=5).status_code == 404


def test_the_page_is_on_with_the_embedded_redis(belfry):
    assert requests.get(belfry(env={"REDIS_URL": None}).http("/"), timeout=5).status_code == 200
