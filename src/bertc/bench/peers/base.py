"""A peer, which is a checkpoint converted as the library's own documentation advises, and run.

All peers get the same tokenizer as ours, and everything around their model is done here, once: texts
are sorted by tokens, batched, and padded to the longest of the batch.
"""

from __future__ import annotations

import importlib.util
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from bertc.bench.engine import Array, batches
from bertc.bench.peers.source import Source
from bertc.errors import MissingExtraError

IntArray = NDArray[np.int64]

INPUTS = ("input_ids", "attention_mask", "token_type_ids")
"""The names of the inputs of exported graphs."""


class Peer(ABC):
    """A library that runs BERT. Each has a subclass, in one small file."""

    library: ClassVar[str]
    """The name that ``--against`` takes, which is the package's too."""
    packages: ClassVar[tuple[str, ...]]
    """The packages that converting and running import."""
    dtypes: ClassVar[tuple[str, ...]]
    """The variants that the library offers on a CPU."""
    isa: str | None = None

    def __init__(self, source: Source, dtype: str, threads: int) -> None:  # noqa: ARG002 (of peers)
        """Take the tokenizer; subclasses load the converted checkpoint, to be run with so many threads."""
        self.info = source.info
        self.version = metadata.version(self.library)
        self.kernel_seconds = 0.0
        self._tokenizer = source.tokenizer()

    @classmethod
    @abstractmethod
    def convert(cls, source: Source, dtype: str) -> Path:
        """Return the converted checkpoint, which is made if the cache does not have it."""

    @abstractmethod
    def bind(self, input_ids: Array, attention_mask: Array) -> Callable[[], Array]:
        """Prepare arrays as :meth:`bertc.bench.engine.Engine.bind` says."""

    def encode(self, texts: Sequence[str], *, batch_size: int | None, sort: bool) -> Array:
        """Answer as :meth:`bertc.bench.engine.Engine.encode` says; tokenizing all at once is fastest."""
        rows = [encoding.ids for encoding in self._tokenizer.encode_batch_fast(list(texts))]
        order = sorted(range(len(rows)), key=lambda i: len(rows[i])) if sort else range(len(rows))
        parts = batches(texts, batch_size, order)
        padded = [pad([rows[i] for i in part]) for part in parts]
        start = time.perf_counter()
        results = self.run_batches(padded)
        self.kernel_seconds += time.perf_counter() - start
        answers = np.empty((len(texts), results[0].shape[1]), np.float32)
        for part, result in zip(parts, results, strict=True):
            answers[part] = result
        return answers

    def run_batches(self, padded: Sequence[tuple[Array, Array]]) -> list[Array]:
        """Run several batches of token ids and masks [batch, seq], one after the other."""
        return [self.bind(ids, mask)() for ids, mask in padded]


def pad(rows: Sequence[Sequence[int]]) -> tuple[IntArray, IntArray]:
    """Return token ids and mask, int64 [batch, longest]; padding has id 0, which the mask hides."""
    ids = np.zeros((len(rows), max(map(len, rows))), np.int64)
    mask = np.zeros_like(ids)
    for index, row in enumerate(rows):
        ids[index, : len(row)] = row
        mask[index, : len(row)] = 1
    return ids, mask


def feed(input_ids: Array, attention_mask: Array) -> dict[str, Array]:
    """Return the inputs of an exported graph, int64 [batch, seq], by name."""
    arrays = (input_ids, attention_mask, np.zeros_like(input_ids))
    return {name: np.ascontiguousarray(array) for name, array in zip(INPUTS, arrays, strict=True)}


def check_installed(peer: type[Peer]) -> None:
    """Raise ``MissingExtraError`` for the first package that is missing. Nothing is imported."""
    for package in peer.packages:
        if importlib.util.find_spec(package) is None:
            raise MissingExtraError(package, "bench", f"comparing with {peer.library}")
