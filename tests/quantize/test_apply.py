from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from bertc.errors import GraphError, RecipeError
from bertc.ir import interpreter
from bertc.ir.formulas import quantize_per_channel, round_to_bf16
from bertc.ir.graph import Constant, DType, Graph, Node
from bertc.passes import fuse
from bertc.quantize.apply import apply_precisions, apply_recipe
from bertc.quantize.constants import StaticScale
from bertc.quantize.precisions import choose_precisions
from bertc.recipe import Recipe, WeightScheme
from tests.support import fidelity
from tests.support.tiny_graphs import assert_same_results, bert_graph, node, ops, with_distance_bias
from tests.support.tiny_models import packed_inputs

INPUTS = packed_inputs([1, 5, 30])
LAYER = "encoder.layer.0"

TYPED_OPS = {
    "fp32": {
        "layer": ["linear", "attention", "linear", "layer_norm", "linear", "linear"],
        "norm": "layer_norm",
        "pooler": ["linear"],
    },
    "bf16": {
        "layer": ["linear_bf16", "attention", "linear_bf16", "layer_norm_bf16", *["linear_bf16"] * 2],
        "norm": "layer_norm_bf16",
        "pooler": ["cast_bf16", "linear_bf16"],
    },
    "int8": {
        "layer": [
            *("linear_int8", "attention", "quantize_rows", "linear_int8"),
            *("layer_norm_quantize", "linear_int8", "quantize_rows", "linear_int8"),
        ],
        "norm": "layer_norm_quantize",
        "pooler": ["quantize_rows", "linear_int8"],
    },
}


@pytest.mark.parametrize("dtype", ["fp32", "bf16", "int8"])
def test_attention_keeps_a_bias_by_distance_in_every_dtype(dtype: str) -> None:
    graph = fuse(with_distance_bias(bert_graph()))
    typed = apply_recipe(graph, Recipe(dtype=dtype))
    attentions = [each for each in typed.nodes if each.op == "attention"]
    assert [each["distance_bias"] for each in attentions] == ["distance_bias"] * 2
    bias = typed.constants["distance_bias"]
    assert bias.dtype == DType.F32
    np.testing.assert_array_equal(bias.array, graph.constants["distance_bias"].array)


def _typed(head: str, **recipe: object) -> Graph:
    return apply_recipe(fuse(bert_graph(head)), Recipe(**recipe))  # type: ignore[arg-type]


@pytest.mark.parametrize("dtype", TYPED_OPS)
@pytest.mark.parametrize("head", ["embedding", "classification", "token_classification"])
def test_typed_ops_are_exactly_those_that_kernels_run(head: str, dtype: str) -> None:
    rows = TYPED_OPS[dtype]
    tails = {
        "embedding": ["pool", *rows["pooler"], "pool"],
        "classification": ["pool", *rows["pooler"], "linear"],
        "token_classification": ["linear"],
    }
    layers = [*rows["layer"], rows["norm"], *rows["layer"], "layer_norm"]
    typed = _typed(head, dtype=dtype)
    assert typed.stage == "typed"
    assert ops(typed) == ["embed", rows["norm"], *layers, *tails[head]]


def test_fp32_changes_nothing() -> None:
    fused = fuse(bert_graph())
    typed = apply_recipe(fused, Recipe(dtype="fp32"))
    assert typed.nodes == fused.nodes
    assert_same_results(fused, typed, INPUTS, atol=0)


@pytest.mark.parametrize("dtype", ["bf16", "int8"])
@pytest.mark.parametrize("head", ["embedding", "classification", "token_classification"])
def test_typed_graphs_stay_close_to_fp32(head: str, dtype: str) -> None:
    fused = fuse(bert_graph(head))
    expected = interpreter.run(fused, INPUTS)
    found = interpreter.run(apply_recipe(fused, Recipe(dtype=dtype)), INPUTS)
    # Tiny models are worse than real ones: 32 columns average out less noise than 384 do.
    lowest = {"bf16": 35, "int8": 25}[dtype]
    for name, array in expected.items():
        assert lowest < fidelity.sqnr_db(array, found[name]) < float("inf"), name


