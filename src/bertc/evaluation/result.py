"""What an evaluation gives: outcomes of samples, the scores made of them, and two models side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from bertc.evaluation.resampling import SIGNIFICANT

Array = np.ndarray[Any, Any]

SMALLER_IS_BETTER = ("pseudo_perplexity",)
"""The metrics of which less is more."""
FEWEST = 6
"""With fewer samples that tell two models apart no exact test calls a difference real: 2 (1/2)^5 > 0.05."""


class Case(NamedTuple):
    """A sample, as people are shown it."""

    id: str
    text: str
    expected: str


class Confusion(NamedTuple):
    """How often each class, by row, was taken for which, by column."""

    labels: tuple[str, ...]
    counts: Array
    """int64 [labels, labels]."""


@dataclass(frozen=True)
class Outcomes:
    """What an engine made of each sample."""

    answers: Sequence[str]
    """The answers in words. Two models disagree where these differ."""
    goodness: Array
    """How good each answer is, larger is better, float64 [samples]; 0 or 1 where answers are decisions."""
    statistics: Array
    """The numbers that the evaluator's score is made of, float64 [samples, columns]."""
    counts: Mapping[str, int]
    classes: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    confusion: Confusion | None = None
    facts: Mapping[str, str] = field(default_factory=dict)
    """What else a reader has to know, such as a threshold that was chosen."""
    vectors: Array | None = None
    """The vectors [texts, dimensions] that answers were made of, where the engine gives some."""


@dataclass(frozen=True)
class Result:
    """Scores, and what they were measured on."""

    metrics: Mapping[str, float]
    """On a scale of 0 to 100, but ``SMALLER_IS_BETTER``."""
    counts: Mapping[str, int]
    """What was scored: samples, tokens, pairs or entities, and how many inputs were truncated."""
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """The range of each metric that holds 95 % of resamples of the samples."""
    classes: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """The scores of each class alone, and the ``samples`` (words, entities) that are of it."""
    confusion: Confusion | None = None
    facts: Mapping[str, str] = field(default_factory=dict)
    """What else a reader has to know, such as a threshold that was chosen."""
    outcomes: Outcomes | None = field(default=None, compare=False, repr=False)
    """What the scores were made of; not a part of :meth:`to_dict`."""
    cases: Sequence[Case] = field(default=(), compare=False, repr=False)
    """The samples as people are shown them, in the order of the outcomes; not a part of :meth:`to_dict`."""

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the outcomes as plain numbers, lists and dicts."""
        facts: dict[str, Any] = {
            "metrics": dict(self.metrics),
            "counts": dict(self.counts),
            "intervals": {name: list(ends) for name, ends in self.intervals.items()},
        }
        if self.classes:
            facts["classes"] = {name: dict(scores) for name, scores in self.classes.items()}
        if self.facts:
            facts["facts"] = dict(self.facts)
        if self.confusion is not None:
            labels, counts = self.confusion
            facts["confusion"] = {"labels": list(labels), "counts": counts.tolist()}
        return facts


class Difference(NamedTuple):
    """A model's score minus the reference's, and what chance does to that."""

    value: float
    low: float
    high: float
    p: float
    """The p-value of the paired bootstrap."""


class Cosines(NamedTuple):
    """How close the vectors of two models are, text by text."""

    texts: int
    mean: float
    worst: float


class Disagreement(NamedTuple):
    """A sample that two models answer differently."""

    id: str
    text: str
    expected: str
    answer: str
    reference: str
    """The answer of the reference."""


@dataclass(frozen=True)
class Comparison:
    """A model beside a reference on the same samples."""

    reference: Result
    metric: str
    """The metric that the test is about."""
    differences: Mapping[str, Difference]
    test: str
    p: float
    disagreements: int
    """The samples that the two answer differently; of these, some are answered better or worse."""
    better: int
    worse: int
    worst: Sequence[Disagreement]
    cosines: Cosines | None = None
    """How close the vectors are, of models that give vectors of one size."""

    @property
    def verdict(self) -> str:
        """Whether the difference is real, in words."""
        change = self.differences[self.metric].value
        if not self.disagreements and not self.better and not self.worse:
            return "every answer is that of the reference"
        if self.p < SIGNIFICANT:
            better = (change > 0) != (self.metric in SMALLER_IS_BETTER)
            return f"the difference is real: {'better' if better else 'worse'} than the reference"
        told = self.better + self.worse
        if told >= FEWEST:
            return "the difference is within noise"
        answers = f"{told} answer{'' if told == 1 else 's'}"
        return f"the difference is within noise: it hangs on {answers}, too few for any test to call it real"

    @property
    def summary(self) -> str:
        """The difference and the verdict in a few sentences."""
        change, low, high = (f"{round(each, 2) + 0.0:+.2f}" for each in self.differences[self.metric][:3])
        vectors = ""
        if self.cosines is not None:
            count, mean, worst = self.cosines
            vectors = f" The vectors' cosine is {mean:.5f} on average, {worst:.4f} at worst, {count:,} texts."
        return (
            f"{self.metric} is {self.reference.metrics[self.metric]:.2f} for the reference, the difference "
            f"is {change} (95 % interval {low} to {high}; {self.test}, p = {self.p:.2g}): {self.verdict}. "
            f"Samples that the two answer differently: {self.disagreements:,} of "
            f"{self.reference.counts['samples']:,}; {self.better:,} better, {self.worse:,} worse.{vectors}"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain numbers, lists and dicts."""
        facts: dict[str, Any] = {
            "reference": self.reference.to_dict(),
            "metric": self.metric,
            "differences": {name: each._asdict() for name, each in self.differences.items()},
            "test": self.test,
            "p": self.p,
            "disagreements": self.disagreements,
            "better": self.better,
            "worse": self.worse,
            "verdict": self.verdict,
            "worst": [each._asdict() for each in self.worst],
        }
        if self.cosines is not None:
            facts["cosines"] = self.cosines._asdict()
        return facts
