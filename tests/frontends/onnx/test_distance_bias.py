"""Biases by distance, as files spell them: each becomes the operand that MPNet's checkpoint has."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bertc
from bertc.errors import CheckpointError
from bertc.frontends.huggingface import import_model
from bertc.frontends.imported_model import ImportedModel
from bertc.frontends.onnx import import_onnx
from bertc.ir.graph import Constant, DType, Graph
from bertc.primitives.host_steps import find_host_steps
from tests.support import onnx_models as parts
from tests.support.doors import assert_same_graph, assert_same_numbers
from tests.support.hf_checkpoints import save_checkpoint
from tests.support.onnx_export import export
from tests.support.onnx_models import HEADS, HIDDEN, POSITIONS, OnnxBert

pytest.importorskip("onnx")
pytestmark = pytest.mark.filterwarnings("ignore:.*has no tokenizer")

Array = np.ndarray[Any, Any]

REACH = 5
BIAS = np.random.default_rng(8).normal(0, 1, (HEADS, 2 * REACH + 1)).astype(np.float32)
LENGTH = 12


def by_pair(length: int) -> Array:
    """Return the bias of each query and key: [heads, length, length]."""
    places = np.arange(length)
    return BIAS[:, np.clip(places[None, :] - places[:, None], -REACH, REACH) + REACH]


def number_of_tokens(bert: OnnxBert) -> str:
    return str(bert.op("Gather", bert.op("Shape", "input_ids"), bert.constant([1])))


def rows(bert: OnnxBert) -> str:
    """The row of the table for each pair of tokens, by their clipped distance."""
    count = bert.op("Squeeze", number_of_tokens(bert))
    places = bert.op("Range", bert.constant(0), count, bert.constant(1))
    keys, queries = (bert.op("Unsqueeze", places, bert.constant([axis])) for axis in (0, 1))
    near = bert.op("Clip", bert.op("Sub", keys, queries), bert.constant(-REACH), bert.constant(REACH))
    return str(bert.op("Add", near, bert.constant(REACH)))


def looked_up(bert: OnnxBert) -> str:
    """As MPNet and T5 have it by bucket."""
    found = bert.op("Gather", bert.tensor("table", np.ascontiguousarray(BIAS.T)), rows(bert))
    return str(bert.op("Unsqueeze", bert.op("Transpose", found, perm=[2, 0, 1]), bert.constant([0])))


def looked_up_flat(bert: OnnxBert) -> str:
    """The same for all pairs in one axis, which is split afterwards."""
    flat = bert.op("Reshape", rows(bert), bert.constant([-1]))
    found = bert.op("Gather", bert.tensor("table", np.ascontiguousarray(BIAS.T)), flat)
    length = number_of_tokens(bert)
    shape = bert.op("Concat", bert.constant([1]), length, length, bert.constant([HEADS]), axis=0)
    return str(bert.op("Transpose", bert.op("Reshape", found, shape), perm=[0, 3, 1, 2]))


def stored(bert: OnnxBert) -> str:
    """What an export of a fixed length leaves: a constant."""
    return bert.tensor("stored", by_pair(LENGTH)[None])


def cut(bert: OnnxBert) -> str:
    """A part of what is stored for as many tokens as there are positions."""
    ends = bert.op("Concat", number_of_tokens(bert), number_of_tokens(bert), axis=0)
    whole = bert.tensor("stored", by_pair(POSITIONS)[None])
    return str(bert.op("Slice", whole, bert.constant([0, 0]), ends, bert.constant([2, 3])))


def after(make: Callable[[OnnxBert], str]) -> Callable[[OnnxBert, str, str], str]:
    """Add a bias to the scores, and then the mask."""
    return lambda bert, scores, mask: bert.op("Add", bert.op("Add", make(bert), scores), mask)


def with_mask(bert: OnnxBert, scores: str, mask: str) -> str:
    return str(bert.op("Add", scores, bert.op("Add", mask, looked_up(bert))))


def subtracted(bert: OnnxBert, scores: str, mask: str) -> str:
    return str(bert.op("Sub", bert.op("Add", scores, mask), bert.op("Neg", looked_up(bert))))


def before_scaling(bert: OnnxBert, scores: str, mask: str) -> str:
    halved = bert.op("Mul", looked_up(bert), bert.constant(0.5))
    total = bert.op("Add", bert.op("Mul", scores, bert.constant(0.5)), halved)
    return str(bert.op("Add", bert.op("Div", total, bert.constant(0.5)), mask))


def in_parts(bert: OnnxBert, scores: str, mask: str) -> str:
    """A part of the bias before the mask, the rest after it."""
    near = bert.op("Mul", looked_up(bert), bert.constant(0.25))
    rest = bert.op("Mul", looked_up(bert), bert.constant(0.75))
    return str(bert.op("Add", bert.op("Add", bert.op("Add", scores, near), mask), rest))


FORMS: Mapping[str, Mapping[str, Any]] = {
    "looked up": {"masked": after(looked_up)},
    "looked up in one axis": {"masked": after(looked_up_flat)},
    "with the mask": {"masked": with_mask},
    "subtracted": {"masked": subtracted},
    "before scaling": {"masked": before_scaling},
    "in parts": {"masked": in_parts},
    "a part of what is stored": {"masked": after(cut)},
    "stored for one length": {"masked": after(stored), "sizes": (2, LENGTH)},
    "stored for one sequence": {"masked": after(stored), "sizes": (1, LENGTH)},
    "stored for any batch": {"masked": after(stored), "sizes": ("batch", LENGTH)},
    "one sequence": {"masked": after(looked_up), "sizes": (1, "length")},
}


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> ImportedModel:
    """The plain BERT with the bias at each attention."""
    model = import_onnx(OnnxBert(layers=2).save(tmp_path_factory.mktemp("plain") / "m.onnx"))
    graph = model.graph
    nodes = [
        node.with_inputs(distance_bias="distance_bias") if node.op == "attention" else node
        for node in graph.nodes
    ]
    constants = {**graph.constants, "distance_bias": Constant(DType.F32, BIAS)}
    return ImportedModel(graph.with_nodes(nodes, constants=constants), model.info, "", {})


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_a_bias_by_distance_is_an_operand_of_attention(
    form: Mapping[str, Any], expected: ImportedModel, tmp_path: Path
) -> None:
    found = import_onnx(OnnxBert(layers=2, **form).save(tmp_path / "m.onnx"))
    assert_same_graph(found, expected)
    assert [each for each in found.graph.constants if "bias" in each and "distance" in each] == [
        "distance_bias"
    ]
    np.testing.assert_allclose(found.graph.constants["distance_bias"].array, BIAS, rtol=1e-6)
    assert_same_numbers(found, expected, lengths=(4, 11), vocabulary=parts.VOCABULARY)
    assert found.info.max_seq_length == (LENGTH if LENGTH in form.get("sizes", ()) else POSITIONS)


def counted_positions(bert: OnnxBert) -> str:
    """A table of positions that a fixed length does not cut."""
    ones = bert.op("Cast", bert.op("GreaterOrEqual", "input_ids", bert.constant(0)), to=7)
    positions = bert.op("Sub", bert.op("CumSum", ones, bert.constant(1)), bert.constant(1))
    total = bert.op("Gather", bert.weight("word", parts.VOCABULARY, HIDDEN), "input_ids")
    total = bert.op("Add", total, bert.op("Gather", bert.weight("position", POSITIONS, HIDDEN), positions))
    return bert.norm_part(bert, "embeddings.norm", total)


def test_a_bias_of_one_length_limits_sequences(tmp_path: Path) -> None:
    form: dict[str, Any] = {"embeddings": counted_positions, "sizes": (2, LENGTH)}
    plain = import_onnx(OnnxBert(**form).save(tmp_path / "plain.onnx"))
    assert plain.info.max_seq_length == POSITIONS
    found = import_onnx(OnnxBert(masked=after(stored), **form).save(tmp_path / "m.onnx"))
    assert found.info.max_seq_length == LENGTH


def test_layers_of_biases_of_their_own_keep_them(tmp_path: Path) -> None:
    bert = OnnxBert(layers=2, masked=after(looked_up))
    tables = [node for node in bert.nodes if "table" in node.input]
    tables[1].input[0] = bert.tensor("other", np.ascontiguousarray(2 * BIAS.T))
    graph: Graph = import_onnx(bert.save(tmp_path / "m.onnx")).graph
    names = [node["distance_bias"] for node in graph.nodes if node.op == "attention"]
    assert names == ["distance_bias", "distance_bias.1"]
    np.testing.assert_array_equal(graph.constants[names[1]].array, 2 * BIAS)


def of_each_pair(bert: OnnxBert, scores: str, mask: str) -> str:
    pairs = np.random.default_rng(1).normal(0, 1, (1, HEADS, LENGTH, LENGTH)).astype(np.float32)
    return str(bert.op("Add", bert.op("Add", scores, bert.constant(pairs)), mask))


def causal(bert: OnnxBert, scores: str, mask: str) -> str:
    lower = np.where(np.tril(np.ones((LENGTH, LENGTH))), 0.0, -10000.0).astype(np.float32)
    return str(bert.op("Add", bert.op("Add", scores, bert.constant(lower)), mask))


def of_the_ids(bert: OnnxBert, scores: str, mask: str) -> str:
    ids = bert.op("Cast", bert.op("Unsqueeze", "input_ids", bert.constant([1, 2])), to=1)
    return str(bert.op("Add", bert.op("Add", scores, ids), mask))


def the_same_for_all(bert: OnnxBert, scores: str, _: str) -> str:
    kept = bert.op("Cast", bert.op("Unsqueeze", "attention_mask", bert.constant([1, 2])), to=1)
    return str(bert.op("Add", scores, kept))


@pytest.mark.parametrize("masked", [of_each_pair, causal])
def test_what_is_neither_mask_nor_bias_has_no_op(masked: Any, tmp_path: Path) -> None:
    path = OnnxBert(masked=masked, sizes=(2, LENGTH)).save(tmp_path / "m.onnx")
    with pytest.raises(CheckpointError, match=r"node .*no mask of padding, and no bias by distance"):
        bertc.compile(path, tmp_path / "m.bertc", dtype="fp32", strict=True)


def test_a_bias_of_ids_runs_on_the_host(tmp_path: Path) -> None:
    graph = import_onnx(OnnxBert(masked=of_the_ids, sizes=(2, LENGTH)).save(tmp_path / "m.onnx")).graph
    assert find_host_steps(graph.nodes) and all(node.op != "attention" for node in graph.nodes)


def test_what_attends_to_padding_is_refused(tmp_path: Path) -> None:
    path = OnnxBert(masked=the_same_for_all, sizes=(2, LENGTH)).save(tmp_path / "m.onnx")
    with pytest.raises(CheckpointError, match=r"node .*differs by .* on a batch .* with padding"):
        import_onnx(path)


def test_mpnet_that_onnxruntime_optimized_is_that_of_the_checkpoint(tmp_path: Path) -> None:
    ort = pytest.importorskip("onnxruntime")
    folder = save_checkpoint(
        tmp_path / "model", "MPNetModel", pad_token_id=1, num_hidden_layers=2, max_position_embeddings=200
    )
    source = export(folder, "MPNetModel", folder / "m.onnx", opset=13, dynamo=False, attention="eager")
    options, path = ort.SessionOptions(), folder / "optimized.onnx"
    options.optimized_model_filepath, options.log_severity_level = str(path), 4
    ort.InferenceSession(str(source), options, providers=["CPUExecutionProvider"])
    assert b"com.microsoft" in path.read_bytes()
    expected, found = import_model(folder), import_onnx(path)
    assert_same_graph(found, expected)
    assert_same_numbers(found, expected)
    ours, theirs = (each.graph.constants["distance_bias"].array for each in (found, expected))
    np.testing.assert_array_equal(ours, theirs)