def test_bf16_flows_from_layer_to_layer_without_casts() -> None:
    nodes = {node.name: node for node in _typed("token_classification", dtype="bf16").nodes}
    qkv, attention = nodes[f"{LAYER}.attention.self.qkv"], nodes[f"{LAYER}.attention.self"]
    assert qkv["x"] == "embeddings.LayerNorm.bf16"
    assert qkv.attributes["out_dtype"] == "bf16"
    assert (attention.attributes["compute_dtype"], attention.attributes["out_dtype"]) == ("bf16", "bf16")
    dense = nodes[f"{LAYER}.attention.output.dense"]
    assert (dense["x"], dense["residual"]) == (f"{LAYER}.attention.self", "embeddings.LayerNorm")
    assert dense.attributes["out_dtype"] == "f32"
    assert nodes[f"{LAYER}.intermediate.dense"].attributes["out_dtype"] == "bf16"


def test_int8_attention_takes_bf16_and_gives_f32() -> None:
    nodes = {node.name: node for node in _typed("embedding", dtype="int8").nodes}
    qkv, attention = nodes[f"{LAYER}.attention.self.qkv"], nodes[f"{LAYER}.attention.self"]
    assert (qkv.op, qkv.attributes["out_dtype"]) == ("linear_int8", "bf16")
    assert (attention.attributes["compute_dtype"], attention.attributes["out_dtype"]) == ("int8", "f32")


@pytest.mark.parametrize(
    ("embeddings", "word", "small"),
    [("fp32", DType.F32, DType.F32), ("fp16", DType.F16, DType.F16), ("int8", DType.I8, DType.F16)],
)
@pytest.mark.parametrize("dtype", ["fp32", "int8"])
def test_tables_are_stored_as_the_recipe_says(dtype: str, embeddings: str, word: DType, small: DType) -> None:
    typed = _typed("embedding", dtype=dtype, embeddings=embeddings)
    assert typed.constants["embeddings.word_embeddings.weight"].dtype == word
    assert typed.constants["embeddings.position_embeddings.weight"].dtype == small
    assert typed.constants["embeddings.token_type_embeddings.weight"].dtype == small
    assert ("embeddings.word_embeddings.weight.scale" in typed.constants) == (embeddings == "int8")


def test_weights_are_quantized_per_channel_under_their_own_names() -> None:
    fused = fuse(bert_graph())
    name = f"{LAYER}.intermediate.dense.weight"
    q, scale = quantize_per_channel(fused.constants[name].array)
    int8 = apply_recipe(fused, Recipe()).constants
    np.testing.assert_array_equal(int8[name].array, q)
    np.testing.assert_array_equal(int8[f"{name}.scale"].array, scale)
    bf16 = apply_recipe(fused, Recipe(dtype="bf16")).constants[name]
    assert bf16.dtype == DType.BF16
    np.testing.assert_array_equal(bf16.array, round_to_bf16(fused.constants[name].array))


def test_weights_of_seven_bits_differ_in_nothing_but_their_numbers() -> None:
    fused = fuse(bert_graph())
    name = f"{LAYER}.intermediate.dense.weight"
    int8, int7 = (apply_recipe(fused, Recipe(weights=WeightScheme(bits=bits))) for bits in (8, 7))
    assert [(node.name, node.op) for node in int7.nodes] == [(node.name, node.op) for node in int8.nodes]
    assert set(int7.constants) == set(int8.constants)
    q, scale = quantize_per_channel(fused.constants[name].array, bits=7)
    np.testing.assert_array_equal(int7.constants[name].array, q)
    np.testing.assert_array_equal(int7.constants[f"{name}.scale"].array, scale)
    assert np.abs(q).max() == 63
    words = "embeddings.word_embeddings.weight"
    np.testing.assert_array_equal(int7.constants[words].array, int8.constants[words].array)


