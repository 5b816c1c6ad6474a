"""Words for the masks of texts, in the shape of the ``fill-mask`` pipeline."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from bertc.encoder import Encoder
from bertc.errors import InputError
from bertc.runtime.batching import FloatArray, IntArray
from bertc.runtime.items import as_items
from bertc.runtime.tokenization import Tokenizer
from bertc.tasks.arguments import as_list, check_count
from bertc.tasks.drive import drive
from bertc.tasks.masked_scores import MaskedScoring, MaskedTokens
from bertc.tasks.task import Prepared, softmax

if TYPE_CHECKING:
    from tokenizers import Encoding

Filling = dict[str, Any]
"""A token for a mask: ``{"score": float, "token": int, "token_str": str, "sequence": str}``."""

_WINDOW_LOGITS = 1 << 25
"""The logits of a window of items with a mask each: 128 MB."""
_PADDING = ("[PAD]", "<pad>")


@dataclass(frozen=True)
class MaskFilling:
    """The task of finding the best tokens for each mask; only the masks' rows meet the vocabulary."""

    tokenizer: Tokenizer
    mask_token: str
    mask_id: int
    top_k: int = 5
    targets: IntArray | None = None
    """The tokens to choose from, None for all."""
    output: str = "logits"

    def prepare(self, items: Sequence[Any], *, first: int = 0) -> Prepared[Sequence[Encoding]]:
        """Return a batch with a sequence for each item, of which the masks are selected.

        Raises ``InputError`` that names an item without a mask, or with one beyond the model's limit.
        """
        tokenized = self.tokenizer(items, first=first)
        for index, (item, encoding) in enumerate(zip(items, tokenized.encodings, strict=True), first):
            self._check_masks(item, encoding, f"inputs[{index}]")
        selected = np.flatnonzero(tokenized.packed.inputs["input_ids"] == self.mask_id).astype(np.int32)
        return Prepared(tokenized.packed.selecting(selected), tokenized.encodings, tokenized.truncated)

    def finish(
        self, prepared: Prepared[Sequence[Encoding]], values: FloatArray
    ) -> list[list[Filling] | list[list[Filling]]]:
        """Return the fillings of each item, best first; a list for each mask, unless there is only one."""
        row = 0
        answers: list[Any] = []
        for encoding in prepared.context:
            places = [place for place, token in enumerate(encoding.ids) if token == self.mask_id]
            skip_special = len(places) == 1  # the other masks are special tokens too
            found = []
            for place in places:
                found.append(self._fillings(encoding.ids, place, skip_special, softmax(values[row])))
                row += 1
            answers.append(found[0] if skip_special else found)
        return answers

    def _check_masks(self, item: Any, encoding: Encoding, where: str) -> None:
        found = encoding.ids.count(self.mask_id)
        parts = [item] if isinstance(item, str) else item
        if found < sum(part.count(self.mask_token) for part in parts) and self._is_full(encoding):
            limit = self.tokenizer.max_seq_length
            raise InputError(
                f"{where} has a {self.mask_token} beyond the {limit} tokens that are this model's limit: "
                "shorten the text"
            )
        if not found:
            raise InputError(f"{where} has no mask: write {self.mask_token} for the word to be found")

    def _is_full(self, encoding: Encoding) -> bool:
        return len(encoding) >= self.tokenizer.max_seq_length

    def _fillings(self, ids: list[int], place: int, skip_special: bool, scores: FloatArray) -> list[Filling]:
        tokens = np.arange(len(scores)) if self.targets is None else self.targets
        padding = {self.tokenizer.token_id(token) for token in _PADDING}
        fillings = []
        for token in tokens[_best(scores[tokens], self.top_k)].tolist():
            filled = [*ids[:place], token, *ids[place + 1 :]]
            fillings.append(
                {
                    "score": float(scores[token]),
                    "token": token,
                    "token_str": self.tokenizer.decode([token]),
                    "sequence": self.tokenizer.decode(
                        [each for each in filled if each not in padding], skip_special_tokens=skip_special
                    ),
                }
            )
        return fillings


