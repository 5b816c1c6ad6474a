"""A run of the bench, from engines to a report: every engine on every shape and text, in turns."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from bertc.artifact.reader import open_artifact
from bertc.artifact.schema import ModelInfo
from bertc.bench.accuracy import measure_accuracy, sentences
from bertc.bench.circumstances import circumstances
from bertc.bench.engine import OURS, TEXT_MODES, Driver, texts_of
from bertc.bench.memory import measure_memory
from bertc.bench.neighbors import busy_neighbors
from bertc.bench.ours import token_lengths
from bertc.bench.peaks import Peaks, measure_peaks
from bertc.bench.plan import Settings, plan
from bertc.bench.process import EngineError, EngineFacts, EngineProcess, EngineSpec
from bertc.bench.report import FORMAT, best_peaks, rate, ratios
from bertc.bench.startup import measure_startup
from bertc.bench.timing import Amount, Effort, Timing, faster, summarize
from bertc.bench.turns import interleave
from bertc.bench.work import operations
from bertc.errors import InputError
from bertc.precision import FP32

Say = Callable[[str], None]
Keep = Callable[[dict[str, Any]], None]
Shape = tuple[int, int]
Key = TypeVar("Key")
SCALING_SHAPE = (8, 128)
"""The batch and length at which scaling is judged."""


def run_bench(
    settings: Settings,
    say: Say = lambda _: None,
    keep: Keep = lambda _: None,
    *,
    earlier: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Measure everything that is asked for, and return a report that is plain JSON.

    ``keep`` gets the report as far as it is, again and again: what an interrupted run leaves. That is
    completed where it comes back as ``earlier``: shapes and texts that it has are not run again. Raises
    ``InputError`` if it is of something else.
    """
    run = _Run(settings, say)
    if earlier is not None:
        run.take_up(earlier)
    run.measure_peaks()
    run.measure_processes()
    keep(run.report())
    with ExitStack() as stack:
        run.start_engines(stack)
        stack.enter_context(busy_neighbors(settings.neighbors))
        if settings.texts:
            run.run_texts()
            keep(run.report())
        for length, batch in product(settings.lengths, settings.batches):
            run.run_shape(batch, length)
            keep(run.report())
        if settings.sts is not None:
            run.score(settings.sts)
        run.ask_engines()
    # Without engines and neighbors again.
    run.measure_peaks()
    report = run.report(complete=True)
    keep(report)
    return report


