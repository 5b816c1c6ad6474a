"""A server in the process of a test: requests go to the ASGI application, in an event loop in a thread."""

from __future__ import annotations

import asyncio
import io
import json
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from bertc.serve.lifecycle import Lifecycle
from bertc.serve.logs import Log
from bertc.serve.settings import Settings
from bertc.serve.state import Phase, State


@dataclass(frozen=True)
class Reply:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Server:
    """Runs an application until ``close``."""

    def __init__(self, settings: Settings) -> None:
        self.log = io.StringIO()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self.state: State = self.call(self._make(settings))
        self.lifecycle = Lifecycle(self.state, lambda: None, lambda: None)
        self.application = self.lifecycle.application()
        self.call(self._begin())
        assert self.state.phase is Phase.READY, self.log.getvalue()

    async def _make(self, settings: Settings) -> State:
        return State(settings, Log(json_output=settings.json_output, stream=self.log))

    async def _begin(self) -> None:
        self.state.engine.start()
        await self.lifecycle.load()

    def call(self, work: Any) -> Any:
        """Run a coroutine in the server's event loop, and return its result."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    def close(self) -> None:
        self.call(self.lifecycle.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def get(self, path: str, **headers: str) -> Reply:
        return self.request("GET", path, b"", headers)

    def post(self, path: str, body: Any, **headers: str) -> Reply:
        """Send JSON, or bytes as they are."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.request("POST", path, raw, {"content-type": "application/json", **headers})

    def post_all(self, path: str, bodies: Iterable[Any]) -> list[Reply]:
        """Send requests with JSON at the same moment."""
        raw = [json.dumps(body).encode() for body in bodies]

        async def send() -> list[Reply]:
            return await asyncio.gather(
                *(exchange(self.application, "POST", path, [each], {}) for each in raw)
            )

        replies: list[Reply] = self.call(send())
        return replies

    def request(
        self, method: str, path: str, body: bytes | Iterable[bytes], headers: dict[str, str] | None = None
    ) -> Reply:
        chunks = [body] if isinstance(body, bytes) else list(body)
        reply: Reply = self.call(exchange(self.application, method, path, chunks, headers or {}))
        return reply


async def exchange(
    application: Any,
    method: str,
    path: str,
    chunks: list[bytes],
    headers: dict[str, str],
    *,
    hangs: bool = False,
) -> Reply:
    """One request of ASGI; where it ``hangs`` the last chunk never comes."""
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()],
    }
    waiting = list(chunks)
    sent: list[dict[str, Any]] = []
    forever = asyncio.get_running_loop().create_future()

    async def receive() -> dict[str, Any]:
        if not waiting:
            await forever
        chunk = waiting.pop(0)
        return {"type": "http.request", "body": chunk, "more_body": bool(waiting) or hangs}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await application(scope, receive, send)
    start, body = sent
    return Reply(
        start["status"],
        {name.decode(): value.decode() for name, value in start["headers"]},
        body["body"],
    )
