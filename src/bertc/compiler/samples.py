"""Texts as the batches that graphs are measured on, and the facts about them for the certificate."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bertc import data
from bertc.artifact.certificate import DataFacts
from bertc.runtime.batching import PackedBatch
from bertc.runtime.tokenization import Tokenizer

Array = np.ndarray[Any, Any]

BATCH_TOKENS = 512
"""About as many tokens are run at a time: 5 floats of each value for BERT-base's 150 are 1 MB a token."""


@dataclass(frozen=True, eq=False)
class Batch:
    """Some texts, and what graphs take of them."""

    texts: Sequence[str]
    inputs: Mapping[str, Array]
    """Packed: ``input_ids``, ``token_type_ids``, ``position_ids``, ``cu_seqlens``."""

    @property
    def lengths(self) -> Array:
        """Tokens of each text."""
        return np.diff(self.inputs["cu_seqlens"])


@dataclass(frozen=True, eq=False)
class Samples:
    """Tokenized texts in batches."""

    facts: DataFacts
    batches: tuple[Batch, ...]

    @property
    def texts(self) -> list[str]:
        """All texts, in order."""
        return [text for batch in self.batches for text in batch.texts]

    @property
    def lengths(self) -> Array:
        """Tokens of each text, in order."""
        return np.concatenate([batch.lengths for batch in self.batches])


HELD_OUT = 128


def shipped_samples(tokenizer: Tokenizer) -> Samples:
    """Some of the texts that travel with the package, from all over the file."""
    texts = data.sample_texts()
    chosen = texts[:: max(1, len(texts) // HELD_OUT)][:HELD_OUT]
    return tokenize(tokenizer, chosen, "the sample texts that bertc ships")


def tokenize(tokenizer: Tokenizer, texts: Sequence[str], name: str, seed: int | None = None) -> Samples:
    """Texts as batches of about ``BATCH_TOKENS``; ``name`` and ``seed`` are for the facts."""
    batches: list[Batch] = []
    truncated = 0
    for part in _slices(tokenizer, texts):
        tokenized = tokenizer(part)
        truncated += tokenized.truncated
        batches.append(Batch(part, graph_inputs(tokenized.packed)))
    digest = hashlib.sha256("".join(f"{text}\n" for text in texts).encode(errors="replace")).hexdigest()
    tokens = sum(len(batch.inputs["input_ids"]) for batch in batches)
    facts = DataFacts(
        name=name, sha256=digest, samples=len(texts), tokens=tokens, truncated=truncated, seed=seed
    )
    return Samples(facts, tuple(batches))


def _slices(tokenizer: Tokenizer, texts: Sequence[str]) -> Iterator[Sequence[str]]:
    lengths = np.diff(tokenizer(texts).packed.cu_seqlens)
    batch_of = (np.cumsum(lengths) - 1) // BATCH_TOKENS
    starts = [0, *(np.flatnonzero(np.diff(batch_of)) + 1).tolist(), len(texts)]
    for start, stop in itertools.pairwise(starts):
        yield texts[start:stop]


def graph_inputs(packed: PackedBatch) -> dict[str, Array]:
    """A packed batch as a graph takes it: every input there, int32."""
    ids = packed.input_ids
    starts = np.repeat(packed.cu_seqlens[:-1], np.diff(packed.cu_seqlens))
    positions = np.arange(len(ids), dtype=np.int32) - starts.astype(np.int32)
    types, given = packed.token_type_ids, packed.position_ids
    return {
        "input_ids": ids,
        "token_type_ids": np.zeros_like(ids) if types is None else types,
        "position_ids": positions if given is None else given,
        "cu_seqlens": packed.cu_seqlens,
    }
