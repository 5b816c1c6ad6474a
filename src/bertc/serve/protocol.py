"""HTTP/1.1 for uvicorn's server, by httptools: what our application needs of it, and bounds.

uvicorn's own protocol looks through each header of a reply with regular expressions, and makes and cancels
timers for each request. Here replies are written as they are, and one look at all connections a second stands
for their timers.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from functools import lru_cache
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote

import httptools
import uvicorn
from uvicorn.server import ServerState

from bertc.serve.call import LINK, Header, head_of
from bertc.serve.eager import Eager

MAX_HEAD_BYTES = 65536
"""Also of what else is no body: trailers, and what may stand beside the size of a chunk."""
HEAD_SECONDS = 30.0
"""The seconds in which the first head must have come, and any head that has begun."""
IDLE_SECONDS = 75.0
"""The seconds that a connection may stay open after a reply."""
HIGH_WATER = 65536
"""The bytes of a body that may wait until the application takes them."""
_CLOSE = b"connection: close\r\n"
_STATUS_LINES = {each.value: f"HTTP/1.1 {each.value} {each.phrase}\r\n".encode() for each in HTTPStatus}
_ASGI = {"version": "3.0", "spec_version": "2.3"}


def _refusal(status: int, error: str, error_type: str) -> bytes:
    body = f'{{"error":"{error}","error_type":"{error_type}"}}'
    head = f"content-type: application/json\r\nconnection: close\r\ncontent-length: {len(body)}\r\n\r\n"
    return _STATUS_LINES[status] + (head + body).encode()


_TOO_LARGE = _refusal(431, "the head of the request is too large", "HeadersTooLarge")
_NO_HTTP = _refusal(400, "this is no HTTP/1.1", "BadRequest")


class Exchange(Eager):
    """A request and its reply, which the application sends whole: its head, then all of its body."""

    wants_continue = False
    size = 0
    """The bytes of ``body``."""
    complete = False
    """Whether all of the body has come."""
    over = False
    """Whether nobody waits for the reply any more."""
    listener: Callable[[], None] | None = None
    """Called where the client goes away before it has its reply."""
    _received = False
    """Whether the application has all of the body."""
    _waiter: asyncio.Future[None] | None = None
    _head = 200, b""

    def __init__(self, connection: Connection, scope: dict[str, Any], *, keep_alive: bool) -> None:
        self.loop = connection.loop
        self.scope = scope
        self.keep_alive = keep_alive
        self.body: list[bytes] = []
        """What has come of the body, and was not received yet."""
        self._connection = connection

    def begin(self) -> None:
        """Let the application answer."""
        self.run(self._connection.app(self.scope, self.receive, self.send))

    def ended(self) -> None:
        """Let go of the request."""
        del self.scope  # which has the exchange: a cycle that the garbage collector would have to find
        self._connection.ended(self)

    def wake(self) -> None:
        """Tell the application that there is something to receive."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def receive(self) -> dict[str, Any]:
        """Return what has come of the body; after all of it, wait until there is nobody any more."""
        if self.wants_continue:
            self.wants_continue = False
            self._connection.proceed()
        while not self.over and not self.body and (self._received or not self.complete):
            self._waiter = self.loop.create_future()
            await self._waiter
        if self.over:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": self.take(), "more_body": not self.complete}

    def take(self) -> bytes:
        """Return what has come of the body and was not received yet."""
        body = self.body[0] if len(self.body) == 1 else b"".join(self.body)
        self.body, self.size, self._received = [], 0, self.complete
        self._connection.read_on()
        return body

    async def send(self, message: dict[str, Any]) -> None:
        """Write the head and the body together."""
        if message["type"] == "http.response.start":
            self._head = message["status"], head_of(message["headers"])
        else:
            self.reply(*self._head, message["body"])

    def reply(self, status: int, headers: bytes, body: bytes) -> None:
        """Write a whole reply; ``headers`` are lines."""
        if self.over:
            return
        closes = _CLOSE in headers
        self.keep_alive = self.keep_alive and not closes and not self._connection.is_last
        end = b"\r\n" if self.keep_alive or closes else b"connection: close\r\n\r\n"
        self._connection.reply(self, b"".join((_STATUS_LINES[status], headers, end, body)))


