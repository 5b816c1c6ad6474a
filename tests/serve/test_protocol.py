"""HTTP on a connection, without a socket: pipelines, pieces, bounds of time and size, who goes away."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("uvicorn", reason='the extra "serve" is not installed')

from uvicorn.server import ServerState

from bertc.serve import protocol
from bertc.serve.protocol import Connection

POST = b"POST /a%20b?c=d HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"
CHUNKED = POST[:-3].replace(b"Content-Length: 3", b"Transfer-Encoding: chunked")
GET = b"GET /health HTTP/1.1\r\n\r\n"


class Wire(asyncio.Transport):
    """What a connection writes, and whether it reads."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.reads, self.closed, self.aborted = True, False, False
        self.unread = 0

    def write(self, data: Any) -> None:
        self.written += data

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.aborted = True

    def get_write_buffer_size(self) -> int:
        return self.unread

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        self.reads = False

    def resume_reading(self) -> None:
        self.reads = True


class Bench:
    """A connection whose application answers with what it was asked, when it may."""

    def __init__(self) -> None:
        self.wire, self.state = Wire(), ServerState()
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.asked: list[dict[str, Any]] = []
        self.gone = 0
        config: Any = SimpleNamespace(loaded_app=self.application)
        self.connection = Connection(config, self.state, {})
        self.connection.connection_made(self.wire)

    async def application(self, scope: Any, receive: Any, send: Any) -> None:
        scope["extensions"][protocol.LINK].listener = self.left
        self.asked.append(scope)
        await self.may_answer.wait()
        body = b""
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message["body"]
            if not message["more_body"]:
                break
        if body == b"bug":
            raise RuntimeError
        head = [
            (b"content-length", b"%d" % len(body)),
            *([(b"connection", b"close")] if body == b"end" else []),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        await send({"type": "http.response.body", "body": body})

    def left(self) -> None:
        self.gone += 1

    async def feed(self, *pieces: bytes) -> bytes:
        """Send pieces one after the other, and return what was written since."""
        before = len(self.wire.written)
        for piece in pieces:
            self.connection.data_received(piece)
            for _ in range(5):
                await asyncio.sleep(0)
        return self.wire.written[before:]


def run(test: Callable[[Bench], Awaitable[None]]) -> None:
    async def main() -> None:
        bench = Bench()
        await test(bench)
        assert bench.state.tasks == set()

    asyncio.run(main())


def ok(body: bytes, end: bytes = b"") -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n%b\r\n%b" % (len(body), end, body)


def test_a_request_whole_and_in_pieces() -> None:
    async def test(bench: Bench) -> None:
        assert await bench.feed(POST) == ok(b"abc")
        assert await bench.feed(*(POST[at : at + 1] for at in range(len(POST)))) == ok(b"abc")
        first, second = bench.asked
        assert (first["path"], first["query_string"], first["method"]) == ("/a b", b"c=d", "POST")
        assert (b"host", b"x") in second["headers"]
        assert not bench.wire.closed
        assert await bench.feed(GET.replace(b"1.1", b"1.0")) == ok(b"", b"connection: close\r\n")
        assert bench.wire.closed

    run(test)


def test_a_whole_request_is_answered_at_once_and_any_number_behind_it() -> None:
    async def test(bench: Bench) -> None:
        bench.connection.data_received(POST)
        assert bench.wire.written == ok(b"abc")
        bench.connection.data_received(2000 * GET)
        while bench.wire.written.count(b"200 OK") < 2001:
            await asyncio.sleep(0)
        assert bench.wire.reads

    run(test)


def test_requests_that_come_at_once_are_answered_in_turn() -> None:
    async def test(bench: Bench) -> None:
        bench.may_answer.clear()
        assert await bench.feed(POST + GET + POST) == b""
        assert (len(bench.asked), bench.wire.reads) == (1, False)
        bench.may_answer.set()
        assert await bench.feed(b"", b"", b"") == ok(b"abc") + ok(b"") + ok(b"abc")
        assert bench.wire.reads

    run(test)


def test_a_slow_reader_gets_no_second_reply_before_it_has_read() -> None:
    async def test(bench: Bench) -> None:
        bench.connection.pause_writing()
        assert await bench.feed(POST) == b""
        bench.connection.resume_writing()
        assert await bench.feed(b"") == ok(b"abc")

    run(test)


def test_a_large_body_waits_on_the_wire() -> None:
    async def test(bench: Bench) -> None:
        bench.may_answer.clear()
        size = 3 * protocol.HIGH_WATER
        await bench.feed(POST[:-3].replace(b": 3", b": %d" % size), bytes(size // 2))
        assert not bench.wire.reads
        bench.may_answer.set()
        found = await bench.feed(b"", bytes(size - size // 2))
        assert (found[-size:], bench.wire.reads) == (bytes(size), True)

    run(test)


def test_a_client_that_asks_first_is_told_to_send_its_body() -> None:
    async def test(bench: Bench) -> None:
        head = POST[:-7] + b"\r\nExpect: 100-continue\r\n\r\n"
        assert await bench.feed(head) == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert await bench.feed(b"abc") == ok(b"abc")

    run(test)


@pytest.mark.parametrize("body", [b"end", b"bug"])
def test_what_ends_a_connection(body: bytes) -> None:
    async def test(bench: Bench) -> None:
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
        expected = ok(b"end", b"connection: close\r\n") if body == b"end" else b""
        assert await bench.feed(POST.replace(b"abc", body)) == expected
        assert bench.wire.closed

    run(test)


def test_who_goes_away_is_told_of() -> None:
    async def test(bench: Bench) -> None:
        bench.may_answer.clear()
        await bench.feed(POST + GET)
        bench.wire.close()
        bench.connection.connection_lost(None)
        bench.may_answer.set()
        assert await bench.feed() == b""
        await asyncio.sleep(0)
        assert (bench.gone, len(bench.asked), bench.state.connections) == (1, 1, set())

    run(test)


def test_connections_that_wait_too_long_are_closed() -> None:
    async def test(bench: Bench) -> None:
        now = bench.connection.loop.time()

        def closes_after(seconds: float) -> bool:
            bench.connection.look(now + seconds - 1)
            assert not bench.wire.closed
            bench.connection.look(now + seconds + 1)
            closed, bench.wire.closed = bench.wire.closed, False
            return closed

        assert closes_after(protocol.HEAD_SECONDS)  # nothing came
        await bench.feed(POST)
        assert closes_after(protocol.IDLE_SECONDS)  # nothing more came
        await bench.feed(POST[:20])
        assert closes_after(protocol.HEAD_SECONDS)  # half a head came
        bench.may_answer.clear()
        await bench.feed(POST[20:])
        assert not closes_after(1e9)  # what is asked is answered
        bench.may_answer.set()
        await bench.feed(b"")

    run(test)


@pytest.mark.parametrize("pipelined", [b"", GET])
def test_a_client_that_reads_nothing_is_left_in_the_end(pipelined: bytes) -> None:
    async def test(bench: Bench) -> None:
        await bench.feed(POST)
        bench.connection.pause_writing()
        await bench.feed(pipelined)
        now, bench.wire.unread = bench.connection.loop.time(), 900
        states = []
        for step in range(1, 5):  # the client reads a bit in the second of these times
            bench.wire.unread -= 100 * (step == 2)
            bench.connection.look(now + step * (protocol.IDLE_SECONDS + 1))
            states.append((bench.wire.closed, bench.wire.aborted))
        assert states == [(True, False), (True, False), (True, True), (True, True)]
        bench.connection.connection_lost(None)

    run(test)


def test_trailers_are_no_headers() -> None:
    async def test(bench: Bench) -> None:
        found = await bench.feed(CHUNKED + b"3\r\nabc\r\n0\r\nAuthorization: Bearer x\r\n\r\n")
        assert found == ok(b"abc")
        assert b"authorization" not in dict(bench.asked[0]["headers"])
        big = 2 * protocol.MAX_HEAD_BYTES
        assert await bench.feed(CHUNKED + b"%x\r\n%b\r\n0\r\n\r\n" % (big, bytes(big))) == ok(bytes(big))

    run(test)


@pytest.mark.parametrize("begin", [b"0\r\nx: ", b"0\r\n" + b"x: y\r\n" * 1000 + b"z", b"3;x="])
def test_what_never_ends_beside_a_body_is_refused(begin: bytes) -> None:
    async def test(bench: Bench) -> None:
        assert await bench.feed(CHUNKED, begin, *[b"a" * 8192] * 7) == b""
        assert (await bench.feed(*[b"a" * 8192] * 2)).startswith(b"HTTP/1.1 431 ")
        assert bench.wire.closed
        bench.connection.connection_lost(None)
        await bench.feed(b"")

    run(test)


def test_a_server_that_ends_closes_after_what_it_owes() -> None:
    async def test(bench: Bench) -> None:
        bench.may_answer.clear()
        await bench.feed(POST + POST)
        bench.connection.shutdown()
        assert not bench.wire.closed
        bench.may_answer.set()
        assert await bench.feed(b"", b"") == ok(b"abc") + ok(b"abc", b"connection: close\r\n")
        assert bench.wire.closed

    run(test)


def test_what_is_no_request_is_refused() -> None:
    async def test(bench: Bench) -> None:
        assert (await bench.feed(b"\x16\x03\x01\r\n")).startswith(b"HTTP/1.1 400 ")
        assert bench.wire.closed

    run(test)
