"""Packed batches, windows of bounded size, and the adapter to the padded form.

The core knows no padding and no mask: a batch is a list of tokens and ``cu_seqlens``, as in
FlashAttention's varlen interface. Whoever comes with ``[batch, seq]`` arrays and an attention mask
passes through :class:`PaddedLayout`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bertc.errors import InputError
from bertc.ports import EMBEDDINGS, SELECTED

IntArray = NDArray[np.int32]
FloatArray = NDArray[np.float32]
T = TypeVar("T")

WINDOW_ITEMS = 1024
WINDOW_CHARACTERS = 256 * 1024
"""The characters of a window, unless ``WINDOW_ITEMS`` come first. 256k are some 60k tokens; at 3 kB of
results per token (hidden size 768) a window stays below 200 MB even where every token has an output."""


@dataclass(frozen=True)
class PackedBatch:
    """Sequences back to back, which every model runs on."""

    inputs: Mapping[str, NDArray[Any]]
    """The arrays by the program's inputs, int32 [tokens] for ids; an input with a default may be absent."""
    cu_seqlens: NDArray[Any]
    """The start of each sequence, and the number of tokens: int32 [sequences + 1]."""

    def selecting(self, selected: IntArray) -> PackedBatch:
        """The batch with a selection of its tokens, by their indices in increasing order."""
        return PackedBatch({**self.inputs, SELECTED: selected}, self.cu_seqlens)


def pack(ids: Sequence[Sequence[int]], type_ids: Sequence[Sequence[int]]) -> PackedBatch:
    """Concatenate token ids and token types of several sequences."""
    if len(ids) == 1:  # as in a call with one text, and in nearly all requests of a server
        arrays = {"input_ids": np.array(ids[0], np.int32), "token_type_ids": np.array(type_ids[0], np.int32)}
        return PackedBatch(arrays, np.array((0, len(ids[0])), np.int32))
    lengths = [len(sequence) for sequence in ids]
    cu_seqlens = np.zeros(len(lengths) + 1, np.int32)
    np.cumsum(lengths, out=cu_seqlens[1:])
    rows = {"input_ids": ids, "token_type_ids": type_ids}
    return PackedBatch({name: _concatenate(each, cu_seqlens) for name, each in rows.items()}, cu_seqlens)


def _concatenate(rows: Sequence[Sequence[int]], cu_seqlens: IntArray) -> IntArray:
    return np.fromiter(chain.from_iterable(rows), np.int32, count=int(cu_seqlens[-1]))


def windows(items: Sequence[T], min_items: int = 1, max_items: int | None = None) -> Iterator[Sequence[T]]:
    """Yield consecutive slices of ``items``, small enough that memory stays bounded.

    A window has at most ``max_items`` (``WINDOW_ITEMS``) items, about ``WINDOW_CHARACTERS`` characters, but
    at least ``min_items`` items where so many are left. Where the cuts fall changes no result.
    """
    start = characters = 0
    most = max(WINDOW_ITEMS if max_items is None else max_items, min_items)
    for index, item in enumerate(items):
        size = _characters(item)
        count = index - start
        if count >= most or (count >= min_items and characters + size > WINDOW_CHARACTERS):
            yield items[start:index]
            start, characters = index, 0
        characters += size
    if start < len(items):
        yield items[start:]


def _characters(item: Any) -> int:
    if isinstance(item, str):
        return len(item)
    if isinstance(item, (list, tuple)):
        return sum(_characters(part) for part in item)
    return 0


@dataclass(frozen=True)
class PaddedLayout:
    """The places that the tokens of a packed batch have in a padded one."""

    packed: PackedBatch
    shape: tuple[int, int]
    """The batch size and the sequence length of the padded form."""
    rows: NDArray[np.intp]
    """The padded row of each sequence, [sequences]: rows without a single token have no sequence."""
    cells: NDArray[np.intp]
    """The flat index, row * seq + column, of each token, [tokens]."""

    @property
    def has_gaps(self) -> bool:
        """Whether the mask leaves out a cell between two tokens of a row."""
        behind = np.diff(self.cells, prepend=-1)  # in another row, the first token may be anywhere
        behind[self.packed.cu_seqlens[:-1]] = 1
        return bool((behind > 1).any())

    def spread_tokens(self, values: FloatArray) -> FloatArray:
        """Return values [tokens, n] as [batch, seq, n], zero where the mask is zero."""
        return _spread(values, self.cells, self.shape)

    def spread_sequences(self, values: FloatArray) -> FloatArray:
        """Return values [sequences, n] as [batch, n], zero for rows without a token."""
        return _spread(values, self.rows, self.shape[:1])


def _spread(values: FloatArray, places: NDArray[np.intp], shape: tuple[int, ...]) -> FloatArray:
    out = np.zeros((math.prod(shape), values.shape[1]), np.float32)
    out[places] = values
    return out.reshape(*shape, values.shape[1])


