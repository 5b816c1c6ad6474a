"""The process of ``bertc serve``: uvicorn around the application, signals, and the port for Prometheus."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import signal
import socket
import stat
import sys
from collections.abc import Generator
from pathlib import Path

import uvicorn

from bertc.errors import InputError
from bertc.serve.lifecycle import Lifecycle
from bertc.serve.logs import Log
from bertc.serve.protocol import Connection
from bertc.serve.routes.about import scrape
from bertc.serve.settings import Settings
from bertc.serve.state import Phase, State

LAST_SECONDS = 0.1
"""The seconds between the end of listening and that of connections that seem idle."""
GRACE_SECONDS = 10
"""The seconds that connections have to take their replies, after all was answered."""


def serve(settings: Settings) -> int:
    """Serve until a signal ends it, and return the exit code: 0 if all that was asked was answered."""
    log = Log(json_output=settings.json_output)
    state = State(settings, log)
    runner = _Runner(state)
    uvicorn_log = logging.getLogger("uvicorn.error")
    uvicorn_log.handlers = [_Forward(log)]
    uvicorn_log.propagate = False
    sockets = [_listen(settings)]
    runner.run(sockets=sockets)
    if settings.uds is not None:
        Path(settings.uds).unlink(missing_ok=True)
    return runner.exit_code


class _Runner(uvicorn.Server):
    """uvicorn's server, with our signals: it ends with 0 where uvicorn would raise the signal again."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.exit_code = 0
        self.lifecycle = Lifecycle(state, _settle, self._fail)
        super().__init__(
            uvicorn.Config(
                self.lifecycle.application(),
                http=Connection,
                loop="uvloop" if sys.platform != "win32" else "asyncio",
                ws="none",
                lifespan="on",
                log_config=None,
                log_level="warning",
                access_log=False,
                proxy_headers=False,
                server_header=False,
                date_header=False,
                backlog=2048,
                timeout_graceful_shutdown=GRACE_SECONDS,
            )
        )
        self._metrics: asyncio.Server | None = None

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Leave the signals to :meth:`startup`."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start listening, and handle signals from then on."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._end)
        loop.add_signal_handler(signal.SIGHUP, lambda: self.lifecycle.spawn(self.lifecycle.reload()))
        await super().startup(sockets=sockets)
        port = self.state.settings.prometheus_port
        if port is not None:
            self._metrics = await asyncio.start_server(self._scrape, self.state.settings.host, port)
        for each in sockets or ():
            self.state.log.info("listening", address=_address(each))

    async def on_tick(self, counter: int) -> bool:
        """Look after the connections once a second: uvicorn calls this ten times."""
        if counter % 10 == 0:
            now = asyncio.get_running_loop().time()
            for connection in list(self.server_state.connections):
                if isinstance(connection, Connection):
                    connection.look(now)
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop listening."""
        if self._metrics is not None:
            self._metrics.close()
        await self._stop_listening(sockets or [])
        await super().shutdown(sockets=sockets)
        self.state.log.info("ended", code=self.exit_code)

    async def _stop_listening(self, sockets: list[socket.socket]) -> None:
        """Stop listening, and answer those that had connected before: closing would reset them.

        A copy of each socket keeps the system's queue of connections for the moment between the end of the
        event loop's accepting and that of the last one by hand.
        """
        copies = [each.dup() for each in sockets]
        for server in self.servers:
            server.close()
        await asyncio.sleep(0)  # the event loop closes its own
        for copy in copies:
            copy.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                while True:
                    await self._take(copy.accept()[0])
            copy.close()
        await asyncio.sleep(LAST_SECONDS)

    async def _take(self, connection: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        await loop.connect_accepted_socket(
            lambda: Connection(self.config, self.server_state, self.lifespan.state, loop), connection
        )

    def _end(self) -> None:
        if self.state.phase is Phase.DRAINING:
            self.force_exit = self.should_exit = True  # the second signal
            return
        self.lifecycle.spawn(self._drain())

    async def _drain(self) -> None:
        await self.lifecycle.drain()
        self.should_exit = True

    def _fail(self) -> None:
        self.exit_code = 1
        self.should_exit = True

    async def _scrape(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer any request on the port for Prometheus with the metrics."""
        with contextlib.suppress(
            asyncio.TimeoutError, asyncio.IncompleteReadError, ConnectionError, ValueError
        ):
            await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
            body = scrape(self.state).encode()
            head = "HTTP/1.1 200 OK\r\ncontent-type: text/plain; charset=utf-8\r\nconnection: close\r\n"
            writer.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
            await writer.drain()
        writer.close()


def _settle() -> None:
    """Leave what is there for good out of garbage collection, which would look at it again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


class _Forward(logging.Handler):
    """Takes what uvicorn logs to our log, without the texts of exceptions, which may quote requests."""

    def __init__(self, log: Log) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        """Write an event."""
        kind = record.exc_info[0].__name__ if record.exc_info and record.exc_info[0] else ""
        self._log.info("uvicorn", message=str(record.msg).strip(), **({"kind": kind} if kind else {}))


def _listen(settings: Settings) -> socket.socket:
    """Return a socket that listens. Raises ``InputError`` where that cannot be."""
    if settings.uds is not None:
        path = Path(settings.uds)
        if path.exists() and stat.S_ISSOCK(path.stat().st_mode):
            path.unlink()  # of a server that ended by force
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        address: str | tuple[str, int] = settings.uds
    else:
        family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        address = (settings.host, settings.port)
    try:
        listener.bind(address)
    except (OSError, OverflowError) as error:
        listener.close()
        raise InputError(f"cannot listen on {address}: {error}") from None
    listener.listen(2048)
    return listener


def _address(listener: socket.socket) -> str:
    name = listener.getsockname()
    if isinstance(name, str):
        return f"unix:{name}"
    host, port = name[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
