"""Rotary positions, windows and gates come through every door as the checkpoint's ops."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bertc.errors import CheckpointError
from bertc.frontends.huggingface import import_model
from bertc.frontends.imported_model import ImportedModel
from bertc.frontends.onnx import import_onnx
from bertc.frontends.torch import import_module
from bertc.frontends.torchscript import import_torchscript
from tests.support.doors import assert_same_graph, assert_same_numbers
from tests.support.hf_checkpoints import load_transformers, save_checkpoint
from tests.support.onnx_export import export

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("onnxscript")
pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit")

NAME = "ModernBertModel"
WINDOW = 24
"""Wider on either side than the batches are long that tell what masks are."""


def _module(folder: Path) -> ImportedModel:
    return import_module(load_transformers(folder, NAME)[0], tokenizer=folder)


def _new_onnx(folder: Path) -> ImportedModel:
    path = export(folder, NAME, folder / "model.onnx", opset=18, dynamo=True, attention="sdpa")
    return import_onnx(path)


def _old_onnx(folder: Path) -> ImportedModel:
    path = export(folder, NAME, folder / "model.onnx", opset=14, dynamo=False, attention="eager")
    return import_onnx(path)


def _torchscript(folder: Path) -> ImportedModel:
    ids = torch.arange(5, 19).reshape(2, 7)
    mask = torch.ones_like(ids)
    mask[1, 5:] = 0
    module, _ = load_transformers(folder, NAME)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(module, (ids, mask), check_trace=False, strict=False)
    traced.save(str(folder / "model.pt"))
    return import_torchscript(folder / "model.pt", allowed=True)


DOORS: dict[str, Callable[[Path], ImportedModel]] = {
    "module": _module,
    "new ONNX exporter": _new_onnx,
    "old ONNX exporter": _old_onnx,
    "TorchScript": _torchscript,
}


@pytest.mark.parametrize("door", DOORS)
def test_a_door_gives_the_graph_of_the_checkpoint(door: str, tmp_path: Path) -> None:
    options = {"local_attention": WINDOW, "num_hidden_layers": 2, "attention_bias": True, "norm_bias": True}
    folder = save_checkpoint(tmp_path, NAME, **options)
    expected, found = import_model(folder), DOORS[door](folder)
    assert_same_graph(found, expected)
    assert_same_numbers(found, expected, lengths=(4, 60))
    assert found.info.max_seq_length == expected.info.max_seq_length
    assert found.graph.nodes[-1].op == expected.graph.nodes[-1].op
    windows = [node.attributes.get("window") for node in found.graph.nodes if node.op == "attention"]
    assert windows == [None, WINDOW // 2]


class Odd(torch.nn.Module):  # type: ignore[misc]
    """One layer that attends with a window or a rotation of which there is no op."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.words = torch.nn.Embedding(300, 32)
        self.parts = torch.nn.ModuleList(torch.nn.Linear(32, 32) for _ in range(3))
        self.norm = torch.nn.LayerNorm(32)

    def forward(self, input_ids: Any, attention_mask: Any) -> Any:
        x = self.words(input_ids)
        batch, length = input_ids.shape
        q, k, v = (part(x).view(batch, length, 2, 16).transpose(1, 2) for part in self.parts)
        places = torch.arange(length)
        angles = places[:, None] * torch.arange(1, 9) / 50
        cosine, sine = torch.cos(angles), torch.sin(angles)
        keep = attention_mask[:, None, None, :].bool()
        far = places[:, None] - places[None, :]
        if self.kind == "causal window":
            keep = keep & (far >= 0)[None, None] & (far < 20)[None, None]
        elif self.kind == "queries alone":
            q = self._turn(q, cosine, sine)
        elif self.kind == "pieces":  # what there is an op for, spelled as sums of halves
            q, k = (self._turn(each, cosine, sine) for each in (q, k))
        scores = (q @ k.transpose(-1, -2) / 4).masked_fill(~keep, torch.finfo(torch.float32).min)
        mixed = (torch.softmax(scores, -1) @ v).transpose(1, 2).reshape(batch, length, 32)
        return self.norm(mixed + x)

    def _turn(self, x: Any, cosine: Any, sine: Any) -> Any:
        left, right = x[..., :8], x[..., 8:]
        return torch.cat([left * cosine - right * sine, right * cosine + left * sine], -1)


def _import(kind: str) -> ImportedModel:
    torch.manual_seed(0)
    ids = torch.arange(5, 19).reshape(2, 7)
    examples = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return import_module(Odd(kind).eval(), example_inputs=examples)


def test_a_rotation_is_known_however_it_is_spelled() -> None:
    (attention,) = (node for node in _import("pieces").graph.nodes if node.op == "attention")
    assert {"rotary", "position_ids"} <= attention.inputs.keys()


@pytest.mark.parametrize("kind", ["causal window", "queries alone"])
def test_what_has_no_op_is_never_taken_for_something_else(kind: str) -> None:
    try:
        graph = _import(kind).graph
    except CheckpointError:
        return
    assert all(node.op != "attention" for node in graph.nodes)
    assert any(node.op == "host" for node in graph.nodes)
