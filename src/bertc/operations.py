"""The operations of matrix products, two per multiply-add: the one count of compiler, bench and inspect.

Embeddings, layer norms, activations and pooling count as none: products are what takes the time.
"""

from __future__ import annotations

from typing import TypeVar

Number = TypeVar("Number", int, float)


def product_operations(depth: int, columns: Number) -> Number:
    """Return the operations of a linear layer [columns, depth] for one row."""
    return 2 * depth * columns


def attention_operations(columns: int, tokens: Number) -> Number:
    """Return the operations of attention for one token of a sequence of ``tokens``, over all heads.

    Its scores take tokens * columns multiply-adds, and so do the mixed values.
    """
    return 2 * 2 * columns * tokens


def seen_keys(tokens: Number, window: int) -> Number:
    """Return the tokens that one in the middle of a sequence of ``tokens`` attends to.

    They are those no farther away than ``window``, or all where it is 0.
    """
    return min(tokens, 2 * window + 1) if window else tokens
