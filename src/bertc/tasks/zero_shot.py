"""Labels that the caller names, by a model of natural language inference: what hypothesis does a text entail.

Rules and answers are those of the ``zero-shot-classification`` pipeline.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bertc.errors import InputError
from bertc.runtime.batching import FloatArray
from bertc.tasks.arguments import as_list
from bertc.tasks.task import softmax

DEFAULT_TEMPLATE = "This example is {}."


@dataclass(frozen=True)
class Candidates:
    """The labels that a caller asks for, and the hypothesis of each."""

    labels: Sequence[str]
    hypotheses: Sequence[str]

    @classmethod
    def of(cls, labels: Any, template: Any) -> Candidates:
        """Return the candidates of a list of labels, or of a string with commas.

        Raises ``InputError`` for no label, and for a template without a place for it.
        """
        if isinstance(labels, str):
            labels = [label.strip() for label in labels.split(",") if label.strip()]
        labels = as_list("candidate_labels", labels)
        if not labels or not all(isinstance(label, str) for label in labels):
            raise InputError(f"candidate_labels are {labels!r}: expected at least one label, each a string")
        try:
            hypotheses = [template.format(label) for label in labels]
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            raise InputError(f"hypothesis_template {template!r} does not take a label: {error}") from None
        if hypotheses[0] == template:
            raise InputError(f"hypothesis_template {template!r} has no {{}} where the label should go")
        return cls(labels, hypotheses)

    def pairs(self, texts: Sequence[Any]) -> list[tuple[str, str]]:
        """Return each text with each hypothesis. Raises ``InputError`` for a pair."""
        for index, text in enumerate(texts):
            if not isinstance(text, str):
                raise InputError(f"inputs[{index}] is a pair: candidate labels are for single texts")
        return [(text, hypothesis) for text in texts for hypothesis in self.hypotheses]

    def answers(
        self, texts: Sequence[Any], logits: FloatArray, names: Sequence[str], *, multi_label: bool
    ) -> list[dict[str, Any]]:
        """Return the labels and scores of each text, best first.

        ``logits`` [texts x labels, classes] are those of ``pairs``; ``names`` are the classes. The scores
        compare the entailment of all labels; with ``multi_label`` or one label, entailment and contradiction
        of each.
        """
        entailment = _entailment(names)
        grid = logits.reshape(len(texts), len(self.labels), len(names))
        if multi_label or len(self.labels) == 1:
            contradiction = -1 if entailment == 0 else 0
            scores = softmax(grid[..., [contradiction, entailment]])[..., 1]
        else:
            scores = softmax(grid[..., entailment])
        answers = []
        for text, row in zip(texts, scores, strict=True):
            order = row.argsort()[::-1]
            labels = [self.labels[index] for index in order]
            answers.append({"sequence": text, "labels": labels, "scores": row[order].tolist()})
        return answers


def _entailment(names: Sequence[str]) -> int:
    """Return the class that is called entailment; the last one, with a warning, if none is."""
    for index, name in enumerate(names):
        if name.lower().startswith("entail"):
            return index
    warnings.warn(
        f"no label of this model begins with 'entail' ({', '.join(names)}): the last one is taken for it. "
        "Candidate labels need a model of natural language inference, with id2label in its config.json",
        stacklevel=4,  # this, answers, the method: the line that called it
    )
    return -1
