"""Measures scaling: how much faster a file is on all threads than on one, both in turns in one run."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from typing import Any

from bertc.bench.engine import Driver
from bertc.bench.process import EngineProcess, EngineSpec
from bertc.bench.timing import Effort, faster
from bertc.bench.turns import interleave

SHAPE = (8, 128)
"""The batch and length at which scaling is judged."""


def measure_scaling(
    specs: Sequence[EngineSpec], effort: Effort, shape: tuple[int, int]
) -> list[dict[str, Any]]:
    """Return a row for each of ``specs``: its throughput with all its threads over that with one.

    Each number of threads has a process of its own, bound to as many processors.
    """
    batch, length = shape
    rows = []
    for spec in specs:
        with ExitStack() as stack:
            turns = {}
            for threads in (spec.threads, 1):
                process = EngineProcess(replace(spec, threads=threads), ())
                stack.callback(process.close)
                turns[threads] = partial(process.ask, Driver.run_shape, batch, length)
            rounds = interleave(turns, effort)
        many, single = (tuple(each.unit_ms for each in rounds[threads]) for threads in (spec.threads, 1))
        ratio = faster(many, single)
        rows.append({"engine": spec.name, "threads": spec.threads, "batch": batch, "length": length, **ratio})
    return rows
