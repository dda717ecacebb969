"""Serves the page of a study on this machine alone, to whoever knows its address."""

import asyncio
import errno
import hmac
import secrets
from collections.abc import Awaitable, Callable
from importlib.resources import files
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web

from equistudy.watch.follower import Document, StudyFollower

__all__ = ["build_app", "make_token", "serve"]

LOOPBACK = "127.0.0.1"
LOOPBACK_NAMES = {LOOPBACK, "localhost", "::1"}
CHECK_SECONDS = 0.5
PAGE_FILES = {
    "": ("watch", "page.html", "text/html"),
    "watch.js": ("watch", "watch.js", "text/javascript"),
    "watch.css": ("watch", "watch.css", "text/css"),
    "report.css": ("report", "style.css", "text/css"),
}
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-store",
}

FOLLOWER: web.AppKey[StudyFollower] = web.AppKey("follower", StudyFollower)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def make_token() -> str:
    """The secret part of a page's address."""
    return secrets.token_urlsafe(24)


def build_app(follower: StudyFollower, token: str) -> web.Application:
    """The application: the page, its files, and the documents that it asks for."""
    app = web.Application(middlewares=[_add_headers, _make_guard(token)])
    app[FOLLOWER] = follower
    for name in PAGE_FILES:
        app.router.add_get(f"/{token}/{name}", _make_file_handler(name))
    for name in ("pulse", "grid", "analysis"):
        app.router.add_get(f"/{token}/{name}.json", _make_document_handler(name))
    app.router.add_get(f"/{token}/cell/{{number:[0-9]{{1,9}}}}.json", _send_cell)
    return app


@web.middleware
async def _add_headers(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Adds the security headers to every response, also to errors."""
    try:
        response = await handler(request)
    except web.HTTPException as error:
        response = web.Response(status=error.status, text=f"{error.status} {error.reason}\n")
    response.headers.update(HEADERS)
    return response


def _make_guard(token: str) -> Any:
    """Refuses requests that come by way of another host name or lack the token.

    A page of another site can make a browser send requests to this machine under a name of its own (DNS rebinding), but
    the Host header then has that name.
    """

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        if _parse_host(request.headers.get("Host", "")) not in LOOPBACK_NAMES:
            raise web.HTTPForbidden
        given = request.path.split("/", 2)[1]
        if not hmac.compare_digest(given.encode(), token.encode()):
            raise web.HTTPForbidden
        return await handler(request)

    return guard


def _parse_host(header: str) -> str | None:
    """The name in a Host header, without its port; None for a malformed one."""
    try:
        return urlsplit(f"//{header}").hostname
    except ValueError:
        return None


def _make_file_handler(name: str) -> Handler:
    package, file, kind = PAGE_FILES[name]
    text = (files("equistudy") / package / file).read_text(encoding="utf-8")

    async def send(request: web.Request) -> web.Response:
        return web.Response(text=text, content_type=kind, charset="utf-8")

    return send


def _make_document_handler(name: str) -> Handler:
    async def send(request: web.Request) -> web.Response:
        follower = request.app[FOLLOWER]
        follower.note_request()
        return _respond(request, getattr(follower, name))

    return send


async def _send_cell(request: web.Request) -> web.Response:
    follower = request.app[FOLLOWER]
    follower.note_request()
    found = await asyncio.to_thread(follower.draw_cell, int(request.match_info["number"]))
    if found is None:
        raise web.HTTPNotFound
    return _respond(request, found)


def _respond(request: web.Request, document: Document) -> web.Response:
    """The document, or 304 if the page has it already."""
    known = request.if_none_match or ()
    if document.tag in {tag.value for tag in known}:
        response = web.Response(status=304)
    else:
        response = web.Response(body=document.body, content_type="application/json", charset="utf-8")
    response.etag = document.tag
    return response


async def serve(
    follower: StudyFollower,
    token: str,
    port: int,
    announce: Callable[[str], None],
    is_over: Callable[[], bool] = lambda: False,
) -> None:
    """Serves the page until `is_over`, or until it is cancelled; `announce` gets its address. Port 0 takes a free one.

    Raises ValueError for a port that is taken.
    """
    runner = web.AppRunner(build_app(follower, token), access_log=None)  # a log of requests would hold the token
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, LOOPBACK, port).start()
        except OSError as error:
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise
            why = "is taken by another program" if error.errno == errno.EADDRINUSE else "is reserved for root"
            raise ValueError(f"The page needs a free port, got --port {port}, which {why}. Leave --port out.") from None
        follower.start()
        announce(f"http://{LOOPBACK}:{runner.addresses[0][1]}/{token}/")
        while not is_over():
            await asyncio.sleep(CHECK_SECONDS)
    finally:
        await runner.cleanup()
        await asyncio.to_thread(follower.stop)