@pytest.mark.parametrize("dtype", ["bf16", "int8"])
def test_the_classifier_stays_in_fp32(dtype: str) -> None:
    typed = _typed("classification", dtype=dtype)
    assert (typed.nodes[-1].name, typed.nodes[-1].op) == ("classifier", "linear")
    assert typed.constants["classifier.weight"].dtype == DType.F32


@pytest.mark.parametrize("dtype", ["bf16", "int8"])
def test_excluded_nodes_stay_in_fp32_and_others_do_not(dtype: str) -> None:
    typed = _typed("embedding", dtype=dtype, exclude=("*.intermediate.dense", "pooler.*", "*.0.attention.*"))
    found = {node.name: node.op for node in typed.nodes}
    assert found["encoder.layer.1.intermediate.dense"] == found["pooler.dense"] == "linear"
    assert found[f"{LAYER}.attention.self.qkv"] == found[f"{LAYER}.attention.output.dense"] == "linear"
    assert found["encoder.layer.1.output.dense"] == f"linear_{dtype}"
    attention = next(node for node in typed.nodes if node.name == f"{LAYER}.attention.self")
    assert attention.attributes.keys().isdisjoint({"compute_dtype", "out_dtype"})  # which are f32 then


@pytest.mark.parametrize("dtype", ["bf16", "int8"])
def test_excluding_everything_gives_the_fp32_graph(dtype: str) -> None:
    fused = fuse(bert_graph())
    assert apply_recipe(fused, Recipe(dtype=dtype, exclude=("*",))).nodes == fused.nodes


def test_excluding_a_query_excludes_the_layer_it_was_fused_into() -> None:
    fused = fuse(bert_graph("embedding"))
    by_module = apply_recipe(fused, Recipe(exclude=("encoder.layer.0.attention.self.query",)))
    by_node = apply_recipe(fused, Recipe(exclude=("encoder.layer.0.attention.self.qkv",)))
    assert by_module.nodes == by_node.nodes


@pytest.mark.parametrize("dtype", ["bf16", "int8"])
@pytest.mark.parametrize("excluded", ["*.output.dense", "*.self.qkv", "*.self", "*.intermediate.dense"])
def test_any_mixture_verifies_and_runs(dtype: str, excluded: str) -> None:
    fused = fuse(bert_graph())
    typed = apply_recipe(fused, Recipe(dtype=dtype, exclude=(excluded,)))
    expected, found = interpreter.run(fused, INPUTS), interpreter.run(typed, INPUTS)
    assert fidelity.sqnr_db(expected["last_hidden_state"], found["last_hidden_state"]) > 25


def test_seven_bit_weights_stay_within_63() -> None:
    fused = fuse(bert_graph())
    typed = apply_recipe(fused, Recipe(weights=WeightScheme(bits=7)))
    weights = [typed.constants[node["weight"]].array for node in typed.nodes if node.op == "linear_int8"]
    assert len(weights) == 9 and all(np.abs(weight).max() == 63 for weight in weights)
    expected, found = interpreter.run(fused, INPUTS), interpreter.run(typed, INPUTS)
    assert fidelity.sqnr_db(expected["last_hidden_state"], found["last_hidden_state"]) > 25


def test_patterns_that_match_nothing_are_refused_all_at_once() -> None:
    with pytest.raises(
        RecipeError, match=r"'poler.dense' matches no node, the nearest is 'pooler.dense'; .*'x'"
    ):
        _typed("embedding", exclude=("poler.dense", "x"))


def test_tables_beyond_fp16_are_refused_by_name() -> None:
    fused = fuse(bert_graph())
    name = "embeddings.position_embeddings.weight"
    large = Constant(DType.F32, np.full_like(fused.constants[name].array, 1e5))
    fused = dataclasses.replace(fused, constants={**fused.constants, name: large})
    with pytest.raises(RecipeError, match=f"{name} holds numbers beyond fp16"):
        apply_recipe(fused, Recipe())


