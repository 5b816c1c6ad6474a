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
    """The kind of rows that the output has: ``tokens``, ``sequences`` or ``selected``."""
    compares: str
    """The way to compare two models' outputs: as ``vectors`` (by cosine), as ``decisions`` (by label) or as
    ``values`` (by correlation)."""
    does: str
    """The end of the sentence "This model ...", for people."""
    evaluator: str = ""
    """The module below ``bertc.evaluation`` that scores the task on labeled data, if there is one."""
    metric: str = ""
    """The score that a budget with labeled data is about, as recipes spell it in ``budget.metric``."""
    score: str = ""
    """The same score as the evaluator spells it in its results."""
    labeled: bool = False
    """Whether the columns of the output have names, the labels of ``ModelInfo``."""
    takes: str = "texts"
    """The arguments of the main method: ``texts``, ``pairs`` (two lists of texts) or ``choices`` (texts, and
    for each the texts to choose from)."""
    columns: tuple[str, ...] = ()
    """The names that the padded call gives to the columns of the output, if each is an answer of its own."""

    @property
    def fidelity_metric(self) -> str:
        """The metric of an accuracy budget without labeled data, as recipes spell it."""
        return _FIDELITY_METRICS[self.compares]

    @property
    def budget_metrics(self) -> tuple[str, ...]:
        """The metrics that a budget may be about, as recipes spell them: without labeled data, with it."""
        return (self.fidelity_metric, self.metric) if self.metric else (self.fidelity_metric,)


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
                metric="spearman",
                score="spearman",
                does="turns texts into vectors",
            ),
            TaskFacts(
                name="classification",
                encoder="classification.Classifier",
                methods=("classify", "predict", "rank"),
                output="logits",
                rows="sequences",
                compares="decisions",
                labeled=True,
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
                labeled=True,
                evaluator="ner",
                metric="entity_f1",
                score="f1",
                does="labels the words of texts",
            ),
            TaskFacts(
                name="question_answering",
                encoder="question_answering.QuestionAnswerer",
                methods=("answer",),
                output="logits",
                rows="tokens",
                compares="values",
                takes="pairs",
                columns=("start_logits", "end_logits"),
                evaluator="question_answering",
                metric="answer_f1",
                score="f1",
                does="finds the answer to a question in a text",
            ),
            TaskFacts(
                name="masked_lm",
                encoder="masked_lm.MaskFiller",
                methods=("fill_mask", "score_masked"),
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
                takes="pairs",
                does="tells whether a text follows another",
            ),
            TaskFacts(
                name="pretraining",
                encoder="pretraining.PretrainedModel",
                methods=("fill_mask", "next_sentence", "score_masked"),
                output="prediction_logits",
                rows="selected",
                compares="decisions",
                does="fills in masked words, and tells whether a text follows another",
            ),
            TaskFacts(
                name="replaced_token",
                encoder="replaced_token.ReplacedTokenDetector",
                methods=("find_replaced",),
                output="logits",
                rows="tokens",
                compares="values",
                columns=("logits",),
                does="finds the words that do not belong in a text",
            ),
            TaskFacts(
                name="multiple_choice",
                encoder="multiple_choice.Chooser",
                methods=("choose",),
                output="logits",
                rows="sequences",
                compares="values",
                takes="choices",
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
"""The table: the row of each task by its name."""
