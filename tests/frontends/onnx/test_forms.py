"""One tiny BERT, whose parts are spelled as exporters spell them: all become the same graph."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bertc import passes
from bertc.frontends.onnx import import_onnx
from bertc.ir import interpreter
from bertc.ir.graph import Graph
from tests.support import onnx_models as parts
from tests.support.onnx_models import EPSILON, HEADS, HIDDEN, LOWEST, POSITIONS, VOCABULARY, OnnxBert

onnx = pytest.importorskip("onnx")
pytestmark = pytest.mark.filterwarnings("ignore:.*has no tokenizer")

Array = np.ndarray[Any, Any]


def read(bert: OnnxBert, folder: Path) -> Graph:
    return import_onnx(bert.save(folder / "tiny.onnx")).graph


def ops(graph: Graph) -> list[str]:
    return [node.op for node in passes.fuse(graph).nodes]


def hidden_states(graph: Graph) -> Array:
    rng = np.random.default_rng(0)
    inputs = {
        "input_ids": rng.integers(0, VOCABULARY, 9).astype(np.int32),
        "token_type_ids": np.repeat([0, 1, 0], 3).astype(np.int32),
        "cu_seqlens": np.array([0, 5, 9], np.int32),
    }
    return interpreter.run(graph, inputs)["last_hidden_state"]


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Graph:
    return read(OnnxBert(), tmp_path_factory.mktemp("plain"))


def check(graph: Graph, plain: Graph) -> None:
    assert ops(graph) == ops(plain)
    np.testing.assert_allclose(hidden_states(graph), hidden_states(plain), rtol=0, atol=2e-5)


def where_mask(bert: OnnxBert) -> str:
    keep = bert.op("Cast", bert.op("Unsqueeze", "attention_mask", bert.constant([1, 2])), to=9)
    return bert.op("Where", keep, bert.constant(0.0), bert.constant(-np.inf))


def old_mask(bert: OnnxBert) -> str:
    wide = bert.op("Cast", bert.op("Unsqueeze", "attention_mask", bert.constant([1, 2])), to=1)
    return bert.op("Mul", bert.op("Sub", bert.constant(1.0), wide), bert.constant(-10000.0))


def expanded_mask(bert: OnnxBert) -> str:
    """[batch, 1, length, length], inverted and replaced, as the optimum exporter writes it."""
    shape = bert.op("Shape", "input_ids")
    batch, length = (bert.op("Gather", shape, bert.constant([axis])) for axis in (0, 1))
    wide = bert.op("Unsqueeze", "attention_mask", bert.constant([1, 2]))
    full = bert.op("Concat", batch, bert.constant([1]), length, length, axis=0)
    dropped = bert.op("Sub", bert.constant(1.0), bert.op("Cast", bert.op("Expand", wide, full), to=1))
    return bert.op("Where", bert.op("Cast", dropped, to=9), bert.constant(LOWEST), dropped)


def outer_mask(bert: OnnxBert) -> str:
    """The product of rows and columns: what rows of padding attend to does not matter."""
    kept = bert.op("Cast", "attention_mask", to=1)
    both = bert.op(
        "Mul",
        bert.op("Unsqueeze", kept, bert.constant([1, 2])),
        bert.op("Unsqueeze", kept, bert.constant([1, 3])),
    )
    return bert.op("Mul", bert.op("Sub", both, bert.constant(1.0)), bert.constant(1e9))


def boolean_mask(bert: OnnxBert) -> str:
    return bert.op("Equal", bert.op("Unsqueeze", "attention_mask", bert.constant([1, 2])), bert.constant(0))


def filled(bert: OnnxBert, scores: str, mask: str) -> str:
    return bert.op("Where", mask, bert.constant(LOWEST), scores)


def subtracted(bert: OnnxBert, scores: str, mask: str) -> str:
    return bert.op("Sub", scores, bert.op("Neg", mask))


@pytest.mark.parametrize("mask", [where_mask, old_mask, expanded_mask, outer_mask])
def test_masks_that_are_added(mask: Any, plain: Graph, tmp_path: Path) -> None:
    check(read(OnnxBert(mask=mask), tmp_path), plain)


@pytest.mark.parametrize(("mask", "masked"), [(boolean_mask, filled), (old_mask, subtracted)])
def test_masks_that_replace_or_are_subtracted(mask: Any, masked: Any, plain: Graph, tmp_path: Path) -> None:
    check(read(OnnxBert(mask=mask, masked=masked), tmp_path), plain)


def spelled_norm(bert: OnnxBert, name: str, x: str) -> str:
    """As torch exports it below opset 17."""
    weight, bias = parts.norm_weights(bert, name)
    centered = bert.op("Sub", x, bert.op("ReduceMean", x, axes=[-1]))
    variance = bert.op("ReduceMean", bert.op("Pow", centered, bert.constant(2.0)), axes=[-1])
    root = bert.op("Sqrt", bert.op("Add", variance, bert.constant(EPSILON)))
    return bert.op("Add", bert.op("Mul", bert.op("Div", centered, root), weight), bias)


def other_norm(bert: OnnxBert, name: str, x: str) -> str:
    """With the mean of squares, and the scale applied to the inverse root, as TensorFlow's converter does."""
    weight, bias = parts.norm_weights(bert, name)
    mean = bert.op("ReduceMean", x, axes=[-1])
    squares = bert.op("ReduceMean", bert.op("Mul", x, x), axes=[-1])
    variance = bert.op("Sub", squares, bert.op("Mul", mean, mean))
    root = bert.op("Reciprocal", bert.op("Sqrt", bert.op("Add", bert.constant(EPSILON), variance)))
    scale = bert.op("Mul", root, weight)
    shift = bert.op("Sub", bias, bert.op("Mul", mean, scale))
    return bert.op("Add", bert.op("Mul", x, scale), shift)


