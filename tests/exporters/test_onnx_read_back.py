"""Files in 8 bits that we export compile again: the door for ONNX reads what the exporter writes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import bertc
from bertc.frontends.huggingface import import_model
from bertc.frontends.onnx import import_onnx
from bertc.ir import interpreter
from tests.exporters.conftest import DYNAMIC
from tests.support.doors import assert_same_graph
from tests.support.tiny_models import packed_inputs

onnx = pytest.importorskip("onnx")


@pytest.mark.parametrize(("form", "opset"), [("qdq", 13), ("qoperator", 13), ("qoperator", 17)])
def test_an_export_in_8_bits_becomes_the_graph_of_its_checkpoint(
    classifier: Path, tmp_path: Path, form: str, opset: int
) -> None:
    path = tmp_path / "m.onnx"
    recipe = {**DYNAMIC, "smoothing": {"place_shift": False}}
    bertc.export(classifier, path, format=form, opset=opset, recipe=recipe)
    changes = [
        each for each in onnx.load(path).graph.node if each.input and "multiplier" in "".join(each.input)
    ]
    assert changes, "nothing is scaled before it is rounded: this tests nothing"
    found, expected = import_onnx(path, tokenizer=classifier), import_model(classifier)
    assert_same_graph(found, expected)
    inputs = packed_inputs((7, 1, 12, 5), seed=0)
    ours, theirs = (interpreter.run(each.graph, inputs)["logits"] for each in (found, expected))
    assert np.abs(ours - theirs).max() <= 0.05 * np.abs(theirs).max()


@pytest.mark.filterwarnings("ignore:.*run on the host")
@pytest.mark.parametrize("form", ["qdq", "qoperator"])
def test_shifts_by_place_are_read_as_what_they_compute(classifier: Path, tmp_path: Path, form: str) -> None:
    """Steps that ask for the place of a token are for the host; the numbers are those of the checkpoint."""
    recipe = {**DYNAMIC, "weights": {"bound": "none"}}  # the bound costs random weights more than it may here
    path = bertc.export(classifier, tmp_path / "m.onnx", format=form, recipe=recipe)
    assert "Where" in {node.op_type for node in onnx.load(path).graph.node}
    found, expected = import_onnx(path, tokenizer=classifier), import_model(classifier)
    inputs = packed_inputs((7, 1, 12, 5), seed=0)
    ours, theirs = (interpreter.run(each.graph, inputs)["logits"] for each in (found, expected))
    assert np.abs(ours - theirs).max() <= 0.05 * np.abs(theirs).max()
