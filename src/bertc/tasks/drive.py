"""Drives a task over many items: bounded windows, the next one tokenized while the present one runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np

from bertc.encoder import Encoder
from bertc.errors import TruncationWarning, warn_caller
from bertc.runtime.batching import FloatArray, PackedBatch, windows
from bertc.runtime.progress import progress
from bertc.tasks.task import Prepared, Task

Answers = TypeVar("Answers")


def drive(
    encoder: Encoder,
    task: Task[Any, Answers],
    items: Sequence[Any],
    *,
    method: str,
    min_items: int = 1,
    max_items: int | None = None,
    show_progress: bool | None = None,
) -> Iterator[Answers]:
    """Yield the answers of ``task`` to ``items``, a window at a time, in order.

    ``method`` is the caller's name, shown with the progress. A window has at least ``min_items`` items while
    there are so many, and at most ``max_items``. After the last one, a ``TruncationWarning`` counts the items
    that were cut; it names the line that called into bertc.
    """
    truncated, limit = 0, encoder.info.max_seq_length
    shows = encoder.show_progress_bar if show_progress is None else show_progress
    with progress(len(items), method, enabled=shows) as advance:
        for count, prepared in _prepare_ahead(task, list(windows(items, min_items, max_items))):
            truncated += prepared.truncated
            limit = prepared.limit or limit
            yield task.finish(prepared, _run(encoder, prepared.batch, task.output))
            advance(count)
    if truncated:
        warn_caller(TruncationWarning(truncated, len(items), limit))


def _run(encoder: Encoder, batch: PackedBatch, output: str) -> FloatArray:
    """Return the output for a batch; no rows for one without a token."""
    if len(batch.cu_seqlens) > 1:
        return encoder.session.run_batch(batch, outputs=(output,))[output]
    port = encoder.info.output(output)
    return np.empty((0, 0 if port is None else port.columns), np.float32)


def _prepare_ahead(
    task: Task[Any, Any], parts: Sequence[Sequence[Any]]
) -> Iterator[tuple[int, Prepared[Any]]]:
    """Yield each part's size and batch; while the caller works on one, a thread prepares the next.

    One part alone needs no thread.
    """
    if len(parts) < 2:
        yield from ((len(part), task.prepare(part)) for part in parts)
        return
    with ThreadPoolExecutor(1, "bertc-prepare") as pool:
        first = 0
        waiting = pool.submit(task.prepare, parts[0])
        for part, following in zip(parts, [*parts[1:], None], strict=True):
            prepared = waiting.result()
            first += len(part)
            if following is not None:
                waiting = pool.submit(task.prepare, following, first=first)
            yield len(part), prepared
