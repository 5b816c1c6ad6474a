from __future__ import annotations

import pytest

from bertc.foreign.raising.layout import Atom, Layout, align, columns, regroup, shape_of
from bertc.primitives.dim import Dim

B, L = Dim.symbol("batch"), Dim.symbol("length")
BATCH, LENGTH = Atom("batch", B), Atom("length", L)
ROWS: Layout = ((BATCH,), (LENGTH,), columns(24))


def test_columns_split_into_heads_and_come_together_again() -> None:
    heads = regroup(ROWS, (B, L, 4, 6))
    assert heads is not None
    assert [atom.stride for axis in heads[2:] for atom in axis] == [6, 1]
    assert shape_of(heads) == (B, L, 4, 6)
    back = regroup(heads, (B, L, 24))
    assert back is not None
    assert back[-1] == (Atom("column", 4, 6), Atom("column", 6, 1))


def test_sequences_and_tokens_come_together() -> None:
    flat = regroup(ROWS, (B * L, 24))
    assert flat is not None
    assert flat[0] == (BATCH, LENGTH)
    assert regroup(flat, (B, L, 4, 6)) == regroup(ROWS, (B, L, 4, 6))


def test_axes_of_one_element_hold_nothing() -> None:
    assert regroup(ROWS, (B, 1, L, 24)) == ((BATCH,), (), (LENGTH,), columns(24))


def test_a_fixed_batch_of_one_stays_a_sequence() -> None:
    one = ((Atom("batch", 1),), (Atom("length", 12),), columns(24))
    found = regroup(one, (1, 12, 4, 6))
    assert found is not None
    assert found[:2] == one[:2]


@pytest.mark.parametrize("shape", [(B, L, 5, 5), (L, B, 24), (B, 2, L, 12), (24, B, L)])
def test_what_would_cut_a_token_has_no_layout(shape: tuple[object, ...]) -> None:
    assert regroup(ROWS, shape) is None


def test_values_are_aligned_from_the_last_axis() -> None:
    assert align(ROWS, ((LENGTH,), columns(24))) == ROWS
    assert align(ROWS, ((BATCH,), (), ())) == ROWS
    assert align(ROWS, ((LENGTH,), (LENGTH,), columns(24))) is None
