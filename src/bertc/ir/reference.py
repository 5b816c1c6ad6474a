"""The NumPy twin of every op: slow, obviously right, the judge of passes and kernels.

Each function takes the op's operands and its attributes by name (an absent optional operand is not
passed), and returns one array or a tuple of arrays. bf16 values are float32 arrays whose
numbers are representable in bf16. That of attention is in ``reference_attention``.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from bertc.ir import formulas
from bertc.ports import TOKENS
from bertc.primitives.region import Region, run

Array = np.ndarray[Any, Any]

_erf = np.frompyfunc(math.erf, 1, 1)


def gelu(x: Array) -> Array:
    """Compute GELU by the error function (Hendrycks and Gimpel 2016, arXiv:1606.08415, sec. 2)."""
    wide = x.astype(np.float64)
    erf = np.asarray(_erf(wide / math.sqrt(2.0)), np.float64)
    return (0.5 * wide * (1.0 + erf)).astype(np.float32)


def gelu_tanh(x: Array) -> Array:
    """Compute the tanh approximation of GELU (arXiv:1606.08415, sec. 2)."""
    wide = x.astype(np.float64)
    inner = math.sqrt(2.0 / math.pi) * (wide + 0.044715 * wide**3)
    return (0.5 * wide * (1.0 + np.tanh(inner))).astype(np.float32)


def relu(x: Array) -> Array:
    """Compute max(x, 0)."""
    return np.asarray(np.maximum(x, np.float32(0)))


def tanh(x: Array) -> Array:
    """Compute the hyperbolic tangent."""
    return np.tanh(x).astype(np.float32)


def sigmoid(x: Array) -> Array:
    """Compute 1 / (1 + exp(-x))."""
    with np.errstate(over="ignore"):  # exp(-x) = inf gives the right answer, 0
        return np.asarray(1 / (1 + np.exp(-x.astype(np.float64))), np.float32)


def silu(x: Array) -> Array:
    """Compute x sigmoid(x) (arXiv:1606.08415, sec. 2)."""
    return x * sigmoid(x)


def quick_gelu(x: Array) -> Array:
    """Compute x sigmoid(1.702 x), the sigmoid approximation of GELU (arXiv:1606.08415, sec. 2)."""
    return x * sigmoid(np.float32(1.702) * x)


def mish(x: Array) -> Array:
    """Compute x tanh(log(1 + exp(x))) (Misra 2019, arXiv:1908.08681, eq. 1)."""
    return np.asarray(x * np.tanh(np.logaddexp(0, x.astype(np.float64))), np.float32)


def log1p_relu(x: Array) -> Array:
    """Compute log(1 + max(x, 0)), the saturation of SPLADE (Formal et al. 2021, arXiv:2107.05720, eq. 1)."""
    return np.asarray(np.log1p(np.maximum(x.astype(np.float64), 0)), np.float32)


ACTIVATIONS = {
    "gelu": gelu,
    "gelu_tanh": gelu_tanh,
    "relu": relu,
    "tanh": tanh,
    "sigmoid": sigmoid,
    "silu": silu,
    "quick_gelu": quick_gelu,
    "mish": mish,
    "log1p_relu": log1p_relu,
}


def _by_place(vector: Array, first: Array | None, last: Array | None, cu_seqlens: Array | None) -> Array:
    """Return ``vector`` [columns], or for each token that of its place: [tokens, columns].

    ``first`` and ``last`` are those of places that have their own.
    """
    if cu_seqlens is None:
        return vector
    of_place = np.stack([vector if own is None else own for own in (vector, first, last)])
    return np.asarray(of_place[formulas.token_places(cu_seqlens)])


def _epilogue(out: Array, bias: Array, residual: Array | None, activation: str, gated: int) -> Array:
    """Finish a product; ``bias`` is [columns], or [rows, columns] where rows have their own."""
    out = out + bias
    out, value = np.split(out, 2, axis=1) if gated else (out, None)
    if activation != "none":
        out = ACTIVATIONS[activation](out.astype(np.float32))
    if value is not None:
        out = out * value
    if residual is not None:
        out = out + residual
    return out.astype(np.float32)


def add(a: Array, b: Array) -> Array:
    """Add two arrays, element by element."""
    return (a + b).astype(np.float32)


def multiply(a: Array, b: Array) -> Array:
    """Multiply two arrays, element by element."""
    return (a * b).astype(np.float32)


TABLES = {
    "word": "input_ids",
    "token_type": "token_type_ids",
    "position": "position_ids",
    "task_type": "task_type_ids",
}
"""The operand with the ids of each table of ``embed``, in the order in which the tables' rows are added."""


