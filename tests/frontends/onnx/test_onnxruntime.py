"""ONNX Runtime's own operators, and what its tools quantize: judged by ONNX Runtime itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bertc import passes
from bertc.frontends.onnx import import_onnx
from bertc.ir import interpreter
from bertc.ir.graph import Graph
from tests.support import onnx_models as parts
from tests.support.onnx_models import EPSILON, HEADS, HIDDEN, INNER, POSITIONS, TYPES, VOCABULARY, OnnxBert

onnx = pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")
pytestmark = pytest.mark.filterwarnings("ignore:.*has no tokenizer")

Array = np.ndarray[Any, Any]
LENGTHS = (5, 8)
MICROSOFT = "com.microsoft"


def batch() -> tuple[dict[str, Array], Array]:
    rng = np.random.default_rng(2)
    mask = np.arange(max(LENGTHS)) < np.array(LENGTHS)[:, None]
    ids, types = rng.integers(1, VOCABULARY, mask.shape) * mask, rng.integers(0, TYPES, mask.shape) * mask
    return {"input_ids": ids, "attention_mask": mask.astype(np.int64), "token_type_ids": types}, mask


def run_theirs(path: Path) -> Array:
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    inputs, mask = batch()
    return np.asarray(session.run(None, {each.name: inputs[each.name] for each in session.get_inputs()})[0])[
        mask
    ]


def run_ours(graph: Graph) -> Array:
    inputs, mask = batch()
    packed = {
        name: array[mask].astype(np.int32) for name, array in inputs.items() if name != "attention_mask"
    }
    packed["cu_seqlens"] = np.array([0, LENGTHS[0], sum(LENGTHS)], np.int32)
    return interpreter.run(graph, packed)["last_hidden_state"]


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    path = OnnxBert().save(tmp_path_factory.mktemp("plain") / "m.onnx")
    np.testing.assert_allclose(run_ours(import_onnx(path).graph), run_theirs(path), atol=1e-5)
    return ops(import_onnx(path).graph)


def ops(graph: Graph) -> list[str]:
    return [node.op for node in passes.fuse(graph).nodes]


def embed_layer_norm(bert: OnnxBert) -> str:
    ids, types = (bert.op("Cast", name, to=6) for name in ("input_ids", "token_type_ids"))
    tables = [
        bert.weight(name, rows, HIDDEN)
        for name, rows in (("word", VOCABULARY), ("position", POSITIONS), ("type", TYPES))
    ]
    norm = parts.norm_weights(bert, "embeddings.norm")
    out = bert.op(
        "EmbedLayerNormalization", ids, types, *tables, *norm, domain=MICROSOFT, outputs=2, epsilon=EPSILON
    )
    return str(out[0])


def packed_weights(bert: OnnxBert, name: str) -> tuple[str, str]:
    kinds = ("query", "key", "value")
    weights = [bert.tensors[bert.weight(f"{name}.{kind}.weight", HIDDEN, HIDDEN)] for kind in kinds]
    biases = [bert.tensors[bert.weight(f"{name}.{kind}.bias", HIDDEN)] for kind in kinds]
    return (
        bert.tensor(f"{name}.weight", np.concatenate(weights, axis=1)),
        bert.tensor(f"{name}.bias", np.concatenate(biases)),
    )


def microsoft_attention(bert: OnnxBert, name: str, x: str, mask: str) -> str:
    return str(bert.op("Attention", x, *packed_weights(bert, name), mask, domain=MICROSOFT, num_heads=HEADS))


def multi_head_attention(bert: OnnxBert, name: str, x: str, mask: str) -> str:
    _, bias = packed_weights(bert, name)
    parts_ = [bert.op("MatMul", x, f"{name}.{kind}.weight") for kind in ("query", "key", "value")]
    return str(bert.op("MultiHeadAttention", *parts_, bias, mask, domain=MICROSOFT, num_heads=HEADS))


def kept(bert: OnnxBert) -> str:
    return str(bert.op("Cast", "attention_mask", to=6))


def counted(bert: OnnxBert) -> str:
    return str(bert.op("Cast", bert.op("ReduceSum", "attention_mask", bert.constant([1]), keepdims=0), to=6))


def standard_attention(bert: OnnxBert, name: str, x: str, mask: str) -> str:
    query, key, value = (
        parts.matmul_add(bert, f"{name}.{part}", x, HIDDEN) for part in ("query", "key", "value")
    )
    split = [parts.split_heads(bert, each, 0, 2, 1, 3) for each in (query, key, value)]
    mixed = bert.op("Transpose", bert.op("Attention", *split, mask), perm=[0, 2, 1, 3])
    return str(bert.op("Reshape", mixed, bert.constant([0, 0, HIDDEN])))


def square_mask(bert: OnnxBert) -> str:
    """For each token those that it attends to, [batch, 1, length, length]."""
    shape = bert.op("Shape", "input_ids")
    batch, length = (bert.op("Gather", shape, bert.constant([axis])) for axis in (0, 1))
    full = bert.op("Concat", batch, bert.constant([1]), length, length, axis=0)
    return str(bert.op("Expand", parts.additive_mask(bert), full))


FORMS: dict[str, dict[str, Any]] = {
    "EmbedLayerNormalization": {"embeddings": embed_layer_norm},
    "Attention": {"attention": microsoft_attention, "mask": kept},
    "Attention by lengths": {"attention": microsoft_attention, "mask": counted},
    "MultiHeadAttention": {"attention": multi_head_attention, "mask": kept},
    "Gelu": {"gelu": lambda bert, x: bert.op("Gelu", x, domain=MICROSOFT)},
    "BiasGelu": {
        "gelu": lambda bert, x: bert.op("BiasGelu", x, bert.weight("extra", INNER), domain=MICROSOFT)
    },
    "FastGelu": {"gelu": lambda bert, x: bert.op("FastGelu", x, domain=MICROSOFT)},
    "Gelu of opset 20": {"gelu": lambda bert, x: bert.op("Gelu", x), "opset": 20},
    "Attention of opset 23": {"attention": standard_attention, "mask": square_mask, "opset": 23},
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_fused_operators(form: dict[str, Any], plain: list[str], tmp_path: Path) -> None:
    path = OnnxBert(**form).save(tmp_path / "m.onnx")
    graph = import_onnx(path).graph
    np.testing.assert_allclose(run_ours(graph), run_theirs(path), atol=1e-4)
    assert ops(graph) == plain


def test_skip_layer_norm(plain: list[str], tmp_path: Path) -> None:
    """Each norm takes in the sum before it."""
    bert = OnnxBert()
    for node in bert.nodes:
        consumed = next(
            (
                each
                for each in bert.nodes
                if each.op_type == "LayerNormalization" and each.input[0] == node.output[0]
            ),
            None,
        )
        if node.op_type == "Add" and consumed is not None and len(node.input) == 2:
            consumed.op_type, consumed.domain = "SkipLayerNormalization", MICROSOFT
            consumed.input[:] = [*node.input, *consumed.input[1:]]
            del consumed.attribute[:]
            consumed.attribute.append(onnx.helper.make_attribute("epsilon", EPSILON))
    path = bert.save(tmp_path / "m.onnx")
    graph = import_onnx(path).graph
    np.testing.assert_allclose(run_ours(graph), run_theirs(path), atol=1e-4)
    assert ops(graph) == plain


def four_bits(bert: OnnxBert, name: str, x: str, out: int) -> str:
    """A linear layer of 4-bit weights, as ONNX Runtime's MatMulNBits packs them, without zero points."""
    columns = INNER if name.endswith("outer") else HIDDEN
    rng = np.random.default_rng([*name.encode()])
    blocks = -(-columns // 16)
    numbers = rng.integers(0, 16, (out, blocks, 16), np.uint8)
    packed = bert.tensor(f"{name}.packed", numbers[..., ::2] | (numbers[..., 1::2] << 4))
    scales = bert.tensor(f"{name}.scales", rng.uniform(0.02, 0.1, (out, blocks)).astype(np.float32))
    product = bert.op(
        "MatMulNBits", x, packed, scales, domain=MICROSOFT, K=columns, N=out, bits=4, block_size=16
    )
    return str(bert.op("Add", product, bert.weight(f"{name}.bias", out)))


def block_embeddings(bert: OnnxBert) -> str:
    """Words of 4 bits in blocks of 16, each with a scale."""
    rng = np.random.default_rng(4)
    numbers = rng.integers(0, 16, (VOCABULARY, HIDDEN), np.uint8)
    table = bert.tensor("blocks", numbers[:, ::2] | (numbers[:, 1::2] << 4))
    scales = bert.tensor("scales", rng.uniform(0.02, 0.2, (VOCABULARY, HIDDEN // 16)).astype(np.float32))
    sizes = {"bits": 4, "block_size": 16, "gather_axis": 0, "quantize_axis": 1}
    word = bert.op("GatherBlockQuantized", table, "input_ids", scales, domain=MICROSOFT, **sizes)
    total = bert.op("Add", word, bert.op("Gather", bert.weight("type", TYPES, HIDDEN), "token_type_ids"))
    positions = parts.sliced_positions(bert)
    total = bert.op("Add", total, bert.op("Gather", bert.weight("position", POSITIONS, HIDDEN), positions))
    return parts.fused_norm(bert, "embeddings.norm", total)


def test_a_table_in_blocks_of_four_bits(plain: list[str], tmp_path: Path) -> None:
    path = OnnxBert(embeddings=block_embeddings).save(tmp_path / "m.onnx")
    graph = import_onnx(path).graph
    np.testing.assert_allclose(run_ours(graph), run_theirs(path), atol=1e-4)
    assert ops(graph) == plain


def test_four_bit_weights(plain: list[str], tmp_path: Path) -> None:
    path = OnnxBert(linear=four_bits).save(tmp_path / "m.onnx")
    model = import_onnx(path)
    np.testing.assert_allclose(run_ours(model.graph), run_theirs(path), atol=1e-4)
    assert ops(model.graph) == plain
    assert any("4 bits" in note for note in model.notes)


def dynamic(source: Path, path: Path) -> None:
    from onnxruntime.quantization import quantize_dynamic

    quantize_dynamic(str(source), str(path), extra_options={"DefaultTensorType": 1})


def optimized(source: Path, path: Path) -> None:
    between = path.with_suffix(".between.onnx")
    dynamic(source, between)
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(path)
    ort.InferenceSession(str(between), options, providers=["CPUExecutionProvider"])


def static(source: Path, path: Path, kind: str) -> None:
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_static

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.batches = [batch()[0]]

        def get_next(self) -> dict[str, Array] | None:
            return self.batches.pop() if self.batches else None

    quantize_static(str(source), str(path), Reader(), quant_format=QuantFormat[kind])


TOOLS: dict[str, tuple[Callable[[Path, Path], None], dict[str, Any]]] = {
    "MatMulInteger": (dynamic, {}),
    "QAttention": (dynamic, {"attention": microsoft_attention, "mask": kept}),
    "QEmbedLayerNormalization": (dynamic, {"embeddings": embed_layer_norm}),
    "MatMulIntegerToFloat": (optimized, {}),
    "QDQ": (lambda source, path: static(source, path, "QDQ"), {}),
    "QOperator": (lambda source, path: static(source, path, "QOperator"), {}),
}


@pytest.mark.parametrize("tool", TOOLS.values(), ids=TOOLS)
@pytest.mark.filterwarnings("ignore")
def test_quantized_files(
    tool: tuple[Callable[[Path, Path], None], dict[str, Any]], plain: list[str], tmp_path: Path
) -> None:
    """The weights are those that were rounded: no further from the original than a step of 8 bits."""
    quantize, form = tool
    source = OnnxBert(**form).save(tmp_path / "source.onnx")
    quantize(source, tmp_path / "m.onnx")
    original, model = import_onnx(source), import_onnx(tmp_path / "m.onnx")
    assert ops(model.graph) == plain
    assert any("8 bits" in note for note in model.notes)
    for name, constant in original.graph.constants.items():
        found = model.graph.constants[name].array
        step = np.abs(constant.array).max() / 127
        assert np.abs(found - constant.array).max() <= 1.01 * step, name
    expected, ours = run_theirs(tmp_path / "m.onnx"), run_ours(model.graph)
    assert float((expected * ours).sum() / np.linalg.norm(expected) / np.linalg.norm(ours)) > 0.99
