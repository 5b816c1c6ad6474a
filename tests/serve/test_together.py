"""Texts of requests that came at once: one batch, the bits of each alone, and trouble for its cause."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

pytest.importorskip("msgspec", reason='the extra "serve" is not installed')

from bertc.ports import SEQUENCES, Port
from bertc.runtime.batch_queue import ExpiredError, QueueError
from bertc.runtime.batching import FloatArray, pack
from bertc.serve.call import Call
from bertc.serve.models import Model
from bertc.serve.together import MAX_CHARACTERS, Together
from bertc.tasks.task import Prepared

if TYPE_CHECKING:
    from tests.serve.conftest import MakeServer


def test_requests_at_once_are_one_batch_with_the_bits_of_each_alone(make_server: MakeServer) -> None:
    server = make_server("embedder")
    texts = [f"{'dog ' * (index % 7)}cat" for index in range(20)]
    alone = [server.post("/embed", {"inputs": text}) for text in texts]
    before = server.state.engine.queue.load()["requests"]
    found = server.post_all("/embed", [{"inputs": text} for text in texts])
    assert server.state.engine.queue.load()["requests"] == before + 1
    for mine, reference in zip(found, alone, strict=True):
        assert (mine.status, mine.json) == (200, reference.json)
        assert mine.headers["x-compute-tokens"] == reference.headers["x-compute-tokens"]


def test_who_wants_something_else_is_in_another_batch(make_server: MakeServer) -> None:
    server = make_server("embedder")
    bodies = [{"inputs": "a dog"}, {"inputs": "a dog", "normalize": False}, {"inputs": "a dog"}]
    alone = [server.post("/embed", body).json for body in bodies]
    assert [reply.json for reply in server.post_all("/embed", bodies)] == alone
    assert alone[0] != alone[1]


def test_one_text_that_is_refused_does_no_harm_to_others(make_server: MakeServer) -> None:
    server = make_server("embedder")
    long = "a " * 63  # with the special tokens one more than the model takes
    found = server.post_all("/embed", [{"inputs": text} for text in ("a dog", long, "a cat")])
    assert [reply.status for reply in found] == [200, 413, 200]
    assert found[0].json == server.post("/embed", {"inputs": "a dog"}).json
    cut = server.post_all("/embed", [{"inputs": long, "truncate": True}] * 2)
    assert [reply.headers["x-truncated-inputs"] for reply in cut] == ["1", "1"]


class Task:
    """A text's answer is its length."""

    output = "lengths"

    def prepare(self, items: Sequence[Any], *, first: int = 0) -> Prepared[None]:
        del first
        return Prepared(pack([[1] * len(each) for each in items], [[0] * len(each) for each in items]), None)

    def finish(self, prepared: Prepared[None], values: FloatArray) -> FloatArray:
        del prepared
        return values


class Queue:
    """Ends what is submitted when it is told."""

    max_batch_tokens = 2 * MAX_CHARACTERS

    def __init__(self) -> None:
        self.submitted: list[tuple[FloatArray, Callable[..., None]]] = []
        self.cancelled: list[int] = []

    def submit(
        self, _session: Any, batch: Any, _output: str, _timeout: float, ended: Any
    ) -> tuple[int, FloatArray]:
        values = np.diff(batch.cu_seqlens).astype(np.float32)[:, None]
        self.submitted.append((values, ended))
        return len(self.submitted), values

    def cancel(self, number: int) -> None:
        self.cancelled.append(number)


def together(use: Callable[[Queue, Callable[[str], Any]], Coroutine[Any, Any, None]]) -> None:
    port = Port("lengths", "f32", SEQUENCES, 1)
    encoder = SimpleNamespace(
        session=SimpleNamespace(has_host_steps=False), info=SimpleNamespace(outputs=(port,))
    )
    source: Any = None
    model, task = Model("m", source, encoder, (0, 0, 0)), Task()  # type: ignore[arg-type]

    async def main() -> None:
        queue: Any = Queue()
        texts = Together(queue, 60.0)
        await use(queue, lambda text: asyncio.ensure_future(texts.answer(Call(), model, task, text)))

    asyncio.run(main())


async def turns() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


def test_what_comes_in_one_turn_is_ended_together() -> None:
    async def use(queue: Queue, ask: Callable[[str], Any]) -> None:
        first = [ask("ab"), ask("abc")]
        await turns()
        later = ask("a")
        await turns()
        assert [len(values) for values, _ in queue.submitted] == [2, 1]
        queue.submitted[0][1](None, 1, 2)
        assert [(await each).tolist() for each in first] == [[[2.0]], [[3.0]]]
        assert not later.done()
        queue.submitted[1][1](None, 1, 2)
        assert (await later).tolist() == [[1.0]]

    together(use)


