"""What no native op computes runs on the host: the same numbers as ONNX Runtime's, in any batch."""

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
from bertc.primitives.host_steps import find_host_steps
from tests.support import onnx_models as parts
from tests.support.onnx_models import HIDDEN, LOWEST, VOCABULARY, OnnxBert

pytest.importorskip("onnx")
runtime = pytest.importorskip("onnxruntime")
pytestmark = pytest.mark.filterwarnings("ignore:.*has no tokenizer")

Array = np.ndarray[Any, Any]
LENGTHS = (9, 1, 4, 6)


def square(bert: OnnxBert, name: str, x: str, out: int) -> str:
    product = parts.matmul_add(bert, name, x, out)
    return str(bert.op("Mul", product, product)) if name.endswith("inner") else product


def gate(bert: OnnxBert, name: str, x: str, out: int) -> str:
    """One linear layer times the sigmoid of another."""
    product = parts.matmul_add(bert, name, x, out)
    if not name.endswith("inner"):
        return product
    return str(bert.op("Mul", product, bert.op("Sigmoid", parts.matmul_add(bert, f"{name}.gate", x, out))))


def sine(bert: OnnxBert, x: str) -> str:
    return str(bert.op("Sin", x))


def rms_norm(bert: OnnxBert, name: str, x: str) -> str:
    mean = bert.op("ReduceMean", bert.op("Mul", x, x), axes=[-1], keepdims=1)
    root = bert.op("Sqrt", bert.op("Add", mean, bert.constant(1e-5)))
    return str(bert.op("Mul", bert.op("Div", x, root), bert.weight(f"{name}.gain", HIDDEN)))


def causal(bert: OnnxBert) -> str:
    shape = bert.op("Shape", "input_ids")
    length = bert.op("Gather", shape, bert.constant([1]))
    square = bert.op("ConstantOfShape", bert.op("Concat", length, length, axis=0))
    upper = bert.op("Trilu", bert.op("Add", square, bert.constant(1.0)), bert.constant(1))
    return str(bert.op("Mul", upper, bert.constant(LOWEST)))


def _mask(bert: OnnxBert, to: int) -> str:
    return str(bert.op("Unsqueeze", bert.op("Cast", "attention_mask", to=to), bert.constant([2])))


def convolution(bert: OnnxBert, x: str, **attributes: Any) -> str:
    """A convolution of three tokens, to which padding is zeros."""
    turned = bert.op("Transpose", bert.op("Mul", x, _mask(bert, 1)), perm=[0, 2, 1])
    group = attributes.get("group", 1)
    weight = bert.weight(f"conv{len(bert.nodes)}", HIDDEN, HIDDEN // group, 3)
    conv = bert.op("Conv", turned, weight, bert.weight("conv.bias", HIDDEN), pads=[1, 1], **attributes)
    return str(bert.op("Transpose", conv, perm=[0, 2, 1]))


def convolved(bert: OnnxBert, x: str) -> dict[str, str]:
    total = bert.op("Add", convolution(bert, x), x)
    return {"last_hidden_state": parts.fused_norm(bert, "conv.norm", bert.op("Relu", total))}


def convolved_apart(bert: OnnxBert, x: str) -> dict[str, str]:
    return {"last_hidden_state": convolution(bert, x, group=HIDDEN)}


def least(bert: OnnxBert, x: str) -> dict[str, str]:
    """The minimum over tokens that are no padding."""
    kept = bert.op("Where", _mask(bert, 9), x, bert.constant(1e4))
    return {"sentence_embedding": bert.op("ReduceMin", kept, axes=[1], keepdims=0)}


def standard_deviation(bert: OnnxBert, x: str) -> dict[str, str]:
    """A statistic over tokens by their mask, then a linear layer."""
    mask = _mask(bert, 1)
    count = bert.op("ReduceSum", mask, bert.constant([1]), keepdims=1)
    mean = bert.op(
        "Div", bert.op("ReduceSum", bert.op("Mul", x, mask), bert.constant([1]), keepdims=1), count
    )
    squares = bert.op("Pow", bert.op("Mul", bert.op("Sub", x, mean), mask), bert.constant(2.0))
    spread = bert.op("Div", bert.op("ReduceSum", squares, bert.constant([1]), keepdims=1), count)
    return {"logits": parts.matmul_add(bert, "head", bert.op("Squeeze", spread, bert.constant([1])), 3)}


def sum_of_layers(bert: OnnxBert, x: str) -> dict[str, str]:
    """Two norms that are added, and an activation that is after no linear layer."""
    other = parts.fused_norm(bert, "again", x)
    return {"last_hidden_state": bert.op("Tanh", bert.op("Add", x, other))}


CASES: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "square": ({"linear": square}, ("Mul",)),
    "gate": ({"linear": gate}, ("Mul",)),
    "sine": ({"gelu": sine}, ("Sin",)),
    "rms_norm": ({"norm": rms_norm}, ("ReduceMean",)),
    "causal": ({"mask": causal}, ("Trilu", "Softmax", "MatMul")),
    "convolution": ({"head": convolved}, ("Conv", "Transpose", "Relu")),
    "depthwise": ({"head": convolved_apart}, ("Conv",)),
    "least": ({"head": least}, ("Where", "ReduceMin")),
    "deviation": ({"head": standard_deviation}, ("Sub", "Pow")),
    "layers": ({"head": sum_of_layers, "layers": 2}, ("Add", "Tanh")),
    "every layer": ({"gelu": sine, "norm": rms_norm, "layers": 3}, ("Sin",)),
}
"""Parts of a tiny BERT that there is no op for, and operators that the host runs for them."""