@pytest.mark.parametrize("norm", [spelled_norm, other_norm])
def test_layer_norms_spelled_out(norm: Any, plain: Graph, tmp_path: Path) -> None:
    check(read(OnnxBert(norm=norm), tmp_path), plain)


def halved_gelu(bert: OnnxBert, x: str) -> str:
    inner = bert.op("Erf", bert.op("Mul", x, bert.constant(float(np.sqrt(0.5)))))
    return bert.op("Mul", bert.op("Mul", bert.constant(0.5), x), bert.op("Add", bert.constant(1.0), inner))


def test_gelu_in_another_order(plain: Graph, tmp_path: Path) -> None:
    check(read(OnnxBert(gelu=halved_gelu), tmp_path), plain)


def tanh_gelu(bert: OnnxBert, x: str) -> str:
    cubed = bert.op("Mul", bert.op("Mul", x, bert.op("Mul", x, x)), bert.constant(0.044715))
    grown = bert.op("Tanh", bert.op("Mul", bert.op("Add", x, cubed), bert.constant(0.79788456)))
    return bert.op("Mul", bert.op("Mul", x, bert.constant(0.5)), bert.op("Add", grown, bert.constant(1.0)))


@pytest.mark.parametrize(
    ("gelu", "expected"),
    [
        (tanh_gelu, "gelu_tanh"),
        (lambda bert, x: bert.op("Relu", x), "relu"),
        (lambda bert, x: bert.op("Mul", x, bert.op("Sigmoid", x)), "silu"),
        (lambda bert, x: bert.op("Mul", x, bert.op("Tanh", bert.op("Softplus", x))), "mish"),
        (lambda bert, x: bert.op("QuickGelu", x, domain="com.microsoft"), "quick_gelu"),
        (lambda bert, x: bert.op("FastGelu", x, domain="com.microsoft"), "gelu_tanh"),
    ],
)
def test_activations_are_told_apart(gelu: Any, expected: str, tmp_path: Path) -> None:
    graph = passes.fuse(read(OnnxBert(gelu=gelu), tmp_path))
    assert expected in {node.attributes.get("activation") for node in graph.nodes}


