"""How close one result is to another: what a certificate states. NumPy only."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def cosine(a: Array, b: Array) -> Array:
    """Cosine similarity of each row of ``a`` with that of ``b``: [rows] float64, for [rows, columns].

    Two rows of zeros count as equal (1), one row of zeros as unrelated (0).
    """
    a, b = _pair(a, b)
    norms_a, norms_b = np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1)
    zero = (norms_a == 0) | (norms_b == 0)
    # Divided before they are multiplied: the product of two small norms may underflow.
    unit_a, unit_b = a / np.where(zero, 1, norms_a)[:, None], b / np.where(zero, 1, norms_b)[:, None]
    similarity = np.clip((unit_a * unit_b).sum(axis=1), -1.0, 1.0)
    return np.asarray(np.where(zero, norms_a == norms_b, similarity), np.float64)


def sqnr_db(reference: Array, approximation: Array) -> float:
    """Signal to quantization noise in decibels: ``10 log10(sum ref^2 / sum (ref - approx)^2)``.

    Infinite if the two are equal; minus infinite if only the reference is all zeros.
    """
    reference, approximation = _pair(reference, approximation)
    noise = float(((reference - approximation) ** 2).sum())
    signal = float((reference**2).sum())
    if noise == 0:
        return float("inf")
    return float(10 * np.log10(signal / noise)) if signal else float("-inf")


def top1_agreement(a: Array, b: Array) -> float:
    """The share of rows whose largest column is the same: 0 to 1, for [rows, classes]."""
    a, b = _pair(a, b)
    return float((a.argmax(axis=1) == b.argmax(axis=1)).mean())


def _pair(a: Array, b: Array) -> tuple[Array, Array]:
    if a.shape != b.shape or a.ndim != 2 or a.size == 0:
        raise ValueError(f"expected two arrays [rows, columns] of one shape, found {a.shape} and {b.shape}")
    return a.astype(np.float64), b.astype(np.float64)
