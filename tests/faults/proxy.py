"""Stands between a study and its object store, and disturbs what goes through."""

import asyncio
import socket
import threading

__all__ = ["Proxy", "free_port"]

ANSWERS = {"503": "503 Slow Down", "500": "500 Internal Server Error", "full": "507 Insufficient Storage"}


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


class Proxy(threading.Thread):
    """Forwards bytes to the store at `upstream`, and while it has a `mode` does worse.

    503, 500, full: each request is answered so. refuse: connections end at once. cut: a connection ends in the middle
    of a request, of which the store gets the first half. stall: nothing moves. `met` counts what was disturbed.
    """

    def __init__(self, upstream: int) -> None:
        super().__init__(daemon=True)
        self.port, self.mode, self.met, self.passed = free_port(), "", 0, 0
        self._upstream = upstream
        self._listening = threading.Event()

    def run(self) -> None:
        asyncio.run(self._serve())

    def started(self) -> "Proxy":
        self.start()
        assert self._listening.wait(30)
        return self

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._connected, "127.0.0.1", self.port)
        self._listening.set()
        async with server:
            await server.serve_forever()

    async def _connected(self, client: asyncio.StreamReader, answer: asyncio.StreamWriter) -> None:
        if self.mode == "refuse":
            self.met += 1
            answer.transport.abort()
            return
        back: asyncio.Task[None] | None = None
        store: asyncio.StreamWriter | None = None
        try:
            from_store, store = await asyncio.open_connection("127.0.0.1", self._upstream)
            back = asyncio.create_task(self._pump(from_store, answer))
            await self._requests(client, answer, store)
        except OSError:
            pass  # one of the two has hung up
        finally:
            if back is not None:
                back.cancel()
            for writer in (answer, store):
                if writer is not None:
                    writer.transport.abort()

    async def _requests(
        self, client: asyncio.StreamReader, answer: asyncio.StreamWriter, store: asyncio.StreamWriter
    ) -> None:
        while data := await client.read(65536):
            self.met += bool(self.mode)
            while self.mode == "stall":
                await asyncio.sleep(0.05)
            if self.mode in ANSWERS:
                head = f"HTTP/1.1 {ANSWERS[self.mode]}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                answer.write(head.encode())
                await answer.drain()
                await asyncio.sleep(0.05)
                return
            if self.mode == "refuse":
                return
            if self.mode == "cut":
                store.write(data[: len(data) // 2])
                return
            self.passed += 1
            store.write(data)
            await store.drain()

    async def _pump(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        while data := await source.read(65536):
            target.write(data)
            await target.drain()