def unpad(
    input_ids: ArrayLike | None,
    attention_mask: ArrayLike | None = None,
    token_type_ids: ArrayLike | None = None,
    position_ids: ArrayLike | None = None,
    task_type_ids: ArrayLike | None = None,
    *,
    embeddings: ArrayLike | None = None,
    padding_idx: int | None = None,
) -> PaddedLayout:
    """Pack padded [batch, seq] arrays, for any mask (nonzero: a token).

    Without ``position_ids`` each token keeps its own column as its position, so left padding and
    holes mean what they mean in ``transformers``; with ``padding_idx``, which is for RoBERTa and its kin,
    positions count from the number after it over all tokens that are not padding. ``position_ids`` may also
    be [1, seq] or [seq]. ``embeddings`` [batch, seq, hidden] stand for all ids. Where a mask leaves holes,
    ``places`` says so to attention that sees near tokens alone. Raises ``InputError`` that names the array
    that does not fit.
    """
    if embeddings is not None:
        others = (input_ids, token_type_ids, position_ids, task_type_ids)
        if any(each is not None for each in others):
            raise InputError("embeddings stand for ids of all kinds: leave those out")
        return _unpad_rows(np.asarray(embeddings), attention_mask)
    if input_ids is None:
        raise InputError("input_ids are missing: pass integers [batch, seq]")
    ids = _integers(input_ids, "input_ids")
    if ids.ndim != 2:
        raise InputError(f"input_ids have shape {ids.shape}: expected [batch, seq]")
    mask = _mask(attention_mask, ids.shape)
    if position_ids is not None:
        positions = _integers(position_ids, "position_ids")
    elif padding_idx is not None:
        is_token = ids != padding_idx
        positions = np.cumsum(is_token, axis=1) * is_token + padding_idx
    else:
        positions = np.arange(ids.shape[1], dtype=np.int32)
    if positions.shape not in (ids.shape, (1, ids.shape[1]), (ids.shape[1],)):
        raise InputError(f"position_ids have shape {positions.shape}, input_ids {ids.shape}")
    arrays = {"input_ids": ids, "position_ids": np.broadcast_to(positions, ids.shape)}
    for name, given in (("token_type_ids", token_type_ids), ("task_type_ids", task_type_ids)):
        if given is not None:
            arrays[name] = _same_shape(_integers(given, name), ids.shape, name)
    return _layout({name: _int32(array[mask], name) for name, array in arrays.items()}, mask)


def _unpad_rows(embeddings: NDArray[Any], attention_mask: ArrayLike | None) -> PaddedLayout:
    if embeddings.ndim != 3 or embeddings.dtype.kind != "f":
        raise InputError(
            f"embeddings are {embeddings.dtype} of shape {embeddings.shape}: expected floats [batch, seq,"
            " hidden]"
        )
    mask = _mask(attention_mask, embeddings.shape[:2], EMBEDDINGS)
    return _layout({EMBEDDINGS: embeddings[mask]}, mask)


def _layout(packed: Mapping[str, NDArray[Any]], mask: NDArray[np.bool_]) -> PaddedLayout:
    cells, shape = np.flatnonzero(mask), (mask.shape[0], mask.shape[1])
    if _has_holes(cells, shape[1]):
        packed = {**packed, "places": (cells % shape[1]).astype(np.int32)}
    lengths = mask.sum(axis=1)
    rows = np.flatnonzero(lengths)
    cu_seqlens = np.zeros(len(rows) + 1, np.int32)
    np.cumsum(lengths[rows], out=cu_seqlens[1:])
    return PaddedLayout(PackedBatch(packed, cu_seqlens), shape, rows, cells)


def _has_holes(cells: NDArray[np.intp], columns: int) -> bool:
    """Return whether two neighbors in a row of the packed form, ``cells``, are none in the padded form."""
    follows = np.diff(cells) == 1
    same_row = cells[1:] // columns == cells[:-1] // columns if columns else follows
    return bool((same_row & ~follows).any())


def _mask(
    attention_mask: ArrayLike | None, shape: tuple[int, ...], like: str = "input_ids"
) -> NDArray[np.bool_]:
    if attention_mask is None:
        return np.ones(shape, np.bool_)
    try:
        mask = np.asarray(attention_mask)
    except ValueError:
        raise InputError(f"attention_mask is ragged: pad its rows as those of {like}") from None
    if mask.dtype.kind not in "biuf":
        raise InputError(f"attention_mask has dtype {mask.dtype}: expected numbers or booleans")
    return _same_shape(mask, shape, "attention_mask", like).astype(np.bool_)


def _same_shape(
    array: NDArray[Any], shape: tuple[int, ...], name: str, like: str = "input_ids"
) -> NDArray[Any]:
    if array.shape != shape:
        raise InputError(f"{name} has shape {array.shape}, {like} {shape}: they must be the same")
    return array


def _integers(values: ArrayLike, name: str) -> NDArray[Any]:
    try:
        array = np.asarray(values)
    except ValueError:  # rows of unequal length
        raise InputError(f"{name} is ragged: pad its rows to one length, or use session.run") from None
    if array.dtype.kind not in "iu":
        raise InputError(f"{name} has dtype {array.dtype}: expected integers")
    return array


def _int32(values: NDArray[Any], name: str) -> IntArray:
    """Narrow to int32 where nothing is lost: a huge id must not wrap around to a valid one."""
    limits = np.iinfo(np.int32)
    if values.size and (values.min() < limits.min or values.max() > limits.max):
        raise InputError(f"{name} holds a number that does not fit 32 bits")
    return values.astype(np.int32)
