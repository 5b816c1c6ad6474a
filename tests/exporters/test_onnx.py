"""Exported ONNX files: ONNX's checker takes them, ONNX Runtime computes what our own session does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx_session import OnnxSession

import bertc
from bertc import passes
from bertc.compiler.cpu_target import CpuTarget
from bertc.exporters.onnx import Options, make_model
from bertc.exporters.onnx.options import OPSETS
from bertc.frontends.huggingface import import_model
from bertc.ir.graph import Constant, DType, Graph, Node
from bertc.ir.ops import OPS
from bertc.ir.reference import ACTIVATIONS, POOLINGS
from bertc.ports import Port
from bertc.runtime.batching import PackedBatch
from bertc.runtime.session import Session
from tests.exporters.conftest import DYNAMIC, STATIC
from tests.support.hf_checkpoints import save_checkpoint
from tests.support.module_checkpoints import make_module_checkpoint
from tests.support.tiny_models import make_bert_checkpoint, packed_inputs

onnx = pytest.importorskip("onnx", reason="ONNX files are checked by the package onnx")
pytest.importorskip("onnxruntime", reason="exported files run in ONNX Runtime")

Array = np.ndarray[Any, Any]

LENGTHS = (7, 1, 12, 5)
CLASSES = (
    "BertForSequenceClassification",
    "BertForTokenClassification",
    "BertForQuestionAnswering",
    "BertForMaskedLM",
    "BertForPreTraining",
    "RobertaForSequenceClassification",
    "DistilBertModel",
    "AlbertModel",
    "ElectraForPreTraining",
    "ErnieModel",
    "MPNetModel",
    "ModernBertForTokenClassification",
    "EuroBertForSequenceClassification",
)


def checked(path: Path) -> Any:
    """The model of a file that ONNX's checker accepts, with shapes inferred; all operators are ONNX's own."""
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    assert [each.domain for each in model.opset_import] == [""]
    assert not any(node.domain for node in model.graph.node)
    return model


def batch(seed: int = 0) -> PackedBatch:
    inputs = packed_inputs(LENGTHS, seed=seed)
    selected = np.arange(sum(LENGTHS), dtype=np.int32)
    bounds = inputs.pop("cu_seqlens")
    del inputs["position_ids"]  # the models count them
    return PackedBatch({**inputs, "selected": selected}, bounds)


def run_ours(session: Session, packed: PackedBatch) -> dict[str, Array]:
    known = {port.name for port in session.inputs}
    given = {name: array for name, array in packed.inputs.items() if name in known}
    return session.run_batch(PackedBatch(given, packed.cu_seqlens))


def largest_difference(path: Path, session: Session, seed: int = 0) -> float:
    """The largest difference of all outputs of a file to those of a session, which are the same ones."""
    packed = batch(seed)
    expected, found = run_ours(session, packed), OnnxSession(path).run_batch(packed)
    assert found.keys() == expected.keys()
    sizes = {name: array.reshape(expected[name].shape) for name, array in found.items()}
    return max(float(np.abs(array - expected[name]).max()) for name, array in sizes.items())


def fp32_session(checkpoint: Path) -> Session:
    graph = passes.fuse(import_model(checkpoint).graph)
    return Session(CpuTarget().executable(graph), num_threads=1)


@pytest.fixture(scope="module")
def sentence_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("encoder")
    return make_bert_checkpoint(path, "embedding", pooling="mean", normalize=True)


@pytest.mark.parametrize("class_name", CLASSES)
def test_fp32_equals_our_session_for_every_head_and_family(class_name: str, tmp_path: Path) -> None:
    checkpoint = save_checkpoint(tmp_path / "model", class_name)
    path = bertc.export(checkpoint, tmp_path / "model.onnx")
    checked(path)
    assert largest_difference(path, fp32_session(checkpoint)) < 1e-4


def test_sentence_transformers_modules_are_inside(tmp_path: Path) -> None:
    checkpoint = make_module_checkpoint(tmp_path / "model")
    path = bertc.export(checkpoint, tmp_path / "model.onnx")
    assert "sentence_embedding" in [each.name for each in checked(path).graph.output]
    assert largest_difference(path, fp32_session(checkpoint)) < 1e-4


FORMS = (("fp32", None), ("fp32", 40), (STATIC, None), (STATIC, 40))


@pytest.mark.parametrize(
    ("class_name", "options", "recipe", "length"),
    [
        *(("ModernBertModel", {"local_attention": 6}, *form) for form in FORMS),
        *(("DebertaV2Model", {}, *form) for form in FORMS),
        ("UltrabertModel", {}, "fp32", None),
        ("UltrabertModel", {"initializer_range": 0.05}, STATIC, 40),
        ("JinaBertModel", {}, "fp32", None),
        ("JinaBertModel", {}, STATIC, 40),
    ],
)
def test_a_compiled_file_with_what_families_add_is_written_again(
    class_name: str, options: dict[str, Any], recipe: Any, length: int | None, tmp_path: Path
) -> None:
    checkpoint = save_checkpoint(tmp_path / "model", class_name, **options)
    source = bertc.compile(checkpoint, tmp_path / "model.bertc", recipe).path
    assert_written_again(source, length, ("fp32",) if recipe == "fp32" else ("qdq", "qoperator"))


@pytest.mark.parametrize("length", [None, 60])
@pytest.mark.parametrize("recipe", ["fp32", STATIC], ids=["fp32", "static"])
def test_a_compiled_file_with_a_bias_by_distance_is_written_again(
    recipe: Any, length: int | None, mpnet: Path, tmp_path: Path
) -> None:
    """Of a model whose farthest distances occur: 60 tokens, and a table that tells near ones apart."""
    source = bertc.compile(mpnet, tmp_path / "mpnet.bertc", recipe).path
    for model in assert_written_again(
        source, length, ("fp32",) if recipe == "fp32" else ("qdq", "qoperator")
    ):
        assert {"Gather", "Clip"} <= {node.op_type for node in model.graph.node} or length is not None


def assert_written_again(source: Path, length: int | None, forms: tuple[str, ...]) -> list[Any]:
    """Export a compiled file in some forms, which compute what it does; return the models."""
    session, models = bertc.load(source).session, []
    for form in forms:
        path = bertc.export(source, source.with_suffix(f".{form}.onnx"), format=form, length=length)
        models.append(checked(path))
        packed = batch() if length is None else packed_to(length)
        expected, found = run_ours(session, packed), OnnxSession(path).run_batch(packed)
        for name, array in expected.items():
            error = np.linalg.norm(found[name].reshape(array.shape) - array) / np.linalg.norm(array)
            assert error < (1e-5 if form == "fp32" else 0.02)
    return models


def packed_to(length: int) -> PackedBatch:
    """Two sequences of a length, as a file with a fixed one takes them."""
    rng = np.random.default_rng(0)
    ids = rng.integers(5, 300, 2 * length).astype(np.int32)
    inputs = {"input_ids": ids, "token_type_ids": np.zeros_like(ids)}
    return PackedBatch(inputs, np.array([0, length, 2 * length], np.int32))


@pytest.fixture(scope="module")
def mpnet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_checkpoint(tmp_path_factory.mktemp("mpnet"), "MPNetModel")


@pytest.mark.parametrize("opset", [13, 17, 18, 20, 21, OPSETS[-1]])
@pytest.mark.parametrize("form", ["fp32", "qdq", "qoperator"])
def test_every_opset_gives_the_same(opset: int, form: str, classifier: Path, static_file: Path) -> None:
    source = classifier if form == "fp32" else static_file
    path = bertc.export(source, classifier / f"{form}.{opset}.onnx", format=form, opset=opset)
    model = checked(path)
    assert model.opset_import[0].version == opset
    operators = {node.op_type for node in model.graph.node}
    assert ("LayerNormalization" in operators, "Gelu" in operators) == (opset >= 17, opset >= 20)
    session = fp32_session(classifier) if form == "fp32" else bertc.load(static_file).session
    assert largest_difference(path, session) < (1e-4 if form == "fp32" else 0.05)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("opset", [13, 20])
def test_activations(activation: str, opset: int) -> None:
    x = np.linspace(-6, 6, 60, dtype=np.float32).reshape(20, 3)
    constants = {"w": np.eye(3, dtype=np.float32), "b": np.zeros(3, np.float32)}
    node = Node("act", "linear", {"x": "x", "weight": "w", "bias": "b"}, ("y",), {"activation": activation})
    found = run_graph(node, x, constants, "tokens", opset=opset)
    np.testing.assert_allclose(found, ACTIVATIONS[activation](x), atol=2e-6)


@pytest.mark.parametrize("mode", POOLINGS)
@pytest.mark.parametrize("opset", [13, 18])
def test_poolings_leave_padding_out(mode: str, opset: int) -> None:
    x = np.random.default_rng(0).normal(-2, 1, (20, 3)).astype(np.float32)
    node = Node("pool", "pool", {"x": "x", "cu_seqlens": "cu_seqlens"}, ("y",), {"mode": mode})
    bounds = np.array([0, 7, 8, 20])
    expected = OPS["pool"].reference(x=x, cu_seqlens=bounds, mode=mode)
    np.testing.assert_allclose(run_graph(node, x, {}, "sequences", opset=opset), expected, atol=1e-5)


def run_graph(node: Node, x: Array, constants: dict[str, Array], rows: str, *, opset: int) -> Array:
    """What ONNX Runtime makes of one node that reads rows of a word table: sequences of 7, 1 and 12."""
    import onnxruntime

    ids = {"input_ids": "input_ids", "word": "table", "cu_seqlens": "cu_seqlens"}
    embed = Node("embed", "embed", ids, ("x",), {"first_position": 0})
    tensors = {name: Constant(DType.F32, array) for name, array in {**constants, "table": x}.items()}
    ports = (Port("input_ids", "i32", "tokens"),)
    graph = Graph(ports, tensors, (embed, node), {"out": "y"}, "fused")
    model = make_model(graph, Options(opset=opset))
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    mask = np.arange(12) < np.array([[7], [1], [12]])
    padded = np.full(mask.shape, 19)  # not a row of zeros
    padded[mask] = np.arange(20)
    known = {each.name for each in session.get_inputs()}
    feed = {"input_ids": padded, "attention_mask": mask.astype(np.int64)}
    (out,) = session.run(None, {name: array for name, array in feed.items() if name in known})
    return np.asarray(out if rows == "sequences" else out[mask])


def test_inputs_and_outputs_have_the_usual_names_and_any_size(tmp_path: Path) -> None:
    checkpoint = save_checkpoint(tmp_path / "qa", "BertForQuestionAnswering")
    graph = checked(bertc.export(checkpoint, tmp_path / "qa.onnx")).graph
    assert [each.name for each in graph.input] == ["input_ids", "attention_mask", "token_type_ids"]
    assert [each.name for each in graph.output] == ["start_logits", "end_logits"]
    sizes = [each.dim_param for each in graph.output[0].type.tensor_type.shape.dim]
    assert sizes == ["batch_size", "sequence_length"]


def test_a_model_that_knows_one_kind_of_text_takes_no_token_types(tmp_path: Path) -> None:
    checkpoint = save_checkpoint(tmp_path / "roberta", "RobertaModel", type_vocab_size=1)
    graph = checked(bertc.export(checkpoint, tmp_path / "roberta.onnx")).graph
    assert [each.name for each in graph.input] == ["input_ids", "attention_mask"]


@pytest.mark.parametrize("form", ["fp32", "qdq"])
def test_fixed_sizes(form: str, classifier: Path, static_file: Path, tmp_path: Path) -> None:
    source = classifier if form == "fp32" else static_file
    fixed = bertc.export(source, tmp_path / "fixed.onnx", format=form, batch=4, length=12)
    anyhow = bertc.export(source, tmp_path / "any.onnx", format=form)
    model = checked(fixed)
    shapes = [[d.dim_value for d in each.type.tensor_type.shape.dim] for each in model.graph.input]
    assert shapes == [[4, 12]] * 3
    assert not {"Shape", "Range"} & {node.op_type for node in model.graph.node}
    found, expected = (OnnxSession(path).run_batch(batch())["logits"] for path in (fixed, anyhow))
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("form", ["qdq", "qoperator"])
@pytest.mark.parametrize(
    "class_name", ["BertForTokenClassification", "AlbertModel", "RobertaPreLayerNormModel"]
)
def test_8_bits_equal_our_own_static_file(class_name: str, form: str, tmp_path: Path) -> None:
    checkpoint = save_checkpoint(tmp_path / "model", class_name)
    file = bertc.compile(checkpoint, tmp_path / "static.bertc", STATIC).path
    paths = [
        bertc.export(source, tmp_path / f"{name}.onnx", format=form, recipe=recipe)
        for name, source, recipe in (("file", file, None), ("source", checkpoint, STATIC))
    ]
    checked(paths[0])
    ours, packed = run_ours(bertc.load(file).session, batch()), batch()
    of_file, of_source = (OnnxSession(path).run_batch(packed) for path in paths)
    for name, expected in ours.items():
        error = np.linalg.norm(of_file[name] - expected) / np.linalg.norm(expected)
        assert error < 0.05, name
        labels = of_file[name].argmax(axis=-1) == expected.argmax(axis=-1)
        assert labels.mean() > 0.95, name
        # A file's scales were multiplied together and are divided again.
        assert np.linalg.norm(of_source[name] - of_file[name]) / np.linalg.norm(expected) < 0.02, name


@pytest.mark.parametrize(("form", "opset"), [("qdq", 13), ("qoperator", 22)])
def test_shifts_by_place_are_written(form: str, opset: int, tmp_path: Path) -> None:
    """Padded rows of a few lengths, one of one token: each has its first and last at its own place."""
    checkpoint = make_bert_checkpoint(tmp_path / "model", sink=True)
    file = bertc.compile(checkpoint, tmp_path / "static.bertc", STATIC).path
    path = bertc.export(file, tmp_path / "m.onnx", format=form, opset=opset)
    assert "Where" in {node.op_type for node in checked(path).graph.node}
    packed = batch()
    ours, found = run_ours(bertc.load(file).session, packed), OnnxSession(path).run_batch(packed)
    for name, expected in ours.items():
        assert np.linalg.norm(found[name] - expected) / np.linalg.norm(expected) < 0.05, name


def test_a_recipe_with_ranges_per_token_gets_them_from_calibration(classifier: Path, tmp_path: Path) -> None:
    models = [
        bertc.export(classifier, tmp_path / "m.onnx", format="qdq", recipe=recipe).read_bytes()
        for recipe in (DYNAMIC, STATIC)
    ]
    assert models[0] == models[1]


def test_ranges_of_channel_groups_are_one_scale_per_tensor(classifier: Path, tmp_path: Path) -> None:
    """The layers' weights bring the groups to one range."""
    groups = {**STATIC, "activations": {"mode": "static", "granularity": "per_channel_group"}}
    file = bertc.compile(classifier, tmp_path / "groups.bertc", groups).path
    path = bertc.export(classifier, tmp_path / "m.onnx", format="qdq", recipe=groups)
    tensors = {each.name: each for each in checked(path).graph.initializer}
    assert all(not each.dims for name, each in tensors.items() if name.endswith(".static.scale"))
    assert any(name.endswith("intermediate.dense.smooth.static.scale") for name in tensors)
    assert largest_difference(path, bertc.load(file).session) < 0.05


