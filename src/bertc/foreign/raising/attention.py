"""Rules for attention: products of heads, the masks on their scores, softmax, and the mix of values."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

from bertc.foreign.graph import ForeignNode
from bertc.foreign.probes import LOW
from bertc.foreign.raising.elementwise import without_factor
from bertc.foreign.raising.layout import Atom, Axis, shape_of, split_heads
from bertc.foreign.raising.meanings import Control, Guard, Known, Meaning, Rows, Scores, View, Written
from bertc.foreign.raising.raiser import Raiser, Rule, rule
from bertc.ports import CU_SEQLENS

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
    return dataclasses.replace(scores, scale=scores.scale * number)


@rule("add", "sub", "mul", "max")
def _mask(raiser: Raiser, node: ForeignNode, operands: Sequence[Any]) -> Meaning | None:
    """Take in a mask: attention of the IR is within a sequence, and there is no padding to mask."""
    scores, mask = operands if isinstance(operands[0], Scores) else operands[::-1]
    if not isinstance(scores, Scores):
        return None
    if isinstance(mask, Known):
        number = mask.scalar
        fits = (
            number == 0
            if node.op in ("add", "sub")
            else node.op == "max" and number is not None and number <= LOW
        )
        return scores if fits else None
    if not isinstance(mask, Control):
        return None
    kind = _kind(raiser, mask, scores)
    wanted = {"add": ("add", "none"), "sub": ("subtract", "none")}.get(node.op, ("keep", "all"))
    if kind not in wanted or (node.op in ("mul", "max") and not (scores.normalized and node.op == "mul")):
        raise raiser.error("what is added to the scores is no mask of padding")
    return scores


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
    if not low or _kind(raiser, condition, scores) not in wanted:
        raise raiser.error("what the scores are replaced by is no mask of padding")
    return scores


def _kind(raiser: Raiser, mask: Control, scores: Scores) -> str:
    atoms = [atom.kind if atom.kind != "column" else "other" for axis in scores.layout for atom in axis]
    return raiser.probes.mask_kind(mask.name, shape_of(scores.layout), atoms)


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
def _mix(raiser: Raiser, _: ForeignNode, operands: Sequence[Any]) -> Meaning | None:
    """Write attention of queries, keys and values, all columns of which are in the order of heads."""
    scores, value = operands
    if not isinstance(scores, Scores) or not scores.normalized or not isinstance(value, View):
        return None
    query, key = scores.query, scores.key
    parts = [(query, query.layout[-1]), (key, key.layout[-2]), (value, value.layout[-1])]
    rows: list[Rows] = []
    scale, heads = scores.scale, Atom("column", 1)
    for view, last in parts:
        found = split_heads(view.layout[:-2])
        if found is None or any(atom.kind != "column" for atom in last):
            return None
        if rows and found[1].size != heads.size:
            return None
        heads = found[1]
        # The factors of queries and keys are in the scale of their scores.
        own = view if view is value else dataclasses.replace(view, factor=1.0)
        part = raiser.part(own, (heads, *last))
        if part is None:
            return None
        if view is not value:
            part, number = without_factor(part)
            scale *= number
        rows.append(part)
    if not _are_tokens(value.layout[-2]) or len({each.width for each in rows}) > 1:
        return None
    usual = 1.0 / math.sqrt(rows[0].width // heads.size)
    operands_of = dict(zip(("query", "key", "value"), map(raiser.write, rows), strict=True))
    name = raiser.builder.op(
        "attention",
        raiser.name("attention"),
        {**operands_of, "cu_seqlens": CU_SEQLENS},
        num_attention_heads=int(heads.size),
        # What single precision made of it, in whichever steps, is no other scale.
        scale=usual if math.isclose(scale, usual, rel_tol=_ROUNDING) else scale,
    )
    width = rows[0].width
    size = width // heads.size
    leading = tuple(
        tuple(dataclasses.replace(atom, stride=size) if atom.kind == "column" else atom for atom in axis)
        for axis in query.layout[:-2]
    )
    return View(Written(name, width, True), (*leading, raiser.length, (Atom("column", size, 1),)))


RULES: tuple[Rule, ...] = (_scores, _scale, _mask, _replaced, _softmax, _guard, _mix)
