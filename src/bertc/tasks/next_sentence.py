"""Whether a text follows another, as BERT was trained to tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

from bertc.encoder import Encoder
from bertc.ports import takes_selection
from bertc.runtime.batching import FloatArray
from bertc.runtime.tokenization import Tokenizer
from bertc.tasks.arguments import as_pairs
from bertc.tasks.drive import drive
from bertc.tasks.task import Prepared, softmax

LABELS = ("IsNext", "NotNext")
"""The names of the two columns, as BERT's authors call them."""

Relationship = dict[str, Any]
"""The relationship of two texts: ``{"label": "IsNext" or "NotNext", "score": float}``."""


@dataclass(frozen=True)
class NextSentencePrediction:
    """The task of telling whether the second text of each pair follows the first."""

    tokenizer: Tokenizer
    selects: bool = False
    """Whether the model takes a selection of tokens, for its masked words: none is selected here."""
    output: str = "logits"

    def prepare(self, items: Sequence[Any], *, first: int = 0) -> Prepared[None]:
        """Return a batch with a sequence for each pair."""
        tokenized = self.tokenizer(items, first=first)
        batch = tokenized.packed
        if self.selects:
            batch = batch.selecting(np.empty(0, np.int32))
        return Prepared(batch, None, tokenized.truncated)

    def finish(self, prepared: Prepared[None], values: FloatArray) -> list[Relationship]:
        """Return the likelier label of each pair, with its probability."""
        del prepared
        scores = softmax(values)
        return [
            {"label": LABELS[best], "score": float(row[best])}
            for best, row in zip(scores.argmax(axis=1), scores, strict=True)
        ]


class NextSentencePredictor(Encoder):
    """A loaded model that tells whether a text follows another."""

    @property
    def _relationship(self) -> str:
        """The output with the two logits of a pair."""
        return "logits"

    def next_sentence(self, first: Any, second: Any, *, show_progress_bar: bool | None = None) -> Any:
        """Return whether ``second`` follows ``first``: ``{"label": "IsNext" or "NotNext", "score": ...}``.

        Two texts give one answer; lists of texts (one text beside a list belongs to each of it) give a list.
        The score is the probability of the label. Raises ``InputError``.
        """
        pairs, single = as_pairs(first, second, ("first", "second"))
        selects = takes_selection(self.session.inputs)
        task = NextSentencePrediction(self.tokenizer, selects, self._relationship)
        answers = list(
            chain.from_iterable(
                drive(self, task, pairs, method="next_sentence", show_progress=show_progress_bar)
            )
        )
        return answers[0] if single else answers
