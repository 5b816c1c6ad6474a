"""Attention's own cases: long sequences, which it cuts into blocks, and products in 8 bits."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import numpy as np
import pytest

from bertc.artifact.executable import Executable, Tensor
from bertc.errors import ArtifactError, InputError
from bertc.lowering.lower import lower
from tests.parity.attention_calls import HEADS, LENGTHS, TOLERANCE, bounds, expected_attention, run_attention
from tests.parity.op_cases import Builder, Shape
from tests.support.native import ISAS, build_program

Array = np.ndarray[Any, Any]


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("compute_dtype", TOLERANCE)
@pytest.mark.parametrize("head_size", [16, 32, 48, 64])
def test_sequences_of_any_length_agree_with_numpy(head_size: int, compute_dtype: str, isa: str) -> None:
    rng = np.random.default_rng(head_size)
    rows = rng.standard_normal((sum(LENGTHS), 3 * HEADS * head_size)) * rng.uniform(0.5, 1.5)
    found = run_attention(rows, LENGTHS, isa, compute_dtype, head_size**-0.5)
    error = np.abs(found - expected_attention(rows, LENGTHS, head_size**-0.5)).max()
    assert error <= TOLERANCE[compute_dtype] * np.abs(rows).max()


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("head_size", [16, 48])
def test_products_of_integers_of_8_bits_are_exact(head_size: int, isa: str) -> None:
    """Each query and key has a largest magnitude of 127, so that its scale is 1: only weights are rounded."""
    rng = np.random.default_rng(head_size)
    lengths = (49, 64, 100)
    rows = rng.integers(-127, 128, (sum(lengths), 3 * HEADS * head_size))
    heads = rows.reshape(len(rows), 3, HEADS, head_size)
    heads[:, :2, :, 0] = rng.choice([-127, 127], heads[:, :2, :, 0].shape)
    heads[:, 2] = np.sign(heads[:, 2])
    scale = 1 / (127 * 127)
    found = run_attention(rows, lengths, isa, "int8", scale)
    # Weights are off by 2^-7 at most, sums of them, too, and their ratio is by twice that.
    assert np.abs(found - expected_attention(rows, lengths, scale)).max() <= 2**-6


@pytest.mark.parametrize("isa", ISAS)
def test_zero_queries_and_keys_weigh_all_values_alike(isa: str) -> None:
    rows = np.zeros((60, 3 * HEADS * 16))
    rows[:, 2 * HEADS * 16 :] = np.arange(60)[:, None]
    np.testing.assert_allclose(run_attention(rows, (60,), isa, "int8", 0.25), 29.5, rtol=2**-7)


@pytest.mark.parametrize("isa", ISAS)
def test_whether_8_bits_are_used_depends_on_the_length_of_a_sequence_alone(isa: str) -> None:
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((20 + 130, 3 * HEADS * 32))
    short, long = (slice(0, 20), slice(20, 150))
    together = run_attention(rows, (20, 130), isa, "int8", 0.2)
    np.testing.assert_array_equal(together[short], run_attention(rows[short], (20,), isa, "int8", 0.2))
    np.testing.assert_array_equal(together[long], run_attention(rows[long], (130,), isa, "int8", 0.2))
    in_bf16 = run_attention(rows, (20, 130), isa, "bf16", 0.2)
    np.testing.assert_array_equal(together[short], in_bf16[short])
    assert (together[long] != in_bf16[long]).any() == isa.startswith("avx512")


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("compute_dtype", TOLERANCE)
@pytest.mark.parametrize("head_size", [16, 64])
@pytest.mark.parametrize("reach", [0, 5, 91, 700])
def test_a_bias_by_distance_agrees_with_numpy(
    reach: int, head_size: int, compute_dtype: str, isa: str
) -> None:
    rng = np.random.default_rng(head_size)
    lengths = (*LENGTHS, 600)
    rows = rng.standard_normal((sum(lengths), 3 * HEADS * head_size))
    bias = 3 * rng.standard_normal((HEADS, 2 * reach + 1))
    counts = [rng.integers(0, length + 1) for length in lengths]  # of keys
    flags = [np.arange(length) < count for length, count in zip(lengths, counts, strict=True)]
    for attended in (None, np.concatenate(flags).astype(np.int32)):
        operands = {} if attended is None else {"attended": attended}
        found = run_attention(rows, lengths, isa, compute_dtype, head_size**-0.5, bias, attended=attended)
        error = np.abs(found - expected_attention(rows, lengths, head_size**-0.5, bias, **operands)).max()
        assert error <= TOLERANCE[compute_dtype] * np.abs(rows).max()


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("compute_dtype", TOLERANCE)
def test_what_a_bias_says_of_tokens_beyond_the_last_key_counts_for_nothing(
    compute_dtype: str, isa: str
) -> None:
    """It grows so fast that weights are 0 for all keys if a column behind them is looked at."""
    bias = np.repeat(200.0 * np.arange(-300, 301)[None], HEADS, axis=0)
    rows = np.random.default_rng(0).standard_normal((sum(LENGTHS), 3 * HEADS * 16))
    found = run_attention(rows, LENGTHS, isa, compute_dtype, 0.25, bias)
    rounding = 0 if compute_dtype == "f32" or not isa.endswith("bf16") else 2**-8
    expected = expected_attention(rows, LENGTHS, 0.25, bias)
    np.testing.assert_allclose(found, expected, rtol=rounding, atol=1e-6)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("compute_dtype", TOLERANCE)
def test_a_bias_treats_a_sequence_alike_in_every_batch(compute_dtype: str, isa: str) -> None:
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((sum(LENGTHS), 3 * HEADS * 32))
    bias = rng.standard_normal((HEADS, 2 * 40 + 1))
    together = run_attention(rows, LENGTHS, isa, compute_dtype, 0.2, bias)
    for length, start in zip(LENGTHS, bounds(LENGTHS), strict=False):
        one = slice(start, start + length)
        np.testing.assert_array_equal(
            together[one], run_attention(rows[one], (length,), isa, compute_dtype, 0.2, bias)
        )


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("compute_dtype", TOLERANCE)
def test_scores_fall_with_the_distance(compute_dtype: str, isa: str) -> None:
    """With and without a window, keys that end early, and heads that share keys and values."""
    rng, head_size = np.random.default_rng(0), 32
    lengths, slopes = (*LENGTHS, 400), np.float32([2**-1, 2**-8])
    rows = rng.standard_normal((sum(lengths), 3 * HEADS * head_size))
    flags = [np.arange(length) < rng.integers(0, length + 1) for length in lengths]
    cases: list[dict[str, Any]] = [
        {},
        {"window": 16, "attended": np.concatenate(flags).astype(np.int32)},
        {"sharers": 1},
    ]
    for operands in cases:
        given = rows[:, : (HEADS + 2 * operands.get("sharers", HEADS)) * head_size]
        found = run_attention(given, lengths, isa, compute_dtype, head_size**-0.5, slopes=slopes, **operands)
        expected = expected_attention(given, lengths, head_size**-0.5, slopes=slopes, **operands)
        assert np.abs(found - expected).max() <= TOLERANCE[compute_dtype] * np.abs(rows).max()


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("compute_dtype", TOLERANCE)
def test_heads_that_share_keys_and_values_give_the_bits_of_heads_that_repeat_them(
    compute_dtype: str, isa: str
) -> None:
    rng = np.random.default_rng(0)
    shared = rng.standard_normal((sum(LENGTHS), (HEADS + 2) * 32))
    query, key, value = np.split(shared, [HEADS * 32, (HEADS + 1) * 32], axis=1)
    repeated = np.concatenate([query, *[key] * HEADS, *[value] * HEADS], axis=1)
    operands: dict[str, Any] = {"rotary": _angles(rng, 16), "window": 20, "slopes": np.float32([0.25, 0.5])}
    found = run_attention(shared, LENGTHS, isa, compute_dtype, 0.2, sharers=1, **operands)
    np.testing.assert_array_equal(
        found, run_attention(repeated, LENGTHS, isa, compute_dtype, 0.2, **operands)
    )


def _angles(rng: np.random.Generator, pairs: int, positions: int = 700) -> Array:
    angles = rng.uniform(-4, 4, (positions, pairs))
    return np.concatenate([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("compute_dtype", TOLERANCE)
@pytest.mark.parametrize(("head_size", "window"), [(16, 1), (32, 5), (64, 16), (48, 33), (32, 64), (16, 128)])
def test_a_window_hides_what_is_farther(head_size: int, window: int, compute_dtype: str, isa: str) -> None:
    """With and without a bias, and keys that end early: beyond them, queries see the last key."""
    rng = np.random.default_rng(window)
    lengths = (*LENGTHS, 700, *rng.integers(1, 700, 3))
    rows = rng.standard_normal((sum(lengths), 3 * HEADS * head_size))
    scale, bias = head_size**-0.5, rng.standard_normal((HEADS, 2 * 40 + 1))
    flags = [np.arange(length) < rng.integers(0, length + 1) for length in lengths]
    gaps = np.cumsum(rng.integers(1, 4, len(rows))).astype(np.int32)
    cases: list[dict[str, Any]] = [{}, {"bias": bias}, {"attended": np.concatenate(flags).astype(np.int32)}]
    for operands in (*cases, {"places": gaps}, {"places": gaps, **cases[2]}):
        found = run_attention(rows, lengths, isa, compute_dtype, scale, window=window, **operands)
        expected = expected_attention(rows, lengths, scale, window=window, **operands)
        assert np.abs(found - expected).max() <= TOLERANCE[compute_dtype] * np.abs(rows).max()


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("compute_dtype", TOLERANCE)
def test_hidden_keys_count_for_nothing(compute_dtype: str, isa: str) -> None:
    """Each key beyond the window of 3 scores far above all others, and has another value."""
    rows = np.random.default_rng(0).standard_normal((300, 3 * HEADS * 16))
    rows[:, : HEADS * 16] = 1
    rows[140:160, HEADS * 16 : 2 * HEADS * 16] = 60
    rows[140:160, 2 * HEADS * 16 :] = 1000
    near = slice(137, 163)
    found = np.delete(run_attention(rows, (300,), isa, compute_dtype, 0.25, window=3), near, axis=0)
    assert np.abs(found).max() < 10
    np.testing.assert_allclose(
        found, np.delete(expected_attention(rows, (300,), 0.25, window=3), near, axis=0), atol=0.05, rtol=0.02
    )


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("compute_dtype", TOLERANCE)
def test_a_window_as_long_as_the_text_hides_nothing(compute_dtype: str, isa: str) -> None:
    rows = np.random.default_rng(0).standard_normal((sum(LENGTHS), 3 * HEADS * 32))
    wide, none = (run_attention(rows, LENGTHS, isa, compute_dtype, 0.2, window=window) for window in (256, 0))
    np.testing.assert_array_equal(wide, none)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("compute_dtype", TOLERANCE)
@pytest.mark.parametrize(("head_size", "pairs"), [(32, 16), (64, 32), (64, 16), (48, 16), (128, 48)])
def test_queries_and_keys_turn_by_their_positions(
    head_size: int, pairs: int, compute_dtype: str, isa: str
) -> None:
    rng = np.random.default_rng(pairs)
    rows = rng.standard_normal((sum(LENGTHS), 3 * HEADS * head_size))
    rotary = _angles(rng, pairs)
    for positions in (None, rng.integers(0, 700, len(rows)).astype(np.int32)):
        for window in (0, 20):
            operands: dict[str, Any] = {"rotary": rotary, "position_ids": positions, "window": window}
            found = run_attention(rows, LENGTHS, isa, compute_dtype, head_size**-0.5, **operands)
            expected = expected_attention(rows, LENGTHS, head_size**-0.5, **operands)
            assert np.abs(found - expected).max() <= TOLERANCE[compute_dtype] * np.abs(rows).max()


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("compute_dtype", TOLERANCE)
def test_windows_and_turns_treat_a_sequence_alike_in_every_batch(compute_dtype: str, isa: str) -> None:
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((sum(LENGTHS), 3 * HEADS * 32))
    operands: dict[str, Any] = {"rotary": _angles(rng, 16), "window": 20, "slopes": np.float32([0.25, 0.5])}
    together = run_attention(rows, LENGTHS, isa, compute_dtype, 0.2, **operands)
    for length, start in zip(LENGTHS, bounds(LENGTHS), strict=False):
        one = slice(start, start + length)
        alone = run_attention(rows[one], (length,), isa, compute_dtype, 0.2, **operands)
        np.testing.assert_array_equal(together[one], alone)


@pytest.mark.parametrize("isa", ISAS)
def test_positions_beyond_the_table_are_refused(isa: str) -> None:
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((20, 3 * HEADS * 32))
    attend = functools.partial(run_attention, rows, (8, 12), isa, "f32", 0.2, rotary=_angles(rng, 16, 12))
    attend()
    with pytest.raises(InputError, match="sequence 1 has 12 tokens, but the model has positions for 11"):
        attend(rotary=_angles(rng, 16, 11))
    with pytest.raises(InputError, match=r"position_ids\[19\] is 12, but the model's table has rows 0 to 11"):
        attend(position_ids=np.arange(-7, 13).clip(0).astype(np.int32))


@pytest.mark.parametrize("number", [np.inf, np.nan, 3e38])
@pytest.mark.parametrize("isa", ISAS)
def test_any_number_may_be_of_an_angle(isa: str, number: float) -> None:
    """What comes of it is of no use, but it comes out, and texts that end before do not see it."""
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((sum(LENGTHS), 3 * HEADS * 32))
    angles = _angles(rng, 16, 257)
    hostile = angles.copy()
    hostile[70:] = number
    expected, found = (
        run_attention(rows, LENGTHS, isa, "int8", 0.2, rotary=each, window=9) for each in (angles, hostile)
    )
    before = bounds(LENGTHS)[LENGTHS.index(130)]
    np.testing.assert_array_equal(found[:before], expected[:before])


@pytest.mark.parametrize("isa", ISAS)
def test_places_in_any_order_do_no_harm(isa: str) -> None:
    """They ought to increase: what comes of others is of no use, but it comes out."""
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((700, 3 * HEADS * 16))
    for places in (rng.integers(0, 2**31 - 1, 700), np.zeros(700), np.arange(700)[::-1]):
        found = run_attention(rows, (300, 400), isa, "int8", 0.2, window=16, places=places.astype(np.int32))
        assert np.isfinite(found).all()


def _lowered(shape: tuple[int, int], dtype: str = "f32") -> Executable:
    """Attention with 16 columns for each of two heads, and a bias that has been packed to this shape."""
    builder = Builder(Shape((3,), 96, 96, HEADS, 0), np.random.default_rng(0))
    operands = {"qkv": builder.activation("qkv", 96), "cu_seqlens": "cu_seqlens"}
    operands["distance_bias"] = builder.normal("bias", HEADS, 3)
    builder.node("attention", operands, ["y"], num_attention_heads=HEADS, scale=0.25)
    builder.result("y")
    lowered = lower(builder.graph())
    array = np.zeros(shape, np.float32).astype({"f32": np.float32, "i32": np.int32}[dtype])
    return dataclasses.replace(lowered, tensors={**lowered.tensors, "bias": Tensor(dtype, array)})


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize(
    ("shape", "dtype"),
    [((2, 32), "i32"), ((1, 64), "f32"), ((4, 32), "f32"), ((2, 16), "f32"), ((2, 47), "f32")],
)
def test_a_bias_of_another_shape_or_dtype_is_refused(shape: tuple[int, int], dtype: str, isa: str) -> None:
    message = "tensor 'bias' must be f32 with an even row of 32 or more for each head"
    with pytest.raises(ArtifactError, match=message):
        build_program(_lowered(shape, dtype), isa)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"slopes": "short"}, r"tensor 'short'"),
        ({"slopes": "bias"}, r"tensor 'bias'"),
        ({"slopes": "long", "distance_bias": "bias"}, "slopes and distance_bias exclude each other"),
        ({"slopes": "y"}, "'y'"),
        ({"num_key_value_heads": 0}, "num_key_value_heads"),
        ({"num_key_value_heads": 3}, "num_key_value_heads"),
        ({"num_key_value_heads": 2**40}, "num_key_value_heads"),
        ({"num_key_value_heads": 1}, "qkv must hold queries as wide as the output, and the keys"),
        ({"num_attention_heads": 3, "num_key_value_heads": 2}, "columns must be a multiple of 16 for each"),
    ],
)
def test_hostile_slopes_and_numbers_of_heads_are_refused(
    changes: dict[str, Any], message: str, isa: str
) -> None:
    lowered = _lowered((2, 32))
    *before, step = lowered.program.steps
    operands = {name: value for name, value in changes.items() if isinstance(value, str)}
    inputs = {name: value for name, value in step.inputs.items() if name != "distance_bias"} | operands
    attributes = {**step.attributes, **{k: v for k, v in changes.items() if k not in operands}}
    step = dataclasses.replace(step, inputs=inputs, attributes=attributes)
    tensors = {name: Tensor("f32", np.zeros(size, np.float32)) for name, size in (("short", 8), ("long", 16))}
    forged = dataclasses.replace(
        lowered,
        program=dataclasses.replace(lowered.program, steps=(*before, step)),
        tensors={**lowered.tensors, **tensors},
    )
    with pytest.raises(ArtifactError, match=message):
        build_program(forged, isa)


@pytest.mark.parametrize("number", [np.inf, -np.inf, np.nan, 3e38, -3e38])
@pytest.mark.parametrize("isa", ISAS)
def test_any_number_may_be_a_bias(isa: str, number: float) -> None:
    """A file may say any: what comes out is of no use, but it comes out, and other heads do not see it."""
    rows = np.random.default_rng(0).standard_normal((sum(LENGTHS), 3 * HEADS * 16))
    bias, slopes = np.zeros((HEADS, 2 * 60 + 1)), np.float32([0.5, 0.25])
    hostile = bias.copy(), np.float32([number, 0.25])
    hostile[0][0, ::3] = number
    for name, plain, given in zip(("bias", "slopes"), (bias, slopes), hostile, strict=True):
        expected, found = (
            run_attention(rows, LENGTHS, isa, "int8", 0.25, **{name: each}) for each in (plain, given)
        )
        np.testing.assert_array_equal(found[:, 16:], expected[:, 16:])
