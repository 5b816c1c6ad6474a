"""Where the processor time of a served sentence goes, by part, without sockets, system and model.

``python benchmarks/serve_parts.py MODEL.bertc --texts sentences.txt`` prints microseconds of requests that
come one at a time, and 16 at once, as 64 connections send them. Beside a model that runs on the same cores
each part takes about one and a half times as long, which ``benchmarks/serve.py`` measures as a whole.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson
import uvloop
from uvicorn.server import ServerState

from bertc.data import sample_texts
from bertc.serve.call import LINK
from bertc.serve.lifecycle import Lifecycle
from bertc.serve.models import Model
from bertc.serve.protocol import Connection
from bertc.serve.settings import ModelSource, Settings
from bertc.serve.state import State
from bertc.tasks.embedding import Embedding

ROUNDS, TURNS = 60, 20

PARTS: dict[str, tuple[tuple[Any, str], ...]] = {
    "tokenizing, into a batch": ((Embedding, "prepare"),),
    "a look at the numbers, normalizing": ((Model, "check_numbers"), (Embedding, "finish")),
    "JSON of the vector": ((orjson, "dumps"),),
}
"""The functions of each part, where the server finds them."""


class Wire(asyncio.Transport):
    """Counts the replies, and drops them."""

    replies = 0

    def write(self, data: Any) -> None:  # noqa: ARG002 (of transports)
        """Count a reply."""
        self.replies += 1

    def is_closing(self) -> bool:
        """Never."""
        return False


async def echo(scope: Any, receive: Callable[[], Awaitable[Any]], send: Any) -> None:  # noqa: ARG001 (of ASGI)
    """Answer with next to nothing: what is left is HTTP."""
    await receive()
    scope["extensions"][LINK].reply(200, b"content-length: 3\r\n", b"abc")


def undisturbed(values: list[float]) -> float:
    """The value that a tenth is below."""
    return sorted(values)[len(values) // 10]


async def answered_us(application: Any, texts: Sequence[str]) -> float:
    """The microseconds of the event loop for each of some requests that come at once."""
    requests = []
    for text in texts:
        body = json.dumps({"inputs": text, "truncate": True}).encode()
        head = "POST /embed HTTP/1.1\r\nHost: localhost:3000\r\ncontent-type: application/json\r\n"
        requests.append(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    config: Any = SimpleNamespace(loaded_app=application)
    wire, found = Wire(), []
    connections = [Connection(config, ServerState(), {}) for _ in texts]
    for connection in connections:
        connection.connection_made(wire)
    for _ in range(ROUNDS):
        start = time.thread_time()
        for _ in range(TURNS):
            wanted = wire.replies + len(texts)
            for connection, request in zip(connections, requests, strict=True):
                connection.data_received(request)
            while wire.replies < wanted:
                await asyncio.sleep(0)
        found.append((time.thread_time() - start) / TURNS / len(texts))
    return 1e6 * undisturbed(found)


def timed(owner: Any, name: str, into: list[float]) -> Callable[[], None]:
    """Add the seconds of each call of a function to a list; what is returned ends that."""
    function = getattr(owner, name)

    def call(*arguments: Any, **options: Any) -> Any:
        start = time.perf_counter()
        result = function(*arguments, **options)
        into.append(time.perf_counter() - start)
        return result

    setattr(owner, name, call)
    return lambda: setattr(owner, name, function)


async def parts(path: Path, texts: Sequence[str]) -> dict[str, float]:
    """The microseconds of each part, for each of some texts that come at once."""
    state = State(Settings((ModelSource("m", str(path)),)))
    lifecycle = Lifecycle(state, lambda: None, lambda: None)
    state.engine.start()
    await lifecycle.load()
    model = state.registry.models[0]
    task = Embedding(model.tokenizer())
    values = model.encoder.session.run_batch(task.prepare(texts).batch, outputs=(task.output,))[task.output]

    def submit(*arguments: Any) -> Any:
        asyncio.get_running_loop().call_soon(arguments[-1], None, 1, 1)  # it has ended: a model for nothing
        return 1, values[: len(arguments[1].cu_seqlens) - 1]

    state.engine.queue.submit = submit  # type: ignore[assignment, method-assign]
    found = {"HTTP": await answered_us(echo, texts)}
    whole = await answered_us(lifecycle.application(), texts)
    for name, functions in PARTS.items():
        found[name] = 0.0
        for owner, function in functions:
            seconds: list[float] = []
            end = timed(owner, function, seconds)
            await answered_us(lifecycle.application(), texts)
            end()
            calls = len(seconds) / (ROUNDS * TURNS * len(texts))
            found[name] += 1e6 * undisturbed(seconds) * calls
    found["the request, its route, admission, joining others, the reply"] = whole - sum(found.values())
    await lifecycle.stop()
    return {**found, "all": whole}


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--texts", type=Path, help="sentences, one a line; by default those of the package")
    args = parser.parse_args()
    lines = args.texts.read_text("utf-8").splitlines() if args.texts else list(sample_texts())
    texts = [line for line in lines if line.strip()]
    one, many = (uvloop.run(parts(args.model, texts[:count])) for count in (1, 16))
    print("| us of a request | one at a time | 16 at once |\n|---|---|---|")
    for name, each in one.items():
        print(f"| {name} | {each:.1f} | {many[name]:.1f} |")


if __name__ == "__main__":
    main()
