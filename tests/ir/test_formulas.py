"""What rows become where their parts are mixed, and which rows can be."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import hadamard

from bertc.ir.formulas import HADAMARD_ORDERS, MOST_MIXED_COLUMNS, can_mix, mix_parts
from tests.support.edges import normal


@pytest.mark.parametrize("order", HADAMARD_ORDERS)
def test_parts_are_multiplied_by_the_hadamard_matrix(order: int) -> None:
    """Column by column of a part: columns that are mixed with each other lie a part's width apart."""
    x = normal(6, 48 * order).reshape(2, 3, -1)
    expected = np.einsum("ij,...jc->...ic", hadamard(order), x.reshape(2, 3, order, 48).astype(np.float64))
    found = mix_parts(x, order)
    assert (found.dtype, found.shape) == (np.float32, x.shape)
    np.testing.assert_allclose(found, expected.reshape(x.shape), rtol=0, atol=1e-5)


@pytest.mark.parametrize("order", HADAMARD_ORDERS)
def test_mixing_twice_multiplies_by_the_number_of_parts(order: int) -> None:
    x = np.random.default_rng(0).integers(-99, 99, (5, 16 * order)).astype(np.float32)
    np.testing.assert_array_equal(mix_parts(mix_parts(x, order), order), order * x)


def test_one_part_is_left_as_it_is() -> None:
    x = normal(3, 50)
    np.testing.assert_array_equal(mix_parts(x, 1), x)


@pytest.mark.parametrize(
    ("columns", "orders"),
    [
        (20, (1,)),
        (32, (1, 2)),
        (48, (1,)),
        (384, (1, 2, 4, 8)),
        (768, HADAMARD_ORDERS),
        (1000, (1,)),
        (MOST_MIXED_COLUMNS, HADAMARD_ORDERS),
        (MOST_MIXED_COLUMNS + 256, (1,)),
    ],
)
def test_parts_are_whole_registers_of_rows_that_are_not_too_wide(
    columns: int, orders: tuple[int, ...]
) -> None:
    assert tuple(order for order in range(-1, 65) if can_mix(columns, order)) == orders
