"""Text to vectors, with the names and meanings of sentence-transformers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bertc.artifact.embedding_facts import DOCUMENT, QUERY
from bertc.errors import InputError
from bertc.runtime.batching import FloatArray, PackedBatch
from bertc.runtime.tokenization import Tokenizer
from bertc.runtime.unit_rows import normalized
from bertc.tasks.arguments import check_choice, check_count
from bertc.tasks.drive import drive
from bertc.tasks.similarity import similarity, similarity_pairwise
from bertc.tasks.task import Prepared
from bertc.tasks.text_encoder import TextEncoder, as_texts
from bertc.tasks.vector_precision import (
    PRECISIONS,
    SCALED,
    dtype_of,
    given_ranges,
    packed_columns,
    quantize,
    stored_ranges,
)

Vectors = NDArray[Any]
"""float32, or 8-bit integers: what ``precision`` says."""
OUTPUT_VALUES = ("sentence_embedding", "token_embeddings")


@dataclass(frozen=True)
class Embedding:
    """The task of giving each text or pair a vector."""

    tokenizer: Tokenizer
    normalize: bool = False
    truncate_dim: int | None = None
    prompt_tokens: int = 0
    """How many tokens at the beginning no pooling counts."""
    output: str = "sentence_embedding"

    def prepare(self, items: Sequence[Any], *, first: int = 0) -> Prepared[Sequence[int]]:
        """Return a batch with a sequence for each item that has a token; the context names the others."""
        tokenized = self.tokenizer(items, first=first)
        batch = tokenized.packed
        if self.prompt_tokens:
            batch = _without_prompt(batch, self.prompt_tokens)
        return Prepared(batch, tokenized.empty, tokenized.truncated)

    def finish(self, prepared: Prepared[Sequence[int]], values: FloatArray) -> FloatArray:
        """Return float32 [items, dimensions]; zeros for an item without a token, as is usual."""
        vectors = values[:, : self.truncate_dim]
        if prepared.context:
            # insert counts rows without those that it inserts.
            gaps = [index - before for before, index in enumerate(prepared.context)]
            vectors = np.insert(vectors, gaps, 0, axis=0)
        return normalized(vectors) if self.normalize else vectors


@dataclass(frozen=True)
class TokenEmbedding:
    """A vector for each token of a text or pair, special ones included."""

    tokenizer: Tokenizer
    output: str

    def prepare(self, items: Sequence[Any], *, first: int = 0) -> Prepared[Sequence[int]]:
        """A sequence for each item that has a token; the context are the numbers of tokens of all."""
        tokenized = self.tokenizer(items, first=first)
        return Prepared(tokenized.packed, [len(each) for each in tokenized.encodings], tokenized.truncated)

    def finish(self, prepared: Prepared[Sequence[int]], values: FloatArray) -> list[FloatArray]:
        """float32 [tokens, dimensions] for each item."""
        return np.split(values, np.cumsum(prepared.context)[:-1])


class Embedder(TextEncoder):
    """A loaded model that embeds texts."""

    @property
    def dimensions(self) -> int:
        """The number of components of a vector, before ``truncate_dim``."""
        port = self.info.output("sentence_embedding")
        assert port is not None, "the reader has checked that it is there"
        return port.columns

    @overload
    def encode(
        self,
        inputs: Any = ...,
        *,
        sentences: Any = ...,
        prompt_name: str | None = ...,
        prompt: str | None = ...,
        batch_size: int = ...,
        show_progress_bar: bool | None = ...,
        output_value: Literal["sentence_embedding"] = ...,
        precision: str = ...,
        ranges: ArrayLike | None = ...,
        normalize_embeddings: bool = ...,
        truncate_dim: int | None = ...,
        convert_to_numpy: Literal[True] = ...,
    ) -> Vectors: ...

    @overload
    def encode(
        self,
        inputs: Any = ...,
        *,
        sentences: Any = ...,
        prompt_name: str | None = ...,
        prompt: str | None = ...,
        batch_size: int = ...,
        show_progress_bar: bool | None = ...,
        output_value: str = ...,
        precision: str = ...,
        ranges: ArrayLike | None = ...,
        normalize_embeddings: bool = ...,
        truncate_dim: int | None = ...,
        convert_to_numpy: bool = ...,
    ) -> Vectors | list[Vectors]: ...

    def encode(
        self,
        inputs: Any = None,
        *,
        sentences: Any = None,
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int = 32,
        show_progress_bar: bool | None = None,
        output_value: str = "sentence_embedding",
        precision: str = "float32",
        ranges: ArrayLike | None = None,
        normalize_embeddings: bool = False,
        truncate_dim: int | None = None,
        convert_to_numpy: bool = True,
    ) -> Vectors | list[Vectors]:
        """Embed texts: a float32 array [texts, dimensions], in the order of ``inputs``.

        One string gives one vector; a list or a tuple of strings is a batch, a tuple of two strings in one
        is a pair. The names are those of sentence-transformers: ``sentences`` is another name for ``inputs``.

        ``prompt``, or the model's prompt called ``prompt_name``, or else its default prompt if it has one, is
        put before each text. ``truncate_dim`` keeps the first components and ``normalize_embeddings`` scales
        what is left to length 1. ``precision`` is "float32", "int8", "uint8", or "binary" or "ubinary" (bits,
        eight to a byte); int8 and uint8 cut the ``ranges`` [2, dimensions] of the values into 256 steps, by
        default those of the calibration texts. ``output_value="token_embeddings"`` gives a list of arrays
        [tokens, hidden]. ``convert_to_numpy=False`` gives a list of vectors. ``batch_size`` changes neither
        results nor, as nothing is padded, speed. Raises ``InputError``.
        """
        if (inputs is None) == (sentences is None):
            raise InputError("encode needs inputs, or sentences, but not both")
        check_count("batch_size", batch_size)
        check_choice("precision", precision, PRECISIONS)
        check_choice("output_value", output_value, OUTPUT_VALUES)
        if truncate_dim is not None:
            check_count("truncate_dim", truncate_dim)
        prompt = self._prompt(prompt, prompt_name)
        items, single = as_texts(sentences if inputs is None else inputs, prompt)
        steps = {"min_items": batch_size, "show_progress": show_progress_bar}
        if output_value == "token_embeddings":
            rows = self._encode_tokens(items, precision, ranges, steps)
            return rows[0] if single else rows
        skipped = 0 if self.facts.include_prompt else self._count_prompt_tokens(prompt)
        kept = min(self.dimensions, truncate_dim or self.facts.truncate_dim or self.dimensions)
        task = Embedding(self._tokenizer_for(self._limit()), normalize_embeddings, kept, skipped)
        vectors = self._encode_sentences(items, task, precision, self._ranges(precision, ranges, task), steps)
        if convert_to_numpy and not single:
            return vectors
        separate: list[Vectors] = list(vectors)
        return separate[0] if single else separate

    def encode_query(
        self, inputs: Any, *, prompt_name: str | None = None, prompt: str | None = None, **options: Any
    ) -> Vectors | list[Vectors]:
        """Embed queries: :meth:`encode` with the prompt ``query``, or none if there is no such prompt."""
        return self._encode(inputs, self._prompt(prompt, prompt_name, QUERY), options)

    def encode_document(
        self, inputs: Any, *, prompt_name: str | None = None, prompt: str | None = None, **options: Any
    ) -> Vectors | list[Vectors]:
        """Embed documents: :meth:`encode` with the prompt ``document``, or none if there is none."""
        return self._encode(inputs, self._prompt(prompt, prompt_name, DOCUMENT), options)

    def similarity(self, embeddings1: ArrayLike, embeddings2: ArrayLike) -> FloatArray:
        """Return the scores of all first embeddings with all second ones: float32 [first, second].

        By the function of :attr:`similarity_fn_name`. Raises ``InputError``.
        """
        return similarity(self.similarity_fn_name, embeddings1, embeddings2)

    def similarity_pairwise(self, embeddings1: ArrayLike, embeddings2: ArrayLike) -> FloatArray:
        """Return the score of each first embedding with the second one in its place: float32 [embeddings]."""
        return similarity_pairwise(self.similarity_fn_name, embeddings1, embeddings2)

    def _encode(self, inputs: Any, prompt: str, options: dict[str, Any]) -> Vectors | list[Vectors]:
        vectors: Vectors | list[Vectors] = self.encode(inputs, prompt=prompt, **options)
        return vectors

    def _encode_sentences(
        self, items: list[Any], task: Embedding, precision: str, ranges: Vectors | None, steps: dict[str, Any]
    ) -> Vectors:
        columns = packed_columns(task.truncate_dim or self.dimensions, precision)
        vectors = np.empty((len(items), columns), dtype_of(precision))
        done = 0
        for part in drive(self, task, items, method="encode", **steps):
            vectors[done : done + len(part)] = quantize(part, precision, ranges)
            done += len(part)
        return vectors

    def _encode_tokens(
        self, items: list[Any], precision: str, ranges: ArrayLike | None, steps: dict[str, Any]
    ) -> list[Vectors]:
        named = [self.info.output(name) for name in ("token_embeddings", "last_hidden_state")]
        port = next(each for each in named if each is not None)
        limits = None
        if precision in SCALED:
            if ranges is None:
                raise InputError(f"token_embeddings in {precision} need ranges: the file has none for tokens")
            limits = given_ranges(ranges, port.columns)
        task = TokenEmbedding(self._tokenizer_for(self._limit()), port.name)
        return [
            quantize(rows, precision, limits)
            for part in drive(self, task, items, method="encode", **steps)
            for rows in part
        ]

    def _count_prompt_tokens(self, prompt: str) -> int:
        """The tokens that a prompt has at the beginning of a text, the special one before it included."""
        if not prompt:
            return 0
        (encoding,) = self._tokenizer_for(self._limit())([prompt]).encodings
        return len(encoding) - (len(encoding) > 0 and encoding.special_tokens_mask[-1])

    def _ranges(self, precision: str, ranges: ArrayLike | None, task: Embedding) -> Vectors | None:
        """The ranges of a task's vectors, None where the precision needs none. Raises ``InputError``."""
        if precision not in SCALED:
            return None
        columns = task.truncate_dim or self.dimensions
        if ranges is not None:
            return given_ranges(ranges, columns)
        usual = min(self.facts.truncate_dim or self.dimensions, self.dimensions)
        stored = self.facts.ranges
        if task.normalize:
            stored = self.facts.normalized_ranges if columns == usual else None
        if stored is None:
            raise InputError(
                f"the file has no ranges for {precision} vectors of {columns} components"
                f"{', normalized' if task.normalize else ''}: give ranges=np.stack([v.min(axis=0), "
                "v.max(axis=0)]), where v are float32 vectors of many texts"
            )
        return stored_ranges(stored, columns)


def _without_prompt(batch: PackedBatch, prompt_tokens: int) -> PackedBatch:
    """The batch with flags that leave a prompt at the beginning of each sequence out of the pooling."""
    starts = np.repeat(batch.cu_seqlens[:-1], np.diff(batch.cu_seqlens))
    pooled = (np.arange(len(starts)) - starts >= prompt_tokens).astype(np.int32)
    return PackedBatch({**batch.inputs, "pooled": pooled}, batch.cu_seqlens)
