"""A real headless Chromium, driven by its own DevTools protocol over a WebSocket."""

import asyncio
import contextlib
import json
import pathlib
import shutil
import subprocess
import tempfile

from websockets import ConnectionClosed
from websockets.asyncio.client import connect

from belfry import PATIENCE, dies_with_parent, environment


def chromium():
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Browser:
    """One browser with one page. Everything it complained of is in `complaints`, every request in `requests`."""

    def __init__(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="chromium-"))
        self.complaints = []
        self.requests = []
        self.last_id = 0
        self.waiting = {}
        self.session = None
        self.ws = None
        self.loaded = asyncio.Event()

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls):
        browser = cls()
        try:
            await browser.start()
            yield browser
        finally:
            await browser.end()

    async def start(self):
        # Without --no-sandbox it does not run as root, and without --disable-dev-shm-usage not in a small container.
        self.process = subprocess.Popen(
            dies_with_parent([chromium(), "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                              "--no-first-run", "--disable-background-networking", "--disable-component-update",
                              "--remote-debugging-port=0", f"--user-data-dir={self.dir}", "about:blank"]),
            env={**environment({}), "HOME": str(self.dir)},
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        port_file = self.dir / "DevToolsActivePort"
        async with asyncio.timeout(30 * PATIENCE):
            while not (port_file.exists() and port_file.read_text().count("\n") >= 1):
                assert self.process.poll() is None, "chromium ended at once"
                await asyncio.sleep(0.05)
        port, path = port_file.read_text().split("\n")[:2]
        self.ws = await connect(f"ws://127.0.0.1:{port}{path}", max_size=None, proxy=None, ping_interval=None)
        self.reader = asyncio.create_task(self.read())
        target = await self.call("Target.createTarget", url="about:blank")
        self.session = (await self.call("Target.attachToTarget", targetId=target["targetId"], flatten=True))["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network", "Audits"):
            await self.call(f"{domain}.enable")

    async def end(self):
        if self.ws is not None:
            # A browser that is killed leaves children behind for a moment, which write into its folder again.
            with contextlib.suppress(ConnectionClosed, TimeoutError, AssertionError):
                self.session = None
                await asyncio.wait_for(self.call("Browser.close"), 5)
            await self.ws.close()
            await self.reader
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(5)
        self.process.kill()
        self.process.wait(10)
        shutil.rmtree(self.dir, ignore_errors=True)

    async def read(self):
        with contextlib.suppress(ConnectionClosed):
            async for text in self.ws:
                message = json.loads(text)
                if "id" in message:
                    self.waiting.pop(message["id"]).set_result(message)
                else:
                    self.note(message["method"], message["params"])

    def note(self, method, params):
        if method == "Page.loadEventFired":
            self.loaded.set()
        elif method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        elif method == "Network.webSocketCreated":
            self.requests.append(params["url"])
        elif method == "Runtime.exceptionThrown":
            self.complaints.append(params["exceptionDetails"]["exception"].get("description", "exception"))
        elif method == "Log.entryAdded" and params["entry"]["source"] in ("security", "violation"):
            self.complaints.append(params["entry"]["text"])
        elif method == "Audits.issueAdded" and params["issue"]["code"] == "ContentSecurityPolicyIssue":
            self.complaints.append(json.dumps(params["issue"]["details"]))

    async def call(self, method, **params):
        self.last_id += 1
        answer = asyncio.get_running_loop().create_future()
        self.waiting[self.last_id] = answer
        session = {"sessionId": self.session} if self.session else {}
        await self.ws.send(json.dumps({"id": self.last_id, "method": method, "params": params, **session}))
        async with asyncio.timeout(20 * PATIENCE):
            message = await answer
        assert "error" not in message, message
        return message["result"]

    async def go(self, url):
        self.loaded.clear()
        await self.call("Page.navigate", url=url)
        async with asyncio.timeout(20 * PATIENCE):
            await self.loaded.wait()

    async def js(self, expression):
        result = await self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    async def text(self, selector):
        return await self.js(f"document.querySelector({json.dumps(selector)})?.textContent")

    async def visible(self, selector):
        return await self.js(f"document.querySelector({json.dumps(selector)})?.checkVisibility() ?? false")

    async def click(self, selector):
        await self.js(f"document.querySelector({json.dumps(selector)}).click()")

    async def fill(self, selector, value):
        await self.js(f"""{{ const field = document.querySelector({json.dumps(selector)});
            field.value = {json.dumps(value)};
            for (const kind of ['input', 'change']) field.dispatchEvent(new Event(kind, {{bubbles: true}})); }}""")

    async def until(self, expression, timeout=10.0):
        """Waits until a JavaScript expression is true, and returns its value."""
        try:
            async with asyncio.timeout(timeout * PATIENCE):
                while True:
                    value = await self.js(expression)
                    if value:
                        return value
                    await asyncio.sleep(0.03)
        except TimeoutError:
            page = await self.js("document.body.innerText")
            raise AssertionError(f"never true: {expression}\n{page}") from None
