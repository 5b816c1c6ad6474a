from __future__ import annotations

import numpy as np
import pytest

from bertc.primitives.dim import Dim, UnknownSizeError, at, of_sizes, plain

B, L = Dim.symbol("batch"), Dim.symbol("length")


def test_sums_and_products_are_what_they_are_for_numbers() -> None:
    sizes = {"batch": 3, "length": 5}
    value = (B * L + 2) * 4 - L
    assert value.at(sizes) == (3 * 5 + 2) * 4 - 5
    assert (B * L * 12 // (L * 4)).at(sizes) == 9


def test_what_cancels_is_a_number() -> None:
    assert B - B == 0
    assert (L + 3) - L == 3
    assert B * L // (L * B) == 1


def test_sizes_are_equal_if_they_are_for_every_batch() -> None:
    assert B * L == L * B
    assert B != L
    assert L != 7
    assert {B: 1}[Dim.symbol("batch")] == 1


@pytest.mark.parametrize("question", [lambda: L < 7, lambda: L // 2, lambda: L // B, lambda: B + 0.5])
def test_what_depends_on_the_batch_has_no_answer(question: object) -> None:
    with pytest.raises(UnknownSizeError):
        question()  # type: ignore[operator]


def test_sizes_are_at_least_one() -> None:
    assert L > 0
    assert L >= 1
    assert not L < 1
    assert B * L >= 1


def test_numpy_computes_with_them() -> None:
    shape = of_sizes((B, L, 384))
    assert list(np.concatenate([shape[:2], of_sizes((12, 32))])) == [B, L, 12, 32]
    assert list(np.equal(shape, np.array(-1))) == [False, False, False]
    assert at(shape, {"batch": 2, "length": 7}).tolist() == [2, 7, 384]
    assert plain(shape[2:]).dtype == np.int64
