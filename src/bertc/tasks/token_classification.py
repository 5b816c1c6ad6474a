"""Labels for tokens, words and entities, in the shape of the ``token-classification`` pipeline."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain, pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from bertc.encoder import Encoder
from bertc.errors import InputError
from bertc.runtime.batching import FloatArray
from bertc.runtime.tokenization import Tokenizer, as_items
from bertc.tasks.drive import drive
from bertc.tasks.task import Prepared, softmax

if TYPE_CHECKING:
    from tokenizers import Encoding

Entity = dict[str, Any]

STRATEGIES = ("none", "simple")
OUTSIDE = "O"
"""The label of what belongs to no entity."""


@dataclass(frozen=True)
class TokenizedItems:
    """The items and encodings that a batch was made of."""

    items: Sequence[Any]
    encodings: Sequence[Encoding]
    """The encoding of each sequence."""
    owners: Sequence[int] = ()
    """The index into ``items`` of each sequence, where items can be several sequences."""


@dataclass(frozen=True)
class _Tagged:
    """The best label of one token."""

    label: str
    score: float
    index: int
    """The position in the sequence, special tokens counted."""
    start: int
    end: int
    """With ``start``: the place in characters of the text, or in words of the word list."""


@dataclass(frozen=True)
class Tagging:
    """The task of finding the entities in each text or list of words."""

    tokenizer: Tokenizer
    labels: Sequence[str]
    """The names of the classes, by their numbers."""
    aggregation_strategy: str = "simple"
    ignore_labels: Sequence[str] = (OUTSIDE,)
    output: str = "logits"

    def prepare(self, items: Sequence[Any], *, first: int = 0) -> Prepared[TokenizedItems]:
        """Return a batch with a sequence for each item. Raises ``InputError`` for a pair."""
        _refuse_pairs(items, first)
        tokenized = self.tokenizer(items, offsets=True, first=first)
        return Prepared(tokenized.packed, TokenizedItems(items, tokenized.encodings), tokenized.truncated)

    def finish(self, prepared: Prepared[TokenizedItems], values: FloatArray) -> list[list[Entity]]:
        """Return a list of entities for each item."""
        scores = softmax(values)
        answers, start = [], 0
        for item, encoding in zip(prepared.context.items, prepared.context.encodings, strict=True):
            stop = start + len(encoding)
            tokens = self._tokens(encoding, scores[start:stop], isinstance(item, list))
            found = map(_token, tokens) if self.aggregation_strategy == "none" else map(_group, _runs(tokens))
            answers.append([_spell(entity, item) for kind, entity in found if kind not in self.ignore_labels])
            start = stop
        return answers

    def _tokens(self, encoding: Encoding, scores: FloatArray, words: bool) -> Iterator[_Tagged]:
        spans = encoding.offsets
        if words:
            spans = [(0, 0) if word is None else (word, word + 1) for word in encoding.word_ids]
        best = scores.argmax(axis=1)
        for index, special in enumerate(encoding.special_tokens_mask):
            if not special:
                label = self.labels[best[index]]
                yield _Tagged(label, float(scores[index, best[index]]), index, *spans[index])


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
        show_progress_bar: bool | None = None,
    ) -> list[Entity] | list[list[Entity]]:
        """Return the entities in each text: dicts of entity_group, score, word, start, end.

        ``word`` is ``text[start:end]``. For words (a list of lists of strings) ``start`` and
        ``end`` count words, and ``word`` joins them by spaces. A string gives one list of entities,
        a list gives a list of lists. ``aggregation_strategy="none"`` gives each token by itself
        (``entity`` and ``index`` in place of ``entity_group``). Raises ``InputError``.
        """
        if aggregation_strategy not in STRATEGIES:
            raise InputError(
                f"aggregation_strategy is {aggregation_strategy!r}: expected one of {', '.join(STRATEGIES)}"
            )
        items, single = as_items(inputs)
        task = Tagging(self.tokenizer, self.info.labels, aggregation_strategy, ignore_labels)
        answers = list(chain.from_iterable(drive(self, task, items, show_progress=show_progress_bar)))
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
        answers = list(chain.from_iterable(drive(self, task, items, show_progress=show_progress_bar)))
        return answers[0] if single else answers


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


def _token(token: _Tagged) -> tuple[str, Entity]:
    """Return the label of a token, and the token as an entity."""
    entity = {"entity": token.label, "score": token.score, "index": token.index}
    return token.label, {**entity, "word": "", "start": token.start, "end": token.end}


def _group(tokens: Sequence[_Tagged]) -> tuple[str, Entity]:
    """Return the kind of adjacent tokens, and the tokens as one entity."""
    kind = tokens[0].label.split("-", 1)[-1]
    score = float(np.mean(np.array([token.score for token in tokens], np.float32)))
    start, end = tokens[0].start, tokens[-1].end
    return kind, {"entity_group": kind, "score": score, "word": "", "start": start, "end": end}


def _runs(tokens: Iterable[_Tagged]) -> Iterator[list[_Tagged]]:
    """Yield adjacent tokens of one kind, joined as ``group_entities`` of the pipeline does.

    A token opens a group if its kind differs from that of the token before, or if its label starts
    with B-.
    """
    group: list[_Tagged] = []
    for token in tokens:
        opens, kind = _split(token.label)
        if group and (opens or kind != _split(group[-1].label)[1]):
            yield group
            group = []
        group.append(token)
    if group:
        yield group


def _split(label: str) -> tuple[bool, str]:
    """Return whether a label opens an entity, and its kind. A label without B- or I- continues one."""
    if label.startswith(("B-", "I-")):
        return label[0] == "B", label[2:]
    return False, label


def _spell(entity: Entity, item: str | Sequence[str]) -> Entity:
    """Fill in ``word``: the text between ``start`` and ``end``, or those words joined by spaces."""
    span = item[entity["start"] : entity["end"]]
    return {**entity, "word": span if isinstance(span, str) else " ".join(span)}
