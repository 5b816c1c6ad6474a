"""The times of a program's steps, of many profiles, on a batch of random ids."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bertc.ports import takes_selection
from bertc.runtime.batching import PackedBatch
from bertc.runtime.session import ATTENTION_PARTS, Profile, Session

Array = np.ndarray[Any, Any]

LEAST_RUNS = 10


@dataclass(frozen=True)
class Times:
    """The times of a program on a batch: means over the faster half of its runs, in nanoseconds."""

    wall: float
    steps: Array
    """The time of each step in all threads together, float [steps + 1]; the last is copying outputs."""
    attention: Array
    """The shares of ATTENTION_PARTS in attention's time; equal if there is no attention."""
    threads: int
    cooperative: bool

    @classmethod
    def of(cls, profiles: Sequence[Profile]) -> Times:
        """Take the faster half of the runs: disturbances only ever add time, and the other half has most."""
        best = sorted(profiles, key=lambda each: each.wall_ns)[: (len(profiles) + 1) // 2]
        ticks = sum((each.attention_ticks for each in best), np.zeros(len(ATTENTION_PARTS)))
        return cls(
            attention=ticks / ticks.sum() if ticks.any() else np.full(len(ticks), 1 / len(ticks)),
            wall=float(np.mean([each.wall_ns for each in best])),
            steps=np.mean([each.step_ns.sum(axis=0) for each in best], axis=0),
            threads=len(best[0].step_ns),
            cooperative=best[0].cooperative,
        )


def random_batch(session: Session, vocab_size: int, batch: int, length: int) -> PackedBatch:
    """Return ``batch`` sequences of ``length`` tokens with random ids, as :func:`fit_to` makes them fit."""
    # What a file says of its size is no promise: a session refuses ids beyond the table.
    end = min(max(vocab_size, 1), np.iinfo(np.int32).max)
    ids = np.random.default_rng(0).integers(0, end, batch * length, dtype=np.int32)
    cu_seqlens = np.arange(0, batch * length + 1, length, dtype=np.int32)
    return fit_to(session, PackedBatch({"input_ids": ids}, cu_seqlens))


def fit_to(session: Session, batch: PackedBatch) -> PackedBatch:
    """Return a batch of ids as the model takes it.

    One that takes a selection gets a token of each sequence, the work of texts with one masked word each; one
    that takes embeddings gets random ones in place of the ids.
    """
    random, tokens = np.random.default_rng(0), int(batch.cu_seqlens[-1])
    rows = {
        port.name: random.standard_normal((tokens, port.columns), np.float32)
        for port in session.inputs
        if port.columns
    }
    if rows:
        batch = PackedBatch(rows, batch.cu_seqlens)
    selects = takes_selection(session.inputs)
    return batch.selecting(np.asarray(batch.cu_seqlens[:-1])) if selects else batch


def measure_steps(session: Session, batch: PackedBatch, outputs: Sequence[str], seconds: float) -> Times:
    """Run a batch for about ``seconds``, at least ``LEAST_RUNS`` times, and return the times of its steps."""
    session.profile(batch, outputs=outputs)  # warms up
    profiles: list[Profile] = []
    end = time.perf_counter() + seconds
    while len(profiles) < LEAST_RUNS or time.perf_counter() < end:
        profiles.append(session.profile(batch, outputs=outputs))
    return Times.of(profiles)