def embed(
    cu_seqlens: Array, word_scale: Array | None = None, *, first_position: int, **operands: Array
) -> Array:
    """Add a row of each table that is there, of ``TABLES``; 8-bit word rows carry one scale each.

    Ids that are absent are 0; positions count from ``first_position`` in each sequence.
    """
    counted = [first_position + np.arange(length) for length in np.diff(cu_seqlens)]
    defaults = {"position": np.concatenate(counted)}
    total: Array | None = None
    for name, ids_name in TABLES.items():
        if name not in operands:
            continue
        ids = operands.get(ids_name, defaults.get(name, np.zeros(cu_seqlens[-1], np.int32)))
        rows = operands[name][ids].astype(np.float32)
        if name == "word" and word_scale is not None:
            rows = rows * word_scale[ids][:, None]
        total = rows if total is None else total + rows
    return np.asarray(total, np.float32)


def layer_norm(x: Array, gamma: Array, beta: Array, *, epsilon: float, rms: int = 0) -> Array:
    """Normalize rows, then scale and shift columns (Ba et al. 2016, arXiv:1607.06450, eq. 3-4).

    With ``rms`` the mean stays in the rows (Zhang and Sennrich 2019, arXiv:1910.07467, eq. 4).
    """
    wide = x.astype(np.float64)
    centered = wide if rms else wide - wide.mean(axis=-1, keepdims=True)
    variance = (centered**2).mean(axis=-1, keepdims=True)
    return np.asarray(centered / np.sqrt(variance + epsilon) * gamma + beta, np.float32)


def channel_affine(
    x: Array,
    multiplier: Array | None = None,
    offset: Array | None = None,
    first_offset: Array | None = None,
    last_offset: Array | None = None,
    cu_seqlens: Array | None = None,
    *,
    hadamard: int = 1,
) -> Array:
    """Compute ``x * multiplier + offset``, a number of each per column: by default 1 and 0.

    ``first_offset`` takes the place of ``offset`` in the first token of each sequence of ``cu_seqlens``, and
    ``last_offset`` in the last. The one token of a sequence of one is its first. Then ``hadamard`` parts of
    each row are mixed (``formulas.mix_parts``).
    """
    if multiplier is not None:
        x = x * multiplier
    if offset is not None or cu_seqlens is not None:
        zeros = np.zeros(x.shape[1], np.float32)
        x = x + _by_place(zeros if offset is None else offset, first_offset, last_offset, cu_seqlens)
    return formulas.mix_parts(x.astype(np.float32), hadamard)


def quantize_rows(x: Array, static: Array | None = None, **change: Any) -> tuple[Array, ...]:
    """Quantize the rows of ``x`` to 8 bits, changed by :func:`channel_affine` with what else is given.

    ``static`` is a scale and its zero point, for all rows; else each row gets those of its range.
    """
    x = channel_affine(x, **change)
    if static is not None:
        return formulas.quantize_static(x, float(static[0]), int(static[1]))
    return formulas.quantize_rows(x)


def layer_norm_quantize(
    x: Array, gamma: Array, beta: Array, *, epsilon: float, rms: int = 0, **rounding: Any
) -> tuple[Array, ...]:
    """Return the layer norm, plain for the residual and in 8 bits for the next linear layer."""
    plain = layer_norm(x, gamma, beta, epsilon=epsilon, rms=rms)
    return (plain, *quantize_rows(plain, **rounding))


def layer_norm_bf16(
    x: Array, gamma: Array, beta: Array, *, epsilon: float, rms: int = 0
) -> tuple[Array, Array]:
    """Return the layer norm, plain for the residual and in bf16 for the next linear layer."""
    plain = layer_norm(x, gamma, beta, epsilon=epsilon, rms=rms)
    return plain, formulas.round_to_bf16(plain)


def linear(
    x: Array,
    weight: Array,
    bias: Array,
    residual: Array | None = None,
    first_bias: Array | None = None,
    last_bias: Array | None = None,
    cu_seqlens: Array | None = None,
    *,
    activation: str,
    gated: int = 0,
) -> Array:
    """Compute ``activation(x @ weight.T + bias) + residual`` with ``weight`` [out, in].

    ``first_bias`` takes the place of ``bias`` in the first token of each sequence, ``last_bias`` in the last.
    Gated, the first half of the product's columns is the gate, which is activated, and then multiplied by the
    other half (Shazeer 2020, arXiv:2002.05202, eq. 6).
    """
    bias = _by_place(bias, first_bias, last_bias, cu_seqlens)
    return _epilogue(x @ weight.T, bias, residual, activation, gated)


