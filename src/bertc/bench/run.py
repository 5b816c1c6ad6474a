"""A run of the bench, from engines to a report: every engine on every shape and text, in turns."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from bertc.artifact.schema import ModelInfo
from bertc.bench.accuracy import measure_accuracy
from bertc.bench.engine import TEXT_MODES, Driver
from bertc.bench.machine import commit, machine_facts, versions
from bertc.bench.ours import CompiledModel, token_lengths
from bertc.bench.peaks import Peaks, measure_peaks
from bertc.bench.plan import OURS, Settings, plan
from bertc.bench.process import EngineError, EngineFacts, EngineProcess, EngineSpec, peak_memory_mb
from bertc.bench.report import FORMAT, best_peaks, rate, ratios
from bertc.bench.startup import measure_startup
from bertc.bench.timing import Amount, Effort, Round, Timing, summarize
from bertc.bench.turns import interleave
from bertc.encoder import Encoder, load
from bertc.errors import InputError

Say = Callable[[str], None]


class Contestant(Protocol):
    """An engine, here or in another process."""

    spec: EngineSpec

    def run_shape(self, batch: int, length: int, calls: int) -> Round:
        """See :class:`Driver`."""

    def run_texts(self, mode: str, calls: int) -> Round:
        """See :class:`Driver`."""

    def encode(self, texts: Sequence[str]) -> Any:
        """Answers in batches of 32."""

    def facts(self) -> EngineFacts:
        """What the engine says of itself."""


class LocalEngine:
    """One of our files in this process: what is measured when there is nothing to compare with."""

    def __init__(self, spec: EngineSpec, texts: Sequence[str]) -> None:
        self.spec = spec
        self._engine = CompiledModel.open(spec.file, spec.threads)
        driver = Driver(self._engine, self._engine.encoder.info, texts)
        self.run_shape, self.run_texts = driver.run_shape, driver.run_texts

    def encode(self, texts: Sequence[str]) -> Any:
        """See :class:`Contestant`."""
        return self._engine.encode(texts, batch_size=32, sort=True)

    def facts(self) -> EngineFacts:
        """See :class:`Contestant`."""
        spec, engine = self.spec, self._engine
        return EngineFacts(spec.name, spec.library, spec.dtype, engine.version, engine.isa, peak_memory_mb())


@dataclass
class _Field:
    """Who takes part; a peer that fails leaves it."""

    live: dict[str, Contestant] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    def drop(self, error: EngineError) -> None:
        contestant = self.live.pop(error.name, None)
        if contestant is not None and contestant.spec.library == OURS:
            raise error
        self.failed[error.name] = str(error)

    def measure(
        self, turns: Callable[[Mapping[str, Contestant]], Mapping[Any, Any]], effort: Effort
    ) -> dict[Any, list[Round]]:
        """Interleave; if a peer fails, without it again."""
        while True:
            try:
                return interleave(turns(self.live), effort)
            except EngineError as error:
                self.drop(error)


def run_bench(settings: Settings, say: Say = lambda _: None) -> dict[str, Any]:
    """Measure everything that is asked for. Returns a report that is plain JSON."""
    specs = plan(settings)
    encoder = load(settings.files[0], num_threads=settings.threads)
    info = encoder.info
    too_long = [length for length in settings.lengths if length > info.max_position_embeddings]
    if too_long:
        raise InputError(f"length {too_long[0]}: the model has {info.max_position_embeddings} positions")
    peaks = _peaks(settings, say)
    with _engines(specs, settings.texts, say) as field_:
        shapes = _run_shapes(field_, settings, info, say)
        texts = _run_texts(field_, settings, encoder, say) if settings.texts else {}
        accuracy = _accuracy(field_, settings, say) if settings.sts else {}
        engines = {name: contestant.facts() for name, contestant in field_.live.items()}
        failed = field_.failed
    startup = {}
    for spec in specs:
        if settings.startup and spec.library == OURS:
            say(f"starting {spec.name}")
            startup[spec.name] = measure_startup(spec.file)
    limits = best_peaks([*peaks, *_peaks(settings, say)])
    ours = [each.name for each in engines.values() if each.library == OURS]
    return {
        "format": FORMAT,
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        "commit": commit(),
        "machine": machine_facts(),
        "versions": versions(),
        "model": _model_facts(info),
        "settings": _settings_facts(settings),
        "peaks": None if limits is None else asdict(limits),
        "engines": [asdict(each) for each in engines.values()],
        "failed": failed,
        "shapes": [
            {"batch": batch, "length": length, **rate(engines[engine], timing, limits)}
            for ((batch, length), engine), timing in shapes.items()
        ],
        "texts": [
            {"mode": mode, **rate(engines[engine], timing, limits)}
            for (mode, engine), timing in texts.items()
        ],
        "accuracy": [{"engine": name, **asdict(score)} for name, score in accuracy.items()],
        "ratios": ratios(shapes, texts, ours, [name for name in engines if name not in ours]),
        "startup_ms": startup,
    }


@contextmanager
def _engines(specs: Sequence[EngineSpec], texts: Sequence[str], say: Say) -> Iterator[_Field]:
    """All engines, loaded: in processes of their own if there is more than one."""
    found = _Field()
    with ExitStack() as stack:
        for spec in specs:
            say(f"loading {spec.name}")
            if len(specs) == 1:
                found.live[spec.name] = LocalEngine(spec, texts)
                continue
            try:
                process = EngineProcess(spec, texts)
            except EngineError as error:
                if spec.library == OURS:
                    raise
                found.drop(error)
            else:
                stack.callback(process.close)
                found.live[spec.name] = process
        yield found


Shape = tuple[int, int]


def _run_shapes(
    contestants: _Field, settings: Settings, info: ModelInfo, say: Say
) -> dict[tuple[Shape, str], Timing]:
    timings: dict[tuple[Shape, str], Timing] = {}
    for length in settings.lengths:
        for batch in settings.batches:
            say(f"{batch} x {length}")
            amount = Amount.of(info, [length] * batch)
            turns = partial(_shape_turns, batch, length)
            for name, rounds in contestants.measure(turns, settings.effort).items():
                timings[(batch, length), name] = summarize(rounds, amount)
    return {key: timing for key, timing in timings.items() if key[1] in contestants.live}


def _shape_turns(batch: int, length: int, live: Mapping[str, Contestant]) -> dict[str, Any]:
    return {name: partial(each.run_shape, batch, length) for name, each in live.items()}


def _run_texts(
    contestants: _Field, settings: Settings, encoder: Encoder, say: Say
) -> dict[tuple[str, str], Timing]:
    say(settings.source or "texts")
    amount = Amount.of(encoder.info, token_lengths(encoder, settings.texts))
    measured = contestants.measure(_text_turns, settings.effort)
    timings = {key: summarize(rounds, amount) for key, rounds in measured.items()}
    return {
        (mode, name): timings[mode, name]
        for mode in TEXT_MODES
        for name in contestants.live
        if (mode, name) in timings
    }


def _text_turns(live: Mapping[str, Contestant]) -> dict[tuple[str, str], Any]:
    return {
        (mode, name): partial(each.run_texts, mode)
        for mode in TEXT_MODES
        for name, each in live.items()
        if mode != "one_call" or each.spec.library == OURS
    }


def _accuracy(contestants: _Field, settings: Settings, say: Say) -> dict[str, Any]:
    say("accuracy")
    assert settings.sts is not None
    names = [name for name, each in contestants.live.items() if each.spec.dtype == "fp32"]
    judge = next((name for name in names if name.startswith("transformers")), names[0] if names else None)
    return dict(measure_accuracy(contestants.live, settings.sts, judge))


def _peaks(settings: Settings, say: Say) -> list[Peaks]:
    """Measured before and after all else: the better counts."""
    if not settings.peaks:
        return []
    say("the limits of this machine")
    return [measure_peaks(settings.threads)]


def _model_facts(info: ModelInfo) -> dict[str, Any]:
    keys = ("name", "task", "num_hidden_layers", "hidden_size", "intermediate_size", "num_attention_heads")
    return {key: getattr(info, key) for key in keys}


def _settings_facts(settings: Settings) -> dict[str, Any]:
    return {
        "threads": settings.threads,
        "effort": asdict(settings.effort),
        "source": None if settings.source is None else Path(settings.source).name,
        "texts": len(settings.texts),
        "sts": None if settings.sts is None else settings.sts.name,
        "calibration_texts": len(settings.calibration),
    }
