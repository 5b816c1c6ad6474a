"""Packing: the layout that kernels read, and nothing lost on the way."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bertc.ir import formulas
from bertc.ir.graph import Constant, DType
from bertc.lowering import pack


def _unpack(packed: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """[out / 16][in / group][16][group] -> [out, in], padding included."""
    blocks, groups, lanes, group = packed.shape
    return np.ascontiguousarray(packed.transpose(0, 2, 1, 3).reshape(blocks * lanes, groups * group))


sizes = st.tuples(st.integers(1, 40), st.integers(1, 40))


@settings(deadline=None, derandomize=True)
@given(sizes, st.sampled_from([DType.F32, DType.BF16, DType.I8]))
def test_packed_weights_unpack_to_what_they_were(shape: tuple[int, int], dtype: DType) -> None:
    values = np.arange(shape[0] * shape[1]).reshape(shape) % 120
    array = values.astype(np.int8 if dtype == DType.I8 else np.float32)
    packed = pack.pack_weight(Constant(dtype, array))
    unpacked = _unpack(packed.array)[: shape[0], : shape[1]]
    if dtype == DType.BF16:
        unpacked = (unpacked.astype(np.uint32) << 16).view(np.float32)
    np.testing.assert_array_equal(unpacked, array)


@settings(deadline=None, derandomize=True)
@given(sizes, st.sampled_from([DType.F32, DType.BF16, DType.I8]))
def test_every_packed_tensor_takes_whole_cache_lines(shape: tuple[int, int], dtype: DType) -> None:
    array = np.ones(shape, np.int8 if dtype == DType.I8 else np.float32)
    constant = Constant(dtype, array)
    for packed in (pack.pack_weight(constant), pack.pack_table(constant)):
        assert packed.array.nbytes % pack.ALIGNMENT == 0
        assert np.count_nonzero(packed.array) == array.size


def test_weight_layout_is_blocks_groups_columns_elements() -> None:
    weight = np.arange(20 * 6).reshape(20, 6).astype(np.int8)
    packed = pack.pack_weight(Constant(DType.I8, weight)).array
    assert packed.shape == (2, 2, 16, 4)
    assert packed[1, 0, 3, 2] == weight[19, 2]
    assert packed[1, 1, 3, 2] == 0


@pytest.mark.parametrize("reach", [0, 1, 7, 8, 91, 512])
def test_packed_distances_have_0_in_the_middle_and_16_alike_at_either_end(reach: int) -> None:
    array = np.arange(3 * (2 * reach + 1), dtype=np.float32).reshape(3, -1)
    packed = pack.pack_distances(Constant(DType.F32, array)).array
    middle = packed.shape[1] // 2
    assert packed.shape[1] % 16 == 0
    np.testing.assert_array_equal(packed[:, middle - reach : middle + reach + 1], array)
    for ends, number in ((packed[:, :16], array[:, :1]), (packed[:, -16:], array[:, -1:])):
        np.testing.assert_array_equal(ends, np.repeat(number, 16, axis=1))


def test_bf16_is_stored_as_the_upper_half_of_its_bits() -> None:
    array = formulas.round_to_bf16(np.array([1.0, -2.5, 3e38], np.float32))
    stored = pack.pack_vector(Constant(DType.BF16, array)).array
    np.testing.assert_array_equal(stored[:3], array.view(np.uint32) >> 16)


@pytest.mark.parametrize(("value", "bits"), [(63, 7), (-63, 7), (64, 8), (-64, 8), (-128, 8)])
def test_one_large_weight_takes_the_eighth_bit(value: int, bits: int) -> None:
    weight = np.zeros((3, 5), np.int8)
    weight[1, 2] = value
    assert pack.weight_bits(Constant(DType.I8, weight)) == bits


@pytest.mark.parametrize("value", [-127, 127])
def test_column_sums_are_exact_for_the_largest_weights(value: int) -> None:
    weight = Constant(DType.I8, np.full((5, 4096), value, np.int8))
    np.testing.assert_array_equal(pack.column_sums(weight).array[:5], value * 4096)


def test_a_block_of_values_follows_its_gates() -> None:
    """20 gates and 20 values fill two blocks each, the second ones up with zeros."""
    weight = np.arange(1, 40 * 3 + 1, dtype=np.float32).reshape(40, 3)
    vector = np.arange(1, 41, dtype=np.float32)
    blocks = pack.pack_gated_vector(Constant(DType.F32, vector)).array.reshape(2, 2, 16)
    np.testing.assert_array_equal(blocks[0], [vector[:16], vector[20:36]])
    np.testing.assert_array_equal(blocks[1, :, :4], [vector[16:20], vector[36:]])
    assert not blocks[1, :, 4:].any()
    packed = pack.pack_gated_weight(Constant(DType.F32, weight)).array
    assert packed.shape == (4, 3, 16, 1)
    np.testing.assert_array_equal(packed[1, :, :, 0].T, weight[20:36])
    sums = pack.gated_column_sums(Constant(DType.I8, weight.astype(np.int8))).array
    np.testing.assert_array_equal(sums[16:32], weight.astype(np.int8)[20:36].sum(axis=1))
