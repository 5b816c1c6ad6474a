"""Text to vectors, with the names and meanings of sentence-transformers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, overload

import numpy as np

from bertc.encoder import Encoder
from bertc.errors import InputError
from bertc.runtime.batching import FloatArray
from bertc.runtime.tokenization import Tokenizer, as_items
from bertc.tasks.drive import drive
from bertc.tasks.task import Prepared


@dataclass(frozen=True)
class Embedding:
    """The task of giving each text or pair a vector."""

    tokenizer: Tokenizer
    normalize: bool = False
    truncate_dim: int | None = None
    output: str = "sentence_embedding"

    def prepare(self, items: Sequence[Any], *, first: int = 0) -> Prepared[Sequence[int]]:
        """Return a batch with a sequence for each item that has a token; the context names the others."""
        tokenized = self.tokenizer(items, first=first)
        return Prepared(tokenized.packed, tokenized.empty, tokenized.truncated)

    def finish(self, prepared: Prepared[Sequence[int]], values: FloatArray) -> FloatArray:
        """Return float32 [items, dimensions]; zeros for an item without a token, as is usual."""
        vectors = values[:, : self.truncate_dim]
        if prepared.context:
            # insert counts rows without those that it inserts.
            gaps = [index - before for before, index in enumerate(prepared.context)]
            vectors = np.insert(vectors, gaps, 0, axis=0)
        if not self.normalize:
            return vectors
        norms = np.sqrt(np.square(vectors, dtype=np.float64).sum(axis=1, keepdims=True))
        return np.asarray(vectors / np.maximum(norms, 1e-12), np.float32)


class Embedder(Encoder):
    """A loaded model that embeds texts."""

    @property
    def dimensions(self) -> int:
        """The number of components of a vector."""
        port = self.info.output("sentence_embedding")
        assert port is not None, "the reader has checked that it is there"
        return port.columns

    @overload
    def encode(
        self,
        inputs: Any = ...,
        *,
        sentences: Any = ...,
        batch_size: int = ...,
        show_progress_bar: bool | None = ...,
        normalize_embeddings: bool = ...,
        truncate_dim: int | None = ...,
        convert_to_numpy: Literal[True] = ...,
    ) -> FloatArray: ...

    @overload
    def encode(
        self,
        inputs: Any = ...,
        *,
        sentences: Any = ...,
        batch_size: int = ...,
        show_progress_bar: bool | None = ...,
        normalize_embeddings: bool = ...,
        truncate_dim: int | None = ...,
        convert_to_numpy: bool,
    ) -> FloatArray | list[FloatArray]: ...

    def encode(
        self,
        inputs: Any = None,
        *,
        sentences: Any = None,
        batch_size: int = 32,
        show_progress_bar: bool | None = None,
        normalize_embeddings: bool = False,
        truncate_dim: int | None = None,
        convert_to_numpy: bool = True,
    ) -> FloatArray | list[FloatArray]:
        """Embed texts: a float32 array [texts, hidden], in the order of ``inputs``.

        One string gives one vector [hidden]. A tuple is a pair, a list of lists is words. The names
        are those of sentence-transformers: ``sentences`` is another name for ``inputs``;
        ``truncate_dim`` keeps the first components and ``normalize_embeddings`` scales what is left
        to length 1; ``convert_to_numpy=False`` gives a list of vectors. ``batch_size`` changes
        neither results nor, as nothing is padded, speed. Raises ``InputError``.
        """
        if (inputs is None) == (sentences is None):
            raise InputError("encode needs inputs, or sentences, but not both")
        _check_positive(batch_size, "batch_size")
        if truncate_dim is not None:
            _check_positive(truncate_dim, "truncate_dim")
        items, single = as_items(sentences if inputs is None else inputs)
        task = Embedding(self.tokenizer, normalize_embeddings, truncate_dim)
        vectors = np.empty((len(items), min(self.dimensions, truncate_dim or self.dimensions)), np.float32)
        done = 0
        for rows in drive(self, task, items, min_items=batch_size, show_progress=show_progress_bar):
            vectors[done : done + len(rows)] = rows
            done += len(rows)
        if convert_to_numpy and not single:
            return vectors
        separate: list[FloatArray] = list(vectors)
        return separate[0] if single else separate


def _check_positive(value: Any, name: str) -> None:
    if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < 1:
        raise InputError(f"{name} is {value!r}: expected a positive whole number")
