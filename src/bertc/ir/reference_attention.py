"""The NumPy twin of attention, with its masks, biases by distance, rotary positions and windows."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from bertc.ir import formulas

Array = np.ndarray[Any, Any]


def attention(
    cu_seqlens: Array,
    query: Array | None = None,
    key: Array | None = None,
    value: Array | None = None,
    qkv: Array | None = None,
    static: Array | None = None,
    attended: Array | None = None,
    distance_bias: Array | None = None,
    slopes: Array | None = None,
    rotary: Array | None = None,
    position_ids: Array | None = None,
    places: Array | None = None,
    buckets: Array | None = None,
    position_keys: Array | None = None,
    position_queries: Array | None = None,
    *,
    num_attention_heads: int,
    scale: float,
    compute_dtype: str,  # noqa: ARG001
    out_dtype: str,
    window: int = 0,
    num_key_value_heads: int = 0,
) -> Array:
    """Compute softmax attention inside each sequence (Vaswani et al. 2017, arXiv:1706.03762, eq. 1).

    ``query``, ``key`` and ``value`` are [tokens, heads * head_dim], or ``qkv`` holds them side by side. Keys
    and values may be of fewer heads, ``num_key_value_heads``, each for as many neighboring heads of queries
    (Ainslie et al. 2023, arXiv:2305.13245, sec. 2.2).

    With ``compute_dtype`` "bf16" a target may round queries, keys, values and probabilities to bf16,
    with "int8" also queries and keys to 8 bits with a scale for each token and head; the reference
    does not, and the kernels' tolerance says so.

    ``attended`` is 0 or 1 for each token: the keys of a sequence are its tokens before the first 0, or all
    of them if that is its first token. The other tokens attend to those keys as well, not to each other.

    ``distance_bias`` [heads, 2 * reach + 1] is added to the scores: that of the key d tokens after the query
    is in column reach + d, that of keys farther away than the reach in the first or the last (Raffel et al.
    2020, arXiv:1910.10683, sec. 2.1). ``slopes`` [heads] times that distance, whether before or after, is
    taken off the scores (ALiBi; Press et al. 2022, arXiv:2108.12409, sec. 3).

    ``rotary`` [positions, 2 pairs] has the cosines, then the sines by which :func:`rotate` turns queries and
    keys; positions count from 0 in each sequence unless ``position_ids`` says otherwise. With a ``window`` a
    query attends to the keys no farther than that, counted in tokens or by ``places``, which increase in
    each sequence; one that sees none attends to the last key.

    With ``buckets`` [1, 2 * reach + 1] scores are disentangled (He et al. 2020, arXiv:2006.03654, eq. 4): to
    that of a key d tokens after the query, by ``places`` if they are given, are added, before the scale, the
    query times row b of ``position_keys`` and the key times row b of ``position_queries``, either [rows,
    heads * head_dim], where b is in column reach + d of ``buckets``, or in its first or last one.
    """
    heads, sharers = num_attention_heads, num_key_value_heads or num_attention_heads
    parts: Sequence[Array | None] = (query, key, value)
    if qkv is not None:
        size = qkv.shape[1] // (heads + 2 * sharers)
        parts = np.split(qkv.astype(np.float32), [heads * size, (heads + sharers) * size], axis=1)
    queries, keys, values = (np.asarray(part) for part in parts)
    out = np.empty(queries.shape, np.float32)
    size = queries.shape[1] // heads
    for start, stop in itertools.pairwise(cu_seqlens):
        end = (
            stop
            if attended is None
            else start + (formulas.count_leading(attended[start:stop], 1) or stop - start)
        )
        bounds = (slice(start, stop), slice(start, end), slice(start, end))
        q, k, v = (
            each[rows].reshape(-1, each.shape[1] // size, size).transpose(1, 0, 2)
            for each, rows in zip((queries, keys, values), bounds, strict=True)
        )
        k, v = (np.repeat(each, heads // sharers, axis=0) for each in (k, v))
        if rotary is not None:
            at = np.arange(stop - start) if position_ids is None else position_ids[start:stop]
            q, k = rotate(q, rotary[at]), rotate(k, rotary[at[: end - start]])
        scores = (q @ k.transpose(0, 2, 1)).astype(np.float64)
        if buckets is not None:
            at = np.arange(stop - start) if places is None else places[start:stop].astype(np.int64)
            index = _by_distance(buckets, at, end - start)
            if position_keys is not None:
                scores += np.take_along_axis(q @ _of_heads(position_keys, size), index, axis=2)
            if position_queries is not None:
                products = k @ _of_heads(position_queries, size)
                found = np.take_along_axis(products, index.transpose(0, 2, 1), axis=2)
                scores += found.transpose(0, 2, 1)
        scores *= scale
        if distance_bias is not None:
            scores += _by_distance(distance_bias, np.arange(stop - start), end - start)
        if slopes is not None:
            at = np.arange(stop - start)
            scores -= slopes[:, None, None] * np.abs(at[:, None] - at[: end - start])
        if window:
            at = np.arange(stop - start) if places is None else places[start:stop].astype(np.int64)
            scores[:, ~_within(at, end - start, window)] = -np.inf
        weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
        weights /= weights.sum(axis=-1, keepdims=True)
        mixed = weights.astype(np.float32) @ v
        out[start:stop] = mixed.transpose(1, 0, 2).reshape(stop - start, -1)
    return formulas.stored(out, static, out_dtype)


def rotate(x: Array, angles: Array) -> Array:
    """Turn pairs of columns by an angle (Su et al. 2021, arXiv:2104.09864, eq. 34): [..., tokens, head_dim].

    ``angles`` [tokens, 2 pairs] has the cosines, then the sines. Column i goes with column pairs + i;
    columns from 2 pairs on stay as they are.
    """
    cosine, sine = np.split(angles, 2, axis=-1)
    left, right, others = np.split(x, (cosine.shape[-1], 2 * cosine.shape[-1]), axis=-1)
    turned = (left * cosine - right * sine, right * cosine + left * sine, others)
    return np.concatenate(turned, axis=-1).astype(np.float32)


def _within(places: Array, keys: int, window: int) -> Array:
    """Return which of the first ``keys`` tokens each token sees: bool [tokens, keys], one at least."""
    sees = np.asarray(np.abs(places[:, None] - places[None, :keys]) <= window)
    sees[~sees.any(axis=1), -1] = True
    return sees


def _of_heads(table: Array, head_dim: int) -> Array:
    """Return a table [rows, heads * head_dim] as [heads, head_dim, rows]."""
    return np.asarray(table, np.float32).reshape(len(table), -1, head_dim).transpose(1, 2, 0)


def _by_distance(table: Array, places: Array, keys: int) -> Array:
    """Return [rows, tokens, keys]: the columns of a table by distance for each query and key."""
    reach = table.shape[1] // 2
    return np.asarray(table[:, np.clip(places[None, :keys] - places[:, None], -reach, reach) + reach])
