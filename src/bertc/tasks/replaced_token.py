"""The words of a text that do not belong there, as ELECTRA's discriminator was trained to tell."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

from bertc.encoder import Encoder
from bertc.runtime.batching import FloatArray
from bertc.runtime.items import as_items
from bertc.runtime.tokenization import TokenizedBatch, Tokenizer
from bertc.tasks.activations import sigmoid
from bertc.tasks.drive import drive
from bertc.tasks.task import Prepared

if TYPE_CHECKING:
    from tokenizers import Encoding

Replaced = dict[str, Any]
"""A replaced token: ``{"score": float, "index": int, "word": str, "start": int, "end": int}``."""


@dataclass(frozen=True)
class ReplacedTokenDetection:
    """The task of finding the tokens of each text that were put in the place of others."""

    tokenizer: Tokenizer
    threshold: float = 0.5
    output: str = "logits"

    def prepare(self, items: Sequence[Any], *, first: int = 0) -> Prepared[TokenizedBatch]:
        """Return a batch with a sequence for each text."""
        tokenized = self.tokenizer(items, offsets=True, first=first)
        return Prepared(tokenized.packed, tokenized, tokenized.truncated)

    def finish(self, prepared: Prepared[TokenizedBatch], values: FloatArray) -> list[list[Replaced]]:
        """Return the tokens of each text whose probability reaches the threshold."""
        scores = iter(sigmoid(values.reshape(-1)).tolist())
        return [self._replaced(encoding, scores) for encoding in prepared.context.encodings]

    def _replaced(self, encoding: Encoding, scores: Iterator[float]) -> list[Replaced]:
        """Return the replaced tokens of a sequence, whose scores are the next ones."""
        spans = zip(encoding.tokens, encoding.offsets, islice(scores, len(encoding)), strict=True)
        return [
            {"score": score, "index": index, "word": word, "start": start, "end": end}
            for index, (word, (start, end), score) in enumerate(spans)
            if score >= self.threshold and not encoding.special_tokens_mask[index]
        ]


class ReplacedTokenDetector(Encoder):
    """A loaded model that finds the words which do not belong in a text."""

    def find_replaced(
        self, inputs: Any, *, threshold: float = 0.5, show_progress_bar: bool | None = None
    ) -> Any:
        """Return the tokens of a text, or of each of a list, that were likely put in the place of others.

        A token is ``{"score": float, "index": int, "word": str, "start": int, "end": int}``; its score is the
        sigmoid of its logit (arXiv:2003.10555, eq. 1), and at least ``threshold``. Raises ``InputError``.
        """
        items, single = as_items(inputs)
        task = ReplacedTokenDetection(self.tokenizer, threshold)
        answers = list(
            chain.from_iterable(
                drive(self, task, items, method="find_replaced", show_progress=show_progress_bar)
            )
        )
        return answers[0] if single else answers
