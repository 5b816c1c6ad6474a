from __future__ import annotations

import numpy as np
import pytest

from bertc import fidelity


def test_cosine_is_per_row_and_ignores_length() -> None:
    a = np.array([[1, 0], [3, 4], [1, 1]], np.float32)
    b = np.array([[0, 2], [6, 8], [-1, -1]], np.float32)
    np.testing.assert_allclose(fidelity.cosine(a, b), [0, 1, -1], atol=1e-15)


def test_cosine_of_tiny_rows_does_not_underflow() -> None:
    a = np.full((1, 4), 1e-30, np.float32)
    np.testing.assert_allclose(fidelity.cosine(a, a), [1], atol=1e-15)


def test_cosine_of_zero_rows() -> None:
    zero, one = np.zeros((1, 3)), np.ones((1, 3))
    assert fidelity.cosine(zero, zero).tolist() == [1]
    assert fidelity.cosine(zero, one).tolist() == [0]


def test_sqnr_in_decibels() -> None:
    reference = np.array([[10.0, 0.0]])
    assert fidelity.sqnr_db(reference, np.array([[11.0, 0.0]])) == pytest.approx(20)
    assert fidelity.sqnr_db(reference, reference) == float("inf")
    assert fidelity.sqnr_db(reference * 0, reference) == float("-inf")


def test_top1_agreement_is_a_share() -> None:
    a = np.array([[0, 1], [1, 0], [0, 1], [0, 1]])
    b = np.array([[0, 2], [0, 2], [1, 3], [2, 3]])
    assert fidelity.top1_agreement(a, b) == 0.75


@pytest.mark.parametrize("shapes", [((2, 3), (3, 2)), ((3,), (3,)), ((0, 3), (0, 3))])
def test_shapes_that_do_not_fit_are_refused(shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    a, b = (np.ones(shape) for shape in shapes)
    with pytest.raises(ValueError, match=r"expected two arrays \[rows, columns\] of one shape"):
        fidelity.cosine(a, b)
