"""Text to sparse vectors: a weight for each entry of the vocabulary, nearly all of them zero."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from bertc.artifact.embedding_facts import DOCUMENT, QUERY
from bertc.errors import InputError, MissingExtraError
from bertc.runtime.batching import FloatArray, IntArray
from bertc.runtime.tokenization import Tokenizer
from bertc.tasks.arguments import check_choice, check_count
from bertc.tasks.drive import drive
from bertc.tasks.similarity import similarity
from bertc.tasks.task import Prepared
from bertc.tasks.text_encoder import TextEncoder, as_texts

OUTPUTS = ("csr", "dict")
_WINDOW_WEIGHTS = 1 << 22
"""The weights of a window before its zeros are dropped, 16 MB, unless a batch of the caller has more."""
Weights = dict[str, float]
"""The weight of each token that has one, the largest first."""


class SparseRow(NamedTuple):
    """The entries of one vector that are not zero."""

    columns: IntArray
    """Increasing."""
    weights: FloatArray


@dataclass(frozen=True)
class SparseEmbedding:
    """One sparse vector per text or pair."""

    tokenizer: Tokenizer
    top_k: int | None = None
    """How many of the largest entries are kept."""
    output: str = "sparse_embedding"

    def prepare(self, items: Sequence[Any], *, first: int = 0) -> Prepared[Sequence[int]]:
        """A sequence for each item that has a token; the context are the numbers of tokens of all."""
        tokenized = self.tokenizer(items, first=first)
        counts = [len(each) for each in tokenized.encodings]
        return Prepared(tokenized.packed, counts, tokenized.truncated, self.tokenizer.max_seq_length)

    def finish(self, prepared: Prepared[Sequence[int]], values: FloatArray) -> list[SparseRow]:
        """A row for each item, empty for one without a token."""
        rows = iter(values)
        none = SparseRow(np.empty(0, np.int32), np.empty(0, np.float32))
        return [self._row(next(rows)) if count else none for count in prepared.context]

    def _row(self, values: FloatArray) -> SparseRow:
        columns = np.flatnonzero(values)
        if self.top_k is not None and len(columns) > self.top_k:
            # Stable: of equal weights, those of the first tokens are kept.
            largest = np.argsort(-values[columns], kind="stable")[: self.top_k]
            columns = np.sort(columns[largest])
        return SparseRow(columns.astype(np.int32), values[columns])


class SparseEmbedder(TextEncoder):
    """A loaded model that turns texts into sparse vectors."""

    _usual_similarity = "dot"

    @property
    def dimensions(self) -> int:
        """The number of components of a vector: the entries of the vocabulary."""
        port = self.info.output("sparse_embedding")
        assert port is not None, "the reader has checked that it is there"
        return port.columns

    def encode_sparse(
        self,
        inputs: Any,
        *,
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int = 32,
        show_progress_bar: bool | None = None,
        top_k: int | None = None,
        output: str = "csr",
    ) -> Any:
        """Embed texts: a ``scipy.sparse.csr_matrix`` float32 [texts, vocabulary], one row for one string.

        ``output="dict"`` gives ``{token: weight}`` for each text, largest weight first, and needs no SciPy.
        ``top_k`` keeps the largest entries of each text, by default as many as the model's folder says.
        ``inputs`` and prompts are those of :meth:`Embedder.encode`. Raises ``InputError``, and
        ``MissingExtraError`` for a matrix without SciPy.
        """
        check_count("batch_size", batch_size)
        check_choice("output", output, OUTPUTS)
        if top_k is not None:
            check_count("top_k", top_k)
        csr_matrix = _csr_matrix() if output == "csr" else None
        items, single = as_texts(inputs, self._prompt(prompt, prompt_name))
        task = SparseEmbedding(self._tokenizer_for(self._limit()), top_k or self.facts.max_active_dims)
        windows = drive(
            self,
            task,
            items,
            method="encode_sparse",
            min_items=batch_size,
            max_items=_WINDOW_WEIGHTS // self.dimensions,
            show_progress=show_progress_bar,
        )
        rows = [row for window in windows for row in window]
        if csr_matrix is not None:
            return self._matrix(csr_matrix, rows)
        spelled = [self._spell(row) for row in rows]
        return spelled[0] if single else spelled

    def encode_query(
        self, inputs: Any, *, prompt_name: str | None = None, prompt: str | None = None, **options: Any
    ) -> Any:
        """Embed queries: :meth:`encode_sparse` with the prompt ``query``, or none if there is none."""
        return self.encode_sparse(inputs, prompt=self._prompt(prompt, prompt_name, QUERY), **options)

    def encode_document(
        self, inputs: Any, *, prompt_name: str | None = None, prompt: str | None = None, **options: Any
    ) -> Any:
        """Embed documents: :meth:`encode_sparse` with the prompt ``document``, or none if there is none."""
        return self.encode_sparse(inputs, prompt=self._prompt(prompt, prompt_name, DOCUMENT), **options)

    def decode(self, embeddings: Any, top_k: int | None = None) -> list[Weights]:
        """Return ``{token: weight}`` for each row of a matrix, largest weight first, ``top_k`` at most."""
        if top_k is not None:
            check_count("top_k", top_k)
        matrix = _csr_matrix()(embeddings)
        if matrix.shape[1] != self.dimensions:
            raise InputError(f"embeddings have {matrix.shape[1]} columns, expected {self.dimensions}")
        bounds = matrix.indptr
        rows = [
            SparseRow(matrix.indices[start:stop], matrix.data[start:stop])
            for start, stop in itertools.pairwise(bounds)
        ]
        return [self._spell(row, top_k) for row in rows]

    def similarity(self, embeddings1: Any, embeddings2: Any) -> FloatArray:
        """Return the scores of all rows of two matrices, float32 [first, second]: dot products by default.

        By the function of :attr:`similarity_fn_name`. Raises ``InputError``.
        """
        if self.similarity_fn_name == "dot":
            csr_matrix = _csr_matrix()
            product = csr_matrix(embeddings1) @ csr_matrix(embeddings2).T
            return np.asarray(product.toarray(), np.float32)
        return similarity(self.similarity_fn_name, _dense(embeddings1), _dense(embeddings2))

    def _matrix(self, csr_matrix: Any, rows: Sequence[SparseRow]) -> Any:
        bounds = np.cumsum([0, *(len(row.columns) for row in rows)])
        columns = [row.columns for row in rows] or [np.empty(0, np.int32)]
        weights = [row.weights for row in rows] or [np.empty(0, np.float32)]
        parts = (np.concatenate(weights), np.concatenate(columns), bounds)
        return csr_matrix(parts, shape=(len(rows), self.dimensions))

    def _spell(self, row: SparseRow, top_k: int | None = None) -> Weights:
        order = np.argsort(-row.weights, kind="stable")[:top_k]
        return {self.tokenizer.token(int(row.columns[i])): float(row.weights[i]) for i in order}


def _dense(embeddings: Any) -> Any:
    return embeddings.toarray() if hasattr(embeddings, "toarray") else embeddings


def _csr_matrix() -> Any:
    try:
        from scipy.sparse import csr_matrix
    except ImportError:
        raise MissingExtraError("scipy", "sparse", 'a sparse matrix (instead of output="dict")') from None
    return csr_matrix
