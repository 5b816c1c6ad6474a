"""The file for Netron is valid ONNX, with our own ops one by one."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from bertc.errors import InputError
from bertc.inspection import netron
from bertc.inspection.facts import Inspection
from bertc.inspection.netron import make_model
from bertc.ir.graph import Stage

onnx = pytest.importorskip("onnx")


@pytest.mark.parametrize("stage", ["imported", "fused", "typed"])
def test_each_stage_is_a_valid_model_with_a_node_for_each_op(found: Inspection, stage: Stage) -> None:
    graph = found.graphs[stage]
    model = onnx.load_from_string(make_model(graph, name="tiny").SerializeToString())
    onnx.checker.check_model(model, full_check=True)
    assert [(node.name, node.op_type) for node in model.graph.node] == [
        (node.name, node.op) for node in graph.nodes
    ]
    assert {node.domain for node in model.graph.node} == {"bertc"}
    assert [output.name for output in model.graph.output] == list(graph.outputs)
    assert stage in model.doc_string


def test_operands_attributes_and_edges_are_named_and_typed(found: Inspection) -> None:
    graph = found.graphs["typed"]
    model = make_model(graph, name="tiny")
    node = next(each for each in model.graph.node if each.op_type == "attention")
    assert {each.key: each.value for each in node.metadata_props} == {"input_names": "['cu_seqlens', 'qkv']"}
    attributes = {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute}
    assert attributes["num_attention_heads"] == 2 and attributes["compute_dtype"] == b"int8"
    edges = {each.name: each.type.tensor_type for each in model.graph.value_info}
    qkv = edges["encoder.layer.0.attention.self.qkv"]
    assert qkv.elem_type == onnx.TensorProto.BFLOAT16
    assert [size.dim_param or size.dim_value for size in qkv.shape.dim] == ["tokens", 96]
    values = {value for each in graph.nodes for value in each.outputs}
    assert values - set(edges) == set(graph.outputs.values())


def test_weights_are_shapes_alone_unless_they_are_asked_for(found: Inspection) -> None:
    graph = found.graphs["typed"]
    model = make_model(graph, name="tiny")
    shapes = {each.values.name: tuple(each.dims) for each in model.graph.sparse_initializer}
    assert shapes == {name: constant.source.shape for name, constant in graph.constants.items()}
    whole = make_model(graph, name="tiny", weights=True)
    onnx.checker.check_model(whole, full_check=True)
    assert model.ByteSize() < whole.ByteSize() / 2
    arrays = {each.name: onnx.numpy_helper.to_array(each) for each in whole.graph.initializer}
    assert arrays.keys() == graph.constants.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(array.astype(np.float64), graph.constants[name].array)


def test_weights_in_bf16_keep_their_numbers(found: Inspection) -> None:
    from bertc.quantize.apply import apply_recipe
    from bertc.recipe import Recipe

    graph = apply_recipe(found.graphs["fused"], Recipe(dtype="bf16"))
    whole = make_model(graph, name="tiny", weights=True)
    (tensor,) = (each for each in whole.graph.initializer if each.name == "pooler.dense.weight")
    assert tensor.data_type == onnx.TensorProto.BFLOAT16
    bits = np.frombuffer(tensor.raw_data, np.uint16).astype(np.uint32) << 16
    expected = graph.constants["pooler.dense.weight"].array
    np.testing.assert_array_equal(bits.view(np.float32).reshape(expected.shape), expected)


def test_an_output_whose_name_is_taken_keeps_the_value_s(found: Inspection) -> None:
    graph = found.graphs["fused"]
    (value,) = graph.outputs.values()
    taken = dataclasses.replace(graph, outputs={"embeddings.LayerNorm": value})
    assert [each.name for each in make_model(taken, name="tiny").graph.output] == [value]


def test_more_weights_than_a_protobuf_holds_are_refused(
    found: Inspection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(netron, "_MAX_BYTES", 1000)
    with pytest.raises(InputError, match="leave the weights out"):
        make_model(found.graphs["typed"], name="tiny", weights=True)
    assert make_model(found.graphs["typed"], name="tiny").graph.node