@pytest.mark.parametrize("form", ["qdq", "qoperator"])
def test_weights_are_int8_per_channel_and_activations_have_one_scale(
    form: str, static_file: Path, tmp_path: Path
) -> None:
    graph = checked(bertc.export(static_file, tmp_path / "m.onnx", format=form)).graph
    tensors = {each.name: each for each in graph.initializer}
    layers = [node for node in graph.node if node.op_type in ("MatMulInteger", "MatMul")]
    rounded = [node for node in graph.node if node.op_type == "QuantizeLinear"]
    assert len(rounded) == 9  # four for each of two layers, and the pooler's
    for node in rounded:
        scale, zero_point = (tensors[name] for name in node.input[1:])
        assert not scale.dims and not zero_point.dims and zero_point.data_type == onnx.TensorProto.UINT8
    weights = [tensors[name] for name in tensors if name.endswith(".transposed")]
    kinds = [each.data_type for each in weights]
    assert kinds.count(onnx.TensorProto.INT8) == 9 and kinds.count(onnx.TensorProto.FLOAT) == 1
    assert len(layers) == 14  # and two in each attention, and the classifier in fp32
    if form == "qdq":
        scales = {node.input[0]: node.input[1] for node in graph.node if node.op_type == "DequantizeLinear"}
        assert all(
            list(tensors[scales[each.name]].dims) == [each.dims[1]] for each in weights if each.data_type == 3
        )


