"""What comparisons of a door with that of checkpoints share."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bertc import passes
from bertc.frontends.imported_model import ImportedModel
from bertc.ir import interpreter
from bertc.ir.graph import Graph


def steps(graph: Graph) -> list[tuple[str, Any]]:
    """Return the ops of a fused graph with their attributes; numbers to single precision."""
    return [
        (node.op, {key: np.float32(v) if isinstance(v, float) else v for key, v in node.attributes.items()})
        for node in passes.fuse(graph).nodes
    ]


def assert_same_graph(found: ImportedModel, expected: ImportedModel) -> None:
    """Compare the ops of both models, once fused, and their attributes."""
    theirs, ours = (steps(model.graph) for model in (expected, found))
    assert [op for op, _ in ours] == [op for op, _ in theirs]
    for (_, mine), (_, other) in zip(ours, theirs, strict=True):
        assert mine.keys() == other.keys()
        assert all(
            mine[key] == pytest.approx(other[key], rel=1e-5)
            if isinstance(mine[key], np.floating)
            else mine[key] == other[key]
            for key in mine
        )


def assert_same_numbers(
    found: ImportedModel, expected: ImportedModel, lengths: tuple[int, ...] = (4, 15), vocabulary: int = 300
) -> None:
    """Compare the outputs of both models on packed random tokens."""
    count = sum(lengths)
    inputs = {
        "input_ids": np.random.default_rng(1).integers(5, vocabulary, count).astype(np.int32),
        "token_type_ids": np.zeros(count, np.int32),
        "cu_seqlens": np.cumsum([0, *lengths]).astype(np.int32),
        "selected": np.array([1, count // 2, count - 1], np.int32),
    }
    theirs, ours = (interpreter.run(model.graph, inputs) for model in (expected, found))
    assert ours.keys() == theirs.keys()
    for name, array in theirs.items():
        np.testing.assert_allclose(ours[name], array, rtol=0, atol=1e-5 * np.abs(array).max())
