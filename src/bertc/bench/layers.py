"""Measures time by kernel: where a pass spends its time, and how near each kernel is to its own limit.

The native core reads a clock around each step, in each thread (``Session.profile``).
"""

from __future__ import annotations

import re
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from bertc.artifact.reader import open_artifact
from bertc.artifact.schema import Step
from bertc.bench.engine import seconds_of
from bertc.bench.peaks import Peaks, measure_peaks
from bertc.bench.report import limit
from bertc.bench.take_apart import DISTANCES, SCORES, split, take_apart
from bertc.bench.versions import commit, versions
from bertc.bench.work import Workload, main_output, product_dtype
from bertc.precision import BF16, FP32, INT8
from bertc.runtime.machine import machine_facts
from bertc.runtime.session import Profile, Session
from bertc.runtime.step_times import LEAST_RUNS, Times, random_batch

Array = np.ndarray[Any, Any]

OUTPUTS, IDLE = "copying outputs", "idle, barriers"
METHOD = (
    "Times are those of all threads over their number, so that they add up to the wall's. An activation "
    "is what its step takes longer than without it, in runs in turns; a layer norm that quantizes is "
    "divided as its two parts take one after the other, attention as a clock inside of it tells in other "
    "runs; idle is what is left. Shares of memory bandwidth beyond 100 % mean that caches were read."
)


@dataclass
class _Runs:
    """The profiles of a program, from rounds of four turns.

    They are the program as it is, without a profile and with one; taken apart; with a clock in attention.
    """

    whole: list[Profile] = field(default_factory=list)
    apart: list[Profile] = field(default_factory=list)
    inside: list[Profile] = field(default_factory=list)
    seconds: list[list[float]] = field(default_factory=list)
    """The seconds of each turn of each round."""

    def profiling_percent(self) -> float:
        """Tell by how much reading the clock slows a run down."""
        return 100 * (median(round_[1] / round_[0] for round_ in self.seconds) - 1)


@dataclass
class Tally:
    """The work of a kernel in a pass."""

    nanoseconds: float = 0.0
    """The time in all threads together."""
    operations: int = 0
    bytes: int = 0
    ideal_ns: float = 0.0
    """The time of its products at the limit of their dtypes, on all threads; 0 without a limit."""
    calls: int = 0

    def figures(self, whole: Times, bandwidth: float | None) -> dict[str, Any]:
        """Return a row of the report; ``bandwidth`` is in 10^9 bytes/s.

        Its time is that of all threads over their number, so that rows add up to the wall's time.
        """
        nanoseconds = self.nanoseconds / whole.threads

        def per_nanosecond(amount: float) -> float | None:
            return amount / nanoseconds if amount and nanoseconds else None

        ideal, gigabytes = per_nanosecond(self.ideal_ns), per_nanosecond(self.bytes)
        return {
            "ms": nanoseconds / 1e6,
            "percent_of_time": 100 * nanoseconds / whole.wall,
            "gops": per_nanosecond(self.operations),
            "percent_of_peak": None if ideal is None else 100 * ideal,
            "gb_per_second": gigabytes,
            "percent_of_bandwidth": 100 * gigabytes / bandwidth if gigabytes and bandwidth else None,
        }


