"""Measures how close one result is to another, as a certificate states it. NumPy only."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def cosine(a: Array, b: Array) -> Array:
    """Return the cosine of each row of ``a`` with that of ``b``: [rows] float64, for [rows, columns].

    Two rows of zeros count as equal (1), one row of zeros as unrelated (0).
    """
    a, b = _pair(a, b)
    norms_a, norms_b = np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1)
    zero = (norms_a == 0) | (norms_b == 0)
    # Divided before they are multiplied: the product of two small norms may underflow.
    unit_a, unit_b = a / np.where(zero, 1, norms_a)[:, None], b / np.where(zero, 1, norms_b)[:, None]
    similarity = np.clip((unit_a * unit_b).sum(axis=1), -1.0, 1.0)
    return np.asarray(np.where(zero, norms_a == norms_b, similarity), np.float64)


LARGEST_DB = 200.0
"""The ratio of equal results in decibels, as JSON has no infinity. float32 itself ends at about 150."""


class NoiseMeter:
    """Measures the signal-to-quantization-noise ratio of one value over many batches."""

    def __init__(self) -> None:
        self._signal = self._noise = 0.0

    def add(self, reference: Array, approximation: Array) -> None:
        """Add a batch, float32 arrays of one shape; what is lost by summing in float32 is below 0.001 dB."""
        difference = (approximation - reference).reshape(-1)
        self._signal += float(np.vdot(reference, reference))
        self._noise += float(np.vdot(difference, difference))

    @property
    def db(self) -> float:
        """The ratio ``10 log10(signal / noise)``, from minus ``LARGEST_DB`` to ``LARGEST_DB``."""
        if self._noise == 0 or self._signal == 0:
            return LARGEST_DB if self._noise == 0 else -LARGEST_DB
        if not np.isfinite(self._signal + self._noise):
            return -LARGEST_DB
        return float(np.clip(10 * np.log10(self._signal / self._noise), -LARGEST_DB, LARGEST_DB))


def kl_divergence(expected: Array, found: Array, *, independent: bool = False) -> Array:
    """Return the divergence of the probabilities that two arrays of logits mean, in nats: [rows] float64.

    ``sum p log(p / q)`` over the softmax of each row (Kullback and Leibler 1951); with
    ``independent`` labels the sum of it over each label's sigmoid.
    """
    expected, found = _pair(expected, found)
    if independent:
        expected, found = (np.stack([array, np.zeros_like(array)], axis=-1) for array in (expected, found))
    log_p, log_q = _log_softmax(expected), _log_softmax(found)
    divergence = (np.exp(log_p) * (log_p - log_q)).sum(axis=-1)
    # Never negative, but for rounding.
    divergence = np.maximum(divergence, 0)
    return np.asarray(divergence.sum(axis=-1) if independent else divergence, np.float64)


def same_decisions(expected: Array, found: Array, *, independent: bool = False) -> Array:
    """Return which rows of logits give the same label, or set of ``independent`` labels: [rows] bool."""
    expected, found = _pair(expected, found)
    if independent:
        return np.asarray(((expected > 0) == (found > 0)).all(axis=1))
    return np.asarray(expected.argmax(axis=1) == found.argmax(axis=1))


def _log_softmax(logits: Array) -> Array:
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True)))


def _pair(a: Array, b: Array) -> tuple[Array, Array]:
    if a.shape != b.shape or a.ndim != 2 or a.size == 0:
        raise ValueError(f"expected two arrays [rows, columns] of one shape, found {a.shape} and {b.shape}")
    return a.astype(np.float64), b.astype(np.float64)
