"""A run of the bench, from engines to a report: every engine on every shape and text, in turns."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from bertc.artifact.reader import Artifact, open_artifact
from bertc.artifact.schema import ModelInfo
from bertc.bench.accuracy import measure_accuracy, sentences
from bertc.bench.engine import OURS, TEXT_MODES, texts_of
from bertc.bench.memory import measure_memory
from bertc.bench.ours import token_lengths
from bertc.bench.peaks import Peaks, measure_peaks
from bertc.bench.plan import Settings, plan
from bertc.bench.process import EngineError, EngineFacts, EngineProcess, EngineSpec
from bertc.bench.report import FORMAT, best_peaks, rate, ratios
from bertc.bench.scaling import SHAPE, measure_scaling
from bertc.bench.startup import measure_startup
from bertc.bench.timing import Amount, Effort, Round, Timing, summarize
from bertc.bench.turns import interleave
from bertc.bench.versions import commit, versions
from bertc.bench.work import longest_sequence
from bertc.errors import InputError
from bertc.precision import FP32
from bertc.runtime.machine import machine_facts

Say = Callable[[str], None]
Keep = Callable[[dict[str, Any]], None]
Shape = tuple[int, int]


class _Engines:
    """The engines that take part, each in a process of its own, and those that failed."""

    def __init__(self) -> None:
        self.live: dict[str, EngineProcess] = {}
        self.failed: dict[str, str] = {}

    @classmethod
    @contextmanager
    def start(cls, specs: Sequence[EngineSpec], texts: Sequence[str], say: Say) -> Iterator[_Engines]:
        """Load all engines, and end their processes when the block ends."""
        engines = cls()
        with ExitStack() as stack:
            for spec in specs:
                say(f"loading {spec.name}")
                try:
                    process = EngineProcess(spec, texts)
                except EngineError as error:
                    engines.drop(error)
                else:
                    stack.callback(process.close)
                    engines.live[spec.name] = process
            yield engines

    def drop(self, error: EngineError) -> None:
        """Go on without a peer that failed. Raises the error if a compiled file did."""
        if error.spec.library == OURS:
            raise error
        self.live.pop(error.spec.name, None)
        self.failed[error.spec.name] = str(error)

    def measure(
        self, turns: Callable[[Mapping[str, EngineProcess]], Mapping[Any, Any]], effort: Effort
    ) -> dict[Any, list[Round]]:
        """Let the engines take turns; if a peer fails, start again without it."""
        while True:
            try:
                return interleave(turns(self.live), effort)
            except EngineError as error:
                self.drop(error)

    def facts(self) -> dict[str, EngineFacts]:
        """Ask each engine what it is."""
        return {name: engine.facts() for name, engine in self.live.items()}


def run_bench(settings: Settings, say: Say = lambda _: None, keep: Keep = lambda _: None) -> dict[str, Any]:
    """Measure everything that is asked for, and return a report that is plain JSON.

    ``keep`` gets the report as far as it is, again and again: what an interrupted run leaves.
    """
    specs = plan(settings)
    artifact = open_artifact(settings.files[0])
    info = artifact.manifest.model
    too_long = [length for length in settings.lengths if length > longest_sequence(info)]
    if too_long:
        raise InputError(f"length {too_long[0]}: the model has {longest_sequence(info)} positions")
    findings = _Findings(settings, info, _circumstances(settings, info))
    own = [spec for spec in specs if spec.library == OURS]
    _measure_peaks(findings, say)
    _measure_processes(findings, own, say)
    keep(findings.report())
    with _Engines.start(specs, settings.texts, say) as engines:
        findings.failed = engines.failed
        if settings.texts:
            _run_texts(findings, engines, artifact, say)
            keep(findings.report())
        for length, batch in product(settings.lengths, settings.batches):
            _run_shape(findings, engines, (batch, length), say)
            keep(findings.report())
        if settings.sts is not None:
            _score(findings, engines, settings.sts, say)
        findings.engines = engines.facts()
    _measure_peaks(findings, say)
    findings.complete = True
    report = findings.report()
    keep(report)
    return report


@dataclass
class _Findings:
    """The measurements of a run so far."""

    settings: Settings
    info: ModelInfo
    circumstances: dict[str, Any]
    engines: dict[str, EngineFacts] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    peaks: list[Peaks] = field(default_factory=list)
    """The limits, measured before and after all else: the better count."""
    shapes: dict[tuple[Shape, str], Timing] = field(default_factory=dict)
    texts: dict[tuple[str, str], Timing] = field(default_factory=dict)
    accuracy: dict[str, Any] = field(default_factory=dict)
    startup: dict[str, dict[str, float]] = field(default_factory=dict)
    memory: list[dict[str, Any]] = field(default_factory=list)
    scaling: list[dict[str, Any]] = field(default_factory=list)
    complete: bool = False

    def report(self) -> dict[str, Any]:
        """The report as plain JSON, with the engines that did not fail."""
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


def _run_shape(findings: _Findings, engines: _Engines, shape: Shape, say: Say) -> None:
    batch, length = shape
    say(f"{batch} x {length}")
    amount = Amount.of(findings.info, [length] * batch)
    turns = partial(_shape_turns, batch, length)
    for name, rounds in engines.measure(turns, findings.settings.effort).items():
        findings.shapes[shape, name] = summarize(rounds, amount)
    findings.engines = engines.facts()


def _shape_turns(batch: int, length: int, live: Mapping[str, EngineProcess]) -> dict[str, Any]:
    return {name: partial(each.run_shape, batch, length) for name, each in live.items()}


def _run_texts(findings: _Findings, engines: _Engines, artifact: Artifact, say: Say) -> None:
    """Run the texts in all modes in one go, so that ratios between modes hold too."""
    settings = findings.settings
    say(settings.source or "texts")
    amounts = {
        mode: Amount.of(findings.info, token_lengths(artifact, texts_of(mode, settings.texts)))
        for mode in TEXT_MODES
    }
    # Each turn warms up by itself: whole passes for nothing would take minutes. A pass is many calls.
    effort = replace(settings.effort, warmup=0, patience=3 * settings.effort.patience)
    for (mode, name), rounds in engines.measure(_text_turns, effort).items():
        findings.texts[mode, name] = summarize(rounds, amounts[mode])
    findings.engines = engines.facts()


def _text_turns(live: Mapping[str, EngineProcess]) -> dict[tuple[str, str], Any]:
    return {
        (mode, name): partial(each.run_texts, mode)
        for mode in TEXT_MODES
        for name, each in live.items()
        if mode != "one_call" or each.spec.library == OURS
    }


def _score(findings: _Findings, engines: _Engines, sts: Path, say: Say) -> None:
    say("accuracy")
    names = [name for name, each in engines.live.items() if each.spec.dtype == FP32]
    judge = next((name for name in names if name.startswith("transformers")), names[0] if names else None)
    texts = sentences(sts)
    embeddings = {name: np.asarray(each.encode(texts), np.float32) for name, each in engines.live.items()}
    findings.accuracy = measure_accuracy(embeddings, sts, judge)


def _measure_peaks(findings: _Findings, say: Say) -> None:
    if findings.settings.peaks:
        say("the limits of this machine")
        findings.peaks.append(measure_peaks(findings.settings.threads))


def _measure_processes(findings: _Findings, own: Sequence[EngineSpec], say: Say) -> None:
    """Measure what takes further processes, while no engine is loaded."""
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
        shape = batch, min(length, longest_sequence(findings.info))
        findings.scaling = measure_scaling(own, settings.effort, shape)


def _circumstances(settings: Settings, info: ModelInfo) -> dict[str, Any]:
    """Return the part of a report that says when, where, of what and how it was measured."""
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        "commit": commit(),
        "machine": machine_facts(),
        "versions": versions(),
        "model": _model_facts(info),
        "settings": _settings_facts(settings),
    }


def _model_facts(info: ModelInfo) -> dict[str, Any]:
    sizes = ("num_hidden_layers", "hidden_size", "intermediate_size", "num_attention_heads")
    return {"name": info.name, "task": info.task, **{key: info.size(key) for key in sizes}}


def _settings_facts(settings: Settings) -> dict[str, Any]:
    return {
        "threads": settings.threads,
        "effort": asdict(settings.effort),
        "source": None if settings.source is None else Path(settings.source).name,
        "texts": len(settings.texts),
        "sts": None if settings.sts is None else settings.sts.name,
        "calibration_texts": len(settings.calibration),
    }