def test_a_weight_that_nodes_of_two_precisions_share_keeps_both_forms() -> None:
    fused = fuse(bert_graph(num_hidden_layers=2))
    shared, other = (f"encoder.layer.{i}.output.dense" for i in range(2))
    nodes = [n.with_inputs(weight=f"{shared}.weight") if n.name == other else n for n in fused.nodes]
    fused = fused.with_nodes(nodes)
    typed = apply_recipe(fused, Recipe(exclude=(other,)))
    assert typed.constants[f"{shared}.weight"].dtype == DType.F32
    assert typed.constants[f"{shared}.weight.int8"].dtype == DType.I8
    interpreter.run(typed, INPUTS)


def _with_affine(graph: Graph, before: str, multiplier: str = "multiplier", offset: str = "offset") -> Graph:
    """The graph with a ``channel_affine`` on the input of the linear node ``before``; "" for no vector."""
    rng = np.random.default_rng(0)
    nodes = []
    for each in graph.nodes:
        if each.name == before:
            width = graph.constants[each["weight"]].array.shape[1]
            nodes.append(node("channel_affine", "affine", each["x"], multiplier, offset))
            nodes.append(each.with_inputs(x="affine"))
        else:
            nodes.append(each)
    vectors = {
        "multiplier": Constant(DType.F32, rng.uniform(0.5, 2, width).astype(np.float32)),
        "offset": Constant(DType.F32, rng.normal(0, 1, width).astype(np.float32)),
    }
    return graph.with_nodes(nodes, constants={**graph.constants, **vectors})


def test_a_channel_affine_becomes_part_of_the_layer_norm_before_it() -> None:
    dense = f"{LAYER}.intermediate.dense"
    fused = _with_affine(fuse(bert_graph()), dense)
    typed = apply_recipe(fused, Recipe())
    assert "channel_affine" not in ops(typed)
    norm = next(n for n in typed.nodes if n.name == f"{LAYER}.attention.output.LayerNorm")
    assert (norm["multiplier"], norm["offset"], norm["static"]) == ("multiplier", "offset", "")
    nodes = {n.name: n for n in typed.nodes}
    assert tuple(nodes[dense][name] for name in ("x", "scale", "zero_point")) == norm.outputs[1:]
    assert nodes[f"{LAYER}.output.dense"]["residual"] == norm.outputs[0]
    expected, found = interpreter.run(fused, INPUTS), interpreter.run(typed, INPUTS)
    assert fidelity.sqnr_db(expected["last_hidden_state"], found["last_hidden_state"]) > 25


def test_a_channel_affine_elsewhere_becomes_part_of_a_conversion() -> None:
    fused = _with_affine(fuse(bert_graph()), f"{LAYER}.output.dense")
    typed = apply_recipe(fused, Recipe())
    assert "channel_affine" not in ops(typed)
    quantize = next(n for n in typed.nodes if n.outputs[0] == "affine.q")
    assert (quantize.op, quantize.inputs) == (
        "quantize_rows",
        {"x": f"{LAYER}.intermediate.dense", "multiplier": "multiplier", "offset": "offset"},
    )
    expected, found = interpreter.run(fused, INPUTS), interpreter.run(typed, INPUTS)
    assert fidelity.sqnr_db(expected["last_hidden_state"], found["last_hidden_state"]) > 25


@pytest.mark.parametrize("vectors", [("multiplier", ""), ("", "offset")])
def test_a_layer_that_can_write_8_bits_leaves_a_change_of_all_rows_to_a_conversion(
    vectors: tuple[str, str],
) -> None:
    fused = _with_affine(fuse(bert_graph()), f"{LAYER}.output.dense", *vectors)
    typed = apply_precisions(fused, choose_precisions(fused, Recipe()), static={"affine": STATIC})
    quantize = next(n for n in typed.nodes if n.outputs[0] == "affine.q")
    assert (quantize.op, quantize["x"]) == ("quantize_rows", f"{LAYER}.intermediate.dense")
    assert (quantize["multiplier"], quantize["offset"], quantize["static"]) == (*vectors, "affine.static")