def merged_attention(bert: OnnxBert, name: str, x: str, mask: str) -> str:
    """One product for queries, keys and values, [batch, length, 3, heads, size]; the queries are scaled."""
    weights = [bert.weight(f"{name}.{part}.weight", HIDDEN, HIDDEN) for part in ("query", "key", "value")]
    biases = [bert.weight(f"{name}.{part}.bias", HIDDEN) for part in ("query", "key", "value")]
    weight = bert.tensor(f"{name}.qkv", np.concatenate([bert.tensors[each] for each in weights], axis=1))
    bias = bert.tensor(f"{name}.qkv.bias", np.concatenate([bert.tensors[each] for each in biases]))
    packed = bert.op("Add", bert.op("MatMul", x, weight), bias)
    apart = bert.op("Reshape", packed, bert.constant([0, 0, 3, HEADS, HIDDEN // HEADS]))
    apart = bert.op("Transpose", apart, perm=[2, 0, 3, 1, 4])
    query, key, value = (bert.op("Gather", apart, bert.constant(index), axis=0) for index in range(3))
    scaled = bert.op("Mul", query, bert.constant(float(np.sqrt(HEADS / HIDDEN))))
    scores = bert.op("MatMul", scaled, bert.op("Transpose", key, perm=[0, 1, 3, 2]))
    weights_ = bert.op("Softmax", bert.op("Add", scores, mask), axis=-1)
    mixed = bert.op("Transpose", bert.op("MatMul", weights_, value), perm=[0, 2, 1, 3])
    return bert.op("Reshape", mixed, bert.constant([0, 0, -1]))


def batched_attention(bert: OnnxBert, name: str, x: str, mask: str) -> str:
    """Heads and sequences in one axis, as BART's and TensorFlow's attention have them."""
    query, key, value = (
        bert.linear_part(bert, f"{name}.{part}", x, HIDDEN) for part in ("query", "key", "value")
    )
    size = HIDDEN // HEADS
    length = bert.op("Gather", bert.op("Shape", "input_ids"), bert.constant([1]))
    flat = bert.op("Concat", bert.constant([-1]), length, bert.constant([size]), axis=0)
    q, k, v = (
        bert.op("Reshape", parts.split_heads(bert, each, 0, 2, 1, 3), flat) for each in (query, key, value)
    )
    scores = bert.op(
        "MatMul",
        bert.op("Mul", q, bert.constant(float(1 / np.sqrt(size)))),
        bert.op("Transpose", k, perm=[0, 2, 1]),
    )
    four = bert.op("Concat", bert.constant([-1, HEADS]), length, length, axis=0)
    three = bert.op("Concat", bert.constant([-1]), length, length, axis=0)
    scores = bert.op("Reshape", bert.op("Add", bert.op("Reshape", scores, four), mask), three)
    mixed = bert.op("MatMul", bert.op("Softmax", scores, axis=-1), v)
    apart = bert.op("Concat", bert.constant([-1, HEADS]), length, bert.constant([size]), axis=0)
    mixed = bert.op("Transpose", bert.op("Reshape", mixed, apart), perm=[0, 2, 1, 3])
    return bert.op("Reshape", mixed, bert.constant([0, 0, HIDDEN]))


@pytest.mark.parametrize("attention", [merged_attention, batched_attention])
def test_attention_in_other_layouts(attention: Any, plain: Graph, tmp_path: Path) -> None:
    check(read(OnnxBert(attention=attention), tmp_path), plain)


def sliced_table(bert: OnnxBert) -> str:
    """Rows of positions as a slice of the table itself, and the sum in another order."""
    length = bert.op("Gather", bert.op("Shape", "input_ids"), bert.constant([1]))
    positions = bert.op(
        "Slice", bert.weight("position", POSITIONS, HIDDEN), bert.constant([0]), length, bert.constant([0])
    )
    types = bert.op("Gather", bert.weight("type", 2, HIDDEN), "token_type_ids")
    total = bert.op("Add", bert.op("Unsqueeze", positions, bert.constant([0])), types)
    total = bert.op("Add", total, bert.op("Gather", bert.weight("word", VOCABULARY, HIDDEN), "input_ids"))
    return bert.norm_part(bert, "embeddings.norm", total)


def test_positions_as_a_slice_of_their_table(plain: Graph, tmp_path: Path) -> None:
    check(read(OnnxBert(embeddings=sliced_table), tmp_path), plain)


def test_a_fixed_length_makes_the_same_graph_up_to_its_positions(plain: Graph, tmp_path: Path) -> None:
    check(read(OnnxBert(sizes=(2, 12)), tmp_path), plain)


def test_without_token_types_all_are_zero(plain: Graph, tmp_path: Path) -> None:
    graph = read(OnnxBert(inputs=("input_ids", "attention_mask")), tmp_path)
    assert ops(graph) == ops(plain)
    with_types = hidden_states(graph)
    np.testing.assert_array_equal(
        graph.constants["embeddings.token_type_embeddings.weight"].array[0],
        graph.constants["embeddings.token_type_embeddings.weight"].array[1],
    )
    assert with_types.shape == (9, HIDDEN)


def test_inputs_are_known_by_what_they_look_up(plain: Graph, tmp_path: Path) -> None:
    bert = OnnxBert()
    model = bert.model()
    renamed = {"input_ids": "a", "attention_mask": "b", "token_type_ids": "c"}
    for node in model.graph.node:
        node.input[:] = [renamed.get(name, name) for name in node.input]
    for each in model.graph.input:
        each.name = renamed[each.name]
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    check(import_onnx(tmp_path / "m.onnx").graph, plain)


def test_order_of_nodes_and_names_do_not_matter(plain: Graph, tmp_path: Path) -> None:
    model = OnnxBert().model()
    nodes = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend(reversed(nodes))
    for node in model.graph.node:
        node.name = ""
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    check(import_onnx(tmp_path / "m.onnx").graph, plain)


def shared(bert: OnnxBert, name: str, x: str, out: int) -> str:
    return parts.matmul_add(bert, name.replace("layer.1", "layer.0"), x, out)


def test_layers_that_share_their_weights_share_them(tmp_path: Path) -> None:
    bert = OnnxBert(linear=shared, layers=2)
    model = bert.model()
    for node in model.graph.node:  # as an exporter that writes each use apart
        if node.op_type == "MatMul" and "weight" in node.input[1]:
            copy = f"{node.name}.copy"
            model.graph.initializer.append(onnx.numpy_helper.from_array(bert.tensors[node.input[1]], copy))
            node.input[1] = copy
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    graph = import_onnx(tmp_path / "m.onnx").graph
    linears = [node["weight"] for node in graph.nodes if node.op == "linear"]
    assert (len(linears), len({*linears})) == (12, 6)


def test_half_precision(plain: Graph, tmp_path: Path) -> None:
    """Weights and constants of half precision: what GELU and epsilon are stays clear."""
    model = OnnxBert().model()
    for tensor in model.graph.initializer:
        array = onnx.numpy_helper.to_array(tensor)
        if array.dtype == np.float32:
            half = np.clip(array, -65504, 65504).astype(np.float16)
            tensor.CopyFrom(onnx.numpy_helper.from_array(half, tensor.name))
    for node in model.graph.node:
        for attribute in node.attribute:
            if node.op_type == "Cast" and attribute.i == onnx.TensorProto.FLOAT:
                attribute.i = onnx.TensorProto.FLOAT16
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    graph = import_onnx(tmp_path / "m.onnx").graph
    assert ops(graph) == ops(plain)
    np.testing.assert_allclose(hidden_states(graph), hidden_states(plain), rtol=0, atol=2e-2)


def test_one_sequence_of_a_fixed_length(plain: Graph, tmp_path: Path) -> None:
    check(read(OnnxBert(sizes=(1, 12)), tmp_path), plain)


@pytest.mark.parametrize("attention", [merged_attention, batched_attention])
def test_a_fixed_batch_in_other_layouts(attention: Any, plain: Graph, tmp_path: Path) -> None:
    check(read(OnnxBert(attention=attention, sizes=(1, "length")), tmp_path), plain)


def given_positions(bert: OnnxBert) -> str:
    total = bert.op("Gather", bert.weight("word", VOCABULARY, HIDDEN), "input_ids")
    total = bert.op(
        "Add", total, bert.op("Gather", bert.weight("position", POSITIONS, HIDDEN), "position_ids")
    )
    types = bert.op("Gather", bert.weight("type", 2, HIDDEN), "token_type_ids")
    return bert.norm_part(bert, "embeddings.norm", bert.op("Add", total, types))


def test_positions_as_an_input(plain: Graph, tmp_path: Path) -> None:
    inputs = ("input_ids", "attention_mask", "position_ids", "token_type_ids")
    check(read(OnnxBert(embeddings=given_positions, inputs=inputs), tmp_path), plain)


def counted_positions(bert: OnnxBert) -> str:
    """As RoBERTa counts: tokens that are no padding, from the number after padding's."""
    kept = bert.op("Cast", bert.op("Not", bert.op("Equal", "input_ids", bert.constant(1))), to=6)
    count = bert.op("Mul", bert.op("CumSum", kept, bert.constant(1)), kept)
    positions = bert.op("Add", bert.op("Cast", count, to=7), bert.constant(1))
    total = bert.op("Gather", bert.weight("word", VOCABULARY, HIDDEN), "input_ids")
    total = bert.op("Add", total, bert.op("Gather", bert.weight("position", POSITIONS, HIDDEN), positions))
    return bert.norm_part(bert, "embeddings.norm", total)


def test_positions_that_count_from_the_number_after_padding(tmp_path: Path) -> None:
    model = import_onnx(OnnxBert(embeddings=counted_positions).save(tmp_path / "m.onnx"))
    assert model.info.facts["first_position"] == 2
    assert model.info.max_seq_length == POSITIONS - 2


def test_without_a_mask_nothing_is_padded(plain: Graph, tmp_path: Path) -> None:
    check(read(OnnxBert(inputs=("input_ids", "token_type_ids")), tmp_path), plain)
