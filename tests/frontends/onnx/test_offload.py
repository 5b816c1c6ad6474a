"""What no native op computes runs on the host: the same numbers as ONNX Runtime's, in any batch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bertc import passes
from bertc.errors import CheckpointError
from bertc.frontends.onnx import import_onnx
from bertc.ir import interpreter
from bertc.ir.graph import Graph
from bertc.primitives.host_steps import find_host_steps
from tests.support import onnx_models as parts
from tests.support.hosted_parts import CASES, gate, sine, square
from tests.support.onnx_models import HIDDEN, INNER, POSITIONS, VOCABULARY, OnnxBert

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


def _channels(bert: OnnxBert, x: str, kind: str, *weights: str, **attributes: Any) -> str:
    """An operator on [batch, channels, length], to which padding is zeros."""
    mask = bert.op("Unsqueeze", bert.op("Cast", "attention_mask", to=1), bert.constant([2]))
    turned = bert.op("Transpose", bert.op("Mul", x, mask), perm=[0, 2, 1])
    return str(bert.op("Transpose", bert.op(kind, turned, *weights, **attributes), perm=[0, 2, 1]))


def _conv(taps: int, **attributes: Any) -> Callable[[OnnxBert, str], str]:
    def convolve(bert: OnnxBert, x: str) -> str:
        weight = bert.weight("taps", INNER, INNER // attributes.get("group", 1), taps)
        return _channels(bert, x, "Conv", weight, **attributes)

    return convolve


def _shifted(bert: OnnxBert, x: str) -> str:
    """Each token takes the row of the one before it."""
    rows = bert.op(
        "Mul", x, bert.op("Unsqueeze", bert.op("Cast", "attention_mask", to=1), bert.constant([2]))
    )
    padded = bert.op("Pad", rows, bert.constant([0, 1, 0, 0, 0, 0]))
    return str(bert.op("Slice", padded, bert.constant([0]), bert.constant([-1]), bert.constant([1])))


OPERATORS: dict[str, Callable[[OnnxBert, str], str]] = {
    **{
        name: lambda bert, x, name=name: bert.op(name, x)
        for name in ("Elu", "Selu", "LeakyRelu", "HardSigmoid", "HardSwish", "Softplus", "Softsign", "Cos")
    },
    "Elu 0.3": lambda bert, x: bert.op("Elu", x, alpha=0.3),
    "HardSigmoid 0.4": lambda bert, x: bert.op("HardSigmoid", x, alpha=0.4, beta=0.2),
    "PRelu": lambda bert, x: bert.op("PRelu", x, bert.weight("slopes", INNER)),
    "LogSoftmax": lambda bert, x: bert.op("LogSoftmax", x, axis=-1),
    "ReduceLogSumExp": lambda bert, x: bert.op(
        "Sub", x, bert.op("ReduceLogSumExp", x, axes=[-1], keepdims=1)
    ),
    "ReduceL1": lambda bert, x: bert.op("Div", x, bert.op("ReduceL1", x, axes=[2], keepdims=1)),
    "CumSum": lambda bert, x: bert.op("CumSum", x, bert.constant(1)),
    "Conv": _conv(3, auto_pad="SAME_UPPER"),
    "Conv of two": _conv(2, auto_pad="SAME_LOWER"),
    "Conv dilated": _conv(3, dilations=[2], pads=[2, 2], group=4),
    "Conv of before": _conv(4, pads=[3, 0], group=INNER),
    "Pad": _shifted,
}


@pytest.mark.parametrize("name", OPERATORS)
def test_operators_of_the_host(name: str, tmp_path: Path) -> None:
    path = OnnxBert(gelu=OPERATORS[name]).save(tmp_path / "m.onnx")
    inputs = batch()
    graph = passes.fuse(import_onnx(path).graph)
    assert f"({name.split()[0]})" in sources(graph)
    found = interpreter.run(graph, packed(inputs))["last_hidden_state"]
    expected = reference(path, inputs)[inputs["attention_mask"].astype(bool)]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def _rotary(microsoft: bool, heads: bool, **attributes: Any) -> Callable[[OnnxBert, str], str]:
    """An activation that turns 2 heads of 12 columns by the tables of positions."""
    pairs = attributes.get("rotary_embedding_dim", 12) // 2
    angles = np.arange(POSITIONS)[:, None] * 0.3 ** np.arange(pairs)

    def turn(bert: OnnxBert, x: str) -> str:
        cos, sin = (bert.constant(function(angles).astype(np.float32)) for function in (np.cos, np.sin))
        ids = parts.sliced_positions(bert)
        positions = bert.op("Expand", ids, bert.op("Shape", "input_ids"))
        more = {**attributes, "num_heads": 2} if heads else attributes
        if not heads:
            shape = bert.constant([0, 0, 2, INNER // 2])
            x = bert.op("Transpose", bert.op("Reshape", x, shape), perm=[0, 2, 1, 3])
        if microsoft:
            out = bert.op("RotaryEmbedding", x, positions, cos, sin, domain="com.microsoft", **more)
        else:
            out = bert.op("RotaryEmbedding", x, cos, sin, positions, **more)
        if heads:
            return str(out)
        return str(
            bert.op("Reshape", bert.op("Transpose", out, perm=[0, 2, 1, 3]), bert.constant([0, 0, INNER]))
        )

    return turn


@pytest.mark.parametrize("microsoft", [True, False], ids=["microsoft", "onnx"])
@pytest.mark.parametrize(
    ("heads", "attributes"),
    [
        (True, {}),
        (False, {}),
        (True, {"interleaved": 1}),
        (False, {"interleaved": 1}),
        (True, {"rotary_embedding_dim": 4}),
    ],
    ids=str,
)
def test_rotary_embeddings(microsoft: bool, heads: bool, attributes: dict[str, int], tmp_path: Path) -> None:
    path = OnnxBert(gelu=_rotary(microsoft, heads, **attributes), opset=17 if microsoft else 23).save(
        tmp_path / "m.onnx"
    )
    inputs = batch()
    graph = passes.fuse(import_onnx(path).graph)
    assert "RotaryEmbedding)" in sources(graph)
    found = interpreter.run(graph, packed(inputs))["last_hidden_state"]
    expected = reference(path, inputs)[inputs["attention_mask"].astype(bool)]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (lambda bert, x: bert.op("Conv", x, bert.weight("w", 3, 3, 3, 3)), "over one axis"),
        (lambda bert, x: _channels(bert, x, "Conv", bert.weight("w", INNER, INNER, 3), strides=[2]), "n"),
        (lambda bert, x: bert.op("Pad", x, bert.constant([0] * 6), mode="edge"), "only constants"),
    ],
)
def test_operators_that_are_not_for_the_host(
    part: Callable[[OnnxBert, str], str], message: str, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match=rf"node 'n\d+'.*{message}"):
        import_onnx(OnnxBert(gelu=part).save(tmp_path / "m.onnx"))


def test_a_convolution_that_sees_padding_is_refused_by_the_proof(tmp_path: Path) -> None:
    def careless(bert: OnnxBert, x: str) -> str:
        turned = bert.op("Transpose", x, perm=[0, 2, 1])
        conv = bert.op("Conv", turned, bert.weight("taps", INNER, INNER, 3), pads=[1, 1])
        return str(bert.op("Transpose", conv, perm=[0, 2, 1]))

    with pytest.raises(CheckpointError, match=r"node .*differs.*convolution reads.*attention_mask"):
        import_onnx(OnnxBert(gelu=careless).save(tmp_path / "m.onnx"))
    alone = OnnxBert(gelu=careless, inputs=("input_ids",)).save(tmp_path / "alone.onnx")
    assert "(Conv)" in sources(import_onnx(alone).graph)


@pytest.mark.parametrize("sizes", [(1, "sequence"), (2, 9), (1, 24)])
def test_sizes_that_the_file_fixes(sizes: tuple[int | str, ...], tmp_path: Path) -> None:
    """What speaks of no sizes runs on any number of tokens all the same."""
    path = OnnxBert(gelu=sine, sizes=sizes).save(tmp_path / "m.onnx")
    assert "(Sin)" in sources(import_onnx(path).graph)


def test_sizes_that_the_file_fixes_in_a_region(tmp_path: Path) -> None:
    def spread(bert: OnnxBert, x: str) -> str:
        return str(bert.op("Reshape", bert.op("Sin", x), bert.constant([2, 9, INNER])))

    def twice(bert: OnnxBert, x: str) -> str:
        turned = bert.op("Reshape", bert.op("Sin", x), bert.constant([2, 9, 2, INNER // 2]))
        return str(bert.op("Reshape", bert.op("Cos", turned), bert.constant([2, 9, INNER])))

    assert "(Sin)" in sources(
        import_onnx(OnnxBert(gelu=spread, sizes=(2, 9)).save(tmp_path / "a.onnx")).graph
    )
    with pytest.raises(CheckpointError, match=r"node .*for any length.*sizes that are not fixed"):
        import_onnx(OnnxBert(gelu=twice, sizes=(2, 9)).save(tmp_path / "b.onnx"))


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
        return {"logits": bert.op("Add", bert.op("Relu", beside), weighted)}

    path = OnnxBert(head=head).save(tmp_path / "m.onnx")
    graph = passes.fuse(import_onnx(path).graph)
    assert "(Mul)" in sources(graph)
    inputs = batch()
    found = interpreter.run(graph, packed(inputs))["logits"]
    expected = reference(path, inputs)[inputs["attention_mask"].astype(bool)]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
