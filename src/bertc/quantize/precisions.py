"""Chooses what each node computes in by the recipe, and says why. ``apply.py`` rewrites the graph."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import NamedTuple

from bertc.ir.graph import Graph, Node
from bertc.ir.ops import OPS
from bertc.precision import FP32, PRECISIONS
from bertc.quantize.parts import QKV, find_parts
from bertc.recipe import Recipe
from bertc.recipe.keys import Problem, raise_problems

HEAD_OUTPUT = "logits"
_FUSED = {"qkv": ("query", "key", "value")}
"""The last part of a fused node's name, with those of the checkpoint's modules that it stands for."""


class Choice(NamedTuple):
    """The precision of a node, and what chose it."""

    precision: str
    reason: str
    """The key of the recipe that says so, or a sentence."""


def choose_precisions(graph: Graph, recipe: Recipe) -> dict[str, str]:
    """Return the precisions of the linear layers, attentions and embedding of a fused graph, by name.

    Linear layers are ``fp32``, ``bf16``, ``int8`` or ``int7``, attention is not ``int7``, the embedding
    is ``fp32``, ``fp16`` or ``int8``. Raises ``RecipeError`` for what :func:`misfits` finds.
    """
    return {name: choice.precision for name, choice in explain_precisions(graph, recipe).items()}


def explain_precisions(graph: Graph, recipe: Recipe) -> dict[str, Choice]:
    """Return what :func:`choose_precisions` does, with reasons.

    The most specific word counts: ``exclude``, then ``nodes``, then ``parts``, then ``dtype``. The
    linear layer that gives the logits stays in fp32 unless it is named: it is small, and its error is
    the answer's. Query, key and value are one layer: where they differ, the strictest counts for all.
    """
    nodes = [node for node in graph.nodes if OPS[node.op].forms]
    raise_problems(list(misfits(graph, recipe)))
    parts = find_parts(graph)
    logits = graph.outputs.get(HEAD_OUTPUT)
    chosen = {}
    for node in nodes:
        part = parts.get(node.name)
        if part == QKV:
            chosen[node.name] = _strictest(node.name, recipe)
        elif logits in node.outputs and recipe.parts.head is None:
            chosen[node.name] = _by_pattern(node.name, recipe) or Choice(FP32, "it gives the logits")
        else:
            chosen[node.name] = _choose(node, part, recipe)
    return chosen


def _choose(node: Node, part: str | None, recipe: Recipe) -> Choice:
    by_pattern = _by_pattern(node.name, recipe)
    if node.op == "embed":
        return _of_tables(by_pattern, recipe)
    if node.op == "attention":
        choice = by_pattern or Choice(recipe.dtype, "dtype")
        return Choice(PRECISIONS[choice.precision].form, choice.reason)
    return by_pattern or _by_part(part, recipe)


def _strictest(name: str, recipe: Recipe) -> Choice:
    """Choose the strictest for the projections in the layer, each with its own part and patterns."""
    choices = {part: _by_pattern(name, recipe, part) or _by_part(part, recipe) for part in _FUSED["qkv"]}
    strictest = min(choices.values(), key=lambda choice: list(PRECISIONS).index(choice.precision))
    if len({choice.precision for choice in choices.values()}) == 1:
        return strictest
    wanted = ", ".join(f"{part} {choice.precision}" for part, choice in choices.items())
    return Choice(strictest.precision, f"the strictest of {wanted}, which are one layer")


def _by_part(part: str | None, recipe: Recipe) -> Choice:
    precision = None if part is None else getattr(recipe.parts, part)
    if precision is not None:
        return Choice(precision, f"parts.{part}")
    return Choice(recipe.layer_dtype, "dtype" if recipe.layer_dtype == recipe.dtype else "weights.bits")


def _by_pattern(name: str, recipe: Recipe, projection: str | None = None) -> Choice | None:
    """Return what ``exclude`` or ``nodes`` say of the node, or of one of the projections fused into it."""
    for pattern in recipe.exclude:
        if _matches(name, pattern):
            return Choice(FP32, f"exclude {pattern!r}")
    found = None
    for pattern, precision in recipe.nodes.items():
        if _matches(name, pattern, projection):
            found = Choice(precision, f"nodes {pattern!r}")
    return found


def _of_tables(by_pattern: Choice | None, recipe: Recipe) -> Choice:
    if by_pattern is None:
        given = recipe.embeddings is not None
        reason = "embeddings" if given else "parts.embeddings" if recipe.parts.embeddings else "dtype"
        return Choice(recipe.embedding_dtype, reason)
    return Choice(PRECISIONS[by_pattern.precision].table, by_pattern.reason)


def _matches(name: str, pattern: str, projection: str | None = None) -> bool:
    """Tell whether a pattern names the node, or a module of the checkpoint that was fused into it."""
    parent, _, last = name.rpartition(".")
    fused = _FUSED.get(last, ()) if projection is None else (projection,)
    return any(fnmatchcase(each, pattern) for each in (name, *(f"{parent}.{part}" for part in fused)))


def misfits(graph: Graph, recipe: Recipe) -> Iterator[Problem]:
    """Yield the patterns of the recipe that match no node that has a precision."""
    names = [node.name for node in graph.nodes if OPS[node.op].forms]
    for path, pattern in (
        *((("exclude",), pattern) for pattern in recipe.exclude),
        *((("nodes", pattern), pattern) for pattern in recipe.nodes),
    ):
        if not any(_matches(name, pattern) for name in names):
            nearest = difflib.get_close_matches(pattern, names, n=1, cutoff=0.0)
            hint = f", the nearest is {nearest[0]!r}" if nearest else ""
            yield Problem(path, f"{path[0]} {pattern!r} matches no node{hint}")
