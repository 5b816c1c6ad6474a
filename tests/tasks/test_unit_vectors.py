"""Vectors of length 1: of any shape and layout, with the same bits alone."""

from __future__ import annotations

import numpy as np
import pytest

from bertc.runtime.unit_rows import normalized

ROWS = np.random.default_rng(0).standard_normal((40, 23)).astype(np.float32)


@pytest.mark.parametrize(
    "rows", [ROWS, ROWS[:, :7], ROWS[::-3], ROWS.T, ROWS[:, :1], ROWS[:0], 1e30 * ROWS, 1e-30 * ROWS]
)
def test_rows_are_divided_by_their_lengths(rows: np.ndarray) -> None:
    wide = rows.astype(np.float64)
    lengths = np.maximum(np.linalg.norm(wide, axis=1, keepdims=True), 1e-12)
    found = normalized(rows)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, wide / lengths, rtol=1e-7, atol=0)
    for row, reference in zip(rows, found, strict=True):
        np.testing.assert_array_equal(normalized(row[None])[0], reference)


def test_a_row_of_zeros_stays() -> None:
    assert not normalized(np.zeros((2, 5), np.float32)).any()
