"""Text to vectors, with the names and meanings of sentence-transformers."""

from __future__ import annotations

from typing import Any

import numpy as np

from bertc.errors import InputError
from bertc.runtime.batching import FloatArray
from bertc.runtime.tokenization import as_items
from bertc.tasks.base import Task


class Embedding(Task):
    """One vector per text or pair."""

    name = "embedding"
    output = "sentence_embedding"
    methods = ("encode",)

    def encode(
        self,
        inputs: Any,
        *,
        batch_size: int = 32,
        show_progress_bar: bool | None = None,
        normalize_embeddings: bool = False,
        truncate_dim: int | None = None,
        convert_to_numpy: bool = True,
    ) -> FloatArray | list[FloatArray]:
        """See :meth:`bertc.Encoder.encode`."""
        _check_positive(batch_size, "batch_size")
        if truncate_dim is not None:
            _check_positive(truncate_dim, "truncate_dim")
        items, single = as_items(inputs)
        hidden = self.model.info.hidden_size
        vectors = np.empty((len(items), min(hidden, truncate_dim or hidden)), np.float32)
        done = 0
        for window in self.windows(items, min_items=batch_size, show_progress=bool(show_progress_bar)):
            rows = vectors[done : done + len(window.items)]
            rows[:] = window.values[:, :truncate_dim]
            if normalize_embeddings:
                _normalize(rows)
            done += len(window.items)
        if convert_to_numpy and not single:
            return vectors
        separate: list[FloatArray] = list(vectors)
        return separate[0] if single else separate


def _normalize(rows: FloatArray) -> None:
    """Divide each row by its L2 norm in place, or by 1e-12 where that is larger."""
    norms = np.sqrt(np.square(rows, dtype=np.float64).sum(axis=1, keepdims=True))
    rows /= np.maximum(norms, 1e-12)


def _check_positive(value: Any, name: str) -> None:
    if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < 1:
        raise InputError(f"{name} is {value!r}: expected a positive whole number")
