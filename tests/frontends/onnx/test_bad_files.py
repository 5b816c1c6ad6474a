"""Files that are damaged, hostile, or no encoder: one error that names the node, and nothing else happens."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bertc.errors import CheckpointError, MissingExtraError
from bertc.frontends.onnx import import_onnx
from bertc.primitives.host_steps import find_host_steps
from tests.support import onnx_models as parts
from tests.support.onnx_models import HIDDEN, OnnxBert

onnx = pytest.importorskip("onnx")


def refuse(path: Path, *words: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        import_onnx(path)
    for word in words:
        assert word in str(caught.value)


def write(model: Any, path: Path) -> Path:
    path.write_bytes(model.SerializeToString())
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "m.onnx"


def test_truncated_file(path: Path) -> None:
    whole = OnnxBert().model().SerializeToString()
    path.write_bytes(whole[: len(whole) // 2])
    refuse(path, "m.onnx")


@pytest.mark.parametrize("content", [b"", b"no protobuf at all", b"\x00" * 64])
def test_what_is_no_onnx_file(content: bytes, path: Path) -> None:
    path.write_bytes(content)
    refuse(path, "no ONNX file")


def test_a_folder_or_nothing(path: Path) -> None:
    refuse(path, "is missing")
    path.mkdir()
    refuse(path, "cannot be read")


def node_of(model: Any, kind: str) -> Any:
    return next(node for node in model.graph.node if node.op_type == kind)


def cycle(model: Any) -> str:
    node = node_of(model, "Erf")
    node.input[0] = node_of(model, "Softmax").output[0]
    node_of(model, "Softmax").input[0] = node.output[0]
    return "cycle"


def dangling(model: Any) -> str:
    node_of(model, "Erf").input[0] = "nowhere"
    return "nothing produces its input 'nowhere'"


def twice(model: Any) -> str:
    node_of(model, "Erf").output[0] = node_of(model, "Softmax").output[0]
    return "which is there already"


def unknown_domain(model: Any) -> str:
    node_of(model, "Erf").domain = "ai.acme"
    return "domain 'ai.acme'"


def unknown_op(model: Any) -> str:
    node_of(model, "Erf").op_type = "Erff"
    return "the nearest is Erf"


def control_flow(model: Any) -> str:
    node = node_of(model, "Erf")
    node.op_type = "If"
    node.attribute.append(onnx.helper.make_attribute("then_branch", onnx.helper.make_graph([], "g", [], [])))
    return "no such operator"


def wrong_shapes(model: Any) -> str:
    name = node_of(model, "MatMul").input[1]
    tensor = next(each for each in model.graph.initializer if each.name == name)
    tensor.CopyFrom(onnx.numpy_helper.from_array(np.zeros((HIDDEN + 1, 3), np.float32), name))
    return "do not fit"


def missing_attribute(model: Any) -> str:
    del node_of(model, "Transpose").attribute[:]
    return "'perm'"


@pytest.mark.parametrize(
    "damage",
    [cycle, dangling, twice, unknown_domain, unknown_op, control_flow, wrong_shapes, missing_attribute],
)
def test_the_node_is_named(damage: Callable[[Any], str], path: Path) -> None:
    model = OnnxBert().model()
    expected = damage(model)
    refuse(write(model, path), "node 'n", expected)


@pytest.mark.parametrize("version", [9, 99])
def test_opsets_beyond_the_tables(version: int, path: Path) -> None:
    refuse(OnnxBert(opset=version).save(path), f"opset {version}", "11 to")


def tensor_of(model: Any) -> Any:
    return next(each for each in model.graph.initializer if each.name == "word")


@pytest.mark.parametrize("dims", [(-4, HIDDEN), (1_000_000_000, HIDDEN), (2**40, 2**40)])
def test_shapes_that_the_data_do_not_have(dims: tuple[int, int], path: Path) -> None:
    model = OnnxBert().model()
    tensor_of(model).dims[:] = dims
    refuse(write(model, path), "'word'")


def test_tensors_of_text(path: Path) -> None:
    model = OnnxBert().model()
    tensor_of(model).CopyFrom(onnx.helper.make_tensor("word", onnx.TensorProto.STRING, [1], [b"x"]))
    refuse(write(model, path), "'word'", "element type 8")


def test_constants_of_billions(path: Path) -> None:
    def gelu(bert: OnnxBert, x: str) -> str:
        huge = bert.op("ConstantOfShape", bert.constant([1 << 20, 1 << 20]))
        return str(bert.op("Add", x, bert.op("ReduceSum", huge, keepdims=0)))

    refuse(OnnxBert(gelu=gelu).save(path), "node 'n", "cannot be")


def external(model: Any, location: str, **entries: int) -> None:
    tensor = tensor_of(model)
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in {"location": location, **entries}.items():
        tensor.external_data.add(key=key, value=str(value))


def test_external_data_beside_the_file(path: Path) -> None:
    model = OnnxBert().model()
    data = tensor_of(model).raw_data
    path.with_name("weights.bin").write_bytes(b"\0" * 8 + data)
    external(model, "weights.bin", offset=8, length=len(data))
    with pytest.warns(UserWarning, match="no tokenizer"):
        found = import_onnx(write(model, path))
    word = found.graph.constants["embeddings.word_embeddings.weight"].array
    np.testing.assert_array_equal(word, OnnxBert().tensors["word"])
    assert {"m.onnx", "weights.bin"} == {*found.source["files"]}


@pytest.mark.parametrize("location", ["../weights.bin", "/etc/passwd", "gone.bin", "", "a/../../weights.bin"])
def test_external_data_elsewhere(location: str, path: Path) -> None:
    folder = path.parent / "inner"
    folder.mkdir()
    (path.parent / "weights.bin").write_bytes(b"\0" * 100_000)
    model = OnnxBert().model()
    external(model, location)
    refuse(write(model, folder / "m.onnx"))


@pytest.mark.parametrize(("link", "target"), [("weights.bin", "weights.bin"), ("inside", ".")])
def test_external_data_through_a_link(link: str, target: str, path: Path) -> None:
    folder = path.parent / "inner"
    folder.mkdir()
    (path.parent / "weights.bin").write_bytes(b"\0" * 100_000)
    (folder / link).symlink_to(path.parent / target)
    model = OnnxBert().model()
    external(model, link if link == "weights.bin" else f"{link}/weights.bin")
    refuse(write(model, folder / "m.onnx"), "'word'", "link")


def test_a_model_and_its_data_are_links_in_the_hubs_cache(path: Path) -> None:
    blobs = path.parent / "blobs"
    blobs.mkdir()
    model = OnnxBert().model()
    (blobs / "1").write_bytes(tensor_of(model).raw_data)
    external(model, "weights.bin")
    write(model, blobs / "2")
    path.symlink_to(blobs / "2")
    path.with_name("weights.bin").symlink_to(blobs / "1")
    with pytest.warns(UserWarning, match="no tokenizer"):
        assert import_onnx(path).info.task == "embedding"


@pytest.mark.parametrize("entries", [{"offset": 8}, {"length": 4}, {"offset": -8}])
def test_external_data_that_is_too_short(entries: dict[str, int], path: Path) -> None:
    model = OnnxBert().model()
    path.with_name("weights.bin").write_bytes(tensor_of(model).raw_data)
    external(model, "weights.bin", **entries)
    refuse(write(model, path), "'word'", "weights.bin")


def careless_mean(_: OnnxBert, x: str) -> dict[str, str]:
    return {"sentence_embedding": _.op("ReduceMean", x, axes=[1], keepdims=0)}


def test_a_mean_that_counts_padding_is_found_by_the_proof(path: Path) -> None:
    refuse(OnnxBert(head=careless_mean).save(path), "node 'n", "differs", "padding")


@pytest.mark.parametrize(
    "inputs", [("input_ids", "surplus", "attention_mask", "token_type_ids"), ("input_ids",)]
)
def test_inputs_that_nothing_reads_do_not_matter(inputs: tuple[str, ...], path: Path) -> None:
    with pytest.warns(UserWarning, match="no tokenizer"):
        assert import_onnx(OnnxBert(inputs=inputs).save(path)).info.task == "embedding"


def test_an_output_that_is_not_there(path: Path) -> None:
    with pytest.raises(CheckpointError, match="no output 'pooled', only 'last_hidden_state'"):
        import_onnx(OnnxBert().save(path), output="pooled")


def test_without_the_package(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    OnnxBert().save(path)
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingExtraError, match=r"bertc\[onnx\]"):
        import_onnx(path)


@pytest.mark.filterwarnings("ignore:.*has no tokenizer")
def test_a_layer_takes_in_the_scaling_of_what_is_written_already(path: Path) -> None:
    """A value that another layer read cannot be folded into its layer: once that was tried without end."""

    def head(bert: OnnxBert, x: str) -> dict[str, str]:
        doubled = bert.op("Mul", parts.matmul_add(bert, "a", x, HIDDEN), bert.constant(2.0))
        beside = parts.matmul_add(bert, "b", doubled, HIDDEN)
        weighted = bert.op("Mul", doubled, bert.weight("columns", HIDDEN))
        last = parts.matmul_add(bert, "c", weighted, HIDDEN)
        return {"logits": bert.op("Add", bert.op("Relu", beside), last)}

    graph = import_onnx(OnnxBert(head=head).save(path)).graph
    assert sum(node.op == "linear" for node in graph.nodes) == 9
    assert not find_host_steps(graph.nodes)


def test_inputs_of_a_fixed_number_of_choices_are_told(tmp_path: Path) -> None:
    refuse(OnnxBert(sizes=("batch", 4, "length")).save(tmp_path / "m.onnx"), "4 choices", "any number")
