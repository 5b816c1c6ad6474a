from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from bertc.errors import InputError
from bertc.runtime import batching
from bertc.runtime.batching import pack, unpad, windows


def test_pack_concatenates() -> None:
    batch = pack([[5, 6], [7]], [[0, 1], [0]])
    assert batch.inputs["input_ids"].tolist() == [5, 6, 7]
    assert batch.cu_seqlens.tolist() == [0, 2, 3]
    assert batch.inputs["token_type_ids"].tolist() == [0, 1, 0]
    assert {array.dtype for array in (*batch.inputs.values(), batch.cu_seqlens)} == {np.dtype("int32")}


@settings(deadline=None)
@given(st.lists(st.text(max_size=12), max_size=40), st.integers(1, 10))
def test_windows_keep_order_and_bounds(items: list[str], least: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batching, "WINDOW_ITEMS", 8)
        patch.setattr(batching, "WINDOW_CHARACTERS", 20)
        slices = list(windows(items, least))
    assert [item for window in slices for item in window] == items
    assert all(window and len(window) <= max(8, least) for window in slices)
    assert all(len(window) >= least for window in slices[:-1])
    assert all(sum(map(len, window)) <= 20 or len(window) <= least for window in slices)


def test_windows_count_characters_of_pairs_and_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batching, "WINDOW_CHARACTERS", 6)
    assert list(windows([("aa", "bb"), ("c", "d"), ("e", "f")])) == [
        [("aa", "bb"), ("c", "d")],
        [("e", "f")],
    ]
    assert len(list(windows([["aaa", "bb"], ["cc"]]))) == 2


def test_tokens_keep_their_columns_as_positions() -> None:
    mask = [[0, 0, 1, 1], [1, 0, 0, 1], [0, 0, 0, 0]]
    layout = unpad(np.arange(12).reshape(3, 4), mask, np.arange(12).reshape(3, 4) % 2)
    packed = layout.packed
    assert packed.inputs["input_ids"].tolist() == [2, 3, 4, 7]
    assert packed.inputs["position_ids"].tolist() == [2, 3, 0, 3]
    assert packed.inputs["token_type_ids"].tolist() == [0, 1, 0, 1]
    assert packed.cu_seqlens.tolist() == [0, 2, 4]
    tokens = layout.spread_tokens(np.arange(1, 5, dtype=np.float32)[:, None])
    assert tokens[..., 0].tolist() == [[0, 0, 1, 2], [3, 0, 0, 4], [0, 0, 0, 0]]
    sequences = layout.spread_sequences(np.array([[1], [2]], np.float32))
    assert sequences[:, 0].tolist() == [1, 2, 0]


def test_without_a_mask_every_token_counts() -> None:
    packed = unpad([[1, 2], [3, 4]]).packed
    assert packed.inputs["input_ids"].tolist() == [1, 2, 3, 4]
    assert "token_type_ids" not in packed.inputs


@pytest.mark.parametrize("positions", [[5, 6], [[5, 6]], [[5, 6], [5, 6]]])
def test_explicit_positions_are_used(positions: Any) -> None:
    packed = unpad([[1, 2], [3, 4]], [[1, 1], [0, 1]], position_ids=positions).packed
    assert packed.inputs["position_ids"].tolist() == [5, 6, 6]


@settings(max_examples=30, deadline=None)
@given(hnp.arrays(np.bool_, hnp.array_shapes(min_dims=2, max_dims=2, min_side=0, max_side=6)))
def test_unpadding_and_spreading_are_inverse(mask: np.ndarray[Any, Any]) -> None:
    ids = np.arange(1, mask.size + 1).reshape(mask.shape)
    layout = unpad(ids, mask)
    back = layout.spread_tokens(layout.packed.inputs["input_ids"][:, None].astype(np.float32))
    assert np.array_equal(back[..., 0], np.where(mask, ids, 0))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1, 2],), r"input_ids have shape \(2,\)"),
        (([[1.0, 2.0]],), "input_ids has dtype float64"),
        (([[1, 2], [3]],), "input_ids is ragged"),
        (([[1, 2**31]],), "input_ids holds a number that does not fit"),
        (([[1, 2]], [[1]]), r"attention_mask has shape \(1, 1\)"),
        (([[1, 2]], [["a", "b"]]), "attention_mask has dtype"),
        (([[1, 2]], None, [[0, 0, 0]]), "token_type_ids has shape"),
        (([[1, 2]], None, None, [[0, 0, 0]]), "position_ids have shape"),
    ],
)
def test_wrong_arrays_are_named(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        unpad(*arguments)


@pytest.mark.parametrize(
    ("mask", "has_gaps"),
    [
        ([[1, 1, 1], [1, 0, 0]], False),
        ([[0, 1, 1], [0, 0, 1]], False),
        ([[0, 0, 0], [0, 1, 0], [1, 1, 0]], False),
        ([[1, 0, 1], [1, 1, 1]], True),
        ([[1, 1, 1], [0, 0, 0], [1, 0, 1]], True),
        ([[0, 0, 0]], False),
    ],
)
def test_gaps_are_cells_between_tokens_of_a_row(mask: list[list[int]], has_gaps: bool) -> None:
    assert unpad(np.ones_like(mask), mask).has_gaps == has_gaps


def test_ids_behind_the_mask_do_not_matter() -> None:
    assert unpad([[1, -(2**40)]], [[1, 0]]).packed.inputs["input_ids"].tolist() == [1]
