"""What the values of a foreign graph mean: rows of the IR in some layout, scores, masks, constants."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bertc.foreign.graph import Constant, Tensor, array_of
from bertc.foreign.raising.layout import Layout

Array = np.ndarray[Any, Any]


class Rows:
    """A row of ``width`` numbers for each token or sequence; some are written only when a node needs them.

    ``value`` is what was written: a value of the IR.
    """

    width: int
    per_token: bool
    value: str | None = None
    source: str | None = None
    """The value of the foreign graph that they are, where the host could compute that."""


class Written(Rows):
    """Rows that a node of the IR gives."""

    def __init__(self, value: str, width: int, per_token: bool) -> None:
        self.value, self.width, self.per_token = value, width, per_token


class Lookups(Rows):
    """A sum of rows of tables: kind of the table -> its rows, and the first position."""

    per_token = True

    def __init__(self, tables: Mapping[str, Tensor], first_position: int) -> None:
        self.tables, self.first_position = tables, first_position
        self.width = next(iter(tables.values())).shape[1]


class Product(Rows):
    """A linear layer: rows times a matrix [columns, width], plus a bias [width]."""

    def __init__(self, x: Rows, weight: Tensor, bias: Tensor | None = None) -> None:
        self.x, self.weight, self.bias = x, weight, bias
        self.width, self.per_token = weight.shape[1], x.per_token


class Pooled(Rows):
    """A row for each sequence, of those of its tokens."""

    per_token = False

    def __init__(self, x: Rows, mode: str) -> None:
        self.x, self.mode, self.width = x, mode, x.width


class Expression(Rows):
    """A primitive on the elements of a row, or over them. What several of them are is found out later."""

    def __init__(
        self, op: str, operands: tuple[Rows | Array, ...], attributes: Mapping[str, Any], width: int
    ) -> None:
        self.op, self.operands, self.attributes, self.width = op, operands, attributes, width
        self.per_token = next(each.per_token for each in operands if isinstance(each, Rows))


class HostRows(Rows):
    """Rows that the host computes: those of the foreign value ``source``, for which no op is there."""

    def __init__(self, source: str, width: int, per_token: bool, reason: str) -> None:
        self.source, self.width, self.per_token, self.reason = source, width, per_token, reason


@dataclass(frozen=True, eq=False)
class Known:
    """A constant."""

    constant: Constant

    @property
    def array(self) -> Array:
        """The elements."""
        return array_of(self.constant)

    @property
    def scalar(self) -> float | None:
        """The number, if it is one."""
        array = self.constant
        if int(np.prod(array.shape)) != 1 or array_of(array).dtype == object:
            return None
        return float(array_of(array).item())

    def vector(self, width: int) -> Array | None:
        """Return an element for each of so many columns, or one for all, if it is that and no more."""
        shape = self.constant.shape
        if self.constant.dtype == object:
            return None
        if any(size != 1 for size in shape[:-1]) or (shape and shape[-1] not in (1, width)):
            return None
        flat = np.asarray(self.array, np.float64).reshape(-1)
        return flat if flat.size == width and width > 1 else flat.reshape(())


@dataclass(frozen=True, eq=False)
class Control:
    """A value that depends on ids, mask and sizes alone: a mask, positions, a count."""

    name: str


@dataclass(frozen=True, eq=False)
class View:
    """Rows in some layout, of which the columns may be a part; all numbers times ``factor``."""

    rows: Rows
    layout: Layout
    offset: int = 0
    factor: float = 1.0
    rotary: Array | None = None
    """The angles [positions, 2 pairs] by which positions turn the columns of each head, cosines first."""


@dataclass(frozen=True, eq=False)
class Term:
    """Chosen columns, times numbers by place."""

    columns: Array
    """The column of the rows that each column is, [columns]."""
    numbers: Array
    """What each is multiplied by at each place of a sequence, [places or 1, columns]."""


@dataclass(frozen=True, eq=False)
class Turned:
    """A sum of terms of the same rows: rotary positions half way."""

    view: View
    """The rows, in the layout of the sum."""
    terms: tuple[Term, ...]


@dataclass(frozen=True, eq=False)
class Masked:
    """Rows of tokens, those of padding replaced: by zeros, or by something very low."""

    view: View
    by: str


@dataclass(frozen=True, eq=False)
class RowProducts:
    """What each token gives with each row of a table."""

    view: View
    """Queries or keys, with an axis of tokens and then one of a head's columns."""
    table: str
    """The value of the foreign graph that they are multiplied by, [..., columns, rows]."""
    layout: Layout


@dataclass(frozen=True, eq=False)
class ByDistance:
    """What each token gives with the row of a table that its distance to another token chooses."""

    view: View
    rows: Array
    """By the distance from the token to the other: [2 * reach + 1, heads, columns], 0 in the middle."""
    scale: float
    of_keys: bool = False
    """Whether the tokens are keys, and the others queries."""

    def times(self, number: float) -> ByDistance:
        """Return it times a number."""
        return replace(self, scale=self.scale * number)


@dataclass(frozen=True, eq=False)
class Distances:
    """A sum of terms of scores by distance, laid out as scores are."""

    terms: tuple[ByDistance, ...]
    layout: Layout


@dataclass(frozen=True, eq=False)
class Scores:
    """How much each token attends to each, before or after (``normalized``) the softmax."""

    query: View
    key: View
    layout: Layout
    scale: float
    normalized: bool = False
    bias: Array | None = None
    """What is added to the scaled scores by the distance from query to key, [heads, 2 * reach + 1]."""
    window: int = 0
    """How far a query sees; 0: everything."""
    terms: tuple[ByDistance, ...] = ()
    """What queries and keys give by distance, added to the scaled scores."""


@dataclass(frozen=True, eq=False)
class Guard:
    """Where scores are no number: they never are, as each sequence has a token."""

    scores: Scores


@dataclass(frozen=True, eq=False)
class Hosted:
    """A value that the host computes, and that is no rows."""

    reason: str


Meaning = Known | Control | View | Turned | Masked | RowProducts | Distances | Scores | Guard | Hosted
