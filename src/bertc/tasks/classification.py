"""A label for each text or pair, in the shape of the ``text-classification`` pipeline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

from bertc.artifact.schema import ModelInfo
from bertc.encoder import Encoder
from bertc.errors import InputError
from bertc.runtime.batching import FloatArray
from bertc.runtime.tokenization import Tokenizer, as_items
from bertc.tasks.drive import drive
from bertc.tasks.task import Prepared, softmax

Label = dict[str, Any]
"""A label and its score: ``{"label": str, "score": float}``."""


@dataclass(frozen=True)
class Classification:
    """The task of giving each text or pair its best labels, with their scores."""

    tokenizer: Tokenizer
    info: ModelInfo
    top_k: int | None = 1
    output: str = "logits"

    def prepare(self, items: Sequence[Any], *, first: int = 0) -> Prepared[None]:
        """Return a batch with a sequence for each item. Raises ``InputError`` for one without a token."""
        tokenized = self.tokenizer(items, first=first)
        if tokenized.empty:
            raise InputError(
                f"inputs[{first + tokenized.empty[0]}] has no token, so that there is nothing to classify"
            )
        return Prepared(tokenized.packed, None, tokenized.truncated)

    def finish(self, prepared: Prepared[None], values: FloatArray) -> list[Any]:
        """Return a label for each item; a list of labels, unless ``top_k`` is 1."""
        del prepared
        return [self._answer(row) for row in self._scores(values)]

    def _scores(self, logits: FloatArray) -> FloatArray:
        """Return what the pipeline makes of logits.

        It is the logits for a regression, a sigmoid where labels are independent or there is only one,
        else a softmax.
        """
        problem = self.info.problem_type
        if problem == "regression":
            return logits
        if problem == "multi_label_classification" or logits.shape[1] == 1:
            with np.errstate(over="ignore"):  # exp(-x) = inf gives the right answer, 0
                return np.asarray(1 / (1 + np.exp(-logits)), np.float32)
        return softmax(logits)

    def _answer(self, scores: FloatArray) -> Label | list[Label]:
        order = np.argsort(-scores, kind="stable")[: self.top_k]
        labels = [{"label": self.info.labels[i], "score": float(scores[i])} for i in order]
        return labels[0] if self.top_k == 1 else labels


class Classifier(Encoder):
    """A loaded model that gives texts labels."""

    def classify(
        self, inputs: Any, *, top_k: int | None = 1, show_progress_bar: bool | None = None
    ) -> Label | list[Label] | list[list[Label]]:
        """Return the best label of each text or pair: ``{"label": ..., "score": ...}``.

        A string, or a tuple (a pair), gives one answer, a list gives a list. With ``top_k`` above
        1, an answer is a list of that many labels, best first; None means all labels. Raises
        ``InputError``.
        """
        if top_k is not None and (not isinstance(top_k, int) or isinstance(top_k, bool) or top_k < 1):
            raise InputError(f"top_k is {top_k!r}: expected a positive whole number, or None for all labels")
        items, single = as_items(inputs)
        task = Classification(self.tokenizer, self.info, top_k)
        answers = list(chain.from_iterable(drive(self, task, items, show_progress=show_progress_bar)))
        return answers[0] if single else answers
