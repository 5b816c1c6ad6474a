from __future__ import annotations

import numpy as np
import pytest

from bertc import fidelity
from tests.support.fidelity import sqnr_db


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


def test_noise_in_decibels() -> None:
    meter = fidelity.NoiseMeter()
    meter.add(np.array([[10.0, 0.0]]), np.array([[11.0, 0.0]]))
    assert meter.db == pytest.approx(20)


def test_decisions_are_the_largest_columns() -> None:
    a = np.array([[0, 1], [1, 0], [0, 1], [0, 1]])
    b = np.array([[0, 2], [0, 2], [1, 3], [2, 3]])
    assert fidelity.same_decisions(a, b).tolist() == [True, False, True, True]


def test_noise_over_batches_is_that_of_all_at_once() -> None:
    rng = np.random.default_rng(0)
    reference = rng.normal(0, 1, (40, 8)).astype(np.float32)
    approximation = reference + rng.normal(0, 0.01, (40, 8)).astype(np.float32)
    meter = fidelity.NoiseMeter()
    for start in range(0, 40, 10):
        meter.add(reference[start : start + 10], approximation[start : start + 10])
    assert meter.db == pytest.approx(sqnr_db(reference, approximation), abs=1e-3)


def test_noise_is_always_a_number() -> None:
    ones, zeros = np.ones((1, 2), np.float32), np.zeros((1, 2), np.float32)
    for reference, approximation, expected in (
        (ones, ones, fidelity.LARGEST_DB),
        (zeros, zeros, fidelity.LARGEST_DB),
        (zeros, ones, -fidelity.LARGEST_DB),
        (ones, ones * np.float32("inf"), -fidelity.LARGEST_DB),
        (ones, ones * np.float32("nan"), -fidelity.LARGEST_DB),
    ):
        meter = fidelity.NoiseMeter()
        meter.add(reference, approximation)
        assert meter.db == expected


def test_divergence_of_distributions() -> None:
    a, b = np.log([[0.5, 0.5], [0.9, 0.1]]), np.log([[0.25, 0.75], [0.9, 0.1]])
    expected = 0.5 * np.log(2) + 0.5 * np.log(2 / 3)
    np.testing.assert_allclose(fidelity.kl_divergence(a, b), [expected, 0], atol=1e-12)
    np.testing.assert_allclose(fidelity.kl_divergence(a + 5, b - 1000), [expected, 0], atol=1e-9)


def test_divergence_of_independent_labels_is_a_sum() -> None:
    logit = np.log(0.9 / 0.1)
    a, b = np.array([[0.0, logit]]), np.array([[logit, logit]])
    expected = 0.5 * np.log(0.5 / 0.9) + 0.5 * np.log(0.5 / 0.1)
    np.testing.assert_allclose(fidelity.kl_divergence(a, b, independent=True), [expected])


def test_independent_labels_agree_as_a_set() -> None:
    a, b = np.array([[1.0, -1], [1, 2], [3, -1]]), np.array([[2.0, -2], [2, -1], [1, -5]])
    assert fidelity.same_decisions(a, b, independent=True).tolist() == [True, False, True]


@pytest.mark.parametrize("shapes", [((2, 3), (3, 2)), ((3,), (3,)), ((0, 3), (0, 3))])
def test_shapes_that_do_not_fit_are_refused(shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    a, b = (np.ones(shape) for shape in shapes)
    with pytest.raises(ValueError, match=r"expected two arrays \[rows, columns\] of one shape"):
        fidelity.cosine(a, b)
