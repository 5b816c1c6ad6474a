"""Which node computes in what, by the recipe. How a graph is rewritten for it: ``apply.py``."""

from __future__ import annotations

import difflib
from fnmatch import fnmatchcase

from bertc.errors import RecipeError
from bertc.ir.graph import Graph
from bertc.recipe import Recipe

HEAD_OUTPUT = "logits"
_CHOOSABLE = ("embed", "linear", "attention_qkv")
_FUSED = {"qkv": ("query", "key", "value")}
"""Last part of a fused node's name -> those of the checkpoint's modules that it stands for."""


def choose_precisions(graph: Graph, recipe: Recipe) -> dict[str, str]:
    """Node name -> precision, for the linear layers, attentions and embedding of a fused graph.

    Layers are ``fp32``, ``bf16``, ``int8`` or ``int7``, the embedding is ``fp32``, ``fp16`` or ``int8``. The
    linear layer that gives the logits stays in fp32: it is small, and its error is the answer's.
    Raises ``RecipeError`` for a pattern in ``exclude`` that matches no such node.
    """
    names = [node.name for node in graph.nodes if node.op in _CHOOSABLE]
    _check_patterns(names, recipe)
    precisions = {}
    for node in graph.nodes:
        if node.op not in _CHOOSABLE:
            continue
        is_head = graph.outputs.get(HEAD_OUTPUT) in node.outputs
        if is_head or any(_matches(node.name, pattern) for pattern in recipe.exclude):
            precisions[node.name] = "fp32"
        else:
            precisions[node.name] = recipe.embedding_dtype if node.op == "embed" else recipe.layer_dtype
    return precisions


def _matches(name: str, pattern: str) -> bool:
    """Whether a pattern names the node, or a module of the checkpoint that was fused into it."""
    parent, _, last = name.rpartition(".")
    parts = [f"{parent}.{part}" for part in _FUSED.get(last, ())]
    return any(fnmatchcase(each, pattern) for each in (name, *parts))


def _check_patterns(names: list[str], recipe: Recipe) -> None:
    problems = []
    for pattern in recipe.exclude:
        if not any(_matches(name, pattern) for name in names):
            nearest = difflib.get_close_matches(pattern, names, n=1, cutoff=0.0)
            hint = f", the nearest is {nearest[0]!r}" if nearest else ""
            problems.append(f"exclude {pattern!r} matches no node{hint}")
    if problems:
        raise RecipeError(f"invalid recipe: {'; '.join(problems)}")
