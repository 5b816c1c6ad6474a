"""The score on labelled data of the fp32 model and of its variants, by the evaluator that users have."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from bertc.artifact.certificate import TaskScores
from bertc.artifact.schema import ModelInfo
from bertc.compiler.cpu_target import CpuTarget
from bertc.errors import InputError
from bertc.evaluation import classification, ner, sts
from bertc.evaluation.engine import Result
from bertc.ir.graph import Graph
from bertc.runtime.batching import windows
from bertc.runtime.tokenization import TokenCounts, Tokenizer, as_items, count_tokens
from bertc.tasks import registry
from bertc.tasks.base import Model


class Evaluator(NamedTuple):
    """How a task is scored."""

    name: str
    metric: str
    """The one that a budget is about, as recipes call it."""
    key: str
    """The same, as the evaluator calls it."""
    evaluate: Callable[[Any, Path, ModelInfo], Result]


EVALUATORS: Mapping[str, Evaluator] = {
    "embedding": Evaluator("sts", "spearman", "spearman", lambda engine, path, _: sts.evaluate(engine, path)),
    "classification": Evaluator(
        "classification",
        "accuracy",
        "accuracy",
        lambda engine, path, info: classification.evaluate(engine, path, info.id2label),
    ),
    "token_classification": Evaluator(
        "ner", "entity_f1", "f1", lambda engine, path, info: ner.evaluate(engine, path, info.id2label)
    ),
}
"""Task of a model -> how it is scored."""


class TaskScorer:
    """Scores graphs of one model on one file; the fp32 graph once."""

    def __init__(self, info: ModelInfo, tokenizer: Tokenizer, path: Path, reference: Graph) -> None:
        """Reads and scores. Raises ``InputError`` for a file that the task's evaluator cannot read."""
        if info.task not in EVALUATORS:
            raise InputError(f"nothing scores models for {info.task!r}: compile without evaluation data")
        self.evaluator = EVALUATORS[info.task]
        self._info, self._tokenizer, self._path = info, tokenizer, path
        self._target = CpuTarget(info)
        self._sha256 = _hash(path)
        self._fp32 = self._evaluate(reference)

    def drop(self, found: Result) -> float:
        """How much of the metric is lost: 0.001 for a score of 0.1 less, of 100."""
        return (self._fp32.metrics[self.evaluator.key] - found.metrics[self.evaluator.key]) / 100

    def score(self, graph: Graph) -> Result:
        """The score of a typed graph."""
        return self._evaluate(graph)

    def facts(self, found: Result) -> TaskScores:
        """Both scores, for the certificate."""
        return TaskScores(
            evaluator=self.evaluator.name,
            data=self._path.name,
            sha256=self._sha256,
            counts=dict(found.counts),
            fp32={name: float(value) for name, value in self._fp32.metrics.items()},
            compiled={name: float(value) for name, value in found.metrics.items()},
        )

    def _evaluate(self, graph: Graph) -> Result:
        model = Model(self._target.session(graph), self._tokenizer, self._info)
        return self.evaluator.evaluate(_Engine(model), self._path, self._info)


class _Engine:
    """A task's methods, and token counts: what an ``Encoder`` gives evaluators, without a file."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._task = registry.create(model)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._task, name)

    def count_tokens(self, inputs: Any, *, truncate: bool = True) -> TokenCounts:
        return count_tokens(self._model.tokenizer, windows(as_items(inputs)[0]), truncate=truncate)


def _hash(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from None
