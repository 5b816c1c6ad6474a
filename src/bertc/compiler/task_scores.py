"""The score on labeled data of the fp32 model and of its variants, by the evaluator that users have."""

from __future__ import annotations

import hashlib
import importlib
from pathlib import Path
from typing import Any, Protocol

from bertc.artifact.certificate import TaskScores
from bertc.artifact.schema import ModelInfo
from bertc.encoder import encoder_class_of
from bertc.errors import InputError
from bertc.evaluation.result import Result
from bertc.runtime.session import Session
from bertc.runtime.tokenization import Tokenizer
from bertc.task_table import TASKS


class TaskScorer:
    """Scores variants of one model on one file; the fp32 model once."""

    def __init__(self, info: ModelInfo, tokenizer: Tokenizer, path: Path, reference: Session) -> None:
        """Score the fp32 model. Raises ``InputError`` for a file that the task's evaluator cannot read."""
        self._task = TASKS[info.task]
        if not self._task.evaluator:
            raise InputError(f"nothing scores models for {info.task} on labeled data: leave out eval_data")
        self._info, self._tokenizer, self._path = info, tokenizer, path
        self._sha256 = _hash(path)
        self._fp32 = self.score(reference)

    def score(self, session: Session) -> Result:
        """Return the score of a variant of the model."""
        encoder = encoder_class_of(self._info)(session, self._tokenizer, self._info)
        evaluator: Evaluator = importlib.import_module(f"bertc.evaluation.{self._task.evaluator}")
        return evaluator.evaluate(encoder, self._path, seed=None)  # intervals are for readers

    def drop(self, found: Result) -> float:
        """Return how much of the task's metric is lost: 0.001 for a score of 0.1 less, of 100."""
        key = self._task.score
        return (self._fp32.metrics[key] - found.metrics[key]) / 100

    def facts(self, found: Result) -> TaskScores:
        """Return the scores of the fp32 model and of a variant, for the certificate."""
        return TaskScores(
            evaluator=self._task.evaluator,
            data=self._path.name,
            sha256=self._sha256,
            counts=dict(found.counts),
            fp32={name: float(value) for name, value in self._fp32.metrics.items()},
            compiled={name: float(value) for name, value in found.metrics.items()},
        )


class Evaluator(Protocol):
    """A module of ``bertc.evaluation`` that scores a task."""

    def evaluate(self, engine: Any, path: Path, /, *, seed: int | None) -> Result:
        """Score an encoder on a file, without intervals where ``seed`` is None."""


def _hash(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from None
