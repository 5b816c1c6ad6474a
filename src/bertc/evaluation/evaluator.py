"""What an evaluator is, and the one driver of all: reads, asks, scores, and says what chance does to that.

An evaluator is a frozen dataclass of its options. It reads a file, asks an engine, and makes scores of the
outcomes; counts, intervals and paired tests come from here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np

from bertc import fidelity
from bertc.evaluation import resampling
from bertc.evaluation.replay import Replay
from bertc.evaluation.result import Case, Comparison, Cosines, Difference, Disagreement, Outcomes, Result

Array = np.ndarray[Any, Any]
Sample = TypeVar("Sample")

WORST = 20
"""The disagreements that a comparison keeps."""


class Evaluator(ABC, Generic[Sample]):
    """A way to score engines on labeled data, with the options of one evaluation."""

    metric: ClassVar[str]
    """The metric that a paired test is about."""
    decides: ClassVar[bool] = False
    """Whether each answer is right or wrong, and nothing between."""

    def bound(self, engine: Any) -> Evaluator[Sample]:
        """Return the evaluator with what it has to know of the engine before it can read, such as labels."""
        del engine
        return self

    @abstractmethod
    def read(self, path: str | PathLike[str]) -> Sequence[Sample]:
        """Return all samples. Raises ``InputError`` that names file, line and column of what is wrong."""

    @abstractmethod
    def answer(self, engine: Any, samples: Sequence[Sample]) -> Outcomes:
        """Return what an engine makes of each sample."""

    @abstractmethod
    def score(self, outcomes: Outcomes, weights: Array) -> Mapping[str, Array]:
        """Return each metric [resamples], where each sample counts as often as ``weights`` say."""

    @abstractmethod
    def case(self, sample: Sample) -> Case:
        """Return a sample as people are shown it."""

    def distances(self, found: Outcomes, reference: Outcomes) -> Array:
        """Return how far the answers of two engines are from each other, [samples]; 0 for the same."""
        pairs = zip(found.answers, reference.answers, strict=True)
        return np.array([float(a != b) for a, b in pairs])


def evaluate(
    evaluator: Evaluator[Any], engine: Any, path: str | PathLike[str], *, seed: int | None = 0
) -> Result:
    """Return the scores of an engine on a file. Raises ``InputError``.

    Each has its interval, of resamples by ``seed``; None saves the time that these take.
    """
    evaluator = evaluator.bound(engine)
    samples = evaluator.read(path)
    return _scored(evaluator, samples, evaluator.answer(engine, samples), seed)


def compare(
    evaluator: Evaluator[Any], engine: Any, reference: Any, path: str | PathLike[str], *, seed: int = 0
) -> tuple[Result, Comparison]:
    """Return the scores of an engine on a file, and how they differ from those of a reference.

    The test is McNemar's where answers are right or wrong, else the paired bootstrap. Raises ``InputError``.
    """
    return compare_all(evaluator, [engine], reference, path, seed=seed)[0]


def compare_all(
    evaluator: Evaluator[Any],
    engines: Sequence[Any],
    reference: Any,
    path: str | PathLike[str],
    *,
    seed: int = 0,
) -> list[tuple[Result, Comparison]]:
    """Compare engines of one task with one reference, which is asked once, as :func:`compare` does it."""
    evaluator = evaluator.bound(engines[0])
    samples = evaluator.read(path)
    if isinstance(reference, Replay):
        reference.expect([evaluator.case(sample).id for sample in samples])
    found = [evaluator.answer(engine, samples) for engine in engines]
    expected = evaluator.answer(reference, samples)
    other = _scored(evaluator, samples, expected, seed)
    return [
        (
            _scored(evaluator, samples, each, seed),
            _compared(evaluator, samples, each, expected, other, seed),
        )
        for each in found
    ]


def _compared(
    evaluator: Evaluator[Any],
    samples: Sequence[Any],
    found: Outcomes,
    expected: Outcomes,
    reference: Result,
    seed: int,
) -> Comparison:
    differences = _differences(evaluator, found, expected, seed)
    gains = found.goodness - expected.goodness
    better, worse = int(np.sum(gains > 0)), int(np.sum(gains < 0))
    distances = evaluator.distances(found, expected)
    order = np.lexsort((-distances, gains))
    worst = [index for index in order.tolist() if distances[index] > 0][:WORST]
    test, p = "paired bootstrap", differences[evaluator.metric].p
    if evaluator.decides:
        test, p = "McNemar's exact test", resampling.mcnemar(better, worse)
    return Comparison(
        reference=reference,
        metric=evaluator.metric,
        differences=differences,
        test=test,
        p=p,
        disagreements=int(np.sum(distances > 0)),
        better=better,
        worse=worse,
        worst=[
            Disagreement(*evaluator.case(samples[index]), found.answers[index], expected.answers[index])
            for index in worst
        ],
        cosines=_cosines(found.vectors, expected.vectors),
    )


def _cosines(found: Array | None, expected: Array | None) -> Cosines | None:
    if found is None or expected is None or found.shape != expected.shape:
        return None
    cosines = fidelity.cosine(found, expected)
    return Cosines(len(cosines), float(cosines.mean()), float(cosines.min()))


def _scored(
    evaluator: Evaluator[Any], samples: Sequence[Any], outcomes: Outcomes, seed: int | None
) -> Result:
    count = len(outcomes.answers)
    scores = evaluator.score(outcomes, np.ones((1, count)))
    drawn: Mapping[str, Array] = {}
    if seed is not None:
        drawn = resampling.bootstrap(lambda weights: evaluator.score(outcomes, weights), count, seed=seed)
    return Result(
        metrics={name: float(score[0]) for name, score in scores.items()},
        counts={"samples": count, **outcomes.counts},
        intervals={name: resampling.interval(each) for name, each in drawn.items()},
        classes=outcomes.classes,
        confusion=outcomes.confusion,
        facts=outcomes.facts,
        outcomes=outcomes,
        cases=[evaluator.case(sample) for sample in samples],
    )


def _differences(
    evaluator: Evaluator[Any], found: Outcomes, reference: Outcomes, seed: int
) -> dict[str, Difference]:
    def score(weights: Array) -> dict[str, Array]:
        ours, theirs = (evaluator.score(each, weights) for each in (found, reference))
        return {name: ours[name] - theirs[name] for name in ours}

    count = len(found.answers)
    values = score(np.ones((1, count)))
    drawn = resampling.bootstrap(score, count, seed=seed)
    return {
        name: Difference(
            float(values[name][0]), *resampling.interval(each), resampling.paired_bootstrap(each)
        )
        for name, each in drawn.items()
    }
