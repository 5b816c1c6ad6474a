"""A whole job: planned, resumed, divided among processes, and watched."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import signal
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import islice
from multiprocessing.sharedctypes import Synchronized
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

from bertc.bulk.on_ray import connected, run_shards
from bertc.bulk.output import Finished, OutputFolder
from bertc.bulk.results import Question, answering
from bertc.bulk.shards import SHARD_ROWS, Shard, choose_ids, plan_shards
from bertc.bulk.storage import UnmendableError, is_url
from bertc.bulk.work import NULL, Advance, Work, Worker
from bertc.encoder import Encoder, load
from bertc.errors import BertcError
from bertc.runtime.environment import default_num_threads
from bertc.runtime.parent_process import end_with_parent
from bertc.runtime.progress import progress
from bertc.version import __version__

_POLL_SECONDS = 0.5


@dataclass(frozen=True)
class JobSettings:
    """What a job reads and writes, and how."""

    source: str
    """A file, a folder, a glob, or a URL of fsspec."""
    folder: Path
    question: Question
    columns: tuple[str, ...] = ("text",)
    id_column: str | None = None
    """By default the column ``id``, if all files have one."""
    on_null: str = NULL
    resume: bool = False
    instances: int = 1
    """The number of processes; they share the threads. On Ray, if above 1, the most tasks at a time."""
    shard_rows: int = SHARD_ROWS
    batch_tokens: int | None = None
    """The most tokens of a run of the model; None for what ``encode`` takes."""
    ray: str | None = None
    """The address of a Ray cluster that does the work, whose nodes see the same files; "local" starts one."""


def run_job(encoder: Encoder, settings: JobSettings, *, show_progress: bool = False) -> dict[str, Any]:
    """Answer all rows of a source, and write a folder of parquet files; return the counts, as plain JSON.

    A shard is finished whole or not at all, whatever happens; with ``resume``, a job that was stopped goes on
    with what is left, and gives the same files. Raises ``InputError`` for files, columns or options that do
    not fit, before any work, and for a file that is damaged or changes meanwhile: finished shards are kept.
    """
    answering(encoder, settings.question)  # fails here for a model of another task, or a wrong option
    start = time.perf_counter()
    facts = _job_facts(encoder, settings)
    source = settings.source
    if settings.ray is not None and not is_url(source):
        source = str(Path(source).absolute())  # the processes of a cluster are in other folders
    shards = plan_shards(source, settings.columns, settings.id_column, settings.shard_rows, settings.folder)
    id_column = choose_ids(shards, settings.id_column)
    facts["id_column"] = id_column
    identity = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
    work = Work(
        settings.folder, identity, settings.question, settings.columns, id_column,
        settings.on_null, settings.batch_tokens,
    )  # fmt: skip
    job = {"bertc": __version__, **facts}
    with (
        nullcontext() if settings.ray is None else connected(settings.ray),
        OutputFolder(settings.folder, job, resume=settings.resume) as output,
    ):
        planned = {shard.id(identity): shard for shard in shards}
        output.check_known(planned)
        left = [shard for name, shard in planned.items() if name not in output.finished]
        new = list(_run(encoder, work, left, output, settings, show_progress))
        output.succeed()
        everything = output.finished.values()
    return {
        "output": str(settings.folder),
        "shards": len(shards),
        "resumed_shards": len(shards) - len(left),
        "rows": sum(each.rows for each in everything),
        "rejected": sum(each.rejected for each in everything),
        "truncated": sum(each.truncated for each in everything),
        "tokens": sum(each.tokens for each in new),
        "bytes": sum(each.bytes for each in everything),
        "seconds": round(time.perf_counter() - start, 3),
    }


def _job_facts(encoder: Encoder, settings: JobSettings) -> dict[str, Any]:
    """Return all that the results depend on but the rows themselves."""
    artifact = encoder.artifact
    return {
        "model": {
            "name": encoder.info.name,
            "header_sha256": artifact.header_sha256,
            "weights_sha256": artifact.weights_sha256,
        },
        "method": settings.question.method,
        "options": dict(settings.question.options),
        "precision": settings.question.precision,
        "columns": list(settings.columns),
        "on_null": settings.on_null,
        "shard_rows": settings.shard_rows,
    }


def _run(
    encoder: Encoder,
    work: Work,
    shards: Sequence[Shard],
    output: OutputFolder,
    settings: JobSettings,
    show_progress: bool,
) -> Iterator[Finished]:
    """Run shards, and yield each when the manifest has it."""
    total, watch = sum(shard.rows for shard in shards), _Watch()
    what = f"{work.question.method}, {len(shards)} shards"
    with progress(total, what, enabled=show_progress, note=watch.note) as advance:

        def count(rows: int, tokens: int) -> None:
            watch.tokens += tokens
            watch.rows += rows
            advance(rows)

        try:
            for finished in _results(encoder, work, shards, settings, count):
                output.add(finished)
                yield finished
        except BertcError as error:
            advice = "" if isinstance(error, UnmendableError) else ": go on with --resume"
            error.args = (
                f"{error}. {len(output.finished)} finished shards are kept in {work.folder}{advice}",
            )
            raise


def _results(
    encoder: Encoder, work: Work, shards: Sequence[Shard], settings: JobSettings, advance: Advance
) -> Iterator[Finished]:
    """Yield each shard when it is done, here, in processes or on a cluster."""
    if settings.ray is not None:
        most = settings.instances if settings.instances > 1 else None
        return run_shards(encoder, work, shards, most, advance)
    if settings.instances == 1 or len(shards) < 2:
        return _in_this_process(encoder, work, shards, advance)
    return _in_processes(encoder, work, shards, min(settings.instances, len(shards)), advance)


class _Watch:
    """The speed of a job so far."""

    def __init__(self) -> None:
        self.rows = self.tokens = 0
        self._start = time.monotonic()

    def note(self) -> str:
        seconds = max(time.monotonic() - self._start, 1e-3)
        return f"{self.rows / seconds:,.0f} rows/s, {self.tokens / seconds:,.0f} tokens/s"


def _in_this_process(
    encoder: Encoder, work: Work, shards: Sequence[Shard], advance: Advance
) -> Iterator[Finished]:
    worker = Worker(encoder, work)
    for shard in shards:
        yield worker.run(shard, advance)


def _in_processes(
    encoder: Encoder, work: Work, shards: Sequence[Shard], instances: int, advance: Advance
) -> Iterator[Finished]:
    """Give each process a shard, and another when it is done."""
    context = multiprocessing.get_context("spawn")
    counters = context.Value("q", 0), context.Value("q", 0)
    threads = max(1, (encoder.session.num_threads or default_num_threads()) // instances)
    stop = context.Event()
    arguments = (str(encoder.artifact.path.absolute()), threads, work, stop, *counters)
    pool = ProcessPoolExecutor(instances, mp_context=context, initializer=_start_worker, initargs=arguments)
    seen = [0, 0]

    def tell() -> None:
        now = [counter.value for counter in counters]
        advance(now[0] - seen[0], now[1] - seen[1])
        seen[:] = now

    try:
        left = iter(shards)
        running: set[Future[Finished]] = set()
        while True:
            # One more than there are processes waits, so that none has to wait for this one.
            running |= {
                pool.submit(_run_shard, shard) for shard in islice(left, instances + 1 - len(running))
            }
            if not running:
                return
            done, running = wait(running, _POLL_SECONDS, FIRST_COMPLETED)
            tell()
            for each in done:
                yield each.result()
    except BrokenProcessPool:
        raise BertcError("a process of the job died, perhaps for want of memory") from None
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)


# What follows runs in the processes of a job.

_workers: list[tuple[Worker, Advance]] = []


class _StoppedError(BertcError):
    """Raised in the middle of a shard whose job has ended."""


def _start_worker(
    path: str,
    threads: int,
    work: Work,
    stop: Event,
    rows: Synchronized[int],
    tokens: Synchronized[int],
) -> None:
    """Load the model. An interrupt from the keyboard goes to all processes: the first one decides."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent()

    def advance(more_rows: int, more_tokens: int) -> None:
        for counter, more in ((rows, more_rows), (tokens, more_tokens)):
            with counter.get_lock():
                counter.value += more
        if stop.is_set():
            raise _StoppedError("the job has ended")

    _workers.append((Worker(load(path, num_threads=threads), work), advance))


def _run_shard(shard: Shard) -> Finished:
    worker, advance = _workers[0]
    return worker.run(shard, advance)