def linear_bf16(x: Array, weight: Array, bias: Array, *, out_dtype: str, **operands: Any) -> Array:
    """Compute :func:`linear` on bf16 operands, accumulated in float32."""
    return formulas.stored(linear(x, weight, bias, **operands), None, out_dtype)


def linear_int8_accumulate(x: Array, zero_point: Array, weight: Array) -> Array:
    """Compute the integer part of :func:`linear_int8`: int32 [rows, out], exact."""
    shifted = x.astype(np.int64) - zero_point.astype(np.int64)[:, None]
    return (shifted @ weight.astype(np.int64).T).astype(np.int32)


def linear_int8(
    x: Array,
    scale: Array,
    zero_point: Array,
    weight: Array,
    weight_scale: Array,
    bias: Array,
    residual: Array | None = None,
    static: Array | None = None,
    first_bias: Array | None = None,
    last_bias: Array | None = None,
    first_offset: Array | None = None,
    last_offset: Array | None = None,
    cu_seqlens: Array | None = None,
    *,
    activation: str,
    out_dtype: str,
    gated: int = 0,
) -> Array:
    """Compute :func:`linear` on 8-bit operands: uint8 rows with scale and zero point, int8 weights.

    ``scale`` and ``zero_point`` have an element for each row, or one for all of them. A result in 8 bits is
    that of :func:`quantize_rows` with the offsets.
    """
    sums = linear_int8_accumulate(x, zero_point, weight).astype(np.float32)
    bias = _by_place(bias, first_bias, last_bias, cu_seqlens)
    out = _epilogue(sums * (scale[:, None] * weight_scale[None, :]), bias, residual, activation, gated)
    if first_offset is not None or last_offset is not None:
        out = channel_affine(out, first_offset=first_offset, last_offset=last_offset, cu_seqlens=cu_seqlens)
    return formulas.stored(out, static, out_dtype)


def pool(x: Array, cu_seqlens: Array, pooled: Array | None = None, *, mode: str) -> Array:
    """Reduce each sequence to one row by one of ``POOLINGS``: [sequences, hidden].

    ``pooled`` is 0 or 1 for each token: what is pooled of a sequence are its tokens from the first 1 on, or
    all of them if there is none.
    """
    sequences = []
    for start, stop in itertools.pairwise(cu_seqlens):
        first = 0 if pooled is None else formulas.count_leading(pooled[start:stop], 0) % (stop - start)
        sequences.append(POOLINGS[mode](x[start + first : stop].astype(np.float64), first + 1))
    return np.stack(sequences).astype(np.float32)


def _weighted_mean(rows: Array, weight: int) -> Array:
    return np.asarray(np.average(rows, axis=0, weights=np.arange(weight, weight + len(rows))))


POOLINGS: dict[str, Callable[[Array, int], Array]] = {
    "cls": lambda rows, _: rows[0],
    "mean": lambda rows, _: rows.mean(axis=0),
    "max": lambda rows, _: rows.max(axis=0),
    "lasttoken": lambda rows, _: rows[-1],
    "sum": lambda rows, _: rows.sum(axis=0),
    "mean_sqrt_len_tokens": lambda rows, _: rows.sum(axis=0) / math.sqrt(len(rows)),
    "weightedmean": _weighted_mean,
}
"""The rows [tokens, hidden] of one sequence as one row, by the names that sentence-transformers has; the
second argument is the first row's number, counted from 1 over all tokens of the sequence."""


def concat(a: Array, b: Array) -> Array:
    """Put the columns of two arrays side by side."""
    return np.concatenate([a, b], axis=1)


def select_rows(x: Array, selected: Array) -> Array:
    """Return the rows of the selected tokens: [selected, hidden]."""
    return np.asarray(x[selected])


def normalize(x: Array) -> Array:
    """Divide each row by its L2 norm, or by 1e-12 where that is larger (as PyTorch does)."""
    norm = np.sqrt((x.astype(np.float64) ** 2).sum(axis=-1, keepdims=True))
    return np.asarray(x / np.maximum(norm, 1e-12), np.float32)


def host(cu_seqlens: Array, *, region: str, rows: str, **operands: Array) -> Array:
    """Compute a region on each sequence: [tokens or sequences, columns]."""
    return run(Region.from_json(region), operands, [*cu_seqlens], per_token=rows == TOKENS)
