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
    """What that output has a row for: ``tokens``, ``sequences`` or ``selected``."""
    compares: str
    """How two models' outputs are compared: as ``vectors`` (by cosine), as ``decisions`` (by label) or as
    ``values`` (by correlation)."""
    does: str
    """Completes the sentence "This model ...", for people."""
    evaluator: str = ""
    """The module below ``bertc.evaluation`` that scores the task on labelled data, if there is one."""
    metric: TaskMetric | None = None
    """The score that an accuracy budget with labelled data is about."""
    labeled: bool = False
    """Whether the columns of the output have names, the labels of ``ModelInfo``."""
    columns: tuple[str, ...] = ()
    """The names that the padded call gives to the columns of the output, if each is an answer of its own."""

    @property
    def fidelity_metric(self) -> str:
        """What an accuracy budget without labelled data is about, as recipes spell it."""
        return _FIDELITY_METRICS[self.compares]

    @property
    def budget_metrics(self) -> tuple[str, ...]:
        """What an accuracy budget may be about, as recipes spell it: without labelled data, and with it."""
        return (self.fidelity_metric,) if self.metric is None else (self.fidelity_metric, self.metric.name)


_FIDELITY_METRICS = {"vectors": "cosine", "decisions": "top1_agreement", "values": "correlation"}


TASKS: Mapping[str, TaskFacts] = MappingProxyType(
    {
        row.name: row
        for row in (
            TaskFacts(
                name="embedding",
                encoder="embedding.Embedder",
                methods=("encode", "encode_query", "encode_document", "similarity"),
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
                labeled=True,
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
                labeled=True,
                evaluator="ner",
                metric=TaskMetric("entity_f1", "f1"),
                does="labels the words of texts",
            ),
            TaskFacts(
                name="question_answering",
                encoder="question_answering.QuestionAnswerer",
                methods=("answer",),
                output="logits",
                rows="tokens",
                compares="values",
                columns=("start_logits", "end_logits"),
                does="finds the answer to a question in a text",
            ),
            TaskFacts(
                name="masked_lm",
                encoder="masked_lm.MaskFiller",
                methods=("fill_mask",),
                output="logits",
                rows="selected",
                compares="decisions",
                does="fills in masked words",
            ),
            TaskFacts(
                name="next_sentence",
                encoder="next_sentence.NextSentencePredictor",
                methods=("next_sentence",),
                output="logits",
                rows="sequences",
                compares="decisions",
                does="tells whether a text follows another",
            ),
            TaskFacts(
                name="pretraining",
                encoder="pretraining.PretrainedModel",
                methods=("fill_mask", "next_sentence"),
                output="prediction_logits",
                rows="selected",
                compares="decisions",
                does="fills in masked words, and tells whether a text follows another",
            ),
            TaskFacts(
                name="multiple_choice",
                encoder="multiple_choice.Chooser",
                methods=("choose",),
                output="logits",
                rows="sequences",
                compares="values",
                does="chooses the text that fits best",
            ),
            TaskFacts(
                name="sparse",
                encoder="sparse.SparseEmbedder",
                methods=("encode_sparse", "encode_query", "encode_document", "similarity"),
                output="sparse_embedding",
                rows="sequences",
                compares="vectors",
                does="turns texts into sparse vectors",
            ),
            TaskFacts(
                name="late_interaction",
                encoder="late_interaction.TokenEmbedder",
                methods=("encode_tokens", "encode_query", "encode_document", "maxsim"),
                output="token_embeddings",
                rows="tokens",
                compares="vectors",
                does="turns the tokens of texts into vectors",
            ),
        )
    }
)
"""Task name -> its row."""
