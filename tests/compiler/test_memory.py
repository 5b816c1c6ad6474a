"""Compiling holds at most three times the weights in fp32: what is large ends with the step that needs it."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bertc.compiler import run_pipeline
from bertc.compiler.cpu_target import _PackedTensor
from bertc.frontends.huggingface import import_model
from bertc.ir.graph import Graph
from bertc.passes import fuse
from bertc.quantize.statistics import EdgeStatistics
from bertc.recipe import Recipe
from tests.support.tiny_models import make_bert_checkpoint


def alive(kind: type) -> int:
    """How many objects of a kind there are."""
    gc.collect()
    return sum(issubclass(type(each), kind) for each in gc.get_objects())


def test_packed_weights_and_statistics_end_with_the_steps_that_need_them(
    checkpoint: Any, tmp_path: Path
) -> None:
    others = alive(_PackedTensor), alive(EdgeStatistics)
    packed, statistics = dict[str, int](), dict[str, int]()

    def count(step: str, _seconds: float) -> None:
        packed[step], statistics[step] = alive(_PackedTensor) - others[0], alive(EdgeStatistics) - others[1]

    run_pipeline(checkpoint(), tmp_path / "x.bertc", Recipe(), on_step=count)
    assert [step for step, held in packed.items() if held] == [
        "lower",
        "certify",
        "measure ranges of vectors",
        "write",
    ]
    assert [step for step, held in statistics.items() if held] == [
        "calibrate",
        "quantize to int8",
        "hold the budget",
    ]


@pytest.mark.parametrize("weights", ["F32", "F16"])
def test_a_graph_holds_in_memory_only_what_fusion_made_anew(weights: str, tmp_path: Path) -> None:
    def held(graph: Graph) -> set[str]:
        return {name for name, each in graph.constants.items() if isinstance(each.source, np.ndarray)}

    graph = import_model(make_bert_checkpoint(tmp_path, weights=weights)).graph
    assert held(graph) == set()
    fused = fuse(graph)
    assert held(fused) == {name for name in fused.constants if ".qkv." in name} != set()
