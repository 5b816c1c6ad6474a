"""A run of the bench, from engines to a report: every engine on every shape and text, in turns."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, Protocol

from bertc.artifact.schema import ModelInfo
from bertc.bench.accuracy import measure_accuracy
from bertc.bench.engine import TEXT_MODES, Driver, texts_of
from bertc.bench.machine import commit, machine_facts, versions
from bertc.bench.memory import measure_memory
from bertc.bench.ours import CompiledModel, token_lengths
from bertc.bench.peaks import Peaks, measure_peaks
from bertc.bench.plan import OURS, Settings, plan
from bertc.bench.process import EngineError, EngineFacts, EngineProcess, EngineSpec, describe
from bertc.bench.report import FORMAT, best_peaks, rate, ratios
from bertc.bench.scaling import SHAPE, measure_scaling
from bertc.bench.startup import measure_startup
from bertc.bench.timing import Amount, Effort, Round, Timing, summarize
from bertc.bench.turns import interleave
from bertc.encoder import Encoder, load
from bertc.errors import InputError

Say = Callable[[str], None]
Keep = Callable[[dict[str, Any]], None]
Shape = tuple[int, int]


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
        # Of the memory of this process, the bench itself has taken the most.
        return replace(describe(self.spec, self._engine), peak_mb=None)


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


def run_bench(settings: Settings, say: Say = lambda _: None, keep: Keep = lambda _: None) -> dict[str, Any]:
    """Measure everything that is asked for. Returns a report that is plain JSON.

    ``keep`` gets the report as far as it is, again and again: what an interrupted run leaves.
    """
    specs = plan(settings)
    encoder = load(settings.files[0], num_threads=settings.threads)
    info = encoder.info
    too_long = [length for length in settings.lengths if length > info.max_position_embeddings]
    if too_long:
        raise InputError(f"length {too_long[0]}: the model has {info.max_position_embeddings} positions")
    findings = _Findings(settings, info, _circumstances(settings, info))
    own = [spec for spec in specs if spec.library == OURS]
    _measure_peaks(findings, say)
    _measure_processes(findings, own, say)
    keep(findings.report())
    with _engines(specs, settings.texts, say) as contestants:
        findings.failed = contestants.failed
        if settings.texts:
            _run_texts(findings, contestants, encoder, say)
            keep(findings.report())
        for length, batch in product(settings.lengths, settings.batches):
            _run_shape(findings, contestants, (batch, length), say)
            keep(findings.report())
        if settings.sts is not None:
            _score(findings, contestants, settings.sts, say)
        findings.engines = _facts(contestants)
    _measure_peaks(findings, say)
    findings.complete = True
    report = findings.report()
    keep(report)
    return report


@dataclass
class _Findings:
    """What has been measured so far."""

    settings: Settings
    info: ModelInfo
    circumstances: dict[str, Any]
    engines: dict[str, EngineFacts] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    peaks: list[Peaks] = field(default_factory=list)
    """Measured before and after all else: the better counts."""
    shapes: dict[tuple[Shape, str], Timing] = field(default_factory=dict)
    texts: dict[tuple[str, str], Timing] = field(default_factory=dict)
    accuracy: dict[str, Any] = field(default_factory=dict)
    startup: dict[str, dict[str, float]] = field(default_factory=dict)
    memory: list[dict[str, Any]] = field(default_factory=list)
    scaling: list[dict[str, Any]] = field(default_factory=list)
    complete: bool = False

    def report(self) -> dict[str, Any]:
        """As JSON has it: of the engines that did not fail."""
        limits = best_peaks(self.peaks)
        engines = self.engines
        shapes = {key: timing for key, timing in self.shapes.items() if key[1] in engines}
        texts = {key: timing for key, timing in self.texts.items() if key[1] in engines}
        ours = [each.name for each in engines.values() if each.library == OURS]
        return {
            "format": FORMAT,
            "complete": self.complete,
            **self.circumstances,
            "peaks": None if limits is None else asdict(limits),
            "engines": [asdict(each) for each in engines.values()],
            "failed": dict(self.failed),
            "shapes": [
                {"batch": batch, "length": length, **rate(engines[engine], timing, limits)}
                for ((batch, length), engine), timing in shapes.items()
            ],
            "texts": [
                {"mode": mode, **rate(engines[engine], timing, limits)}
                for (mode, engine), timing in texts.items()
            ],
            "accuracy": [{"engine": name, **asdict(score)} for name, score in self.accuracy.items()],
            "ratios": ratios(shapes, texts, ours, [name for name in engines if name not in ours]),
            "startup_ms": self.startup,
            "memory": self.memory,
            "scaling": self.scaling,
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


def _facts(contestants: _Field) -> dict[str, EngineFacts]:
    return {name: contestant.facts() for name, contestant in contestants.live.items()}


def _run_shape(findings: _Findings, contestants: _Field, shape: Shape, say: Say) -> None:
    batch, length = shape
    say(f"{batch} x {length}")
    amount = Amount.of(findings.info, [length] * batch)
    turns = partial(_shape_turns, batch, length)
    for name, rounds in contestants.measure(turns, findings.settings.effort).items():
        findings.shapes[shape, name] = summarize(rounds, amount)
    findings.engines = _facts(contestants)


def _shape_turns(batch: int, length: int, live: Mapping[str, Contestant]) -> dict[str, Any]:
    return {name: partial(each.run_shape, batch, length) for name, each in live.items()}


def _run_texts(findings: _Findings, contestants: _Field, encoder: Encoder, say: Say) -> None:
    """All ways in one go, so that ratios between ways hold too."""
    settings = findings.settings
    say(settings.source or "texts")
    amounts = {
        mode: Amount.of(encoder.info, token_lengths(encoder, texts_of(mode, settings.texts)))
        for mode in TEXT_MODES
    }
    # Each turn warms up by itself: whole passes for nothing would take minutes. A pass is many calls.
    effort = replace(settings.effort, warmup=0, patience=3 * settings.effort.patience)
    for (mode, name), rounds in contestants.measure(_text_turns, effort).items():
        findings.texts[mode, name] = summarize(rounds, amounts[mode])
    findings.engines = _facts(contestants)


def _text_turns(live: Mapping[str, Contestant]) -> dict[tuple[str, str], Any]:
    return {
        (mode, name): partial(each.run_texts, mode)
        for mode in TEXT_MODES
        for name, each in live.items()
        if mode != "one_call" or each.spec.library == OURS
    }


def _score(findings: _Findings, contestants: _Field, sts: Path, say: Say) -> None:
    say("accuracy")
    names = [name for name, each in contestants.live.items() if each.spec.dtype == "fp32"]
    judge = next((name for name in names if name.startswith("transformers")), names[0] if names else None)
    findings.accuracy = dict(measure_accuracy(contestants.live, sts, judge))


def _measure_peaks(findings: _Findings, say: Say) -> None:
    if findings.settings.peaks:
        say("the limits of this machine")
        findings.peaks.append(measure_peaks(findings.settings.threads))


def _measure_processes(findings: _Findings, own: Sequence[EngineSpec], say: Say) -> None:
    """What takes processes of its own, while no engine is loaded."""
    settings = findings.settings
    for spec in own:
        if settings.startup:
            say(f"starting {spec.name}")
            findings.startup[spec.name] = measure_startup(spec.file)
        if settings.memory:
            say(f"memory of {spec.name}")
            memory = measure_memory(spec.file, spec.threads)
            if memory is not None:
                findings.memory.append({"engine": spec.name, **memory})
    if settings.scaling and settings.threads > 1:
        say("one thread and all of them")
        batch, length = SHAPE
        shape = batch, min(length, findings.info.max_position_embeddings)
        findings.scaling = measure_scaling(own, settings.effort, shape)


def _circumstances(settings: Settings, info: ModelInfo) -> dict[str, Any]:
    """When, where, of what, how."""
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        "commit": commit(),
        "machine": machine_facts(),
        "versions": versions(),
        "model": _model_facts(info),
        "settings": _settings_facts(settings),
    }


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
