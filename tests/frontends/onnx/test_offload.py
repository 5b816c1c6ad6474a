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
from tests.support.hosted_parts import CASES, gate, sine, square
from tests.support.onnx_models import HIDDEN, VOCABULARY, OnnxBert

pytest.importorskip("onnx")
runtime = pytest.importorskip("onnxruntime")
pytestmark = pytest.mark.filterwarnings("ignore:.*has no tokenizer")

Array = np.ndarray[Any, Any]
LENGTHS = (9, 1, 4, 6)


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
