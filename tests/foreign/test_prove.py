"""A graph that was raised wrongly is refused, and the error names the first value that differs."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from bertc.errors import CheckpointError
from bertc.foreign.prove import prove
from bertc.foreign.raising.raise_graph import raise_graph
from bertc.foreign.raising.raiser import Raiser
from bertc.foreign.simplify import simplify
from bertc.frontends.onnx.importing import to_foreign
from bertc.frontends.onnx.model_file import read_model
from bertc.ir.graph import Constant, Graph
from tests.support.onnx_models import OnnxBert

pytest.importorskip("onnx")


@pytest.fixture
def raised(tmp_path: Path) -> tuple[Raiser, Graph]:
    model = read_model(OnnxBert().save(tmp_path / "m.onnx"))
    raiser = raise_graph(simplify(to_foreign(model, model.outputs)[0]))
    rows = raiser.rows_of(raiser.meanings[raiser.graph.outputs["last_hidden_state"]])
    assert rows is not None
    return raiser, raiser.builder.graph({"last_hidden_state": raiser.write(rows)})


def test_the_right_graph_passes(raised: tuple[Raiser, Graph]) -> None:
    prove(*raised)


def test_another_scale_is_found_at_the_layer_after_it(raised: tuple[Raiser, Graph]) -> None:
    raiser, graph = raised
    wrong = [node.with_attributes(scale=0.1) if node.op == "attention" else node for node in graph.nodes]
    with pytest.raises(CheckpointError, match=r"node 'n\d+' \(Reshape\): what it was compiled to differs"):
        prove(raiser, graph.with_nodes(wrong))


def test_a_number_that_is_none_is_found(raised: tuple[Raiser, Graph]) -> None:
    raiser, graph = raised
    name = next(node["bias"] for node in graph.nodes if node.op == "linear")
    array = graph.constants[name].array.copy()
    array[0] = np.nan
    broken = {**graph.constants, name: dataclasses.replace(graph.constants[name], source=array)}
    assert isinstance(broken[name], Constant)
    with pytest.raises(CheckpointError, match=r"node .* \(Add\): what it was compiled to differs"):
        prove(raiser, dataclasses.replace(graph, constants=broken))
