"""A server on this machine that serves, breaks, lies and refuses as it is told."""

import hashlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from equistudy.fetching import download
from equistudy.fetching.registry import RemoteFile

Answer = Callable[["Handler", bytes], None]


class Handler(BaseHTTPRequestHandler):
    """Answers by the next entry of the path's script, and well when that is used up."""

    server: "Server"
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        content = self.server.site.contents.get(self.path)
        self.server.site.asked.append((self.path, self.headers.get("Range")))
        self.close_connection = True
        script = self.server.site.scripts.get(self.path, [])
        if script:
            script.pop(0)(self, content or b"")
        elif content is None:
            self.answer(404, b"no")
        elif self.headers.get("Range"):
            start = int(self.headers["Range"].removeprefix("bytes=").removesuffix("-"))
            if start >= len(content):
                self.answer(416, b"")
            else:
                span = f"bytes {start}-{len(content) - 1}/{len(content)}"
                self.answer(206, content[start:], {"Content-Range": span})
        else:
            self.answer(200, content)

    def answer(self, status: int, body: bytes, headers: dict[str, str] | None = None, length: int | None = None):
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(body) if length is None else length)} | (headers or {})).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    site: "Site"


@dataclass
class Site:
    """What a server has, how it answers first, and what it was asked for."""

    url: str
    contents: dict[str, bytes] = field(default_factory=dict)
    scripts: dict[str, list[Answer]] = field(default_factory=dict)
    asked: list[tuple[str, str | None]] = field(default_factory=list)

    def publish(self, name: str, content: bytes, *script: Answer, **fields: object) -> RemoteFile:
        """A file of this server, as a registry has it."""
        self.contents[f"/{name}"] = content
        self.scripts[f"/{name}"] = list(script)
        values = {"size": len(content), "checksum": f"sha256:{hashlib.sha256(content).hexdigest()}"} | fields
        return RemoteFile(name, (f"{self.url}/{name}",), **values)


@pytest.fixture
def site() -> Iterator[Site]:
    server = Server(("127.0.0.1", 0), Handler)
    server.site = Site(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server.site
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No waits, no mirror, no proxy."""
    monkeypatch.setattr(download, "WAIT_SECONDS", 0.0)
    monkeypatch.setattr(download, "TIMEOUT_SECONDS", (2.0, 2.0))
    for name in ("EQUISTUDY_MIRROR", "EQUISTUDY_DATA", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    return tmp_path / "data"
