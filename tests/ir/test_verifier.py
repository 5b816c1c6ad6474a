from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable
from types import MappingProxyType

import numpy as np
import pytest

from bertc.errors import GraphError
from bertc.ir.formulas import MOST_MIXED_COLUMNS
from bertc.ir.graph import Attribute, Constant, DType, Graph, Node, Stage, TensorType
from bertc.ir.ops import OPS
from bertc.ir.verifier import verify
from bertc.passes import fuse
from bertc.passes.fuse_embeddings import fuse_embeddings
from bertc.passes.fuse_linear_activation import fuse_linear_activation
from bertc.passes.fuse_linear_residual import fuse_linear_residual
from bertc.ports import TOKENS, Port
from bertc.quantize.apply import apply_precisions
from bertc.quantize.constants import StaticScale
from bertc.quantize.precisions import choose_precisions
from bertc.recipe import Recipe
from tests.support.tiny_graphs import IDS, bert_graph, constant, node, small_graph


def _with_dense(graph: Graph, **changes: object) -> Graph:
    embed, dense = graph.nodes
    return graph.with_nodes((embed, dataclasses.replace(dense, **changes)))  # type: ignore[arg-type]


def _with_inputs(graph: Graph, **inputs: str) -> Graph:
    embed, dense = graph.nodes
    return graph.with_nodes((embed, dense.with_inputs(**inputs)))


def _with_constant(graph: Graph, name: str, value: Constant) -> Graph:
    return dataclasses.replace(graph, constants={**graph.constants, name: value})


def test_verify_returns_the_type_of_every_value() -> None:
    types = verify(small_graph())
    assert types["dense"] == TensorType(DType.F32, ("tokens", 4))
    assert types["table"] == TensorType(DType.F32, (10, 8))
    assert types["cu_seqlens"] == TensorType(DType.I32, ("sequences+1",))


