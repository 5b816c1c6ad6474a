"""Seeded random batches, padded and packed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Padded:
    """Arguments of an ``Encoder`` call, [batch, seq]; None for what is left out."""

    input_ids: Array
    attention_mask: Array | None = None
    token_type_ids: Array | None = None

    @property
    def mask(self) -> Array:
        """The mask [batch, seq], not zero where a cell is a token."""
        return np.ones_like(self.input_ids) if self.attention_mask is None else self.attention_mask


MASKS = ("none", "right", "left", "holes", "empty row")


def random_lengths(rng: np.random.Generator, count: int, longest: int) -> list[int]:
    """Return ``count`` lengths from 1 to ``longest``, evenly spread on a log scale; both ends occur."""
    lengths = np.exp(rng.uniform(0, np.log(longest + 1), count)).astype(int).clip(1, longest)
    ends = [longest, 1][:count]
    return [*ends, *lengths[len(ends) :].tolist()]


def padded_batch(
    rng: np.random.Generator, lengths: Sequence[int], vocab: int, mask: str, *, types: int = 0
) -> Padded:
    """Return rows of these lengths under a mask of ``MASKS``, with ``types`` token types or without.

    "none" fills all rows; "holes" scatters each row's tokens; in "empty row" the last row has none.
    """
    shape = len(lengths), max(lengths) + (mask in ("left", "holes"))
    columns = np.arange(shape[1])
    counts = np.array(lengths)[:, None]
    masks = {
        "none": lambda: np.ones(shape, bool),
        "right": lambda: columns < counts,
        "left": lambda: columns >= shape[1] - counts,
        "holes": lambda: rng.permuted(np.broadcast_to(columns, shape), axis=1) < counts,
        "empty row": lambda: (columns < counts) & (np.arange(len(lengths)) < len(lengths) - 1)[:, None],
    }
    return Padded(
        rng.integers(0, vocab, shape),
        None if mask == "none" else masks[mask]().astype(np.int64),
        rng.integers(0, types, shape) if types else None,
    )


def packed(sequences: Sequence[Array]) -> tuple[Array, Array]:
    """Return the ids of sequences back to back, int32 [tokens], and their ``cu_seqlens``."""
    cu_seqlens = np.cumsum([0, *map(len, sequences)]).astype(np.int32)
    return np.concatenate(sequences).astype(np.int32), cu_seqlens