class _Run:
    """The engines of a run, each in a process of its own, and what was measured so far."""

    def __init__(self, settings: Settings, say: Say) -> None:
        self._settings, self._say = settings, say
        self._specs = plan(settings)
        self._artifact = open_artifact(settings.files[0])
        self._info = self._artifact.manifest.model
        files = {spec.name: open_artifact(spec.file) for spec in self._specs if spec.library == OURS}
        self._counts = {
            name: partial(operations, each.executable, each.manifest.model) for name, each in files.items()
        }
        self._longest = self._info.longest_sequence
        too_long = [length for length in settings.lengths if length > self._longest]
        if too_long:
            raise InputError(f"length {too_long[0]}: the model has {self._longest} positions")
        self._live: dict[str, EngineProcess] = {}
        self._failed: dict[str, str] = {}
        self._circumstances = _circumstances(settings, self._info)
        self._engines: dict[str, EngineFacts] = {}
        self._peaks: list[Peaks] = []
        """The limits, measured before and after all else: the better count."""
        self._shapes: dict[tuple[Shape, str], Timing] = {}
        self._texts: dict[tuple[str, str], Timing] = {}
        self._accuracy: list[dict[str, Any]] = []
        self._startup: dict[str, dict[str, float]] = {}
        self._memory: list[dict[str, Any]] = []
        self._scaling: list[dict[str, Any]] = []

    def take_up(self, report: Mapping[str, Any]) -> None:
        """Take over what an interrupted run has measured: engines are compared within a step."""
        for what in ("machine", "commit", "versions", "model", "settings"):
            if report[what] != json.loads(json.dumps(self._circumstances[what])):
                raise InputError(f"the interrupted run had another {what.rstrip('s')}: start a new one")
        for row in report["shapes"]:
            self._shapes[(row["batch"], row["length"]), row["engine"]] = Timing.of(row)
        for row in report["texts"]:
            self._texts[row["mode"], row["engine"]] = Timing.of(row)

    def measure_peaks(self) -> None:
        """Measure the limits of the machine, if they are asked for."""
        if self._settings.peaks:
            self._say("the limits of this machine")
            self._peaks.append(measure_peaks(self._settings.threads))

    def measure_processes(self) -> None:
        """Measure what takes further processes, while no engine is loaded."""
        settings, own = self._settings, [spec for spec in self._specs if spec.library == OURS]
        for spec in own:
            if settings.startup:
                self._say(f"starting {spec.name}")
                self._startup[spec.name] = measure_startup(spec.file)
            if settings.memory:
                self._say(f"memory of {spec.name}")
                memory = measure_memory(spec.file, spec.threads)
                self._memory += [] if memory is None else [{"engine": spec.name, **memory}]
        if settings.scaling and settings.threads > 1:
            self._say("one thread and all of them")
            shape = SCALING_SHAPE[0], min(SCALING_SHAPE[1], self._longest)
            self._scaling = measure_scaling(own, settings.effort, shape)

    def start_engines(self, stack: ExitStack) -> None:
        """Load all engines; their processes end with the stack."""
        for spec in self._specs:
            self._say(f"loading {spec.name}")
            try:
                process = EngineProcess(spec, self._settings.texts)
            except EngineError as error:
                self._drop(error)
            else:
                stack.callback(process.close)
                self._live[spec.name] = process

    def ask_engines(self) -> None:
        """Ask each engine what it is."""
        self._engines = {name: engine.facts() for name, engine in self._live.items()}

    def run_shape(self, batch: int, length: int) -> None:
        """Run ``batch`` sequences of ``length`` tokens, unless an earlier run has done it."""
        if all(((batch, length), name) in self._shapes for name in self._live):
            return
        self._say(f"{batch} x {length}")
        amount = partial(self._amount, lengths=[length] * batch)

        def turns() -> dict[str, Any]:
            return {
                name: partial(each.ask, Driver.run_shape, batch, length) for name, each in self._live.items()
            }

        for name, timing in self._measure(turns, self._settings.effort, amount).items():
            self._shapes[(batch, length), name] = timing

    def run_texts(self) -> None:
        """Run the texts in all modes in one go, so that ratios between modes hold too."""
        settings = self._settings
        if all(any((mode, name) in self._texts for mode in TEXT_MODES) for name in self._live):
            return
        self._say(settings.source or "texts")
        lengths = {mode: token_lengths(self._artifact, texts_of(mode, settings.texts)) for mode in TEXT_MODES}

        def turns() -> dict[tuple[str, str], Any]:
            return {
                (mode, name): partial(each.ask, Driver.run_texts, mode)
                for mode in TEXT_MODES
                for name, each in self._live.items()
                if mode != "one_call" or each.spec.library == OURS
            }

        # Each turn warms up by itself: whole passes for nothing would take minutes. A pass is many calls.
        effort = replace(settings.effort, warmup=0, patience=3 * settings.effort.patience)
        self._texts = self._measure(turns, effort, lambda key: self._amount(key[1], lengths[key[0]]))

    def score(self, sts: Path) -> None:
        """Score the embeddings of each engine."""
        self._say("accuracy")
        names = [name for name, each in self._live.items() if each.spec.dtype == FP32]
        judge = next((name for name in names if name.startswith("transformers")), names[0] if names else None)
        texts = sentences(sts)
        embeddings = {
            name: np.asarray(each.ask(Driver.encode, texts), np.float32) for name, each in self._live.items()
        }
        self._accuracy = measure_accuracy(embeddings, sts, judge)

    def report(self, *, complete: bool = False) -> dict[str, Any]:
        """Return the report as plain JSON, with the engines that did not fail."""
        limits, engines = best_peaks(self._peaks), self._engines
        shapes = {key: timing for key, timing in self._shapes.items() if key[1] in engines}
        texts = {key: timing for key, timing in self._texts.items() if key[1] in engines}
        ours = [each.name for each in engines.values() if each.library == OURS]
        return {
            "format": FORMAT,
            "complete": complete,
            **self._circumstances,
            "peaks": None if limits is None else asdict(limits),
            "engines": [asdict(each) for each in engines.values()],
            "failed": dict(self._failed),
            "shapes": [
                {"batch": batch, "length": length, **rate(engines[engine], timing, limits)}
                for ((batch, length), engine), timing in shapes.items()
            ],
            "texts": [
                {"mode": mode, **rate(engines[engine], timing, limits)}
                for (mode, engine), timing in texts.items()
            ],
            "accuracy": self._accuracy,
            "ratios": ratios(shapes, texts, ours, [name for name in engines if name not in ours]),
            "startup_ms": self._startup,
            "memory": self._memory,
            "scaling": self._scaling,
        }

    def _measure(
        self,
        turns: Callable[[], Mapping[Key, Any]],
        effort: Effort,
        amount: Callable[[Key], Amount],
    ) -> dict[Key, Timing]:
        """Let the engines take turns; if a peer fails, start again without it."""
        while True:
            try:
                rounds = interleave(turns(), effort)
                break
            except EngineError as error:
                self._drop(error)
        self.ask_engines()
        return {key: summarize(each, amount(key)) for key, each in rounds.items()}

    def _amount(self, engine: str, lengths: Sequence[int]) -> Amount:
        """Return the work of sequences: that of an engine's own file, of others that of the first file."""
        return Amount.of(self._counts.get(engine, next(iter(self._counts.values()))), lengths)

    def _drop(self, error: EngineError) -> None:
        """Go on without a peer that failed. Raises the error if a compiled file did."""
        if error.spec.library == OURS:
            raise error
        self._live.pop(error.spec.name, None)
        self._failed[error.spec.name] = str(error)


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


def _circumstances(settings: Settings, info: ModelInfo) -> dict[str, Any]:
    """Return the part of a report that says when, where, of what and how it was measured."""
    return {
        **circumstances(info),
        "settings": {
            "threads": settings.threads,
            "neighbors": settings.neighbors,
            "effort": asdict(settings.effort),
            "source": None if settings.source is None else Path(settings.source).name,
            "texts": len(settings.texts),
            "sts": None if settings.sts is None else settings.sts.name,
            "calibration_texts": len(settings.calibration),
        },
    }