class MaskFiller(Encoder):
    """A loaded model that fills in masked words."""

    _predictions = "logits"
    """The output with the logits of the masked words."""

    def fill_mask(
        self,
        inputs: Any,
        *,
        top_k: int = 5,
        targets: str | Sequence[str] | None = None,
        show_progress_bar: bool | None = None,
    ) -> Any:
        """Return the best tokens for the mask of each text: dicts of score, token, token_str, sequence.

        A string gives a list, best first, or a list of such lists if it has several masks, which are filled
        independently; a list of strings gives a list of these. ``targets`` limits the choice: a word that is
        no token stands for its first token, with a warning. ``info.facts["mask_token"]`` spells the mask.

        Raises ``InputError`` for a text without a mask, or with one beyond the model's limit, and for
        targets of which no token is left.
        """
        check_count("top_k", top_k)
        mask_token, mask_id, columns = self._mask()
        chosen = None if targets is None else _target_ids(self.tokenizer, targets, columns)
        task = MaskFilling(self.tokenizer, mask_token, mask_id, top_k, chosen, self._predictions)
        items, single = as_items(inputs)
        most = max(1, _WINDOW_LOGITS // columns)
        parts = drive(self, task, items, max_items=most, method="fill_mask", show_progress=show_progress_bar)
        answers = list(chain.from_iterable(parts))
        return answers[0] if single else answers

    def filling(self, tokenizer: Tokenizer, top_k: int) -> MaskFilling:
        """Return the task of :meth:`fill_mask` with a tokenizer of this model, for who drives tasks himself.

        Raises ``InputError`` if the model has no mask.
        """
        mask_token, mask_id, _ = self._mask()
        return MaskFilling(tokenizer, mask_token, mask_id, top_k, None, self._predictions)

    def score_masked(
        self,
        inputs: Any,
        *,
        share: float | None = 0.15,
        seed: int = 0,
        show_progress_bar: bool | None = None,
    ) -> MaskedTokens | list[MaskedTokens]:
        """Mask tokens of each text, and return how probable the model finds them.

        ``share`` of a text's tokens, at least one, are masked at once, chosen by ``seed`` and the text;
        ``share=None`` masks every token alone, in as many copies of the text. A string gives one dict, a list
        of strings a list: ``tokens`` and ``predicted``, the best token in the place of each, int32 [n], and
        ``log_probabilities`` of ``tokens``, float64 [n]. Raises ``InputError``.
        """
        if share is not None and not 0 < share <= 1:
            raise InputError(f"share is {share!r}: expected a number above 0 and up to 1, or None")
        _, mask_id, columns = self._mask()
        items, single = as_items(inputs)
        task = MaskedScoring(self.tokenizer, mask_id, share, seed, self._predictions)
        masks = 1 + int((share or 1) * self.tokenizer.max_seq_length)
        most = max(1, _WINDOW_LOGITS // (columns * masks))
        parts = drive(
            self, task, items, max_items=most, method="score_masked", show_progress=show_progress_bar
        )
        answers = list(chain.from_iterable(parts))
        return answers[0] if single else answers

    def _mask(self) -> tuple[str, int, int]:
        """Return the mask's spelling and number, and how many tokens can stand for it."""
        mask_token = self.info.facts.get("mask_token")
        port = self.info.output(self._predictions)
        mask_id = self.tokenizer.token_id(mask_token) if isinstance(mask_token, str) else None
        if not isinstance(mask_token, str) or mask_id is None or port is None:
            raise InputError(f"the tokenizer of {self.info.name} has no mask token: nothing can be filled in")
        return mask_token, mask_id, port.columns


def _best(scores: FloatArray, count: int) -> np.ndarray[Any, np.dtype[np.intp]]:
    """Return the indices of the largest scores, the first of equal ones first."""
    if count < len(scores):
        least = np.partition(scores, -count)[-count]
        candidates = np.flatnonzero(scores >= least)
    else:
        candidates = np.arange(len(scores))
    return candidates[np.argsort(-scores[candidates], kind="stable")][:count]


def _target_ids(tokenizer: Tokenizer, targets: str | Sequence[str], vocab_size: int) -> IntArray:
    """Return the numbers of the tokens that ``targets`` are; a word that is none gets a warning."""
    words = as_list("targets", [targets] if isinstance(targets, str) else targets)
    found = set()
    for index, word in enumerate(words):
        if not isinstance(word, str):
            raise InputError(f"targets[{index}] is {type(word).__name__}: expected a word")
        number = tokenizer.token_id(word)
        if number is None:
            number = next(iter(tokenizer.ids(word)), None)
            instead = "it is left out" if number is None else f"{tokenizer.decode([number])!r} stands for it"
            warnings.warn(
                f"the target {word!r} is no token of this model's vocabulary: {instead}",
                stacklevel=3,  # this, fill_mask: the line that called it
            )
        if number is not None and number >= vocab_size:
            raise InputError(
                f"the target {word!r} is token {number}: the model has {vocab_size} rows for tokens"
            )
        found.update([] if number is None else [number])
    if not found:
        raise InputError(f"targets are {targets!r}: expected at least one word that has a token")
    return np.array(sorted(found), np.int32)