def test_a_group_is_full_at_some_length() -> None:
    async def use(queue: Queue, ask: Callable[[str], Any]) -> None:
        asked = [ask("a" * (MAX_CHARACTERS // 2)) for _ in range(5)]
        await turns()
        assert [len(values) for values, _ in queue.submitted] == [2, 2, 1]
        for _, ended in queue.submitted:
            ended(None, 1, 2)
        await asyncio.gather(*asked)

    together(use)


def test_a_group_waits_while_one_runs_and_one_is_next() -> None:
    async def use(queue: Queue, ask: Callable[[str], Any]) -> None:
        asked = []
        for text in ("a", "ab", "abc", "abcd"):
            asked.append(ask(text))
            await turns()
        assert [len(values) for values, _ in queue.submitted] == [1, 1]
        queue.submitted[0][1](None, 1, 2)
        await turns()
        assert [len(values) for values, _ in queue.submitted] == [1, 1, 2]
        asked.append(ask("abcde"))
        asked[1].cancel()  # alone in its group, which leaves
        await turns()
        assert [len(values) for values, _ in queue.submitted] == [1, 1, 2, 1]
        for _, ended in queue.submitted[2:]:
            ended(None, 1, 2)
        found = await asyncio.gather(*asked, return_exceptions=True)
        assert [each.tolist() for each in found if isinstance(each, np.ndarray)] == [
            [[1.0]], [[3.0]], [[4.0]], [[5.0]]
        ]  # fmt: skip

    together(use)


def test_behind_a_large_group_a_small_one_waits_until_it_has_grown_or_is_all_there_is() -> None:
    async def use(queue: Queue, ask: Callable[[str], Any]) -> None:
        asked = [ask("a" * 600)]
        await turns()
        asked.append(ask("b" * 250))
        await turns()
        assert [len(values) for values, _ in queue.submitted] == [1]
        asked.append(ask("c" * 60))
        await turns()
        assert [len(values) for values, _ in queue.submitted] == [1, 2]
        asked.append(ask("d"))
        await turns()
        for number in (0, 1):
            queue.submitted[number][1](None, 1, 2)
        assert [len(values) for values, _ in queue.submitted] == [1, 2, 1], "the cores would wait for replies"
        queue.submitted[2][1](None, 1, 2)
        found = await asyncio.gather(*asked)
        assert [each.tolist() for each in found] == [[[600.0]], [[250.0]], [[60.0]], [[1.0]]]

    together(use)


def test_who_goes_away_is_left_out_and_the_last_one_takes_the_batch_along() -> None:
    async def use(queue: Queue, ask: Callable[[str], Any]) -> None:
        early, *rest = [ask(text) for text in ("a", "ab", "abc")]
        await asyncio.sleep(0)
        early.cancel()
        await turns()
        assert [len(values) for values, _ in queue.submitted] == [2]
        rest[0].cancel()
        await turns()
        assert queue.cancelled == []
        rest[1].cancel()
        await turns()
        assert queue.cancelled == [1]

    together(use)


@pytest.mark.parametrize("trouble", [QueueError("an id"), np.nan, 0.0])
def test_trouble_leaves_each_text_to_its_request(trouble: Any) -> None:
    async def use(queue: Queue, ask: Callable[[str], Any]) -> None:
        asked = [ask("a"), ask("ab")]
        await turns()
        values, ended = queue.submitted[0]
        if isinstance(trouble, float):
            values[1] = trouble
        ended(trouble if isinstance(trouble, QueueError) else None, 1, 2)
        assert await asyncio.gather(*asked) == [None, None]

    together(use)


class Panic(BaseException):
    """As Rust's, which is no Exception."""


@pytest.mark.parametrize("step", ["prepare", "finish"])
def test_a_panic_leaves_each_text_to_its_request(step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def panic(*_: Any, **_options: Any) -> Any:
        raise Panic

    monkeypatch.setattr(Task, step, panic)

    async def use(queue: Queue, ask: Callable[[str], Any]) -> None:
        asked = [ask("a"), ask("ab")]
        await turns()
        for _, ended in queue.submitted:
            ended(None, 1, 2)
        assert await asyncio.gather(*asked) == [None, None]

    together(use)


def test_a_batch_that_waited_too_long_is_late_for_all() -> None:
    async def use(queue: Queue, ask: Callable[[str], Any]) -> None:
        asked = [ask("a"), ask("ab")]
        await turns()
        queue.submitted[0][1](ExpiredError("late"), 1, 0)
        found = await asyncio.gather(*asked, return_exceptions=True)
        assert [type(each) for each in found] == [ExpiredError, ExpiredError]

    together(use)
