"""Measures the limits of this machine: products per second by dtype and instruction set, and bytes read.

They are those of native loops: of the matrix kernels' own instruction on registers, and of loads over more
memory than caches hold. Everything else is measured as a share of these.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from bertc import _native
from bertc.bench.work import INT8_FOURS
from bertc.precision import BF16, FP32, INT8

DTYPES = {FP32: "f32", BF16: "bf16", INT8: "i8", INT8_FOURS: "i8_fours"}
"""The native core's name of each dtype that users name. That of int8 has weights bounded in pairs."""

TRIALS = 7
"""The best of so many trials counts: a limit is what is reached when nothing disturbs the machine."""
SECONDS = 0.03
MEMORY_BYTES = 256 * 2**20
"""The memory that each thread reads: several times a core's share of the last-level cache."""


@dataclass(frozen=True)
class Peaks:
    """The limits of a machine with a number of threads."""

    threads: int
    gops: dict[str, dict[str, float]]
    """The 10^9 operations per second by instruction set, then by dtype; a multiply-add counts as two."""
    memory_gb_per_second: float
    """The rate of reading memory by all threads together, in 10^9 bytes per second."""


def measure_peaks(threads: int) -> Peaks:
    """Measure the limits, for about a second, on what should be an idle machine."""
    gops = {
        isa: {name: _peak(isa, dtype, threads) for name, dtype in DTYPES.items()}
        for isa in _native.supported_isas()
    }
    return Peaks(threads, gops, _memory(threads))


def _peak(isa: str, dtype: str, threads: int) -> float:
    iterations = 1000
    start = time.perf_counter()
    operations = _native.run_peak(isa, dtype, iterations)
    # Enough work that starting the threads does not show.
    iterations = max(1, int(iterations * SECONDS / (time.perf_counter() - start)))
    operations = operations * iterations // 1000
    seconds = _best(lambda _: _native.run_peak(isa, dtype, iterations), range(threads))
    return threads * operations / seconds / 1e9


def _memory(threads: int) -> float:
    blocks = [np.ones(MEMORY_BYTES, np.uint8) for _ in range(threads)]
    return threads * MEMORY_BYTES / _best(_native.read_memory, blocks) / 1e9


def _best(work: Callable[[Any], object], items: Sequence[Any]) -> float:
    """Return the seconds of the fastest trial, in which a thread for each item works on it, all at once."""
    seconds = []
    with ThreadPoolExecutor(len(items)) as pool:
        for _ in range(TRIALS):
            start = time.perf_counter()
            list(pool.map(work, items))
            seconds.append(time.perf_counter() - start)
    return min(seconds)