def test_a_fp32_file_equals_its_checkpoint(classifier: Path, tmp_path: Path) -> None:
    recipe = {"dtype": "fp32", "calibration": {"samples": 8, "held_out": 8}}
    file = bertc.compile(classifier, tmp_path / "fp32.bertc", recipe).path
    models = [bertc.export(each, tmp_path / "m.onnx").read_bytes() for each in (file, classifier)]
    assert models[0] == models[1]


def test_bf16_layers_and_tables_in_fewer_bits_are_written(sentence_encoder: Path, tmp_path: Path) -> None:
    recipe = {**STATIC, "nodes": {"*intermediate*": "bf16"}, "embeddings": "fp16"}
    file = bertc.compile(sentence_encoder, tmp_path / "mixed.bertc", recipe).path
    path = bertc.export(file, tmp_path / "mixed.onnx", format="qdq")
    checked(path)
    assert largest_difference(path, bertc.load(file).session) < 0.1


def test_an_exported_file_compiles_again(sentence_encoder: Path, tmp_path: Path) -> None:
    """The way out is a door, too."""
    path = bertc.export(sentence_encoder, tmp_path / "model.onnx")
    recipe = {"dtype": "fp32", "calibration": {"samples": 8, "held_out": 8}}
    again = bertc.compile(
        path, tmp_path / "again.bertc", recipe, tokenizer=sentence_encoder, output_name="sentence_embedding"
    )
    texts = ["hello world", "a man is playing the guitar"]
    found = bertc.load(again.path).encode(texts)
    bertc.compile(sentence_encoder, tmp_path / "first.bertc", recipe)
    np.testing.assert_allclose(found, bertc.load(tmp_path / "first.bertc").encode(texts), atol=1e-5)


