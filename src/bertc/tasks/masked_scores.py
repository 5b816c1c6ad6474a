"""How probable a masked LM finds tokens that it cannot see: what pseudo-perplexity is made of."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bertc.runtime.batching import FloatArray, IntArray, pack
from bertc.runtime.tokenization import Tokenizer
from bertc.tasks.task import Prepared

if TYPE_CHECKING:
    from tokenizers import Encoding

MaskedTokens = dict[str, Any]
"""Of the masked tokens of a text: ``tokens`` and ``predicted``, the best one in the place of each, int32 [n],
and ``log_probabilities`` of ``tokens``, natural logarithms, float64 [n]."""


@dataclass(frozen=True)
class MaskedScoring:
    """The task of masking tokens and asking how probable they are."""

    tokenizer: Tokenizer
    mask_id: int
    share: float | None
    """The share of the tokens of a text that is masked at once, at least one; None masks each token alone, as
    Salazar et al. 2020 do (arXiv:1910.14659, eq. 2)."""
    seed: int
    output: str = "logits"

    def prepare(self, items: Sequence[Any], *, first: int = 0) -> Prepared[Sequence[IntArray]]:
        """Return a batch with the masks selected; the context has the tokens that were there, by item."""
        tokenized = self.tokenizer(items, first=first)
        ids: list[list[int]] = []
        types: list[list[int]] = []
        hidden: list[IntArray] = []
        selected: list[int] = []
        start = 0
        for item, encoding in zip(items, tokenized.encodings, strict=True):
            places = self._places(item, encoding)
            hidden.append(np.array([encoding.ids[place] for place in places], np.int32))
            for masked in [places] if self.share is not None and places else [[place] for place in places]:
                known = list(encoding.ids)
                for place in masked:
                    known[place] = self.mask_id
                ids.append(known)
                types.append(encoding.type_ids)
                selected += [start + place for place in masked]
                start += len(known)
        batch = pack(ids, types).selecting(np.array(selected, np.int32))
        return Prepared(batch, hidden, tokenized.truncated)

    def finish(self, prepared: Prepared[Sequence[IntArray]], values: FloatArray) -> list[MaskedTokens]:
        """Return the tokens of each item with their probabilities by ``values`` [masks, vocabulary]."""
        answers = []
        row = 0
        for tokens in prepared.context:
            logits = values[row : row + len(tokens)].astype(np.float64)
            row += len(tokens)
            logits -= logits.max(axis=1, keepdims=True, initial=-np.inf)
            found = logits[np.arange(len(tokens)), tokens] - np.log(np.exp(logits).sum(axis=1))
            predicted = logits.argmax(axis=1).astype(np.int32)
            answers.append({"tokens": tokens, "predicted": predicted, "log_probabilities": found})
        return answers

    def _places(self, item: Any, encoding: Encoding) -> list[int]:
        """Return the tokens to mask, in order: a choice by seed and text, whatever else is asked for."""
        words = [
            place
            for place, (token, special) in enumerate(
                zip(encoding.ids, encoding.special_tokens_mask, strict=True)
            )
            if not special and token != self.mask_id
        ]
        if self.share is None or not words:
            return words
        random = np.random.default_rng([self.seed, zlib.crc32(repr(item).encode())])
        count = max(1, round(self.share * len(words)))
        return sorted(random.choice(words, count, replace=False).tolist())
