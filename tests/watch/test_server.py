"""The page is for this machine and whoever knows its address; everything else is refused."""

import asyncio
import socket
from functools import partial

import pytest
from aiohttp import ClientSession
from aiohttp.test_utils import TestClient, TestServer

from equistudy.watch.follower import StudyFollower, make_document
from equistudy.watch.server import HEADERS, build_app, make_token, serve

TOKEN = "kvBDvUgcAh61vO9jD9ErN-TGdKcDeLcb"
PATHS = ("", "watch.js", "watch.css", "report.css", "pulse.json", "grid.json", "analysis.json", "cell/1.json")


class Follower(StudyFollower):
    """Documents without a study."""

    def __init__(self):
        self.pulse, self.grid, self.analysis = (make_document({"name": name}) for name in ("pulse", "grid", "analysis"))
        self.asked = self.started = self.stopped = 0

    def note_request(self):
        self.asked += 1

    def draw_cell(self, number):
        return make_document({"number": number}) if number < 10 else None

    def start(self):
        self.started += 1

    def stop(self):
        self.stopped += 1


def visit(path, follower=None, method="GET", **headers):
    """The answer to one request: status, headers, text."""

    async def run():
        async with TestClient(TestServer(build_app(follower or Follower(), TOKEN))) as client:
            headers.setdefault("Host", "127.0.0.1:8123")
            async with client.request(method, path, headers=headers, allow_redirects=False) as response:
                return response.status, response.headers, await response.text()

    return asyncio.run(run())


@pytest.mark.parametrize("path", PATHS)
def test_the_page_and_its_files_have_the_security_headers(path):
    status, headers, text = visit(f"/{TOKEN}/{path}")
    assert status == 200
    assert text
    assert headers.items() >= HEADERS.items()


def test_the_policy_names_no_other_host_and_no_inline_code():
    policy = dict(part.strip().split(" ", 1) for part in HEADERS["Content-Security-Policy"].split(";"))
    assert policy.pop("img-src") == "'self' data:"
    assert policy.pop("default-src") == "'none'"
    assert set(policy.values()) == {"'self'", "'none'"}
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/favicon.ico",
        f"/{TOKEN[:-1]}/",
        f"/{TOKEN}x/",
        "/wrong/pulse.json",
        f"/x/{TOKEN}/",
        "//",
        "/%C3%A9/",
        "/~/",
    ],
)
def test_without_the_token_all_is_forbidden(path):
    follower = Follower()
    status, headers, text = visit(path, follower)
    assert (status, text, follower.asked) == (403, "403 Forbidden\n", 0)
    assert headers.items() >= HEADERS.items()


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8123", "127.0.0.1.evil.example", "localhost.", "[::", "10.0.0.1"]
)
def test_another_host_name_is_forbidden(host):
    assert visit(f"/{TOKEN}/", Host=host)[0] == 403


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:9000", "[::1]:8123", "LOCALHOST:1"])
def test_a_forwarded_port_of_this_machine_is_served(host):
    assert visit(f"/{TOKEN}/", Host=host)[0] == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_the_page_is_read_only(method):
    assert visit(f"/{TOKEN}/pulse.json", method=method)[0] == 405


def test_unchanged_documents_are_not_sent_again():
    follower = Follower()
    _, headers, text = visit(f"/{TOKEN}/pulse.json", follower)
    assert text == '{"name":"pulse"}'
    told = {"If-None-Match": headers["ETag"]}
    assert visit(f"/{TOKEN}/pulse.json", follower, **told)[::2] == (304, "")
    assert visit(f"/{TOKEN}/grid.json", follower, **told)[0] == 200
    follower.pulse = make_document({"name": "new"})
    assert visit(f"/{TOKEN}/pulse.json", follower, **told)[::2] == (200, '{"name":"new"}')
    assert follower.asked == 4


@pytest.mark.parametrize(
    ("path", "status"), [("cell/3.json", 200), ("cell/99.json", 404), ("cell/-1.json", 404), ("x", 404)]
)
def test_cells(path, status):
    assert visit(f"/{TOKEN}/{path}")[0] == status


def test_tokens_are_long_and_differ():
    tokens = {make_token() for _ in range(100)}
    assert len(tokens) == 100
    assert min(map(len, tokens)) >= 32


def test_it_serves_on_loopback_until_it_is_over():
    follower, urls, ended = Follower(), [], asyncio.Event

    async def run():
        over = ended()
        task = asyncio.create_task(serve(follower, TOKEN, 0, urls.append, over.is_set))
        while not urls and not task.done():
            await asyncio.sleep(0.01)
        async with ClientSession() as session, session.get(urls[0]) as response:
            assert response.status == 200
        over.set()
        await task

    asyncio.run(run())
    assert urls[0].startswith("http://127.0.0.1:")
    assert (follower.started, follower.stopped) == (1, 1)


def test_a_taken_port_is_told():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ValueError, match=f"needs a free port, got --port {port}, which is taken"):
            asyncio.run(serve(Follower(), TOKEN, port, partial(pytest.fail)))
