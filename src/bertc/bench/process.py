"""Engines that run in processes of their own, each of which does nothing while another has its turn.

So libraries do not share thread pools, environment or memory, a peer that crashes takes no one along,
and the peak memory of each can be told.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from bertc.artifact.reader import open_artifact
from bertc.bench.engine import OURS, Driver, Engine
from bertc.bench.memory import resident_mb
from bertc.errors import BertcError
from bertc.runtime.parent_process import end_with_parent

T = TypeVar("T")


@dataclass(frozen=True)
class EngineSpec:
    """The description of an engine, from which another process can make it."""

    library: str
    """The library of the engine: ``OURS``, or the name of a peer."""
    dtype: str
    name: str
    """The name of the engine for people, unique in a run."""
    file: Path
    """The compiled file; for a peer, the one that it is compared with: its tokenizer comes from there."""
    checkpoint: Path | None
    """The checkpoint that a peer is converted from."""
    cache: Path
    calibration: tuple[str, ...]
    threads: int
    cores: tuple[int, ...] = ()
    """The processors that its process is bound to; if there are none, the first ``threads`` of all."""


@dataclass(frozen=True)
class EngineFacts:
    """The facts that an engine tells about itself."""

    name: str
    library: str
    dtype: str
    version: str
    isa: str | None
    peak_mb: float | None
    """The peak memory of its process, in 10^6 bytes; None where the system does not tell."""
    file_mb: float | None = None
    """The size of a compiled file, in 10^6 bytes; None for peers."""
    matrix_mb: float | None = None
    """The size of the weights that products of a pass read, in 10^6 bytes; None for peers."""


class EngineError(BertcError):
    """Raised for an engine that could not be made, or that failed at its work."""

    def __init__(self, spec: EngineSpec, message: str) -> None:
        super().__init__(f"{spec.name}: {message}")
        self.spec = spec


class EngineProcess:
    """A driver in another process, which :meth:`close` ends."""

    def __init__(self, spec: EngineSpec, texts: Sequence[str], driver: type[Driver] = Driver) -> None:
        """Convert the checkpoint if need be, and load. Raises ``EngineError`` with what the process said."""
        self.spec = spec
        handle, log = tempfile.mkstemp(prefix="bertc-bench-", suffix=".log")
        os.close(handle)  # the process opens it
        self._log = Path(log)
        self._pool = self._start()
        try:
            if spec.library != OURS:
                self._do(_prepare, spec)
                self._pool.shutdown()
                self._pool = self._start()  # afresh: converting leaves memory behind
            self._id = self._do(_load, spec, list(texts), driver)
        except BaseException:
            self.close()
            raise

    def ask(self, question: Callable[..., T], *arguments: Any) -> T:
        """Return what ``question`` gives in the process, of its driver and the arguments.

        That is a method of :class:`Driver`, or a function that takes one. Raises ``EngineError``.
        """
        answer: T = self._do(_answer, question, *arguments)
        return answer

    def facts(self) -> EngineFacts:
        """Ask for version, instruction set and the memory so far."""
        return self.ask(_facts, self.spec)

    def close(self) -> None:
        """End the process."""
        self._pool.shutdown()
        self._log.unlink(missing_ok=True)

    def kill(self) -> None:
        """End the process in the middle of its work."""
        with suppress(ProcessLookupError):
            os.kill(self._id, signal.SIGTERM)

    def _start(self) -> ProcessPoolExecutor:
        context = multiprocessing.get_context("spawn")
        start = partial(_start_process, self._log, self.spec.threads, self.spec.cores)
        return ProcessPoolExecutor(1, mp_context=context, initializer=start)

    def _do(self, function: Callable[..., T], *arguments: Any) -> T:
        try:
            return self._pool.submit(_guarded, function, *arguments).result()
        except BrokenProcessPool:
            raise EngineError(self.spec, f"its process died; {self._last_words()}") from None
        except BertcError as error:
            raise EngineError(self.spec, str(error)) from None

    def _last_words(self) -> str:
        lines = self._log.read_text("utf-8", errors="replace").strip().splitlines()
        return f"it said: {lines[-1]}" if lines else "it said nothing"


# What follows runs in the engine's process.

_drivers: list[Driver] = []


def _start_process(log: Path, threads: int, cores: tuple[int, ...]) -> None:
    """Bind to processors, as many as threads are asked for; keep what libraries print out of the way.

    An interrupt from the keyboard goes to all processes: the first decides what happens to the others.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent()
    file = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os.dup2(file, 1)
    os.dup2(file, 2)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores or sorted(os.sched_getaffinity(0))[:threads])


def _guarded(function: Callable[..., T], *arguments: Any) -> T:
    """Call a function; raise its errors as ``BertcError``: not every exception survives pickling."""
    try:
        return function(*arguments)
    except Exception as error:
        name = "" if isinstance(error, BertcError) else f"{type(error).__name__}: "
        raise BertcError(f"{name}{error}") from None


def _prepare(spec: EngineSpec) -> None:
    from bertc.bench.peers import PEERS

    PEERS[spec.library].convert(_source(spec), spec.dtype)


def _load(spec: EngineSpec, texts: list[str], driver: type[Driver]) -> int:
    from bertc.bench.ours import CompiledModel
    from bertc.bench.peers import PEERS

    engine: Engine
    if spec.library == OURS:
        engine = CompiledModel(spec.file, spec.threads)
    else:
        engine = PEERS[spec.library](_source(spec), spec.dtype, spec.threads)
    _drivers[:] = [driver(engine, open_artifact(spec.file).manifest.model, texts)]
    return os.getpid()


def _source(spec: EngineSpec) -> Any:
    from bertc.bench.peers.source import Source

    assert spec.checkpoint is not None
    artifact = open_artifact(spec.file)
    return Source(
        spec.checkpoint, artifact.manifest.model, artifact.tokenizer_json, spec.cache, spec.calibration
    )


def _answer(question: Callable[..., T], *arguments: Any) -> T:
    return question(_drivers[0], *arguments)


def _facts(driver: Driver, spec: EngineSpec) -> EngineFacts:
    from bertc.bench.ours import CompiledModel

    engine, memory = driver.engine, resident_mb()
    compiled = engine if isinstance(engine, CompiledModel) else None
    return EngineFacts(
        spec.name,
        spec.library,
        spec.dtype,
        engine.version,
        engine.isa,
        peak_mb=None if memory is None else memory["VmHWM"],
        file_mb=None if compiled is None else compiled.encoder.artifact.size / 1e6,
        matrix_mb=None if compiled is None else compiled.matrix_bytes / 1e6,
    )
