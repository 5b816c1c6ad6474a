"""The ASGI application: finds the route, reads the body, answers; what goes wrong becomes a reply, too."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import numpy as np
import orjson

from bertc.errors import BertcError
from bertc.serve.body import Disconnected, Receive, bounded, check_content_type, parse, read_body
from bertc.serve.call import LINK, Call, Header, head_of
from bertc.serve.errors import RequestError, refusal_of
from bertc.serve.pages import PAGES
from bertc.serve.routes.table import ROUTES, Route
from bertc.serve.state import Phase, State

Send = Callable[[Any], Awaitable[None]]
Scope = dict[str, Any]
Answer = tuple[int, tuple[Header, ...], bytes]
"""The status, the headers and the body of a reply."""

PATIENCE = 0.05
"""The seconds after which it is worth while to watch whether the client of a request is still there."""
JSON: tuple[Header, ...] = ((b"content-type", b"application/json"),)
TEXT: tuple[Header, ...] = ((b"content-type", b"text/plain; charset=utf-8"),)
_HEAD = b"%bcontent-length: %d\r\nx-request-id: %b\r\nx-content-type-options: nosniff\r\n"

_TABLE: dict[str, dict[str, Route]] = {}
for _route in ROUTES:
    _TABLE.setdefault(_route.path, {})["GET" if _route.body is None else "POST"] = _route


class Application:
    """Answers the requests of an ASGI server. ``on_startup`` and ``on_shutdown`` run in its event loop."""

    def __init__(
        self,
        state: State,
        on_startup: Callable[[], Awaitable[None]],
        on_shutdown: Callable[[], Awaitable[None]],
    ) -> None:
        self.state = state
        self._on_startup = on_startup
        self._on_shutdown = on_shutdown
        key = state.settings.api_key
        self._authorization = None if key is None else f"Bearer {key}".encode()
        self._origins = {origin.encode() for origin in state.settings.cors_allow_origin}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a connection of ASGI."""
        if scope["type"] == "http":
            await self._answer(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._live(receive, send)
        else:
            await send({"type": "websocket.close", "code": 1000})

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        await self._on_startup()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._on_shutdown()
        await send({"type": "lifespan.shutdown.complete"})

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers: dict[bytes, bytes] = dict(scope["headers"])
        call = Call(headers.get(b"x-request-id", b""))
        watch = _Watch(call, scope, receive, self.state.settings.body_timeout)
        self.state.metrics.in_flight += 1
        took = b""
        try:
            status, more, body = await self._reply(scope, headers, call, watch)
            if call.model:
                took = call.head()
            self.state.metrics.succeeded(call)
        except Disconnected:
            self.state.metrics.failed(call, 499, "Disconnected")
            return
        except asyncio.CancelledError:
            if not call.cancelled_because:
                raise
            if call.cancelled_because == "Disconnected":
                self.state.metrics.failed(call, 499, "Disconnected")
                return
            status, more, body = self._refuse(call, _no_body())
        except BertcError as error:
            status, more, body = self._refuse(call, refusal_of(error))
        except Exception as error:  # of ours: the client hears that, the log where
            self.state.log.error(
                "a bug of the server",
                id=call.id.decode(),
                route=call.route,
                kind=type(error).__name__,
                at=_place(error),
            )
            bug = RequestError("Internal", "this is a bug of the server")
            status, more, body = self._refuse(call, bug)
        finally:
            watch.end()
            self.state.metrics.in_flight -= 1
        if self._origins:
            more = (*more, *self._cors(headers))
        if self.state.phase is Phase.DRAINING:
            more = (*more, (b"connection", b"close"))
        if self.state.settings.log_requests or status >= 500:
            self._log(call, status)
        head = _HEAD % (head_of(more) + took, len(body), call.id)
        body = b"" if scope["method"] == "HEAD" else body
        if watch.link is not None:
            watch.link.reply(status, head, body)
            return
        lines = head[:-2].split(b"\r\n")
        pairs = [(name, value) for name, _, value in (line.partition(b": ") for line in lines)]
        await send({"type": "http.response.start", "status": status, "headers": pairs})
        await send({"type": "http.response.body", "body": body})

    async def _reply(self, scope: Scope, headers: Mapping[bytes, bytes], call: Call, watch: _Watch) -> Answer:
        """Return what is replied. Raises what refuses the request."""
        path, method = scope["path"], scope["method"]
        if method == "OPTIONS" and self._origins:
            return 204, TEXT, b""
        page = PAGES.get(path)
        if page is not None and (path != "/" or method in ("GET", "HEAD")):
            if not page.public:
                self._authorize(headers)
            call.route = path
            if method not in ("GET", "HEAD"):
                raise _wrong_method(("GET",))
            return 200, page.headers, page.content()
        routes = _TABLE.get(path)
        if routes is None:
            self._authorize(headers)
            raise RequestError("NotFound", "there is no such route: /docs lists them")
        route = routes.get("GET" if method == "HEAD" else method)
        some = route or next(iter(routes.values()))
        call.route, call.openai = some.path, some.openai
        if not some.public:
            self._authorize(headers)
        if route is None:
            raise _wrong_method(tuple(routes))
        if route.body is None:
            found = await route.answer(self.state)
        else:
            check_content_type(headers)
            limit = self.state.settings.payload_limit
            if watch.link is not None and watch.link.complete and not watch.link.over:
                raw = bounded(watch.link.take(), limit)
            else:
                raw = await read_body(watch.receive, headers, limit)
            watch.has_body()
            if self.state.phase is Phase.LOADING:
                raise RequestError(
                    "Unhealthy", "the models are still loading", headers=((b"retry-after", b"1"),)
                )
            found = await route.answer(self.state, call, parse(raw, route.body))
        if isinstance(found, bytes):
            return 200, TEXT, found
        return 200, JSON, orjson.dumps(found, option=orjson.OPT_SERIALIZE_NUMPY, default=_contiguous)

    def _authorize(self, headers: Mapping[bytes, bytes]) -> None:
        if self._authorization is None:
            return
        kind, _, key = headers.get(b"authorization", b"").partition(b" ")
        if not hmac.compare_digest(kind.capitalize() + b" " + key.strip(), self._authorization):
            raise RequestError(
                "Unauthorized",
                "the key is missing or wrong: send Authorization: Bearer KEY",
                headers=((b"www-authenticate", b"Bearer"),),
            )

    def _refuse(self, call: Call, refusal: RequestError) -> Answer:
        self.state.metrics.failed(call, refusal.status, refusal.error_type)
        body = orjson.dumps(refusal.body(openai=call.openai))
        return refusal.status, (*JSON, *refusal.headers), body

    def _cors(self, headers: Mapping[bytes, bytes]) -> tuple[Header, ...]:
        origin = headers.get(b"origin", b"")
        if b"*" in self._origins:
            origin = b"*"
        elif origin not in self._origins:
            return ((b"vary", b"origin"),)
        return (
            (b"access-control-allow-origin", origin),
            (b"access-control-allow-methods", b"GET, POST"),
            (b"access-control-allow-headers", b"authorization, content-type, x-request-id"),
            (b"vary", b"origin"),
        )

    def _log(self, call: Call, status: int) -> None:
        self.state.log.info(
            "request",
            id=call.id.decode(),
            route=call.route or "unknown",
            status=status,
            model=call.model,
            inputs=call.items,
            tokens=call.tokens,
            milliseconds=round(1000 * call.seconds, 3),
        )


class _Watch:
    """Ends a request whose body does not come, or whose client goes away while it is answered."""

    _reads = True
    _timer: asyncio.TimerHandle | None = None
    _watcher: asyncio.Task[None] | None = None

    def __init__(self, call: Call, scope: Scope, receive: Receive, body_timeout: float) -> None:
        self._call = call
        self.receive = receive
        self._body_timeout = body_timeout
        self.link = scope.get("extensions", {}).get(LINK)
        self._work: Any = self.link
        """What is cancelled."""
        if self.link is None:
            self._work = asyncio.current_task()
        else:
            self.link.listener = self._disconnected
            if self.link.complete:
                return  # all of the request is here, and its connection tells when the client goes away
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(PATIENCE, self._look)

    def has_body(self) -> None:
        """Say that the whole body is here: what else is received says that the client is gone."""
        self._reads = False

    def end(self) -> None:
        """Stop watching."""
        if self.link is not None:
            self.link.listener = None
        if self._timer is not None:
            self._timer.cancel()
        if self._watcher is not None:
            self._watcher.cancel()

    def _look(self) -> None:
        if self._reads:
            self._timer = self._loop.call_later(self._body_timeout, self._give_up)
        elif self.link is None:
            self._watcher = self._loop.create_task(self._wait_for_the_end())

    def _give_up(self) -> None:
        if self._reads:
            self._cancel("RequestTimeout")
        else:
            self._look()

    async def _wait_for_the_end(self) -> None:
        while (await self.receive())["type"] != "http.disconnect":
            pass
        self._disconnected()

    def _disconnected(self) -> None:
        self._cancel("Disconnected")

    def _cancel(self, why: str) -> None:
        self._call.cancelled_because = why
        self._work.cancel()


def _no_body() -> RequestError:
    return RequestError(
        "RequestTimeout", "the body did not come in time", headers=((b"connection", b"close"),)
    )


def _wrong_method(allowed: tuple[str, ...]) -> RequestError:
    names = ", ".join(allowed)
    return RequestError(
        "MethodNotAllowed", f"this route takes {names}", headers=((b"allow", names.encode()),)
    )


def _contiguous(value: Any) -> Any:
    """For orjson, which takes arrays whose rows are next to each other."""
    if isinstance(value, np.ndarray):
        return np.ascontiguousarray(value)
    raise TypeError(type(value).__name__)


def _place(error: Exception) -> str:
    """Return the file and line of our code that raised; no message, which may quote what a user wrote."""
    trace, place = error.__traceback__, ""
    while trace is not None:
        code = trace.tb_frame.f_code
        place = f"{code.co_filename.rpartition('/')[2]}:{trace.tb_lineno}"
        trace = trace.tb_next
    return place
