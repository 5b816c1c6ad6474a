"""A label for each text or pair, in the shape of the ``text-classification`` pipeline."""

from __future__ import annotations

from typing import Any

import numpy as np

from bertc.errors import InputError
from bertc.runtime.batching import FloatArray
from bertc.runtime.tokenization import as_items
from bertc.tasks.base import Task, softmax

Label = dict[str, Any]
"""``{"label": str, "score": float}``."""


class Classification(Task):
    """Scores by label."""

    name = "classification"
    output = "logits"
    methods = ("classify",)

    def classify(
        self, inputs: Any, *, top_k: int | None = 1, show_progress_bar: bool | None = None
    ) -> Label | list[Label] | list[list[Label]]:
        """See :meth:`bertc.Encoder.classify`."""
        if top_k is not None and (not isinstance(top_k, int) or isinstance(top_k, bool) or top_k < 1):
            raise InputError(f"top_k is {top_k!r}: expected a positive whole number, or None for all labels")
        items, single = as_items(inputs)
        answers: list[Any] = []
        for window in self.windows(items, show_progress=bool(show_progress_bar)):
            answers.extend(self._answer(row, top_k) for row in self._scores(window.values))
        return answers[0] if single else answers

    def _scores(self, logits: FloatArray) -> FloatArray:
        """What the pipeline applies.

        Nothing for a regression, a sigmoid where labels are independent or there is only one, else
        a softmax.
        """
        problem = self.model.info.problem_type
        if problem == "regression":
            return logits
        if problem == "multi_label_classification" or logits.shape[1] == 1:
            with np.errstate(over="ignore"):  # exp(-x) = inf gives the right answer, 0
                return np.asarray(1 / (1 + np.exp(-logits)), np.float32)
        return softmax(logits)

    def _answer(self, scores: FloatArray, top_k: int | None) -> Label | list[Label]:
        order = np.argsort(-scores, kind="stable")[:top_k]
        labels = [{"label": self.model.info.id2label[i], "score": float(scores[i])} for i in order]
        return labels[0] if top_k == 1 else labels
