"""Drives Debian's Chromium over its debugging protocol: what a page shows, says on its console and asks for."""

import asyncio
import base64
import itertools
import shutil
import subprocess
from contextlib import asynccontextmanager

import aiohttp

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
QUIET = (
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--disable-sync",
    "--hide-scrollbars",
)
START_SECONDS = 60.0


class Page:
    """One tab. `console` collects warnings, errors and exceptions, `requests` every address that the page asks for."""

    def __init__(self, socket):
        self._socket, self._ids, self._waiting = socket, itertools.count(1), {}
        self.console, self.requests = [], []
        self._task = asyncio.create_task(self._listen())

    async def _listen(self):
        async for message in self._socket:
            told = message.json()
            if "id" in told:
                self._waiting.pop(told["id"]).set_result(told)
                continue
            kind, values = told["method"], told["params"]
            if kind == "Runtime.exceptionThrown":
                self.console.append(values["exceptionDetails"]["exception"].get("description"))
            elif kind == "Runtime.consoleAPICalled" and values["type"] in ("error", "warning"):
                self.console.append([argument.get("value") for argument in values["args"]])
            elif kind == "Log.entryAdded":
                self.console.append(values["entry"]["text"])
            elif kind == "Network.requestWillBeSent":
                self.requests.append(values["request"]["url"])

    async def call(self, method, **values):
        number = next(self._ids)
        self._waiting[number] = answer = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": number, "method": method, "params": values})
        told = await asyncio.wait_for(answer, 60)
        assert "error" not in told, (method, told)
        return told["result"]

    async def open(self, url, width=1280, height=900, dark=False):
        for domain in ("Page", "Runtime", "Log", "Network"):
            await self.call(f"{domain}.enable")
        await self.resize(width, height, dark)
        await self.call("Page.navigate", url=url)

    async def resize(self, width, height=900, dark=False):
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        await self.call("Emulation.setDeviceMetricsOverride", **metrics)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.call("Emulation.setEmulatedMedia", features=[scheme])

    async def evaluate(self, expression):
        told = await self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in told, told
        return told["result"].get("value")

    async def wait_for(self, condition, seconds=30.0):
        """Waits until a JavaScript expression is true, and returns its value."""
        for _ in range(int(seconds / 0.1)):
            value = await self.evaluate(condition)
            if value:
                return value
            await asyncio.sleep(0.1)
        raise AssertionError(
            f"never true: {condition}; the page says:\n{await self.evaluate('document.body.innerText')}"
        )

    async def picture(self, path, whole=True):
        told = await self.call("Page.captureScreenshot", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(told["data"]))


@asynccontextmanager
async def open_chromium(folder):
    """A tab of a new browser whose profile is in `folder`."""
    options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder}", *QUIET]
    command = [str(BROWSER), *options, "--remote-debugging-port=0", "about:blank"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        port_file = folder / "DevToolsActivePort"
        for _ in range(int(START_SECONDS / 0.1)):
            if port_file.is_file() and port_file.read_text().strip():
                break
            await asyncio.sleep(0.1)
        port = port_file.read_text().split()[0]
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://127.0.0.1:{port}/json") as response:
                tabs = [tab for tab in await response.json() if tab["type"] == "page"]
            async with session.ws_connect(tabs[0]["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                page = Page(socket)
                yield page
                page._task.cancel()
    finally:
        process.terminate()
        process.wait(30)
