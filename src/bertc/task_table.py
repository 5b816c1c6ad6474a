"""THE table of tasks: what recipe, loading, evaluation, certificate, report and bench know of each.

A row here and a file in ``tasks/`` make a task. This module imports nothing of bertc.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class TaskMetric:
    """A score on labelled data."""

    name: str
    """As recipes spell it in ``budget.metric``."""
    key: str
    """As the evaluator spells it in its results."""


@dataclass(frozen=True)
class TaskFacts:
    """One row of the table."""

    name: str
    """As ``ModelInfo.task`` and the recipe's ``task`` have it."""
    encoder: str
    """The class that ``bertc.load`` returns, as ``module.Class`` below ``bertc.tasks``."""
    methods: tuple[str, ...]
    """The methods of that class which answer, the main one first."""
    output: str
    """The output of the program that the task reads."""
    rows: str
    """What that output has a row for: ``tokens`` or ``sequences``."""
    compares: str
    """How two models' outputs are compared: as ``vectors`` (by cosine) or as ``decisions`` (by label)."""
    evaluator: str
    """The module below ``bertc.evaluation`` that scores the task on labelled data."""
    metric: TaskMetric
    """The score that an accuracy budget is about."""
    does: str
    """Completes the sentence "This model ...", for people."""

    @property
    def fidelity_metric(self) -> str:
        """What an accuracy budget without labelled data is about, as recipes spell it."""
        return "cosine" if self.compares == "vectors" else "top1_agreement"

    @property
    def budget_metrics(self) -> tuple[str, str]:
        """What an accuracy budget may be about, as recipes spell it: without labelled data, and with it."""
        return self.fidelity_metric, self.metric.name


TASKS: Mapping[str, TaskFacts] = MappingProxyType(
    {
        row.name: row
        for row in (
            TaskFacts(
                name="embedding",
                encoder="embedding.Embedder",
                methods=("encode",),
                output="sentence_embedding",
                rows="sequences",
                compares="vectors",
                evaluator="sts",
                metric=TaskMetric("spearman", "spearman"),
                does="turns texts into vectors",
            ),
            TaskFacts(
                name="classification",
                encoder="classification.Classifier",
                methods=("classify",),
                output="logits",
                rows="sequences",
                compares="decisions",
                evaluator="classification",
                metric=TaskMetric("accuracy", "accuracy"),
                does="classifies texts",
            ),
            TaskFacts(
                name="token_classification",
                encoder="token_classification.Tagger",
                methods=("tag", "predict_tags"),
                output="logits",
                rows="tokens",
                compares="decisions",
                evaluator="ner",
                metric=TaskMetric("entity_f1", "f1"),
                does="labels the words of texts",
            ),
        )
    }
)
"""Task name -> its row."""
