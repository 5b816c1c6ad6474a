"""A region: primitives between rows and rows, as data. It is what a step on the host computes.

It works on one sequence at a time, which has no padding: so what it gives for a sequence cannot depend on the
others of a batch. Sizes are whole numbers and polynomials in the number of the sequence's tokens.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from bertc.errors import BertcError
from bertc.primitives import PRIMITIVES, Operand, Primitive, elementwise
from bertc.primitives.dim import Dim, Shape, UnknownSizeError, at, of_sizes, product, shape_at
from bertc.primitives.primitive import AXES, DTYPE, FLAG, INTEGER, INTEGERS, NUMBER, spell

Array = np.ndarray[Any, Any]

LENGTH = Dim.symbol("length")
"""The number of tokens of the sequence."""
MAX_ROWS = 8
ROWS = tuple(f"x{index}" for index in range(MAX_ROWS))
"""The names of the rows that a region may read."""
IDS = ("input_ids", "token_type_ids", "position_ids")
"""The ids that it may read; types that no one passes are 0, positions count from 0."""
MASK = "attention_mask"
"""What it may read too: ones, since all tokens of a sequence count."""
NUMBERS = "numbers"
"""The name of the vector, float32, that holds the elements of large constants."""
DTYPES = frozenset(
    ("float32", "float64", "bool", *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)))
)

_MAX_NODES, _MAX_RANK, _MAX_LIST = 4096, 8, 4096
_LONG, _MAX_ELEMENTS = 512, 2**28
"""No value of a sequence of 512 tokens is larger: 16 heads of scores are 2^22 elements."""
_NONE = np.zeros(0, np.float32)
_TRIAL = 16
"""The tokens of the sequence that a region is tried on."""


_ANYWHERE = {*elementwise.UNARY, *elementwise.BINARY, "cast", "where", "unsqueeze"} | {
    name for name in PRIMITIVES if name.startswith("reduce_")
}
"""The primitives to which tokens are alike, wherever they stand."""


class RegionError(BertcError):
    """Raised for a region that makes no sense, and for one that cannot be computed."""


@dataclass(frozen=True)
class Literal:
    """A constant of a region: its elements, or where they start in the vector ``NUMBERS``."""

    dtype: str
    """A dtype of NumPy, or "size" for sizes, some of which depend on the length."""
    shape: tuple[int, ...]
    values: tuple[Any, ...] | None = None
    start: int = 0


@dataclass(frozen=True)
class Call:
    """One primitive of a region."""

    op: str
    inputs: tuple[str, ...]
    output: str
    attributes: Mapping[str, Any]
    source: str
    """The node of the source that it is of, for people: its name and its operator."""


@dataclass(frozen=True, eq=False)
class Region:
    """Primitives in execution order, on one sequence."""

    inputs: Mapping[str, Shape]
    """The shape of each value of ``ROWS`` that it reads."""
    constants: Mapping[str, Literal]
    calls: tuple[Call, ...]
    output: str
    reason: str
    """Why the host computes it, for people."""

    @property
    def sources(self) -> tuple[str, ...]:
        """The nodes of the source that the region computes, each once, in order."""
        return tuple(dict.fromkeys(call.source for call in self.calls))

    @property
    def reads_places(self) -> bool:
        """Whether what it gives for a token may depend on the places of others, not only on what they are."""
        return any(call.op not in _ANYWHERE for call in self.calls)

    @property
    def reads(self) -> frozenset[str]:
        """The names of all that the calls read."""
        return frozenset(name for call in self.calls for name in call.inputs) | {self.output}

    def to_json(self) -> str:
        """Return the region as compact JSON."""
        data = {
            "inputs": {name: [*map(_size_to_json, shape)] for name, shape in self.inputs.items()},
            "constants": {name: _literal_to_json(each) for name, each in self.constants.items()},
            "nodes": [
                {
                    "op": call.op,
                    "inputs": [*call.inputs],
                    "output": call.output,
                    "attributes": dict(call.attributes),
                    "source": call.source,
                }
                for call in self.calls
            ],
            "output": self.output,
            "reason": self.reason,
        }
        return json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Region:
        """Return the region of a text. Raises ``RegionError`` if it is none."""
        try:
            data = json.loads(text)
            inputs = {
                str(name): tuple(map(_size_of_json, _ints(shape))) for name, shape in data["inputs"].items()
            }
            constants = {name: _literal_of_json(each) for name, each in data["constants"].items()}
            calls = tuple(map(_call_of_json, data["nodes"]))
            output, reason = data["output"], data["reason"]
        except (
            KeyError,
            TypeError,
            ValueError,
            AttributeError,
            OverflowError,
            RecursionError,
            RegionError,
        ) as error:
            raise RegionError(f"its region is damaged ({type(error).__name__}: {error})") from None
        if len(calls) > _MAX_NODES or not isinstance(output, str) or not isinstance(reason, str):
            raise RegionError("its region is too large, or has no output")
        return cls(MappingProxyType(inputs), MappingProxyType(constants), calls, output, reason)


@dataclass(frozen=True)
class RowsOf:
    """What an operand of a region is outside of it: a row for each token, or each sequence."""

    per_token: bool
    columns: int

    @property
    def size(self) -> Any:
        """The number of elements of one sequence."""
        return LENGTH * self.columns if self.per_token else self.columns


def check(region: Region, rows: Mapping[str, RowsOf], numbers: int, *, per_token: bool) -> int:
    """Check that a region can run, and try it. Return the columns of its rows, one ``per_token`` or sequence.

    ``rows`` are its operands of ``ROWS``, ``numbers`` the elements of ``NUMBERS``. Raises ``RegionError``.
    """
    shapes: dict[str, Shape] = dict.fromkeys((*IDS, MASK), (1, LENGTH))
    for name, shape in region.inputs.items():
        if name not in rows or not _fits(shape, rows[name]):
            raise RegionError(f"its region reads {name!r} as {spell(shape)}, which it is not")
    shapes.update(region.inputs)
    known: dict[str, Array] = {}
    for name, literal in region.constants.items():
        end = literal.start + math.prod(literal.shape)
        if name in shapes or (literal.values is None and end > numbers):
            raise RegionError(f"its region has no constant {name!r} that fits")
        shapes[name] = literal.shape
        if literal.values is not None:
            known[name] = _elements(literal)
    for call in region.calls:
        if call.output in shapes or not all(name in shapes for name in call.inputs):
            raise RegionError(f"{call.source}: it reads what nothing before it gives")
        shapes[call.output] = _shape(call, shapes, known)
    columns = _columns(shapes.get(region.output, (0,)), per_token)
    zeros = {
        name: np.zeros((_TRIAL if each.per_token else 1, each.columns), np.float32)
        for name, each in rows.items()
    }
    run(region, {**zeros, NUMBERS: np.zeros(numbers, np.float32)}, [0, _TRIAL], per_token=per_token)
    return columns


def _columns(shape: Shape, per_token: bool) -> int:
    """Return the elements of a value for each token, or for the sequence."""
    total = product(shape)
    try:
        columns = total // LENGTH if per_token and isinstance(total, Dim) else total
    except UnknownSizeError:
        columns = total
    if isinstance(columns, Dim) or columns < 1 or (per_token and not isinstance(total, Dim)):
        what = "token" if per_token else "sequence"
        raise RegionError(f"its region gives {spell(shape)}, which is no row for each {what}")
    return int(columns)


def _fits(shape: Shape, rows: RowsOf) -> bool:
    return len(shape) <= _MAX_RANK and bool(product(shape) == rows.size)


def _shape(call: Call, shapes: Mapping[str, Shape], known: Mapping[str, Array]) -> Shape:
    row = PRIMITIVES[call.op]
    operands = [Operand(shapes[name], known.get(name)) for name in call.inputs]
    try:
        if len(operands) != (len(operands) or 1 if row.arity is None else row.arity):
            raise RegionError(f"it takes {row.arity or 'some'} operands")
        shape = tuple(row.rule(operands, call.attributes))
        long = shape_at(shape, {"length": _LONG})
    except Exception as error:
        raise RegionError(f"{call.source}: {call.op} cannot be computed ({error})") from None
    if len(shape) > _MAX_RANK or min(long, default=0) < 0 or math.prod(long) > _MAX_ELEMENTS:
        raise RegionError(f"{call.source}: its result would be {spell(shape)}, which cannot be")
    return shape


def run(region: Region, operands: Mapping[str, Array], bounds: Sequence[int], *, per_token: bool) -> Array:
    """Return the rows that a region computes, float32 [tokens or sequences, columns].

    ``operands`` are the rows [tokens or sequences, columns] and ids [tokens] by name, and ``NUMBERS``;
    ``bounds`` are where sequences start. Raises ``RegionError`` that names the node that fails.
    """
    reads, numbers = region.reads, operands.get(NUMBERS, _NONE)
    constants = {name: _elements(each, numbers) for name, each in region.constants.items()}
    last = {name: index for index, call in enumerate(region.calls) for name in call.inputs}
    done = [
        [name for name in {*call.inputs} if last[name] == place] for place, call in enumerate(region.calls)
    ]
    of_tokens = {name: isinstance(product(shape), Dim) for name, shape in region.inputs.items()}
    found = []
    for index in range(len(bounds) - 1):
        begin, end = int(bounds[index]), int(bounds[index + 1])
        sizes = {"length": end - begin}
        values = {name: at(array, sizes) for name, array in constants.items()}
        values.update((name, _ids(name, operands, begin, end)) for name in (*IDS, MASK) if name in reads)
        for name, shape in region.inputs.items():
            rows = slice(begin, end) if of_tokens[name] else slice(index, index + 1)
            values[name] = operands[name][rows].reshape(shape_at(shape, sizes))
        with np.errstate(all="ignore"):
            for call, dead in zip(region.calls, done, strict=True):
                values[call.output] = _compute(call, values, end - begin)
                for name in dead:
                    if name != region.output:
                        del values[name]  # long sequences have large scores
        count = end - begin if per_token else 1
        found.append(np.ascontiguousarray(values[region.output], np.float32).reshape(count, -1))
    return np.concatenate(found)


def _compute(call: Call, values: Mapping[str, Array], length: int) -> Array:
    try:
        return PRIMITIVES[call.op].compute(*(values[name] for name in call.inputs), **call.attributes)
    except Exception as error:
        shapes = ", ".join(str([*values[name].shape]) for name in call.inputs)
        raise RegionError(
            f"{call.source}: {call.op} of {shapes} cannot be computed for {length} tokens ({error})"
        ) from None


def _ids(name: str, operands: Mapping[str, Array], begin: int, end: int) -> Array:
    """Return the ids of a sequence, or its mask, int64 [1, length]."""
    if name in operands:
        ids = operands[name][begin:end]
    elif name == "position_ids":
        ids = np.arange(end - begin)
    else:
        ids = np.full(end - begin, name == MASK)
    return ids.astype(np.int64).reshape(1, -1)


def _elements(literal: Literal, numbers: Array = _NONE) -> Array:
    if literal.values is None:
        part = numbers[literal.start : literal.start + math.prod(literal.shape)]
        return part.reshape(literal.shape).astype(literal.dtype, copy=False)
    if literal.dtype == "size":
        return of_sizes(literal.values).reshape(literal.shape)
    return np.array(literal.values, literal.dtype).reshape(literal.shape)


def _size_to_json(size: Any) -> Any:
    """Return a size: a number, or the coefficients of 1, length, length^2, ..."""
    if not isinstance(size, Dim):
        return int(size)
    powers = {len(symbols): count for symbols, count in size.terms}
    return [powers.get(power, 0) for power in range(max(powers) + 1)]


def _size_of_json(data: Any) -> Any:
    if isinstance(data, list):
        if len(data) > _MAX_RANK:
            raise RegionError("a size has too high a power of the length")
        return sum((_integer(each) * _power(index) for index, each in enumerate(data)), 0)
    return _integer(data)


def _power(exponent: int) -> Any:
    return product([LENGTH] * exponent)


def _integer(data: Any) -> int:
    if type(data) is not int or not -(2**63) <= data < 2**63:
        raise RegionError(f"{data!r} is no whole number")
    return data


def _ints(data: Any) -> list[Any]:
    if not isinstance(data, list) or len(data) > _MAX_LIST:
        raise RegionError(f"{type(data).__name__} is no list of sizes")
    return data


def _literal_to_json(literal: Literal) -> dict[str, Any]:
    data: dict[str, Any] = {"dtype": literal.dtype, "shape": [*literal.shape]}
    if literal.values is None:
        return {**data, "start": literal.start}
    return {
        **data,
        "values": [_size_to_json(each) if literal.dtype == "size" else each for each in literal.values],
    }


def _literal_of_json(data: Any) -> Literal:
    dtype, shape = data["dtype"], tuple(map(_integer, _ints(data["shape"])))
    if (dtype not in DTYPES and dtype != "size") or len(shape) > _MAX_RANK or min(shape, default=0) < 0:
        raise RegionError(f"there is no constant of {dtype!r} and shape {shape}")
    if "values" not in data:
        start = _integer(data["start"])
        if dtype == "size" or start < 0:
            raise RegionError("a constant has no elements")
        return Literal(dtype, shape, None, start)
    values = _ints(data["values"])
    if dtype == "size":
        values = [*map(_size_of_json, values)]
    elif not all(type(each) in (int, float, bool) for each in values):
        raise RegionError("a constant has elements that are no numbers")
    if len(values) != math.prod(shape):
        raise RegionError(f"a constant has {len(values)} elements, its shape is {shape}")
    literal = Literal(dtype, shape, tuple(values))
    _elements(literal)
    return literal


def _call_of_json(data: Any) -> Call:
    op, inputs, output, source = (data[name] for name in ("op", "inputs", "output", "source"))
    if not all(isinstance(each, str) for each in (*inputs, op, output, source)):
        raise RegionError("a node is not spelled in text")
    row = PRIMITIVES.get(op)
    if row is None or row.attributes is None:
        raise RegionError(f"there is no op {op!r} on the host")
    return Call(op, tuple(inputs), output, MappingProxyType(_attributes(row, data["attributes"])), source)


def _attributes(row: Primitive, data: Any) -> dict[str, Any]:
    kinds, found = row.attributes or {}, {}
    for name, value in data.items():
        if name not in kinds or not _is_a(kinds[name], value):
            raise RegionError(f"{row.name} has no attribute {name!r} that is {value!r}")
        found[name] = tuple(value) if isinstance(value, list) else value
    return found


def _is_a(kind: str, value: Any) -> bool:
    if kind in (INTEGERS, AXES):
        if value is None:
            return kind == AXES
        return isinstance(value, list) and len(value) <= _MAX_RANK and all(map(_is_integer, value))
    if kind == NUMBER:
        return type(value) is float and math.isfinite(value)
    if kind == DTYPE:
        return isinstance(value, str) and value in DTYPES
    return type(value) is bool if kind == FLAG else kind == INTEGER and _is_integer(value)


def _is_integer(value: Any) -> bool:
    return type(value) is int and -(2**63) <= value < 2**63
