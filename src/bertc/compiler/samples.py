"""Texts as the batches that graphs are run on, and the facts about them for the certificate."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bertc.artifact.certificate import DataFacts
from bertc.errors import InputError
from bertc.ports import CU_SEQLENS, SELECTED, SEQUENCES, TOKENS
from bertc.runtime.items import Pair, Text
from bertc.runtime.tokenization import Tokenizer

Array = np.ndarray[Any, Any]

BATCH_TOKENS = 512
"""The tokens of a batch, about: 5 floats of each value for BERT-base's 150 are 1 MB a token."""


MASK_EVERY = 7
"""A model that fills in masked words is run with one in so many tokens masked: 15 %, as it was trained."""
FEW_BATCHES = 2
"""The batches for details, about 1,000 tokens: enough for a layer's error, a sum of millions of terms."""


@dataclass(frozen=True, eq=False)
class Sample:
    """One tokenized sequence, as the model takes it."""

    text: str
    """The text that the sequence was made of, or the place where it comes from, for people."""
    input_ids: Array
    """The ids of tokens, int32 [length]."""
    token_type_ids: Array
    """The token types, int32 [length]."""


@dataclass(frozen=True, eq=False)
class Batch:
    """Some texts, and the inputs of graphs that they make."""

    texts: Sequence[str]
    inputs: Mapping[str, Array]
    """The packed inputs: ``input_ids``, ``token_type_ids``, ``cu_seqlens``; the model counts positions."""

    @property
    def lengths(self) -> Array:
        """The number of tokens of each text, int32 [texts]."""
        return np.diff(self.inputs["cu_seqlens"])


@dataclass(frozen=True, eq=False)
class Samples:
    """Tokenized texts in batches."""

    facts: DataFacts
    batches: tuple[Batch, ...]

    @property
    def few(self) -> tuple[Batch, ...]:
        """The first ``FEW_BATCHES`` batches, for what is measured many times or in great detail."""
        return self.batches[:FEW_BATCHES]

    @property
    def texts(self) -> list[str]:
        """The texts of all batches, in order."""
        return [text for batch in self.batches for text in batch.texts]

    @property
    def lengths(self) -> Array:
        """The number of tokens of each text, in order, int32 [texts]."""
        return np.concatenate([batch.lengths for batch in self.batches])

    def rows(self, kind: str) -> Array:
        """Return the number of rows that each text has of an output with such rows, int [texts]."""
        if kind == SEQUENCES:
            return np.ones(len(self.texts), np.int64)
        if kind == TOKENS:
            return self.lengths
        places = [np.searchsorted(each.inputs[SELECTED], each.inputs[CU_SEQLENS]) for each in self.batches]
        return np.concatenate([np.diff(each) for each in places])

    def with_masks(self, mask_token_id: int | None) -> Samples:
        """Return the samples with some tokens of each text selected, and masked if there is such a token."""
        return dataclasses.replace(self, batches=tuple(_mask(each, mask_token_id) for each in self.batches))


def tokenize(
    tokenizer: Tokenizer,
    texts: Sequence[Text | Pair],
    name: str,
    seed: int | None = None,
    vocab_size: int | None = None,
) -> Samples:
    """Return texts or pairs of texts as batches; ``name`` and ``seed`` are for the facts.

    Texts with a token that the model has no row for, of its ``vocab_size``, are left out: they would be
    refused. Raises ``InputError`` if none is left.
    """
    tokenized = tokenizer(texts)
    spelled = [text if isinstance(text, str) else " / ".join(text) for text in texts]
    samples = [
        Sample(text, np.array(encoding.ids, np.int32), np.array(encoding.type_ids, np.int32))
        for text, encoding in zip(spelled, tokenized.encodings, strict=True)
        if len(encoding) and (vocab_size is None or max(encoding.ids) < vocab_size)
    ]
    if not samples:
        raise InputError(f"{name}: every text is empty or has a token that the model has no row for")
    digest = hashlib.sha256("".join(f"{text}\n" for text in spelled).encode(errors="replace")).hexdigest()
    return in_batches(samples, name, digest, truncated=tokenized.truncated, seed=seed)


def in_batches(
    samples: Sequence[Sample], name: str, sha256: str, *, truncated: int, seed: int | None = None
) -> Samples:
    """Return samples, at least one, in batches of about ``BATCH_TOKENS`` tokens."""
    ends = np.cumsum([len(sample.input_ids) for sample in samples])
    groups: dict[int, list[Sample]] = {}
    for sample, end in zip(samples, ends, strict=True):
        groups.setdefault((int(end) - 1) // BATCH_TOKENS, []).append(sample)
    facts = DataFacts(
        name=name,
        sha256=sha256,
        samples=len(samples),
        tokens=int(ends[-1]),
        truncated=truncated,
        seed=seed,
    )
    return Samples(facts, tuple(_pack(group) for group in groups.values()))


def _mask(batch: Batch, mask_token_id: int | None) -> Batch:
    bounds, ids = batch.inputs[CU_SEQLENS], batch.inputs["input_ids"].copy()
    firsts = bounds[:-1] + np.minimum(np.diff(bounds) - 1, MASK_EVERY // 2)
    selected = np.concatenate(
        [np.arange(first, last, MASK_EVERY) for first, last in zip(firsts, bounds[1:], strict=True)]
    ).astype(np.int32)
    if mask_token_id is not None:
        ids[selected] = mask_token_id
    return Batch(batch.texts, {**batch.inputs, "input_ids": ids, SELECTED: selected})


def _pack(samples: Sequence[Sample]) -> Batch:
    lengths = [len(sample.input_ids) for sample in samples]
    inputs = {
        "input_ids": np.concatenate([sample.input_ids for sample in samples]),
        "token_type_ids": np.concatenate([sample.token_type_ids for sample in samples]),
        "cu_seqlens": np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32),
    }
    return Batch([sample.text for sample in samples], inputs)
