"""Rules for attention: products of heads, the masks on their scores, softmax, and the mix of values."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from bertc.foreign.graph import ForeignNode
from bertc.foreign.probes import LOW
from bertc.foreign.raising import distances
from bertc.foreign.raising.distances import Tokens
from bertc.foreign.raising.elementwise import without_factor
from bertc.foreign.raising.layout import Atom, Axis, shape_of, split_heads
from bertc.foreign.raising.meanings import (
    Control,
    Guard,
    Known,
    Meaning,
    Product,
    Rows,
    Scores,
    View,
    Written,
)
from bertc.foreign.raising.raiser import Raiser, Rule, rule
from bertc.ports import CU_SEQLENS
from bertc.primitives.dim import Shape

Array = np.ndarray[Any, Any]

_ROUNDING = 1e-6


@rule("matmul")
def _scores(_: Raiser, __: ForeignNode, operands: Sequence[Any]) -> Meaning | None:
    query, key = operands
    if (
        not isinstance(query, View)
        or not isinstance(key, View)
        or len(query.layout) < 3
        or len(key.layout) < 3
    ):
        return None
    if split_heads(query.layout[:-2]) is None or split_heads(key.layout[:-2]) is None:
        return None
    rows, width, keys = query.layout[-2], query.layout[-1], key.layout[-1]
    if (
        not _are_tokens(rows)
        or not _are_tokens(keys)
        or [atom.size for atom in width] != [atom.size for atom in key.layout[-2]]
    ):
        return None
    layout = (*query.layout[:-2], rows, (Atom("key", keys[0].size),))
    return Scores(query, key, layout, query.factor * key.factor)


def _are_tokens(axis: Axis) -> bool:
    return [atom.kind for atom in axis] == ["length"]


@rule("mul", "div")
def _scale(_: Raiser, node: ForeignNode, operands: Sequence[Any]) -> Meaning | None:
    scores, other = operands if isinstance(operands[0], Scores) or node.op == "div" else operands[::-1]
    if (
        not isinstance(scores, Scores)
        or not isinstance(other, Known)
        or not other.scalar
        or scores.normalized
    ):
        return None
    number = other.scalar if node.op == "mul" else 1 / other.scalar
    bias = None if scores.bias is None else scores.bias * number
    terms = tuple(each.times(number) for each in scores.terms)
    return dataclasses.replace(scores, scale=scores.scale * number, bias=bias, terms=terms)


@rule("add", "sub", "mul", "max")
def _mask(raiser: Raiser, node: ForeignNode, operands: Sequence[Any]) -> Meaning | None:
    """Take in a mask, and a bias by distance that is added to the scores, apart or as one sum with a mask.

    Attention of the IR is within a sequence, and there is no padding to mask.
    """
    flipped = not isinstance(operands[0], Scores)
    scores, mask = operands[::-1] if flipped else operands
    if not isinstance(scores, Scores) or (flipped and node.op == "sub"):
        return None
    added = node.op in ("add", "sub") and not scores.normalized
    if isinstance(mask, Known) and (mask.scalar is not None or not added):
        number = mask.scalar
        fits = number == 0 if added else node.op == "max" and number is not None and number <= LOW
        return scores if fits else None
    if not isinstance(mask, Known | Control):
        return None
    name = node.inputs[0 if flipped else 1]
    if node.op != "max" and (node.op != "mul" or scores.normalized):
        wanted = {"add": ("add", "none"), "sub": ("subtract", "none")}.get(node.op, ("keep", "all"))
        masked = _masked(raiser, scores, name, wanted)
        if masked is not None:
            return masked
    bias = raiser.distance_bias(name, *_places(scores)) if added else None
    if bias is None:
        raise raiser.no_op("what is added to the scores is no mask of padding, and no bias by distance")
    return dataclasses.replace(scores, bias=_total(scores.bias, bias if node.op == "add" else -bias))


def _total(first: Array | None, second: Array) -> Array:
    """Return the sum of two biases, each of which goes on beyond its reach as it ends."""
    if first is None:
        return second
    reach = max(first.shape[1], second.shape[1]) // 2
    wide = [np.pad(each, ((0, 0), (reach - each.shape[1] // 2,) * 2), "edge") for each in (first, second)]
    return np.asarray(wide[0] + wide[1])


@rule("where")
def _replaced(raiser: Raiser, _: ForeignNode, operands: Sequence[Any]) -> Meaning | None:
    condition, yes, no = operands
    if isinstance(condition, Guard):
        other, kept = yes, no
        return kept if isinstance(other, Known) and other.scalar == 0 and isinstance(kept, Scores) else None
    scores, other = (yes, no) if isinstance(yes, Scores) else (no, yes)
    if not isinstance(scores, Scores) or not isinstance(condition, Control) or not isinstance(other, Known):
        return None
    number = other.scalar
    low = number is not None and (number == 0 if scores.normalized else number <= LOW)
    wanted = ("keep", "all") if scores is yes else ("drop", "none")
    masked = _masked(raiser, scores, condition.name, wanted) if low else None
    if masked is None:
        raise raiser.no_op("what the scores are replaced by is no mask of padding, and no window")
    return masked


_SEES: Mapping[str, Callable[[Array], Array]] = {
    "add": lambda mask: mask > LOW,
    "subtract": lambda mask: mask < -LOW,
    "keep": lambda mask: mask != 0,
    "drop": lambda mask: mask == 0,
}
"""Which keys are seen, by a mask of a kind."""


def _masked(raiser: Raiser, scores: Scores, mask: str, kinds: Sequence[str]) -> Scores | None:
    """Return scores with the window that a mask of one of the kinds leaves them; None for other masks.

    A window may be wider than the batches that tell what masks are, so each is looked at for long texts too.
    """
    spread = raiser.probes.mask_kind(mask, *_places(scores))
    window = raiser.window(mask, *_places(scores), _SEES[kinds[0]])
    if window is None or (spread not in kinds and not window):
        return None
    if scores.window and window and scores.window != window:
        return None
    if window and scores.normalized and not scores.window:
        return None
    return dataclasses.replace(scores, window=scores.window or window)


def _places(scores: Scores) -> tuple[Shape, list[str]]:
    """Return the shape of scores, and what their axes count."""
    atoms = [atom.kind if atom.kind != "column" else "other" for axis in scores.layout for atom in axis]
    return shape_of(scores.layout), atoms


@rule("softmax")
def _softmax(_: Raiser, node: ForeignNode, operands: Sequence[Any]) -> Meaning | None:
    (scores,) = operands
    if not isinstance(scores, Scores) or scores.normalized:
        return None
    last = [atom.kind for atom in scores.layout[-1]] == ["key"]
    fits = last and node.attributes["axis"] % len(scores.layout) == len(scores.layout) - 1
    return dataclasses.replace(scores, normalized=True) if fits else None


@rule("isnan")
def _guard(_: Raiser, __: ForeignNode, operands: Sequence[Any]) -> Meaning | None:
    (scores,) = operands
    return Guard(scores) if isinstance(scores, Scores) and scores.normalized else None


@rule("matmul")
def _mix(raiser: Raiser, __: ForeignNode, operands: Sequence[Any]) -> Meaning | None:
    """Write attention of queries, keys and values, all columns of which are in the order of heads."""
    scores, value = operands
    if not isinstance(scores, Scores) or not scores.normalized or not isinstance(value, View):
        return None
    query, key = scores.query, scores.key
    parts = [(query, query.layout[-1]), (key, key.layout[-2]), (value, value.layout[-1])]
    rows: list[Rows] = []
    tokens: list[Tokens] = []
    scale, heads, sharers = scores.scale, 0, 0
    if value.rotary is not None or not _same_rotary(query, key):
        return None
    for view, last in parts:
        found = split_heads(view.layout[:-2])
        if found is None or any(atom.kind != "column" for atom in last):
            return None
        _, own_heads, times = found
        if (own_heads.size * times != heads) if rows else times > 1:
            return None
        heads, sharers = own_heads.size * times, own_heads.size
        # The factors of queries and keys are in the scale of their scores.
        own = view if view is value else dataclasses.replace(view, factor=1.0, rotary=None)
        part = raiser.part(own, (own_heads, *last))
        if part is None:
            return None
        if view is not value:
            whole = part
            part, number = without_factor(whole)
            tokens.append(Tokens(whole, number))
            scale *= number
        rows.append(part)
    widths = [each.width for each in rows]
    if not _are_tokens(value.layout[-2]) or widths[1:] != [widths[0] // heads * sharers] * 2:
        return None
    sources = {id(each.x) if isinstance(each, Product) else None for each in rows}
    if None in sources or len(sources) > 1:
        raise raiser.no_op("queries, keys and values are no linear layers of one value")
    name = raiser.name("attention")
    of_positions = _of_positions(raiser, name, scores, tokens, scale)
    parts_of = dict(zip(("query", "key", "value"), map(raiser.write, rows), strict=True))
    usual = 1.0 / math.sqrt(widths[0] // heads * (1 + len(scores.terms)))
    name = raiser.builder.op(
        "attention",
        name,
        {**parts_of, "cu_seqlens": CU_SEQLENS, **of_positions},
        num_attention_heads=int(heads),
        # What single precision made of it, in whichever steps, is no other scale.
        scale=usual if math.isclose(scale, usual, rel_tol=_ROUNDING) else scale,
        **({"window": scores.window} if scores.window else {}),
        **({"num_key_value_heads": int(sharers)} if sharers < heads else {}),
    )
    width = widths[0]
    size = width // heads
    leading = tuple(
        tuple(dataclasses.replace(atom, stride=size) if atom.kind == "column" else atom for atom in axis)
        for axis in query.layout[:-2]
    )
    return View(Written(name, width, True), (*leading, raiser.length, (Atom("column", size, 1),)))


def _of_positions(
    raiser: Raiser, name: str, scores: Scores, tokens: Sequence[Tokens], scale: float
) -> dict[str, str]:
    """Write what an attention takes of positions and distances, and return its operands."""
    operands: dict[str, str] = {}
    if scores.bias is not None:
        operands["distance_bias"] = raiser.write_constant("distance_bias", scores.bias)
    if scores.query.rotary is not None:
        operands["rotary"] = raiser.write_constant("rotary", scores.query.rotary)
        operands["position_ids"] = raiser.builder.token_input("position_ids")
    if scores.window:
        operands["places"] = raiser.builder.token_input("places")
    if not scores.terms:
        return operands
    found = None if operands else distances.write(raiser, name, scores.terms, tokens[0], tokens[1], scale)
    if found is None:
        raise raiser.no_op("its scores by distance are of other values than its queries and keys")
    return found


def _same_rotary(query: View, key: View) -> bool:
    """Return whether queries and keys are turned by the same angles, or neither is."""
    if query.rotary is None or key.rotary is None:
        return query.rotary is key.rotary
    return np.array_equal(query.rotary, key.rotary)


RULES: tuple[Rule, ...] = (_scores, _scale, _mask, _replaced, _softmax, _guard, _mix)