def measure_layers(
    files: Sequence[Path],
    threads: int,
    shapes: Sequence[tuple[int, int]],
    seconds: float,
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Return a report, plain JSON, of time by kernel in each file on each shape (batch, length)."""
    say("the limits of this machine")
    peaks = measure_peaks(threads)
    rows = []
    for file in files:
        bench = LayerBench(file, threads, peaks)
        for batch, length in shapes:
            say(f"{file.name}: {batch} x {length}")
            rows.append({"file": file.name, **bench.measure(batch, length, seconds)})
    return {
        "commit": commit(),
        "machine": machine_facts(),
        "versions": versions(),
        "peaks": asdict(peaks),
        "how": METHOD,
        "layers": rows,
    }


class LayerBench:
    """A file whose times by kernel can be measured."""

    def __init__(self, path: Path, threads: int, peaks: Peaks | None) -> None:
        artifact = open_artifact(path)
        self._info, self._executable = artifact.manifest.model, artifact.executable
        self._peaks = peaks
        self._bandwidth = None if peaks is None else peaks.memory_gb_per_second
        program, self._origins = take_apart(self._executable.program)
        self._session = Session(self._executable, num_threads=threads)
        self._apart = Session(replace(self._executable, program=program), num_threads=threads)

    def measure(self, batch: int, length: int, seconds: float) -> dict[str, Any]:
        """Measure ``batch`` sequences of ``length`` tokens: time by kernel, and by kind of step and kernel.

        Raises ``InputError`` for a length beyond the model's positions.
        """
        runs = self._run(batch, length, seconds)
        whole = Times.of(runs.whole)
        workload = Workload(self._executable, batch, length)
        kernels, kinds = self._tally(whole, self._shares(runs), Times.of(runs.inside).attention, workload)
        kernels[OUTPUTS].nanoseconds = float(whole.steps[-1])
        kernels[IDLE].nanoseconds = max(whole.threads * whole.wall - float(whole.steps.sum()), 0.0)
        by_time = sorted(kernels.items(), key=lambda item: -item[1].nanoseconds)
        return {
            "batch": batch,
            "length": length,
            "threads": whole.threads,
            "schedule": "latency" if whole.cooperative else "throughput",
            "wall_ms": whole.wall / 1e6,
            "profiling_percent": runs.profiling_percent(),
            "kernels": [
                {"kernel": kernel, **tally.figures(whole, self._bandwidth)} for kernel, tally in by_time
            ],
            "steps": [
                {
                    "step": kind,
                    "kernel": kernel,
                    "calls": tally.calls,
                    **tally.figures(whole, self._bandwidth),
                }
                for (kind, kernel), tally in kinds.items()
            ],
        }

    def _run(self, batch: int, length: int, seconds: float) -> _Runs:
        packed = random_batch(self._session, self._info.size("vocab_size"), batch, length)
        outputs = main_output(self._info)
        runs = _Runs()
        turns: tuple[Callable[[], object], ...] = (
            lambda: self._session.run_batch(packed, outputs=outputs),
            lambda: runs.whole.append(self._session.profile(packed, outputs=outputs)),
            lambda: runs.apart.append(self._apart.profile(packed, outputs=outputs)),
            lambda: runs.inside.append(self._session.profile(packed, outputs=outputs, inside_attention=True)),
        )
        for turn in turns:
            turn()  # warms up
        for profiles in (runs.whole, runs.apart, runs.inside):
            profiles.clear()
        end = time.perf_counter() + seconds
        while len(runs.seconds) < LEAST_RUNS or time.perf_counter() < end:
            runs.seconds.append([seconds_of(turn) for turn in turns])
        return runs

    def _shares(self, runs: _Runs) -> dict[int, list[float]]:
        """Return the time of each step's parts on their own, as shares of its time: medians over rounds."""
        shares: dict[int, list[float]] = defaultdict(list)
        whole, apart = (np.array([each.step_ns.sum(axis=0) for each in p]) for p in (runs.whole, runs.apart))
        for part, origin in enumerate(self._origins):
            shares[origin].append(float(np.median(apart[:, part] / np.maximum(whole[:, origin], 1))))
        return shares

    def _tally(
        self, whole: Times, shares: dict[int, list[float]], attention: Array, workload: Workload
    ) -> tuple[dict[str, Tally], dict[tuple[str, str], Tally]]:
        kernels: dict[str, Tally] = defaultdict(Tally)
        kinds: dict[tuple[str, str], Tally] = defaultdict(Tally)
        for index, step in enumerate(self._executable.program.steps):
            if whole.steps[index] == 0:  # only other outputs need it
                continue
            of_distances = workload.distance_operations(step)
            others = workload.operations(step) - of_distances
            for part in split(step, float(whole.steps[index]), shares[index], attention):
                operations = of_distances if part.kernel == DISTANCES else int(others * part.products)
                for tally in (kernels[part.kernel], kinds[_kind(step), part.kernel]):
                    tally.nanoseconds += part.nanoseconds
                    tally.operations += operations
                    tally.bytes += workload.bytes(step, part.operands)
                    tally.ideal_ns += self._ideal_ns(step, part.kernel, operations)
                    tally.calls += 1
        return kernels, kinds

    def _ideal_ns(self, step: Step, kernel: str, operations: int) -> float:
        dtype = product_dtype(step)
        if step.op == "attention":
            compute_dtype = step.attributes.get("compute_dtype", "f32")
            dtype = FP32 if compute_dtype == "f32" else BF16
            # Beside scores by distance, those of contents are not made in 8 bits.
            if compute_dtype == INT8 and kernel == SCORES and "buckets" not in step.inputs:
                dtype = INT8
        best = None if dtype is None else limit(self._peaks, dtype, self._session.isa)
        return 0.0 if best is None else operations / best


def _kind(step: Step) -> str:
    """Return the name of a step without the number of its layer."""
    return re.sub(r"\.\d+\.", ".*.", step.name)
