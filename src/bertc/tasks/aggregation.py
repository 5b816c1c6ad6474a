"""Entities of labeled tokens, by the strategies of the ``token-classification`` pipeline."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from bertc.runtime.batching import FloatArray

Entity = dict[str, Any]


@dataclass(frozen=True)
class ScoredToken:
    """One token, with the probability of each label."""

    scores: FloatArray
    """The probabilities [labels]."""
    word: str
    """The token; of one that the vocabulary lacks, its text."""
    index: int
    """The position in the sequence, special tokens counted."""
    start: int
    end: int
    """With ``start``: the place in characters of the text, or in words of the word list."""
    continues: bool
    """Whether the token belongs to the word of the token before."""


@dataclass(frozen=True)
class _Tagged:
    """The label of one token, or of one word."""

    label: str
    score: np.float32
    word: str
    start: int
    end: int


Join = Callable[[list[str]], str]
Strategy = Callable[[Sequence[ScoredToken], Sequence[str], Join], Iterable[_Tagged]]


def aggregate(
    tokens: Sequence[ScoredToken],
    labels: Sequence[str],
    strategy: str,
    ignored: Sequence[str],
    join: Join,
) -> list[Entity]:
    """Return the entities of a sequence of tokens by one of ``STRATEGIES``.

    ``labels`` are the names of the classes by their numbers, ``ignored`` those that make no entity; ``join``
    makes text of tokens. Words are joined twice, as in the pipeline: their tokens, then they themselves.
    """
    if strategy == "none":
        found = [_token(token, labels) for token in tokens]
    else:
        found = [_group(run, join) for run in _runs(STRATEGIES[strategy](tokens, labels, join))]
    return [entity for kind, entity in found if kind not in ignored]


def resolve_overlaps(entities: Iterable[Entity]) -> list[Entity]:
    """Return entities of overlapping windows such that none begins inside the one before.

    Of two that overlap the longer one stays, of two equally long ones that with the higher score:
    ``aggregate_overlapping_entities`` of the pipeline.
    """
    kept: list[Entity] = []
    for entity in sorted(entities, key=lambda each: int(each["start"])):
        if not kept or not kept[-1]["start"] <= entity["start"] < kept[-1]["end"]:
            kept.append(entity)
        elif _weight(entity) > _weight(kept[-1]):
            kept[-1] = entity
    return kept


def _weight(entity: Entity) -> tuple[int, float]:
    return entity["end"] - entity["start"], entity["score"]


def _tokens_alone(tokens: Iterable[ScoredToken], labels: Sequence[str], _: Join) -> Iterator[_Tagged]:
    return (_tagged([token], token.scores, token.word, labels) for token in tokens)


def _words(choose: Callable[[list[ScoredToken]], FloatArray]) -> Strategy:
    """Return a strategy that labels words as wholes, by the scores that ``choose`` makes of their tokens."""

    def strategy(tokens: Iterable[ScoredToken], labels: Sequence[str], join: Join) -> Iterator[_Tagged]:
        word: list[ScoredToken] = []
        for token in tokens:
            if word and not token.continues:
                yield _tagged(word, choose(word), join([each.word for each in word]), labels)
                word = []
            word.append(token)
        if word:
            yield _tagged(word, choose(word), join([each.word for each in word]), labels)

    return strategy


def _tagged(tokens: Sequence[ScoredToken], scores: FloatArray, word: str, labels: Sequence[str]) -> _Tagged:
    best = int(scores.argmax())
    return _Tagged(labels[best], scores[best], word, tokens[0].start, tokens[-1].end)


def _first(word: list[ScoredToken]) -> FloatArray:
    return word[0].scores


def _average(word: list[ScoredToken]) -> FloatArray:
    return np.asarray(np.mean([token.scores for token in word], axis=0), np.float32)


def _surest(word: list[ScoredToken]) -> FloatArray:
    return max((token.scores for token in word), key=np.max)


STRATEGIES: Mapping[str, Strategy] = MappingProxyType(
    {
        "none": _tokens_alone,
        "simple": _tokens_alone,
        "first": _words(_first),
        "average": _words(_average),
        "max": _words(_surest),
    }
)
"""What each strategy labels: tokens, or words as wholes."""
WORD_STRATEGIES = ("first", "average", "max")
"""The strategies that need to know which tokens make a word."""


def _token(token: ScoredToken, labels: Sequence[str]) -> tuple[str, Entity]:
    """Return the label of a token, and the token as an entity."""
    best = int(token.scores.argmax())
    entity = {"entity": labels[best], "score": float(token.scores[best]), "index": token.index}
    return labels[best], {**entity, "word": token.word, "start": token.start, "end": token.end}


def _group(tagged: Sequence[_Tagged], join: Join) -> tuple[str, Entity]:
    """Return the kind of adjacent tokens or words, and these as one entity."""
    kind = tagged[0].label.split("-", 1)[-1]
    score = float(np.mean(np.array([each.score for each in tagged], np.float32)))
    start, end = tagged[0].start, tagged[-1].end
    word = join([each.word for each in tagged])
    return kind, {"entity_group": kind, "score": score, "word": word, "start": start, "end": end}


def _runs(tagged: Iterable[_Tagged]) -> Iterator[list[_Tagged]]:
    """Yield adjacent tokens or words of one kind, joined as ``group_entities`` of the pipeline does.

    One opens a group if its kind differs from that of the one before, or if its label starts with B-.
    """
    group: list[_Tagged] = []
    for each in tagged:
        opens, kind = _split(each.label)
        if group and (opens or kind != _split(group[-1].label)[1]):
            yield group
            group = []
        group.append(each)
    if group:
        yield group


def _split(label: str) -> tuple[bool, str]:
    """Return whether a label opens an entity, and its kind. A label without B- or I- continues one."""
    if label.startswith(("B-", "I-")):
        return label[0] == "B", label[2:]
    return False, label
