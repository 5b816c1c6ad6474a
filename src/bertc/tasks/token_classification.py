"""Labels for tokens, words and entities, in the shape of the ``token-classification`` pipeline."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bertc.errors import InputError
from bertc.runtime.batching import FloatArray
from bertc.runtime.tokenization import as_items
from bertc.tasks.base import Task, softmax

if TYPE_CHECKING:
    from tokenizers import Encoding

Entity = dict[str, Any]

STRATEGIES = ("none", "simple")
OUTSIDE = "O"
"""The label of what belongs to no entity."""


@dataclass(frozen=True)
class _Tagged:
    """The best label of one token."""

    label: str
    score: float
    index: int
    """Position in the sequence, special tokens counted."""
    start: int
    end: int
    """Characters of the text, or words of the word list."""


class TokenClassification(Task):
    """Named entities and other labels of words."""

    name = "token_classification"
    output = "logits"
    methods = ("tag", "predict_tags")

    def tag(
        self,
        inputs: Any,
        *,
        aggregation_strategy: str = "simple",
        ignore_labels: Sequence[str] = (OUTSIDE,),
        show_progress_bar: bool | None = None,
    ) -> list[Entity] | list[list[Entity]]:
        """See :meth:`bertc.Encoder.tag`."""
        if aggregation_strategy not in STRATEGIES:
            raise InputError(
                f"aggregation_strategy is {aggregation_strategy!r}: expected one of {', '.join(STRATEGIES)}"
            )
        items, single = as_items(inputs)
        _refuse_pairs(items)
        answers: list[list[Entity]] = []
        for window in self.windows(items, offsets=True, show_progress=bool(show_progress_bar)):
            scores = softmax(window.values)
            bounds = itertools.pairwise(window.batch.packed.cu_seqlens)
            for item, encoding, (start, stop) in zip(
                window.items, window.batch.encodings, bounds, strict=True
            ):
                tokens = self._tagged_tokens(encoding, scores[start:stop], isinstance(item, list))
                entities = _tokens(tokens) if aggregation_strategy == "none" else _groups(tokens)
                answers.append([_spell(each, item) for each in entities if _kind(each) not in ignore_labels])
        return answers[0] if single else answers

    def predict_tags(
        self, words: Sequence[Any], *, show_progress_bar: bool | None = None
    ) -> list[str] | list[list[str]]:
        """See :meth:`bertc.Encoder.predict_tags`."""
        items, _ = as_items(words)
        single = bool(items) and all(isinstance(item, str) for item in items)
        if single:
            items = [items]
        for index, item in enumerate(items):
            if not isinstance(item, list):
                raise InputError(f"words[{index}] is {type(item).__name__}: expected a list of strings")
        answers: list[list[str]] = []
        for window in self.windows(items, chunked=True, show_progress=bool(show_progress_bar)):
            labels = [self._outside] * sum(map(len, window.items))
            starts = list(itertools.accumulate(map(len, window.items), initial=0))
            best = window.values.argmax(axis=1)
            for token, word in _first_tokens(window.batch.encodings, window.owners, starts):
                labels[word] = self.model.info.id2label[best[token]]
            answers.extend(labels[a:b] for a, b in itertools.pairwise(starts))
        return answers[0] if single else answers

    @property
    def _outside(self) -> str:
        """The label of a word without a token, such as one that is only white space."""
        labels = self.model.info.id2label
        return OUTSIDE if OUTSIDE in labels else labels[0]

    def _tagged_tokens(self, encoding: Encoding, scores: FloatArray, words: bool) -> Iterator[_Tagged]:
        spans = encoding.offsets
        if words:
            spans = [(0, 0) if word is None else (word, word + 1) for word in encoding.word_ids]
        best = scores.argmax(axis=1)
        for index, special in enumerate(encoding.special_tokens_mask):
            if not special:
                label = self.model.info.id2label[best[index]]
                yield _Tagged(label, float(scores[index, best[index]]), index, *spans[index])


def _refuse_pairs(items: Iterable[Any]) -> None:
    for index, item in enumerate(items):
        if isinstance(item, tuple):
            raise InputError(
                f"inputs[{index}] is a tuple: tag takes a text, a list of texts, or words as a list of lists"
            )


def _first_tokens(
    encodings: Sequence[Encoding], owners: Sequence[int], starts: Sequence[int]
) -> Iterator[tuple[int, int]]:
    """(packed token, word counted over all items) for the first token of each word."""
    token = 0
    last = -1
    for encoding, owner in zip(encodings, owners, strict=True):
        for word in encoding.word_ids:
            if word is not None and starts[owner] + word != last:
                last = starts[owner] + word
                yield token, last
            token += 1


def _tokens(tokens: Iterable[_Tagged]) -> Iterator[Entity]:
    for token in tokens:
        yield {
            "entity": token.label,
            "score": token.score,
            "index": token.index,
            "word": "",
            "start": token.start,
            "end": token.end,
        }


def _groups(tokens: Iterable[_Tagged]) -> Iterator[Entity]:
    """Adjacent tokens of one kind, joined as ``group_entities`` of the pipeline does.

    A token opens a group if its kind differs from that of the token before, or if its label starts
    with B-.
    """
    group: list[_Tagged] = []
    for token in tokens:
        opens, kind = _split(token.label)
        if group and (opens or kind != _split(group[-1].label)[1]):
            yield _group(group)
            group = []
        group.append(token)
    if group:
        yield _group(group)


def _split(label: str) -> tuple[bool, str]:
    """Whether a label opens an entity, and its kind. A label without B- or I- continues one."""
    if label.startswith(("B-", "I-")):
        return label[0] == "B", label[2:]
    return False, label


def _group(tokens: Sequence[_Tagged]) -> Entity:
    return {
        "entity_group": tokens[0].label.split("-", 1)[-1],
        "score": float(np.mean(np.array([token.score for token in tokens], np.float32))),
        "word": "",
        "start": tokens[0].start,
        "end": tokens[-1].end,
    }


def _kind(entity: Entity) -> str:
    return str(entity.get("entity_group", entity.get("entity")))


def _spell(entity: Entity, item: str | Sequence[str]) -> Entity:
    """Fill in ``word``: the text between ``start`` and ``end``, or those words joined by spaces."""
    span = item[entity["start"] : entity["end"]]
    return {**entity, "word": span if isinstance(span, str) else " ".join(span)}
