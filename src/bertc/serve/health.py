"""Whether the models still work: a tiny inference of each through the queue, at most once a second.

A reply says what the last one found and starts the next, so that asking is cheap at any load. What has not
come back for a while, or came back wrong, is what makes a server unhealthy.
"""

from __future__ import annotations

import asyncio
import contextlib
import time

import numpy as np

from bertc.errors import BertcError
from bertc.runtime.batch_queue import BatchQueue
from bertc.runtime.batching import PackedBatch
from bertc.runtime.step_times import fit_to
from bertc.serve.models import Model, Registry

INTERVAL = 1.0
"""The least seconds between two tiny inferences."""
STUCK_SECONDS = 30.0
"""For so long a batch may run and a tiny inference wait: 2,048 tokens take a large model some seconds."""
_TOKENS = 3


class Health:
    """Asks the models."""

    def __init__(self, queue: BatchQueue, registry: Registry) -> None:
        self._queue = queue
        self._registry = registry
        self._task: asyncio.Task[None] | None = None
        self._began = 0.0
        self._failure: str | None = None

    def problem(self) -> str | None:
        """Return what is wrong, None if nothing is; and look again soon."""
        if not self._registry.models:
            return "the models are still loading"
        running = self._queue.load()["running_ns"] / 1e9
        if running > STUCK_SECONDS:
            return f"a batch has been running for {running:.0f} s"
        waiting = self._task is not None and not self._task.done()
        if waiting and time.monotonic() - self._began > STUCK_SECONDS:
            return f"a tiny inference has been waiting for {time.monotonic() - self._began:.0f} s"
        if not waiting and time.monotonic() - self._began >= INTERVAL:
            self._began = time.monotonic()
            self._task = asyncio.get_running_loop().create_task(self.look())
        return self._failure

    async def look(self) -> None:
        """Run each model on a few tokens, and remember what went wrong."""
        failures = []
        for model in self._registry.models:
            try:
                await self._run(model)
            except BertcError as error:
                failures.append(f"{model.name}: {error}")
        self._failure = "; ".join(failures) or None

    async def stop(self) -> None:
        """End what is on its way."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _run(self, model: Model) -> None:
        session = model.encoder.session
        ids = PackedBatch({"input_ids": np.zeros(_TOKENS, np.int32)}, np.array([0, _TOKENS], np.int32))
        output = model.encoder.info.outputs[0].name
        values, _ = await self._queue.run(session, fit_to(session, ids), output)
        if not np.isfinite(values).all():
            raise BertcError("it gave a number that is none (NaN or infinity)")