@pytest.mark.parametrize("other", ["fp32", "bf16"])
def test_a_channel_affine_before_a_layer_in_floats_is_refused(other: str) -> None:
    dense = f"{LAYER}.intermediate.dense"
    with pytest.raises(GraphError, match="'affine': only linear layers in int8 can follow channel_affine"):
        apply_recipe(_with_affine(fuse(bert_graph()), dense), Recipe(nodes={dense: other}))


NORM, ATTENTION, GELU = "embeddings.LayerNorm", f"{LAYER}.attention.self", f"{LAYER}.intermediate.dense"
STATIC = StaticScale(0.03, 100)


def _static(fused: Graph, value: str, **nodes: str) -> dict[str, Node]:
    """By what they write: the nodes of the graph in which ``value`` has a static scale."""
    precisions = choose_precisions(fused, Recipe(nodes=nodes))
    typed = apply_precisions(fused, precisions, static={value: STATIC})
    expected, found = interpreter.run(fused, INPUTS), interpreter.run(typed, INPUTS)
    assert fidelity.sqnr_db(expected["last_hidden_state"], found["last_hidden_state"]) > 20
    for name in {f"{value}.static", f"{value}.scale"} & typed.constants.keys():
        np.testing.assert_allclose(typed.constants[name].array, STATIC[: 2 if "static" in name else 1])
    return {output: node for node in typed.nodes for output in node.outputs}


def test_a_static_scale_is_an_operand_of_the_layer_norm_that_writes_the_value() -> None:
    norm = _static(fuse(bert_graph()), NORM)[f"{NORM}.q"]
    assert (norm.op, norm["static"], norm["multiplier"]) == ("layer_norm_quantize", f"{NORM}.static", "")
    assert norm.outputs == (NORM, f"{NORM}.q", f"{NORM}.scale", f"{NORM}.zero_point")


@pytest.mark.parametrize(("value", "op"), [(ATTENTION, "attention"), (GELU, "linear_int8")])
def test_attention_and_linear_layers_write_8_bits_of_a_static_scale_themselves(value: str, op: str) -> None:
    nodes = _static(fuse(bert_graph()), value)
    writer = nodes[f"{value}.q"]
    assert (writer.op, writer.name, writer.outputs) == (op, value, (f"{value}.q",))
    assert (writer["static"], writer.attributes["out_dtype"]) == (f"{value}.static", "u8")
    (reader,) = (node for node in nodes.values() if f"{value}.q" in node.inputs.values())
    assert (reader["scale"], reader["zero_point"]) == (f"{value}.scale", f"{value}.zero_point")
    assert nodes.keys().isdisjoint({value, reader["scale"], reader["zero_point"]})


def _with_public(graph: Graph, value: str) -> Graph:
    return graph.with_nodes(graph.nodes, outputs={**graph.outputs, "public": value})


@pytest.mark.parametrize("why", ["floats are wanted, too", "it is in bf16"])
def test_others_are_followed_by_a_conversion_to_the_static_scale(why: str) -> None:
    fused = fuse(bert_graph())
    nodes = (
        _static(fused, GELU, **{GELU: "bf16"}) if "bf16" in why else _static(_with_public(fused, GELU), GELU)
    )
    assert nodes[GELU].attributes["out_dtype"] == "f32"
    quantize = nodes[f"{GELU}.q"]
    assert (quantize.op, quantize.inputs) == ("quantize_rows", {"x": GELU, "static": f"{GELU}.static"})


def test_a_value_that_no_layer_takes_in_8_bits_has_no_use_for_its_static_scale() -> None:
    nodes = _static(fuse(bert_graph()), GELU, **{f"{LAYER}.output.dense": "bf16"})
    assert nodes[GELU].attributes["out_dtype"] == "bf16" and f"{GELU}.q" not in nodes


def test_only_a_fused_graph_is_taken() -> None:
    with pytest.raises(GraphError, match="applies to a fused graph, this one is imported"):
        apply_recipe(bert_graph(), Recipe())