def test_a_compiled_bias_by_distance_is_exported(tmp_path: Path) -> None:
    checkpoint = save_checkpoint(tmp_path / "model", "MPNetModel")
    file = bertc.compile(checkpoint, tmp_path / "model.bertc", dtype="fp32")
    path = bertc.export(file.path, tmp_path / "model.onnx")
    checked(path)
    assert largest_difference(path, fp32_session(checkpoint)) < 1e-4


@pytest.mark.parametrize("length", [None, 12])
def test_a_bias_by_distance(length: int | None) -> None:
    """That of a reach of 3, for two heads of 2 columns."""
    from bertc.exporters.onnx.attention import _by_distance
    from bertc.exporters.onnx.writer import Writer

    rng = np.random.default_rng(0)
    bias = rng.normal(size=(2, 7)).astype(np.float32)
    graph = Graph((), {"bias": Constant(DType.F32, bias)}, (), {}, "fused")
    writer = Writer(graph, {}, Options(length=length), {}, ())
    name = _by_distance(writer, "bias")
    places = np.arange(12)
    expected = bias[:, np.clip(places[None] - places[:, None], -3, 3) + 3]
    if length is not None:
        np.testing.assert_array_equal(writer.tensors[name], expected)
        return
    np.testing.assert_array_equal(run_writer(writer, name), expected)


def run_writer(writer: Any, name: str) -> Array:
    import onnxruntime

    info = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        writer.nodes,
        "bias",
        [info("attention_mask", onnx.TensorProto.INT64, ("b", "l"))],
        [info(name, onnx.TensorProto.FLOAT, (2, "l", "l"))],
        [onnx.numpy_helper.from_array(array, key) for key, array in writer.tensors.items()],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"attention_mask": np.ones((1, 12), np.int64)})[0])
