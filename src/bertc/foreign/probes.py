"""Small padded batches, by which masks, positions and counts are known for what they are.

Exporters spell a mask in dozens of ways. What it is for is the same in all: zeros where a token counts, and
something very negative where none does. A value that depends on ids and mask alone is computed on a few
batches, and judged by its elements.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np

from bertc.errors import CheckpointError
from bertc.foreign.graph import BATCH, LENGTH, ForeignGraph, array_of
from bertc.foreign.interpreter import needed_nodes, run
from bertc.primitives.dim import Dim, Shape, shape_at

Array = np.ndarray[Any, Any]

_SEED = 13
LOW = -1000.0
"""What a softmax makes nothing of, beside a score: 10,000 is the least that models subtract."""
_TINY = 1e-6
_FIRST_ID = 7
"""Ids of tokens start here: below are those that stand for padding."""


@dataclass(frozen=True, eq=False)
class Probe:
    """A batch padded at its end, as tokenizers pad it."""

    inputs: Mapping[str, Array]
    """The inputs of the graph by role, int64 [batch, length]."""
    mask: Array
    """Whether a token counts, bool [batch, length]."""

    @property
    def sizes(self) -> dict[str, int]:
        """The numbers that the symbols stand for."""
        return dict(zip((BATCH, LENGTH), self.mask.shape, strict=True))


def make_probe(
    graph: ForeignGraph,
    lengths: Sequence[int],
    length: int,
    *,
    pad: int,
    ids: int = 97,
    types: int = 2,
) -> Probe:
    """Return a batch of sequences of ``lengths`` tokens; fixed sizes of the graph take their place.

    Of a graph without a mask, sequences have all tokens. ``ids`` and ``types`` are the numbers of rows of
    their tables.
    """
    batch = len(lengths) if isinstance(graph.batch, Dim) else graph.batch
    width = length if isinstance(graph.length, Dim) else graph.length
    rng = np.random.default_rng(_SEED)
    counts = [max(1, min(width, lengths[row % len(lengths)] * width // length)) for row in range(batch)]
    mask = np.arange(width) < np.array(counts)[:, None]
    if "attention_mask" not in graph.inputs:
        mask = np.ones_like(mask)
    low = min(_FIRST_ID, ids - 1)
    tokens = rng.integers(low, max(low + 1, ids), mask.shape)
    tokens[tokens == pad] = low if low != pad else low + 1
    inputs = {
        "input_ids": np.where(mask, tokens, pad),
        "attention_mask": mask.astype(np.int64),
        "token_type_ids": rng.integers(0, types, mask.shape) * mask,
        "position_ids": np.broadcast_to(np.arange(width), mask.shape).copy(),
    }
    return Probe({name: inputs[name].astype(np.int64) for name in graph.inputs}, mask)


def padding_id(graph: ForeignGraph) -> int:
    """Return the id that stands for padding: what the graph compares ids with, else 0."""
    return next(_compared(graph), 0)


def _compared(graph: ForeignGraph) -> Iterator[int]:
    ids = {"input_ids"}
    for node in graph.nodes:
        if node.op == "cast" and node.inputs[0] in ids:
            ids.add(node.output)
        if node.op == "equal" and ids.intersection(node.inputs):
            for name in node.inputs:
                if name in graph.constants and array_of(graph.constants[name]).size == 1:
                    yield int(array_of(graph.constants[name]).item())


class Probes:
    """The batches for one graph, and what its values are on them."""

    def __init__(self, graph: ForeignGraph) -> None:
        self._graph = graph
        self._values: dict[tuple[int, str], Array] = {}

    @cached_property
    def batches(self) -> tuple[Probe, ...]:
        """The batches: of different sizes, so that no two of them agree by chance."""
        pad = padding_id(self._graph)
        return (
            make_probe(self._graph, (7, 4), 7, pad=pad),
            make_probe(self._graph, (2, 5, 3), 5, pad=pad),
        )

    def value(self, index: int, name: str) -> Array:
        """Return a value on one of the batches."""
        if (index, name) not in self._values:
            found = run(self._graph, self.batches[index].inputs, [name])
            self._values[index, name] = found[name]
        return self._values[index, name]

    def agree(self, name: str, shape: Shape, test: Callable[[Probe, Array], bool]) -> bool:
        """Return whether a value, broadcast to a shape, passes a test on all batches."""
        for index, probe in enumerate(self.batches):
            try:
                value = np.broadcast_to(self.value(index, name), shape_at(shape, probe.sizes))
            except ValueError:
                return False
            if not test(probe, value):
                return False
        return True

    def mask_kind(self, name: str, shape: Shape, atoms: Sequence[str]) -> str:
        """Return how a value of a shape masks tokens.

        ``atoms`` says of what the value has an axis, once its axes are split: "batch", "length" for the
        rows of scores or of hidden states, "key" for the columns of scores, anything else. Returns "add" (0
        or very negative), "subtract", "keep" (1 or 0), "drop" (0 or 1), "all" (keeps all), "none" (adds
        nothing to any), or "" for anything else.
        """
        found = set()
        for index, probe in enumerate(self.batches):
            found.add(self._kind_on(probe, self.value(index, name), shape, atoms))
        found -= {"ones", "zeros"} if len(found) > 1 else set()
        kind = found.pop() if len(found) == 1 else ""
        return {"ones": "all", "zeros": "none"}.get(kind, kind)

    def _kind_on(self, probe: Probe, value: Array, shape: Shape, atoms: Sequence[str]) -> str:
        spread = _spread(probe, value, shape, atoms)
        if spread is None:
            return "other"
        masked = "key" if "key" in atoms else "length"
        kept = _along(probe.mask, atoms, masked)
        counts = _along(probe.mask, atoms, "length") if masked == "key" else np.True_
        inside = spread[np.broadcast_to(kept & counts, spread.shape)].astype(np.float64)
        outside = spread[np.broadcast_to(~kept & counts, spread.shape)].astype(np.float64)
        return _judge(inside, outside)

    def distance_bias(self, name: str, shape: Shape, atoms: Sequence[str], longest: int) -> Array | None:
        """Return what a value adds to scores by the distance from query to key: [heads, 2 * reach + 1].

        Column ``reach + d`` is for the key d tokens after the query, of up to ``longest`` tokens; the first
        and the last are for all that are farther away, too. What it adds to padding does not matter. Returns
        None for what depends on anything else, or is the same at all distances.
        """
        bias: Array | None = None
        for probe, each in self._with_long(name, shape, longest):
            spread = _spread(probe, each, shape, atoms)
            if spread is None:
                return None
            scores = _by_head(spread, atoms)
            if bias is None:
                bias = np.concatenate([scores[0, :, -1], scores[0, :, 0, 1:]], axis=1)
            if not _depends_on_distance(bias, scores, probe.mask):
                return None
        return None if bias is None else _trimmed(bias)

    def rows_by_distance(
        self, index: str, table: str, shape: Shape, atoms: Sequence[str], longest: int, heads: int
    ) -> Array | None:
        """Return the rows of a table that an index names by the distance from its row to its column.

        The table has columns of heads and then rows, which the index, as large as scores, names. Returns
        [2 * reach + 1, heads, columns], the distance 0 in the middle; None for an index that depends on more.
        """
        sizes = self._lengths(table, longest)
        for length in sorted({*sizes, *(size // 2 for size in sizes[1:])}, reverse=True):
            long = make_probe(self._graph, (length,), length, pad=padding_id(self._graph))
            rows = [
                self._rows_on(probe, index, table, shape, atoms, heads) for probe in (long, *self.batches)
            ]
            first = rows[0]
            if first is not None:
                return first if all(_is_middle(each, first) for each in rows[1:]) else None
        return None

    def _rows_on(
        self, probe: Probe, index: str, table: str, shape: Shape, atoms: Sequence[str], heads: int
    ) -> Array | None:
        """Return those rows on a batch; None if there are none, as the table is too small, or others."""
        try:
            values = run(self._graph, probe.inputs, [index, table])
        except CheckpointError:
            return None
        spread, whole = _spread(probe, values[index], shape, atoms), values[table]
        if spread is None or whole.shape != shape_at(self._graph.shapes[table], probe.sizes):
            return None
        named = _by_head(spread, atoms)
        named = named[tuple(slice(None if stride else 1) for stride in named.strides[:2])]
        line, places = np.concatenate([named[0, 0, -1], named[0, 0, 0, 1:]]), np.arange(named.shape[-1])
        if not (named == line[places[None, :] - places[:, None] + len(places) - 1]).all():
            return None
        stacked = whole.reshape(-1, heads, *whole.shape[-2:])
        if not (stacked == stacked[0]).all() or line.min() < 0 or line.max() >= whole.shape[-1]:
            return None
        return np.asarray(np.moveaxis(stacked[0], 2, 0)[line])

    def by_place(self, name: str, shape: Shape, atoms: Sequence[str], longest: int) -> Array | None:
        """Return what a value is at each place of a sequence, the same in all: [longest, columns] or None.

        ``atoms`` says what its axes count: "batch", "length", "column" for heads and last for columns.
        """
        if atoms.count("batch") > 1 or atoms.count("length") != 1 or atoms[-1] != "column":
            return None
        found: Array | None = None
        for probe, value in self._with_long(name, shape, longest):
            try:
                whole = np.broadcast_to(value, shape_at(shape, probe.sizes))
            except ValueError:
                return None
            rows = np.moveaxis(whole, atoms.index("length"), -2)
            if found is None:
                found = rows[(0,) * (rows.ndim - 2)]
            counts = _along(probe.mask, atoms, "length")
            counts = np.moveaxis(counts, atoms.index("length"), -2)
            if not ((rows == found[: rows.shape[-2]]) | ~counts).all():
                return None
        return found

    def window(
        self, name: str, shape: Shape, atoms: Sequence[str], sees: Callable[[Array], Array], longest: int
    ) -> int | None:
        """Return how far queries see keys by a mask; 0 for everything, None if that is not all it says.

        ``sees`` tells from the mask's elements which keys are seen.
        """
        window: int | None = None
        for probe, value in self._with_long(name, shape, longest):
            spread = _spread(probe, value, shape, atoms)
            if spread is None:
                return None
            # What is the same for all sequences, heads or queries is looked at once.
            scores = _by_head(spread, atoms)
            scores = scores[tuple(slice(None if stride else 1) for stride in scores.strides[:3])]
            seen = sees(scores)
            if window is None:
                window = int(seen[0, 0, 0].sum()) - 1
                window = 0 if window + 1 == probe.mask.shape[1] else window
            if window < 0 or not _is_band(seen, probe.mask, window):
                return None
        return window

    def _with_long(self, name: str, shape: Shape, longest: int) -> Iterator[tuple[Probe, Array]]:
        """Yield a value on one sequence of so many tokens, or of what its tables have, and on the batches.

        Yields nothing for what cannot be computed for so many.
        """
        for length in self._lengths(name, longest):
            long = make_probe(self._graph, (length,), length, pad=padding_id(self._graph))
            try:
                value = run(self._graph, long.inputs, [name])[name]
                np.broadcast_to(value, shape_at(shape, long.sizes))
            except (CheckpointError, ValueError):
                continue
            yield long, value
            yield from ((probe, self.value(index, name)) for index, probe in enumerate(self.batches))
            return

    def _lengths(self, name: str, longest: int) -> list[int]:
        """Return how many tokens to try, the most first: the sizes of constants that a value depends on."""
        constants = self._graph.constants
        names = {each for node in needed_nodes(self._graph.nodes, [name]) for each in node.inputs}
        sizes = {size for each in names & constants.keys() for size in constants[each].shape}
        least = self.batches[0].mask.shape[1]
        tables = {size for size in sizes if isinstance(size, int) and least < size < longest}
        return [longest, *sorted(tables, reverse=True)]

    def is_count(self, name: str, shape: Shape, power: float) -> bool:
        """Return whether a value is the number of tokens of each sequence to a power."""

        def test(probe: Probe, value: Array) -> bool:
            counts = probe.mask.sum(axis=1).astype(np.float64) ** power
            return bool(np.allclose(value, counts.reshape(-1, *[1] * (value.ndim - 1)), rtol=1e-5))

        return self.agree(name, shape, test)

    def ids_kind(self, name: str) -> tuple[str, int]:
        """Return what the ids of a lookup are, and the constant or first position where they are such.

        "word" and "token_type" are inputs, "position" counts tokens, "constant" is one number; "" is unknown.
        """
        shape = (self._graph.batch, self._graph.length)
        for kind, role in (("word", "input_ids"), ("token_type", "token_type_ids")):
            if role in self._graph.inputs and self.agree(name, shape, partial(_equals, role)):
                return kind, 0
        first = int(np.ravel(self.value(0, name))[0])
        if self.agree(name, shape, lambda probe, value: bool((value == first)[probe.mask].all())):
            return "constant", first
        if self.agree(name, shape, lambda probe, value: _counts_from(first, probe, value)):
            return "position", first
        return "", 0


def _spread(probe: Probe, value: Array, shape: Shape, atoms: Sequence[str]) -> Array | None:
    """Return a value broadcast to a shape, with an axis for each atom; None where it has no such axes."""
    sizes = shape_at(shape, probe.sizes)
    try:
        whole = np.broadcast_to(value, sizes)
    except ValueError:
        return None
    places = {"batch": probe.mask.shape[0], "length": probe.mask.shape[1], "key": probe.mask.shape[1]}
    others = int(np.prod(sizes)) // int(np.prod([places.get(atom, 1) for atom in atoms]))
    split = [places.get(atom, others) for atom in atoms]
    fits = atoms.count("other") <= 1 and int(np.prod(split)) == whole.size
    return whole.reshape(split) if fits else None


def _by_head(spread: Array, atoms: Sequence[str]) -> Array:
    """Return [batch, heads, length, length] of what has an axis for each atom; one head has none."""
    axes = ("batch", "other", "length", "key")
    ordered = spread.transpose([atoms.index(axis) for axis in axes if axis in atoms])
    return ordered if "other" in atoms else ordered[:, None]


def _depends_on_distance(bias: Array, scores: Array, mask: Array) -> bool:
    """Return whether scores between tokens that count are those of a bias for each distance."""
    places = np.arange(mask.shape[1])
    expected = bias[:, places[None, :] - places[:, None] + bias.shape[1] // 2]
    counts = mask[:, None, :, None] & mask[:, None, None, :]
    same = (expected > LOW) & (expected < -LOW) & (np.abs(scores - expected) <= _TINY)
    return bool((same | ~counts).all())


def _is_middle(rows: Array | None, whole: Array) -> bool:
    """Return whether rows by distance are those of a longer text, to what their products may differ by."""
    if rows is None:
        return False
    middle = whole[(len(whole) - len(rows)) // 2 :][: len(rows)]
    return bool((np.abs(rows - middle) <= _TINY * max(1.0, float(np.abs(whole).max()))).all())


def _is_band(seen: Array, mask: Array, window: int) -> bool:
    """Return whether tokens that count see just those no farther than the window, and padding all or none."""
    places = np.arange(mask.shape[1])
    near = np.abs(places[:, None] - places[None, :]) <= (window or len(places))
    queries, keys = mask[:, None, :, None], mask[:, None, None, :]
    padding = near & queries & ~keys
    inside = bool(((seen == near) | ~(queries & keys)).all())
    return inside and (bool((seen | ~padding).all()) or not (seen & padding).any())


def _trimmed(bias: Array) -> Array | None:
    """Return a bias up to the distance from which on nothing changes; None if nothing ever does."""
    reach = bias.shape[1] // 2
    changes = np.flatnonzero((bias[:, 1:] != bias[:, :-1]).any(axis=0)) - reach
    if not changes.size:
        return None
    least = max(-int(changes[0]), int(changes[-1]) + 1)
    return np.ascontiguousarray(bias[:, reach - least : reach + least + 1], np.float32)


def _equals(role: str, probe: Probe, value: Array) -> bool:
    return bool(np.array_equal(value, probe.inputs[role]))


def _counts_from(first: int, probe: Probe, value: Array) -> bool:
    expected = first + np.arange(probe.mask.shape[1])
    return bool((value == expected)[probe.mask].all())


def _along(mask: Array, atoms: Sequence[str], axis: str) -> Array:
    """Return a mask [batch, length] in the place of two of the axes."""
    kept = [atom in ("batch", axis) for atom in atoms]
    shape = list(mask.shape) if "batch" in atoms else [mask.shape[1]]
    sizes = iter(shape)
    return (mask if "batch" in atoms else mask[0]).reshape([next(sizes) if keep else 1 for keep in kept])


def _judge(inside: Array, outside: Array) -> str:
    """Return what a mask's elements are, inside and outside of the tokens that count."""
    zeros, ones = bool((np.abs(inside) <= _TINY).all()), bool((inside == 1).all())
    if zeros and bool((np.abs(outside) <= _TINY).all()):
        return "zeros"
    if ones and bool((outside == 1).all()):
        return "ones"
    if zeros and bool((outside <= LOW).all()):
        return "add"
    if zeros and bool((outside >= -LOW).all()):
        return "subtract"
    if ones and bool((outside == 0).all()):
        return "keep"
    return "drop" if zeros and bool((outside == 1).all()) else "other"
