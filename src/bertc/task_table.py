"""THE table of tasks: what recipe, loading, evaluation, certificate, report and bench know of each.

A row here and a file in ``tasks/`` make a task. This module imports nothing of bertc.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class TaskFacts:
    """One row of the table: the facts about a task."""

    name: str
    """The name of the task, as ``ModelInfo.task`` and the recipe's ``task`` have it."""
    encoder: str
    """The class that ``bertc.load`` returns, as ``module.Class`` below ``bertc.tasks``."""
    methods: tuple[str, ...]
    """The methods of that class which answer, the main one first."""
    output: str
    """The output of the program that the task reads."""
    rows: str
    """The kind of rows that the output has: ``tokens`` or ``sequences``."""
    compares: str
    """The way to compare two models' outputs: as ``vectors`` (by cosine) or as ``decisions`` (by label)."""
    evaluator: str
    """The module below ``bertc.evaluation`` that scores the task on labeled data."""
    metric: str
    """The score that an accuracy budget is about, as recipes spell it in ``budget.metric``."""
    score: str
    """The same score as the evaluator spells it in its results."""
    does: str
    """The end of the sentence "This model ...", for people."""

    @property
    def fidelity_metric(self) -> str:
        """The metric of an accuracy budget without labeled data, as recipes spell it."""
        return "cosine" if self.compares == "vectors" else "top1_agreement"

    @property
    def budget_metrics(self) -> tuple[str, str]:
        """The metrics that a budget may be about, as recipes spell them: without labeled data, with it."""
        return self.fidelity_metric, self.metric


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
                metric="spearman",
                score="spearman",
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
                metric="accuracy",
                score="accuracy",
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
                metric="entity_f1",
                score="f1",
                does="labels the words of texts",
            ),
        )
    }
)
"""The table: the row of each task by its name."""
