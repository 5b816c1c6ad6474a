"""From loading to the end: models come, are replaced while requests run, and go when all is answered."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine

from bertc.errors import BertcError
from bertc.serve.app import Application
from bertc.serve.models import Model, load_model, was_replaced
from bertc.serve.state import Phase, State


class Lifecycle:
    """Runs a server's models; calls ``loaded`` or ``failed`` when they could be loaded at first, or not."""

    def __init__(self, state: State, loaded: Callable[[], None], failed: Callable[[], None]) -> None:
        self.state = state
        self._loaded = loaded
        self._failed = failed
        self._tasks: set[asyncio.Task[None]] = set()
        self._reloading = asyncio.Lock()

    def application(self) -> Application:
        """Return the ASGI application, which listens while the models load."""

        async def begin() -> None:
            self.state.engine.start()
            self.spawn(self.load())

        return Application(self.state, begin, self.stop)

    def spawn(self, work: Coroutine[None, None, None]) -> None:
        """Run a coroutine beside the requests."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def load(self) -> None:
        """Load all models and run each once; then requests are welcome."""
        state = self.state
        try:
            for source in state.settings.models:
                start = time.perf_counter()
                model = await asyncio.to_thread(load_model, source, state.settings.num_threads)
                state.registry.put(model)
                state.log.info("loaded", **_facts(model), seconds=round(time.perf_counter() - start, 3))
            await state.health.look()
            if (problem := state.health.problem()) is not None:
                raise BertcError(problem)
        except (BertcError, OSError, MemoryError) as error:
            state.log.error(f"cannot load the models: {error}")
            self._failed()
            return
        self._loaded()
        if state.phase is Phase.LOADING:
            state.phase = Phase.READY
            state.log.info("ready", models=len(state.registry.models))

    async def reload(self) -> None:
        """Load each model whose file was replaced; requests in work end with the one that they began with."""
        state = self.state
        async with self._reloading:
            for model in state.registry.models:
                if not was_replaced(model):
                    continue
                try:
                    fresh = await asyncio.to_thread(load_model, model.source, state.settings.num_threads)
                except (BertcError, OSError, MemoryError) as error:
                    state.log.error(f"the old file of {model.name} stays in use: {error}")
                    continue
                if fresh.encoder.info.task != model.encoder.info.task:
                    state.log.error(
                        f"the old file of {model.name} stays in use: the new one is for another task",
                        task=fresh.encoder.info.task,
                    )
                    continue
                state.registry.put(fresh)
                await state.health.look()
                state.metrics.count("bertc_reloads", model=model.name)
                state.log.info("reloaded", **_facts(fresh))

    async def drain(self) -> None:
        """Say that the end is near, and wait until all that was asked is answered.

        Replies tell clients to close their connections meanwhile: what is left then is idle.
        """
        state = self.state
        state.phase = Phase.DRAINING
        state.log.info("draining", requests=state.engine.admission.requests)
        start = time.monotonic()
        while True:
            passed = time.monotonic() - start
            busy = state.engine.admission.requests or state.engine.admission.waiting
            if (
                not busy and passed >= state.settings.drain_seconds
            ) or passed > state.settings.request_timeout:
                break
            await asyncio.sleep(0.02)

    async def stop(self) -> None:
        """End what runs beside the requests."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.state.health.stop()
        self.state.engine.stop()


def _facts(model: Model) -> dict[str, object]:
    session = model.encoder.session
    return {
        "model": model.name,
        "task": model.encoder.info.task,
        "threads": session.num_threads,
        "isa": session.isa,
    }