class Connection(asyncio.Protocol):
    """A connection, whose requests are answered one after the other."""

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, Any],  # noqa: ARG002 (uvicorn passes it)
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self.loop = _loop or asyncio.get_running_loop()
        self.app: Any = config.loaded_app
        self._leaving = False
        self._connections: set[Any] = server_state.connections
        self._tasks: set[Any] = server_state.tasks
        self._parser: Any = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport
        self._present: Exchange | None = None
        """The request that is being answered."""
        self._next: deque[Exchange] = deque()
        """Requests that came before their time."""
        self._coming: Exchange | None = None
        """The request whose body comes; None while a head does."""
        self._url = b""
        self._headers: list[Header] = []
        self._head_bytes = 0
        """The bytes that came since the last part of a body, or the last head."""
        self._since, self._patience = self.loop.time(), HEAD_SECONDS
        """Since when the connection waits for a request, and how long it may."""
        self._unread = 0
        """The bytes that the client had not read when it was to be closed."""
        self._reads = self._writes = True
        self._parses = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take up a connection."""
        self._transport = transport
        self._connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """Tell the application that there is nobody any more."""
        self._connections.discard(self)
        self._next.clear()
        if self._present is not None:
            self._present.over = True
            self._present.wake()
            if self._present.listener is not None:
                self._present.listener()

    def data_received(self, data: bytes) -> None:
        """Read a part of a request, or several requests."""
        self._head_bytes += len(data)
        answers = self._present is not None
        self._parses = True
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass  # to what we do not speak: the request itself is answered
        except httptools.HttpParserError:
            self._refuse(_NO_HTTP)
        self._parses = False
        if self._head_bytes > MAX_HEAD_BYTES:
            self._refuse(_TOO_LARGE)
        if self._present is not None and not answers:
            self._present.begin()

    def pause_writing(self) -> None:
        """Answer no further request until the client has read more."""
        self._writes = False

    def resume_writing(self) -> None:
        """Go on with the next request."""
        self._writes = True
        self._begin()

    # What the parser finds in data_received.

    def on_message_begin(self) -> None:
        """Expect a head."""
        self._url, self._headers = b"", []
        self._since, self._patience = self.loop.time(), HEAD_SECONDS

    def on_url(self, url: bytes) -> None:
        """Take a part of the URL."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; one that follows a body is none that a proxy has seen, and is left out."""
        if self._coming is None:
            self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """Make a request of the head, and begin to answer it."""
        parser, self._head_bytes = self._parser, 0
        path, query = (_split if len(self._url) <= 128 else _split.__wrapped__)(self._url)
        scope = {
            "type": "http",
            "asgi": _ASGI,
            "http_version": parser.get_http_version(),
            "method": parser.get_method().decode("ascii"),
            "path": path,
            "query_string": query,
            "headers": self._headers,
        }
        keep_alive = scope["http_version"] != "1.0" and parser.should_keep_alive()
        exchange = self._coming = Exchange(self, scope, keep_alive=keep_alive)
        scope["extensions"] = {LINK: exchange}
        for name, value in self._headers:
            if name == b"expect" and value.lower() == b"100-continue":
                exchange.wants_continue = True
        self._next.append(exchange)
        self._begin()

    def on_body(self, body: bytes) -> None:
        """Take a part of a body."""
        exchange, self._head_bytes = self._coming, 0
        if exchange is None or exchange.over:
            return  # it was answered without the rest
        exchange.body.append(body)
        exchange.size += len(body)
        exchange.wake()
        if exchange.size > HIGH_WATER:
            self._stop_reading()

    def on_message_complete(self) -> None:
        """Expect another head."""
        self._head_bytes = 0
        if self._coming is not None:
            self._coming.complete = True
            self._coming.wake()
            self._coming = None

    # What an exchange asks for.

    @property
    def is_last(self) -> bool:
        """Whether the connection ends with the present request."""
        return self._leaving and not self._next

    def proceed(self) -> None:
        """Tell a client that asked so to send its body."""
        if not self._transport.is_closing():
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def read_on(self) -> None:
        """Read more, unless requests wait already."""
        if not self._reads and not self._next and not self._transport.is_closing():
            self._reads = True
            self._transport.resume_reading()

    def reply(self, exchange: Exchange, data: bytes) -> None:
        """Write a reply, and go on with the next request."""
        exchange.over = True
        self._present = None
        if self._transport.is_closing():
            return
        self._transport.write(data)
        if not exchange.keep_alive:
            self._transport.close()
            return
        self._since, self._patience = self.loop.time(), IDLE_SECONDS
        if self._next or not self._reads:
            self._begin()

    def ended(self, exchange: Exchange) -> None:
        """Forget a request; one without a reply ends the connection."""
        self._tasks.discard(exchange)
        if exchange is self._present:
            self._transport.close()

    # What the server asks for.

    def look(self, now: float) -> None:
        """Close a connection that has been waiting for too long: for a request, or for its client to read.

        What the client takes nothing of for as long again is thrown away.
        """
        if self._present is not None or (self._next and self._writes) or now - self._since <= self._patience:
            return
        unread = self._transport.get_write_buffer_size()
        if self._transport.is_closing() and unread >= self._unread:
            self._transport.abort()
        else:
            self._transport.close()
        self._unread, self._since = unread, now

    def shutdown(self) -> None:
        """Close the connection, after the reply if it owes one."""
        self._leaving = True
        if self._present is None and not self._next:
            self._transport.close()

    def _begin(self) -> None:
        """Answer the next request if it is its turn; read on if none waits then.

        It begins when all that came was parsed, mostly with its body; after another one in the next turn of
        the event loop, as many may have come at once.
        """
        if self._next and self._present is None and self._writes:
            exchange = self._present = self._next.popleft()
            self._tasks.add(exchange)
            if not self._parses:
                self.loop.call_soon(exchange.begin)
        if self._next:
            self._stop_reading()
        else:
            self.read_on()

    def _stop_reading(self) -> None:
        if self._reads and not self._transport.is_closing():
            self._reads = False
            self._transport.pause_reading()

    def _refuse(self, reply: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(reply)
            self._transport.close()


@lru_cache(256)
def _split(url: bytes) -> tuple[str, bytes]:
    """Return the path of a URL and its query. Raises what httptools raises for one that is none."""
    parsed = httptools.parse_url(url)
    path = parsed.path.decode("ascii")
    return unquote(path) if "%" in path else path, parsed.query or b""