def batch(lengths: tuple[int, ...] = LENGTHS) -> dict[str, Array]:
    """A padded batch of random tokens."""
    rng = np.random.default_rng(7)
    mask = (np.arange(max(lengths)) < np.array(lengths)[:, None]).astype(np.int64)
    ids = rng.integers(1, VOCABULARY, mask.shape) * mask
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": rng.integers(0, 2, mask.shape) * mask}


def reference(path: Path, inputs: dict[str, Array]) -> Array:
    """ONNX Runtime's first output, its padding zero."""
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_inputs()]
    found = np.asarray(session.run(None, {name: inputs[name] for name in names})[0])
    return found * inputs["attention_mask"][..., None] if found.ndim == 3 else found


def packed(inputs: dict[str, Array]) -> dict[str, Array]:
    mask = inputs["attention_mask"].astype(bool)
    ids = {name: array[mask].astype(np.int32) for name, array in inputs.items() if name != "attention_mask"}
    return {**ids, "cu_seqlens": np.cumsum([0, *mask.sum(axis=1)]).astype(np.int32)}


def sources(graph: Graph) -> str:
    return " ".join(name for each in find_host_steps(graph.nodes).values() for name in each.sources)


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, tuple[str, ...]]:
    changes, operators = CASES[request.param]
    return OnnxBert(**changes).save(tmp_path / "m.onnx"), operators


def test_the_graph_computes_what_onnxruntime_does(case: tuple[Path, tuple[str, ...]]) -> None:
    path, operators = case
    model, inputs = import_onnx(path), batch()
    fused = passes.fuse(model.graph)
    told = sources(fused)
    assert all(f"({name})" in told for name in operators)
    expected, mask = reference(path, inputs), inputs["attention_mask"].astype(bool)
    name = next(iter(model.graph.outputs))
    for graph in (model.graph, fused):
        found = interpreter.run(graph, packed(inputs))[name]
        wanted = expected[mask] if expected.ndim == 3 else expected
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())


def test_what_follows_the_host_is_native_and_has_the_names_of_old(tmp_path: Path) -> None:
    graph = import_onnx(OnnxBert(gelu=sine).save(tmp_path / "m.onnx")).graph
    plain = import_onnx(OnnxBert().save(tmp_path / "p.onnx")).graph
    assert [node.name for node in graph.nodes] == [node.name for node in plain.nodes]
    assert [node.op for node in graph.nodes if node.op != "host"] == [
        node.op for node in plain.nodes if node.op != "gelu"
    ]


@pytest.mark.parametrize(
    ("linear", "reason"), [(square, "no op of bertc does"), (gate, "no op for mul of hidden states")]
)
def test_a_region_says_why_it_is_one(linear: Callable[..., str], reason: str, tmp_path: Path) -> None:
    graph = import_onnx(OnnxBert(linear=linear).save(tmp_path / "m.onnx")).graph
    (region,) = find_host_steps(graph.nodes).values()
    assert reason in region.reason


def test_a_scaling_of_what_is_written_already(tmp_path: Path) -> None:
    """A value that another layer read cannot be folded into its layer: once that was tried without end."""

    def head(bert: OnnxBert, x: str) -> dict[str, str]:
        doubled = bert.op("Mul", parts.matmul_add(bert, "a", x, HIDDEN), bert.constant(2.0))
        beside = parts.matmul_add(bert, "b", doubled, HIDDEN)
        weighted = bert.op("Mul", doubled, bert.weight("columns", HIDDEN))
        return {
            "logits": bert.op("Add", bert.op("Relu", beside), parts.matmul_add(bert, "c", weighted, HIDDEN))
        }

    path = OnnxBert(head=head).save(tmp_path / "m.onnx")
    graph = passes.fuse(import_onnx(path).graph)
    assert "(Mul)" in sources(graph)
    inputs = batch()
    found = interpreter.run(graph, packed(inputs))["logits"]
    expected = reference(path, inputs)[inputs["attention_mask"].astype(bool)]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
