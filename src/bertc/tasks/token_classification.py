"""Labels for tokens, words and entities, in the shape of the ``token-classification`` pipeline."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain, pairwise
from typing import TYPE_CHECKING, Any

from bertc.encoder import Encoder
from bertc.errors import InputError
from bertc.runtime.batching import FloatArray
from bertc.runtime.items import as_items, without_surrogates
from bertc.runtime.tokenization import Tokenizer
from bertc.tasks.aggregation import (
    STRATEGIES,
    WORD_STRATEGIES,
    Entity,
    ScoredToken,
    aggregate,
    resolve_overlaps,
)
from bertc.tasks.arguments import as_list, check_choice
from bertc.tasks.drive import drive
from bertc.tasks.task import Prepared, softmax

if TYPE_CHECKING:
    from tokenizers import Encoding

OUTSIDE = "O"
"""The label of what belongs to no entity."""


@dataclass(frozen=True)
class TokenizedItems:
    """The items that a batch was made of, and its sequences: one or more for each item."""

    items: Sequence[Any]
    encodings: Sequence[Encoding]
    """The encoding of each sequence."""
    owners: Sequence[int]
    """The index into ``items`` of each sequence."""


@dataclass(frozen=True)
class _Window:
    """One sequence of an item."""

    encoding: Encoding
    scores: FloatArray
    """The probabilities [tokens, labels], special tokens included."""


@dataclass(frozen=True)
class Tagging:
    """The task of finding the entities in each text or list of words.

    What is longer than the model's limit is cut into overlapping windows. With a ``stride``, they overlap by
    that many tokens and give entities each for itself, as in the pipeline. Without, they overlap by a quarter
    and each token counts where it stands farther from the cut, so that entities know of no cut.
    """

    tokenizer: Tokenizer
    labels: Sequence[str]
    """The names of the classes, by their numbers."""
    aggregation_strategy: str = "simple"
    ignore_labels: Sequence[str] = (OUTSIDE,)
    stride: int | None = None
    output: str = "logits"

    def prepare(self, items: Sequence[Any], *, first: int = 0) -> Prepared[TokenizedItems]:
        """Return a batch with one or more sequences for each item. Raises ``InputError`` for a pair."""
        _refuse_pairs(items, first)
        tokenized, owners = self.tokenizer.chunks(items, first=first, stride=self._overlap)
        return Prepared(tokenized.packed, TokenizedItems(items, tokenized.encodings, owners))

    def finish(self, prepared: Prepared[TokenizedItems], values: FloatArray) -> list[list[Entity]]:
        """Return a list of entities for each item."""
        context, scores = prepared.context, softmax(values)
        windows: list[list[_Window]] = [[] for _ in context.items]
        start = 0
        for encoding, owner in zip(context.encodings, context.owners, strict=True):
            stop = start + len(encoding)
            windows[owner].append(_Window(encoding, scores[start:stop]))
            start = stop
        return [self._entities(item, each) for item, each in zip(context.items, windows, strict=True)]

    @property
    def _overlap(self) -> int:
        if self.stride is not None:
            return self.stride
        return max(self.tokenizer.room // 4, min(self.tokenizer.room - 1, 1))

    def _entities(self, item: str | list[str], windows: Sequence[_Window]) -> list[Entity]:
        parts = self._parts(item, windows)
        if self.stride is None:
            parts = [_join(parts, self._overlap)]
        strategy, join = self.aggregation_strategy, self.tokenizer.join
        found = [aggregate(tokens, self.labels, strategy, self.ignore_labels, join) for tokens in parts]
        return found[0] if len(found) == 1 else resolve_overlaps(chain.from_iterable(found))

    def _parts(self, item: str | list[str], windows: Sequence[_Window]) -> list[list[ScoredToken]]:
        """Return the tokens of each window, special ones left out."""
        parts = []
        passed = 0
        for window in windows:
            encoding = window.encoding
            kept = [index for index, special in enumerate(encoding.special_tokens_mask) if not special]
            spans = _spans(encoding, item)
            continues = self._continues(encoding, item) or [False] * len(encoding)
            words = self._words(encoding, item)
            tokens = [
                ScoredToken(window.scores[at], words[at], passed + at, *spans[at], continues[at])
                for at in kept
            ]
            parts.append(tokens)
            passed += len(kept) - self._overlap
        return parts

    def _words(self, encoding: Encoding, item: str | list[str]) -> list[str]:
        """Return the tokens; in place of those that the vocabulary lacks, their text."""
        words = encoding.tokens
        unknown = self.tokenizer.token_id(self.tokenizer.unknown_token)
        for at in (at for at, number in enumerate(encoding.ids) if number == unknown):
            word, (start, end) = encoding.word_ids[at], encoding.offsets[at]
            text = item if isinstance(item, str) else "" if word is None else item[word]
            words[at] = without_surrogates(text[start:end])
        return words

    def _continues(self, encoding: Encoding, item: str | list[str]) -> list[bool]:
        """Return whether each token belongs to the word of the one before; nothing if it does not matter.

        In a text it is what the pipeline takes for a subword: a token that is not as long as its text, of a
        tokenizer with a prefix for subwords; else one with no space before it.
        """
        if self.aggregation_strategy not in WORD_STRATEGIES:
            return []
        if isinstance(item, list):
            return [before == word for before, word in pairwise([None, *encoding.word_ids])]
        spans, tokens = encoding.offsets, encoding.tokens
        if self.tokenizer.subword_prefix:
            continues = [
                len(token) != len(item[start:end]) for token, (start, end) in zip(tokens, spans, strict=True)
            ]
        else:
            continues = [start > 0 and " " not in item[start - 1 : start + 1] for start, _ in spans]
        unknown = self.tokenizer.unknown_token
        return [each and token != unknown for each, token in zip(continues, tokens, strict=True)]


@dataclass(frozen=True)
class WordTagging:
    """The task of giving each word the label of its first token; long lists become several sequences."""

    tokenizer: Tokenizer
    labels: Sequence[str]
    """The names of the classes, by their numbers."""
    output: str = "logits"

    def prepare(self, items: Sequence[Any], *, first: int = 0) -> Prepared[TokenizedItems]:
        """Return a batch with one or more sequences for each list of words."""
        tokenized, owners = self.tokenizer.chunks(items, first=first)
        return Prepared(tokenized.packed, TokenizedItems(items, tokenized.encodings, owners))

    def finish(self, prepared: Prepared[TokenizedItems], values: FloatArray) -> list[list[str]]:
        """Return the labels of each list of words; a word without a token, such as white space, gets "O"."""
        outside = OUTSIDE if OUTSIDE in self.labels else self.labels[0]
        context = prepared.context
        starts = list(accumulate(map(len, context.items), initial=0))
        labels = [outside] * starts[-1]
        best = values.argmax(axis=1)
        for token, word in _first_tokens(context.encodings, context.owners, starts):
            labels[word] = self.labels[best[token]]
        return [labels[a:b] for a, b in pairwise(starts)]


class Tagger(Encoder):
    """A loaded model that gives words labels."""

    def tag(
        self,
        inputs: Any,
        *,
        aggregation_strategy: str = "simple",
        ignore_labels: Sequence[str] = (OUTSIDE,),
        stride: int | None = None,
        show_progress_bar: bool | None = None,
    ) -> list[Entity] | list[list[Entity]]:
        """Return the entities in each text: dicts of entity_group, score, word, start, end.

        ``word`` is what the tokenizer makes of the entity's tokens, as in the pipeline; ``text[start:end]``
        is the text as written. For words (a list of lists of strings) ``start`` and ``end`` count words. A
        string gives one list of entities, a list gives a list of lists.

        ``aggregation_strategy`` is that of the pipeline: "simple" joins tokens of one kind; "first",
        "average" and "max" label words as wholes first; "none" gives each token by itself (``entity``
        and ``index`` in place of ``entity_group``).

        Texts may have any length, and no cut shows in the answer. ``stride`` does as the pipeline instead:
        windows that overlap by so many tokens give entities each for itself, of which the longer ones stay.
        Raises ``InputError``.
        """
        check_choice("aggregation_strategy", aggregation_strategy, STRATEGIES)
        ignored = as_list("ignore_labels", ignore_labels)
        _check_stride(stride, aggregation_strategy)
        items, single = as_items(inputs)
        task = Tagging(self.tokenizer, self.info.labels, aggregation_strategy, ignored, stride)
        answers = list(
            chain.from_iterable(drive(self, task, items, method="tag", show_progress=show_progress_bar))
        )
        return answers[0] if single else answers

    def predict_tags(
        self, words: Sequence[Any], *, show_progress_bar: bool | None = None
    ) -> list[str] | list[list[str]]:
        """Return one label per word: that of its first token.

        ``words`` is one list of words, or a list of such lists. A list that is longer than the
        model's limit is cut into consecutive pieces, and no label is lost. A word without a token
        (white space) gets "O". Raises ``InputError``.
        """
        items, _ = as_items(words)
        single = bool(items) and all(isinstance(item, str) for item in items)
        if single:
            items = [items]
        for index, item in enumerate(items):
            if not isinstance(item, list):
                raise InputError(f"words[{index}] is {type(item).__name__}: expected a list of strings")
        task = WordTagging(self.tokenizer, self.info.labels)
        answers = list(
            chain.from_iterable(
                drive(self, task, items, method="predict_tags", show_progress=show_progress_bar)
            )
        )
        return answers[0] if single else answers


def _check_stride(stride: Any, strategy: str) -> None:
    if stride is None:
        return
    if not isinstance(stride, int) or isinstance(stride, bool) or stride < 0:
        raise InputError(f"stride is {stride!r}: expected a whole number of tokens, or None")
    if strategy == "none":
        raise InputError(
            'stride chooses among entities of overlapping windows, and aggregation_strategy "none" makes '
            "none: leave stride out, texts may have any length"
        )


def _spans(encoding: Encoding, item: str | list[str]) -> Sequence[tuple[int, int]]:
    """Return the place of each token: characters of a text, or words of a list."""
    if isinstance(item, str):
        return encoding.offsets
    return [(0, 0) if word is None else (word, word + 1) for word in encoding.word_ids]


def _join(parts: Sequence[list[ScoredToken]], overlap: int) -> list[ScoredToken]:
    """Return the tokens of overlapping windows, each from the window in which it is farther from the cut."""
    before, after = overlap - overlap // 2, overlap // 2
    last = len(parts) - 1
    return [
        token
        for number, part in enumerate(parts)
        for token in part[before if number else 0 : len(part) - (after if number < last else 0)]
    ]


def _refuse_pairs(items: Iterable[Any], first: int) -> None:
    for index, item in enumerate(items, first):
        if isinstance(item, tuple):
            raise InputError(
                f"inputs[{index}] is a tuple: tag takes a text, a list of texts, or words as a list of lists"
            )


def _first_tokens(
    encodings: Sequence[Encoding], owners: Sequence[int], starts: Sequence[int]
) -> Iterator[tuple[int, int]]:
    """Yield the first token of each word: its index in the batch, and its word's index over all items."""
    token = 0
    last = -1
    for encoding, owner in zip(encodings, owners, strict=True):
        for word in encoding.word_ids:
            if word is not None and starts[owner] + word != last:
                last = starts[owner] + word
                yield token, last
            token += 1
