"""Overload: one rule in tokens, a refusal that comes late, room that is given back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from unittest.mock import AsyncMock

import pytest

pytest.importorskip("msgspec", reason='the extra "serve" is not installed')

from bertc.serve.admission import Admission
from bertc.serve.call import LINK
from bertc.serve.errors import RequestError

if TYPE_CHECKING:
    from tests.serve.conftest import MakeServer


def with_room(
    use: Callable[[Admission], Coroutine[Any, Any, None]],
    *,
    tokens: int = 100,
    requests: int = 10,
    delay: float = 0.02,
) -> None:
    async def main() -> None:
        await use(Admission(tokens, requests, delay))

    asyncio.run(main())


def test_requests_are_let_in_up_to_the_room_in_tokens() -> None:
    async def use(admission: Admission) -> None:
        assert [await admission.enter(30) for _ in range(3)] == [30, 30, 30]
        with pytest.raises(RequestError) as refused:
            await admission.enter(30)
        assert (refused.value.status, refused.value.headers) == (429, ((b"retry-after", b"1"),))
        admission.leave(30)
        assert await admission.enter(30) == 30
        assert (admission.tokens, admission.requests, admission.waiting) == (90, 3, 0)

    with_room(use)


def test_requests_are_let_in_up_to_their_number() -> None:
    async def use(admission: Admission) -> None:
        await admission.enter(1)
        with pytest.raises(RequestError):
            await admission.enter(1)

    with_room(use, requests=1)


def test_a_request_that_waits_gets_the_room_that_is_given_back_in_turn() -> None:
    async def use(admission: Admission) -> None:
        first = await admission.enter(50)
        await admission.enter(50)
        order: list[str] = []

        async def wait(name: str, tokens: int) -> None:
            await admission.enter(tokens)
            order.append(name)

        large = asyncio.ensure_future(wait("large", 50))
        await asyncio.sleep(0)
        small = asyncio.ensure_future(wait("small", 1))
        await asyncio.sleep(0)
        assert admission.waiting == 2
        admission.leave(first)
        await large
        assert order == ["large"]  # the small one does not overtake
        admission.leave(50)
        await small

    with_room(use, delay=10)


def test_a_request_larger_than_the_room_does_not_wait_for_ever() -> None:
    async def use(admission: Admission) -> None:
        assert await admission.enter(10_000) == 50
        assert await admission.enter(10_000) == 50

    with_room(use)


def test_where_too_many_wait_another_one_is_refused_at_once() -> None:
    async def use(admission: Admission) -> None:
        charge = await admission.enter(1)
        waiting = [asyncio.ensure_future(admission.enter(1)) for _ in range(4)]
        await asyncio.sleep(0)
        with pytest.raises(RequestError, match="overloaded"):
            await admission.enter(1)
        assert admission.waiting == 4
        admission.leave(charge)
        for each in waiting:
            admission.leave(await each)

    with_room(use, requests=1, delay=3600)


def test_who_goes_away_while_waiting_leaves_no_trace() -> None:
    async def use(admission: Admission) -> None:
        charge = await admission.enter(50)
        await admission.enter(50)
        waiting = [asyncio.ensure_future(admission.enter(50)) for _ in range(2)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        await asyncio.sleep(0)
        admission.leave(charge)  # the other one's now
        await waiting[1]
        lost = asyncio.ensure_future(admission.enter(50))
        await asyncio.sleep(0)
        admission.leave(50)
        lost.cancel()  # let in, and cancelled before it ran
        await asyncio.gather(lost, return_exceptions=True)
        assert (admission.tokens, admission.requests, admission.waiting) == (50, 1, 0)

    with_room(use, delay=10)


def test_an_overloaded_server_refuses_late_and_says_when_to_come_back(make_server: MakeServer) -> None:
    server = make_server("embedder", max_concurrent_requests=1, overload_delay=0.05)
    state = server.state
    charge = server.call(state.engine.admission.enter(1))
    for path, body in (("/embed", {"inputs": "a"}), ("/embed", {"inputs": ["a"] * 5})):
        reply = server.post(path, body)
        assert (reply.status, reply.json["error_type"]) == (429, "Overloaded")
        assert reply.headers["retry-after"] == "1"
    refused = server.post("/v1/embeddings", {"input": "a"})
    assert refused.json["error"]["type"] == "rate_limit_error"

    async def leave() -> None:
        state.engine.admission.leave(charge)

    server.call(leave())
    assert server.post("/embed", {"inputs": "a"}).status == 200
    assert state.metrics.total("te_request_failure", err="overloaded") == 3


def test_a_connection_that_ends_takes_its_request_along(make_server: MakeServer) -> None:
    server = make_server("embedder", max_concurrent_requests=1, overload_delay=60)
    admission = server.state.engine.admission
    link = SimpleNamespace(complete=True, over=False, listener=None, take=lambda: b'{"inputs": "a"}')

    async def use() -> None:
        charge = await admission.enter(1)
        scope = {
            "type": "http",
            "method": "POST",
            "path": "/embed",
            "headers": [],
            "extensions": {LINK: link},
        }
        receive, send = AsyncMock(), AsyncMock()
        request = asyncio.ensure_future(server.application(scope, receive, send))
        link.cancel = request.cancel
        await asyncio.sleep(0)
        assert admission.waiting == 1
        link.listener()
        await request
        assert (admission.waiting, link.listener, send.called) == (0, None, False)
        admission.leave(charge)

    server.call(use())
    assert server.state.metrics.total("te_request_failure", err="disconnected") == 1


def test_a_request_that_waits_too_long_is_given_up(make_server: MakeServer) -> None:
    server = make_server("embedder", request_timeout=1e-9)
    reply = server.post("/embed", {"inputs": "a"})
    assert (reply.status, reply.json["error_type"]) == (504, "Timeout")


def test_a_large_request_runs_in_pieces_with_the_bits_of_a_small_one(make_server: MakeServer) -> None:
    server = make_server("embedder", max_batch_tokens=64)
    texts = [f"{'dog ' * (index % 20)}cat" for index in range(100)]
    whole = server.post("/embed", {"inputs": texts}).json
    assert server.state.engine.queue.load()["batches"] > 10
    for index in (0, 19, 99):
        assert server.post("/embed", {"inputs": texts[index]}).json == [whole[index]]