BROKEN: dict[str, tuple[Callable[[Graph], Graph], str]] = {
    "unknown op": (lambda g: _with_dense(g, op="conv"), r"'dense' \(conv\): no such op"),
    "op of another stage": (
        lambda g: g.with_nodes((*g.nodes, node("relu", "r", "dense")), stage="fused"),
        r"'r' \(relu\): the op belongs to stage imported, the graph is in stage fused",
    ),
    "too many outputs": (lambda g: _with_dense(g, outputs=("a", "b")), r"2 outputs, expected \(y\)"),
    "missing operand": (lambda g: _with_inputs(g, weight=""), "input 'weight' is missing"),
    "unknown operand": (
        lambda g: _with_inputs(g, skip="x"),
        "no such input 'skip'; the op takes x, weight, bias, residual",
    ),
    "undefined operand": (
        lambda g: _with_inputs(g, x="z"),
        "input 'x' is 'z', which nothing before it produces",
    ),
    "use before definition": (lambda g: g.with_nodes(reversed(g.nodes)), "which nothing before it produces"),
    "attribute missing": (
        lambda g: _with_dense(g, attributes={}),
        r"attributes are \(gated\), expected \(act",
    ),
    "attribute value": (
        lambda g: _with_dense(g, attributes={"activation": "swish"}),
        "'activation' is 'swish', expected one of none, gelu",
    ),
    "shape rule": (
        lambda g: _with_constant(g, "dense.weight", constant(4, 9)),
        r"'dense' \(linear\): input width of weight is 9, expected 8",
    ),
    "input of an unknown dtype": (
        lambda g: dataclasses.replace(g, inputs=(Port("input_ids", "i64", "tokens"),)),
        "graph input 'input_ids' cannot be i64 with rows 'tokens'",
    ),
    "input with rows of an unknown kind": (
        lambda g: dataclasses.replace(g, inputs=(Port("input_ids", "i32", "words"),)),
        "graph input 'input_ids' cannot be i32 with rows 'words'",
    ),
    "input declared twice": (
        lambda g: dataclasses.replace(g, inputs=(*g.inputs, *g.inputs)),
        "value name 'input_ids' is empty or taken",
    ),
    "input not declared": (
        lambda g: dataclasses.replace(g, inputs=()),
        "input 'input_ids' is 'input_ids', which nothing before it produces",
    ),
    "value defined twice": (lambda g: _with_dense(g, outputs=("x",)), "value name 'x' is empty or taken"),
    "constant named as an input": (
        lambda g: _with_constant(g, "input_ids", constant(1)),
        "value name 'input_ids' is empty or taken",
    ),
    "node name taken": (lambda g: _with_dense(g, name="x"), "node name 'x' is empty or taken"),
    "constant of another dtype": (
        lambda g: _with_constant(g, "table", Constant(DType.F16, np.zeros((10, 8), np.float32))),
        "constant 'table' is declared f16 but holds float32",
    ),
    "constant not in bf16": (
        lambda g: _with_constant(g, "table", Constant(DType.BF16, np.full((10, 8), 1.001, np.float32))),
        "constant 'table' is declared bf16",
    ),
    "output undefined": (lambda g: g.with_nodes(g.nodes, outputs={"y": "q"}), "graph output 'y' is 'q'"),
    "no outputs": (lambda g: g.with_nodes(g.nodes, outputs={}), "no outputs"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_graph_is_refused_and_the_problem_named(case: str) -> None:
    break_it, message = BROKEN[case]
    with pytest.raises(GraphError, match=message):
        verify(break_it(small_graph()))


def test_attribute_types_are_exact() -> None:
    graph = small_graph()
    norm = node("layer_norm", "norm", "x", "g", "b", epsilon=1)
    broken = graph.with_nodes(
        (*graph.nodes, norm), constants={**graph.constants, "g": constant(8), "b": constant(8)}
    )
    with pytest.raises(GraphError, match="'epsilon' is 1, expected float"):
        verify(broken)
    fixed = dataclasses.replace(norm, attributes=MappingProxyType({"epsilon": 1.0}))
    verify(broken.with_nodes((*graph.nodes, fixed)))


def test_two_stages_may_be_allowed_while_fusion_is_under_way() -> None:
    graph = small_graph().with_nodes(small_graph().nodes, stage="fused")
    verify(graph, stages=("imported", "fused"))


GELU = "encoder.layer.0.intermediate.dense"
I32, F32 = DType.I32, DType.F32


@pytest.mark.parametrize(
    ("constants", "attributes", "message"),
    [
        ({}, {"out_dtype": "f32"}, "input 'static' goes with out_dtype 'u8', and only with it"),
        ({f"{GELU}.static": Constant(F32, np.ones(3, np.float32))}, {}, "length of static is 3, expected 2"),
        ({f"{GELU}.static": Constant(I32, np.ones(2, np.int32))}, {}, "input 'static' is .*, expected f32"),
        (
            {f"{GELU}.scale": Constant(F32, np.ones(2, np.float32))},
            {},
            "length of scale is 2, expected tokens",
        ),
        (
            {f"{GELU}.zero_point": Constant(I32, np.ones(2, np.int32))},
            {},
            "length of zero_point is 2, expected 1",
        ),
    ],
)
def test_a_scale_that_rows_share_is_checked_where_it_is_written_and_read(
    constants: dict[str, Constant], attributes: dict[str, str], message: str
) -> None:
    fused = fuse(bert_graph())
    typed = apply_precisions(fused, choose_precisions(fused, Recipe()), static={GELU: StaticScale(0.1, 7)})
    nodes = [
        dataclasses.replace(n, attributes={**n.attributes, **attributes}) if n.name == GELU else n
        for n in typed.nodes
    ]
    with pytest.raises(GraphError, match=message):
        verify(typed.with_nodes(nodes, constants={**typed.constants, **constants}))


def test_attention_takes_queries_keys_and_values_apart_or_side_by_side() -> None:
    attributes = {"num_attention_heads": 2, "scale": 0.5}
    apart = {"query": "dense", "key": "dense", "value": "dense", "cu_seqlens": "cu_seqlens"}
    node = Node("attention", "attention", apart, ("attention",), attributes)
    graph = small_graph()

    def types(node: Node, stage: Stage = "imported") -> TensorType:
        found = graph.with_nodes((*graph.nodes, node))
        return verify(found, stages=["imported", stage])["attention"]

    assert types(node) == TensorType(DType.F32, ("tokens", 4))
    for wrong in ({"key": ""}, {"qkv": "x"}, {"query": "", "key": "", "value": ""}):
        with pytest.raises(GraphError, match="go together, or 'qkv' stands for them"):
            types(node.with_inputs(**wrong))
    with pytest.raises(GraphError, match=r"width of qkv is 8, expected 6"):
        types(node.with_inputs(query="", key="", value="", qkv="x"))
    with pytest.raises(GraphError, match=r"'out_dtype' is 'f16', expected one of f32, bf16, u8"):
        types(node.with_attributes(out_dtype="f16"))
    shared = node.with_inputs(query="", key="", value="", qkv="x").with_attributes(num_key_value_heads=1)
    assert types(shared, "typed") == TensorType(DType.F32, ("tokens", 4))
    with pytest.raises(GraphError, match="query, key and value differ: "):
        types(node.with_attributes(num_key_value_heads=1))
    for sharers in (-1, 3):
        with pytest.raises(GraphError, match=f"2 attention heads do not divide into {sharers} that have"):
            types(node.with_attributes(num_key_value_heads=sharers))
    with pytest.raises(GraphError, match="4 columns do not divide into 3 attention heads"):
        types(node.with_attributes(num_attention_heads=3))


@pytest.mark.parametrize("op", ["channel_affine", "quantize_rows", "layer_norm_quantize"])
@pytest.mark.parametrize(
    ("columns", "order", "message"),
    [
        (256, 16, ""),
        (96, 3, "'hadamard' is 3: 96 columns have no so many parts to mix"),
        (256, 32, "'hadamard' is 32: 256 columns"),
        (256, 0, "'hadamard' is 0: 256 columns"),
        (20, 2, "'hadamard' is 2: 20 columns"),
        (96, 4, "'hadamard' is 4: 96 columns"),
        (MOST_MIXED_COLUMNS, 16, ""),
        (MOST_MIXED_COLUMNS + 256, 16, "'hadamard' is 16: 8448 columns"),
    ],
)
def test_rows_that_have_no_so_many_parts_are_not_mixed(
    op: str, columns: int, order: int, message: str
) -> None:
    refused = pytest.raises(GraphError, match=message) if message else contextlib.nullcontext()
    with refused:
        verify(_mixing(op, columns, order))


@pytest.mark.parametrize("op", ["quantize_rows", "layer_norm_quantize"])
def test_rows_with_a_static_scale_are_not_mixed(op: str) -> None:
    for order in (1, 2):
        graph = _mixing(op, 64, order, static="static")
        refused = pytest.raises(GraphError, match="'hadamard' and input 'static' do not go together")
        with refused if order > 1 else contextlib.nullcontext():
            verify(graph)


def _mixing(op: str, columns: int, order: int, **inputs: str) -> Graph:
    """A graph of one node that mixes rows of an input."""
    attributes: dict[str, Attribute] = {"hadamard": order}
    constants = {"static": constant(2)}
    if op == "layer_norm_quantize":
        attributes["epsilon"] = 1e-5
        inputs |= {"gamma": "gamma", "beta": "beta"}
        constants |= {"gamma": constant(columns), "beta": constant(columns)}
    outputs = [f"out.{name}" for name in OPS[op].outputs]
    mixing = Node("mixing", op, {"x": "rows", **inputs}, tuple(outputs), attributes)
    stage = "fused" if op == "channel_affine" else "typed"
    return Graph((Port("rows", "f32", TOKENS, columns),), constants, (mixing,), {"y": outputs[0]}, stage)


def test_an_rms_norm_is_a_layer_norm_with_a_flag() -> None:
    operands = {"x": "dense", "gamma": "dense.bias", "beta": "dense.bias"}
    node = Node("norm", "layer_norm", operands, ("norm",), {"epsilon": 1e-5, "rms": 1})
    graph = small_graph()
    verify(graph.with_nodes((*graph.nodes, node)))
    with pytest.raises(GraphError, match="attribute 'rms' is 2, expected 0 or 1"):
        verify(graph.with_nodes((*graph.nodes, node.with_attributes(rms=2))))


def test_a_bias_by_distance_has_a_row_for_each_head_and_a_middle() -> None:
    attributes = {"num_attention_heads": 2, "scale": 0.5}
    operands = {"query": "dense", "key": "dense", "value": "dense", "cu_seqlens": "cu_seqlens"}
    node = Node("attention", "attention", {**operands, "distance_bias": "bias"}, ("attention",), attributes)

    def types(*shape: int) -> TensorType:
        graph = _with_constant(small_graph(), "bias", constant(*shape))
        return verify(graph.with_nodes((*graph.nodes, node)))["attention"]

    assert types(2, 1) == types(2, 183) == TensorType(DType.F32, ("tokens", 4))
    for shape, message in {
        (3, 5): "rows of distance_bias is 3, expected 2",
        (2, 6): "width of distance_bias is 6, expected an odd number",
        (2,): r"input 'distance_bias' is f32\[2\], expected f32 of rank 2",
    }.items():
        with pytest.raises(GraphError, match=message):
            types(*shape)
    node = node.with_inputs(distance_bias="", slopes="bias")
    assert types(2) == TensorType(DType.F32, ("tokens", 4))
    with pytest.raises(GraphError, match="length of slopes is 3, expected 2"):
        types(3)
    node = node.with_inputs(distance_bias="bias")
    with pytest.raises(GraphError, match="'slopes' and 'distance_bias' exclude each other"):
        types(2, 1)


def test_what_attention_knows_of_positions_fits_its_heads() -> None:
    attributes = {"num_attention_heads": 2, "scale": 0.5}
    inputs = {"query": "dense", "key": "dense", "value": "dense", "cu_seqlens": "cu_seqlens"}
    base = Node("attention", "attention", inputs, ("attention",), attributes)
    angles = {"rotary": "angles", "position_ids": "position_ids"}

    def verified(columns: int, operands: dict[str, str], window: int = 0) -> None:
        graph = dataclasses.replace(_with_constant(small_graph(), "angles", constant(9, columns)), inputs=IDS)
        node = base.with_inputs(**operands).with_attributes(window=window)
        verify(graph.with_nodes((*graph.nodes, node)))

    verified(2, angles)
    verified(2, {**angles, "places": "places"}, 7)
    for columns, operands, window, message in (
        (2, {"rotary": "angles"}, 0, "'rotary' and 'position_ids' go together"),
        (2, {"position_ids": "position_ids"}, 0, "'rotary' and 'position_ids' go together"),
        (1, angles, 0, "width of rotary is 1, expected an even number of at most 2"),
        (4, angles, 0, "width of rotary is 4, expected an even number of at most 2"),
        (2, {"places": "places"}, 0, "'places' goes with a window or with buckets"),
        (2, {}, -1, "'window' is -1"),
    ):
        with pytest.raises(GraphError, match=message):
            verified(columns, operands, window)


def test_rows_by_distance_go_with_their_buckets_and_fit_each_other() -> None:
    attributes = {"num_attention_heads": 2, "scale": 0.5}
    inputs = {"query": "dense", "key": "dense", "value": "dense", "cu_seqlens": "cu_seqlens"}
    base = Node("attention", "attention", inputs, ("attention",), attributes)
    constants = {
        **{f"rows {rows}x{columns}": constant(rows, columns) for rows in (3, 4) for columns in (4, 6)},
        **{str(shape): Constant(DType.I32, np.zeros(shape, np.int32)) for shape in ((1, 5), (1, 4), (2, 5))},
        "angles": constant(9, 2),
    }
    graph = dataclasses.replace(small_graph(), inputs=IDS)
    graph = graph.with_nodes(graph.nodes, constants={**graph.constants, **constants})

    def verified(window: int = 0, **operands: str) -> None:
        node = base.with_inputs(**operands).with_attributes(window=window)
        verify(graph.with_nodes((*graph.nodes, node)))

    verified(buckets="(1, 5)", position_keys="rows 3x4", position_queries="rows 3x4", places="places")
    verified(buckets="(1, 5)", position_queries="rows 3x4")
    tables = {"buckets": "(1, 5)", "position_keys": "rows 3x4"}
    angles = {"rotary": "angles", "position_ids": "position_ids"}
    for operands, window, message in (
        ({"buckets": "(1, 5)"}, 0, "'buckets' goes with 'position_keys' and 'position_queries'"),
        ({"position_keys": "rows 3x4"}, 0, "'buckets' goes with 'position_keys' and 'position_queries'"),
        (tables, 2, "'buckets' goes with no window"),
        ({**tables, **angles}, 0, "'buckets' goes with no window"),
        ({**tables, "buckets": "(2, 5)"}, 0, "rows of buckets is 2, expected 1"),
        ({**tables, "buckets": "(1, 4)"}, 0, "width of buckets is 4, expected an odd number"),
        ({**tables, "buckets": "rows 3x4"}, 0, "input 'buckets' is f32"),
        ({**tables, "position_queries": "rows 4x4"}, 0, "position_keys and position_queries differ"),
        ({**tables, "position_keys": "rows 3x6"}, 0, "width of position_keys is 6, expected 4"),
    ):
        with pytest.raises(GraphError, match=message):
            verified(window, **operands)


def test_what_only_front_ends_write_is_refused_once_a_graph_is_fused() -> None:
    graph = bert_graph(num_hidden_layers=1)
    fused = fuse_embeddings(fuse_linear_activation(fuse_linear_residual(graph)))
    with pytest.raises(GraphError, match=r"self' \(attention\): input 'query' is legal in stage imp"):
        verify(fused.with_nodes(fused.nodes, stage="fused"))
