"""Traced modules become what their checkpoints become, and files that are none are refused unread."""

from __future__ import annotations

import io
import pickle
import sys
import warnings
import zipfile
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import bertc
from bertc.cli.main import app
from bertc.errors import CheckpointError, InputError, MissingExtraError
from bertc.frontends.huggingface import import_model
from bertc.frontends.torchscript import import_torchscript
from tests.support.doors import assert_same_graph, assert_same_numbers
from tests.support.hf_checkpoints import load_transformers, save_checkpoint

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit")


def trace(module: Any, path: Path, *, types: bool) -> Path:
    """Trace a module on two sequences of seven tokens, one of them padded, and save it."""
    ids = torch.randint(5, 300, (2, 7), generator=torch.Generator().manual_seed(0))
    mask = torch.ones_like(ids)
    mask[1, 5:] = 0
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(
            module, (ids, mask, torch.zeros_like(ids))[: 3 if types else 2], check_trace=False, strict=False
        )
    traced.save(str(path))
    return path


class FixedLength(torch.nn.Module):  # type: ignore[misc]
    """A BERT whose code has the sizes of its examples in it, as a trace of older code has."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: Any, mask: Any) -> Any:
        hidden = self.model.embeddings(ids)
        added = (1.0 - mask[:, None, None, :].float()) * -10000.0
        for layer in self.model.encoder.layer:
            own = layer.attention.self
            q, k, v = (
                part(hidden).view(2, 7, 2, 16).transpose(1, 2) for part in (own.query, own.key, own.value)
            )
            weights = torch.softmax(q @ k.transpose(-1, -2) / 4.0 + added, -1)
            mixed = (weights @ v).permute(0, 2, 1, 3).reshape(2, 7, 32)
            attended = layer.attention.output(mixed, hidden)
            hidden = layer.output(layer.intermediate(attended), attended)
        return hidden


@pytest.mark.parametrize(
    ("class_name", "as_mapping"),
    [
        ("BertForQuestionAnswering", False),
        ("BertModel", True),
        ("DistilBertForSequenceClassification", False),
        ("RobertaForMaskedLM", True),
    ],
)
def test_a_trace_becomes_what_the_checkpoint_becomes(
    tmp_path: Path, class_name: str, as_mapping: bool
) -> None:
    extra = {"pad_token_id": 1} if class_name.startswith("Roberta") else {}
    save_checkpoint(tmp_path, class_name, num_hidden_layers=1, **extra)
    module, _ = load_transformers(tmp_path, class_name)
    module.config.return_dict = as_mapping
    path = trace(module, tmp_path / "model.pt", types=class_name.startswith("Bert"))
    found, expected = import_torchscript(path, allowed=True), import_model(tmp_path)
    assert_same_graph(found, expected)
    assert_same_numbers(found, expected)
    assert (found.info.task, found.info.labels) == (expected.info.task, expected.info.labels)
    assert found.source["files"]["model.pt"]


def test_the_command_compiles_a_trace(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, "BertForSequenceClassification", num_hidden_layers=1)
    module, _ = load_transformers(tmp_path, "BertForSequenceClassification")
    path, output = trace(module, tmp_path / "model.pt", types=True), tmp_path / "out.bertc"
    arguments = ["compile", str(path), "-o", str(output), "--dtype", "fp32"]
    refused = CliRunner().invoke(app, arguments)
    assert refused.exit_code and not output.exists()
    with pytest.raises(CheckpointError, match="make a model for classification"):
        bertc.compile(path, output, task="token_classification", allow_torchscript=True)
    done = CliRunner().invoke(app, [*arguments, "--allow-torchscript"])
    assert done.exit_code == 0, done.output
    labels = {each["label"] for each in bertc.load(output).classify(["a dog", "the film"])}
    assert labels <= {"LABEL_0", "LABEL_1"}


def test_a_trace_of_one_length_takes_up_to_that(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, "BertModel")
    module, _ = load_transformers(tmp_path, "BertModel")
    path = trace(FixedLength(module), tmp_path / "model.pt", types=False)
    found, expected = import_torchscript(path, allowed=True), import_model(tmp_path)
    assert found.info.max_seq_length == 7
    assert [node.op for node in found.graph.nodes].count("attention") == 2
    outputs = {name: expected.graph.outputs[name] for name in found.graph.outputs}
    graph = expected.graph.with_nodes(expected.graph.nodes, outputs=outputs)
    assert_same_numbers(found, type(expected)(graph, expected.info, "", {}), lengths=(4, 7))


class Scripted(torch.nn.Module):  # type: ignore[misc]
    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        if input_ids.sum() > 3:
            return attention_mask.float()
        return input_ids.float()


def test_branches_are_told(tmp_path: Path) -> None:
    torch.jit.script(Scripted()).save(str(tmp_path / "model.pt"))
    with pytest.raises(CheckpointError, match=r"prim::If.*use torch.jit.trace, not torch.jit.script"):
        import_torchscript(tmp_path / "model.pt", allowed=True)


class Bomb:
    """What a pickle runs when it is loaded."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        return Path.touch, (self.marker,)


def archive(**entries: bytes) -> bytes:
    """An archive laid out as TorchScript's, of entries whose names have "_" for "/" and "."."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in entries.items():
            file.writestr(f"model/{name.replace('__', '/').replace('_', '.')}", content)
    return buffer.getvalue()


def test_what_is_no_torchscript_is_told_and_not_run(tmp_path: Path) -> None:
    marker, path = tmp_path / "marker", tmp_path / "model.pt"
    bad = pickle.dumps(Bomb(marker))
    cases = (
        (b"", "no TorchScript file"),
        (bad, "no TorchScript file"),
        (archive(data_pkl=bad), "tensors or a pickle, not a TorchScript program"),
        (
            archive(data_pkl=b"", constants_pkl=b"", code__m_py=bytes(200 << 20)),
            "unpacked, .* was not loaded",
        ),
        (archive(data_pkl=b"", constants_pkl=b"", code__m_py=b"x"), "PyTorch cannot load it"),
        (archive(data_pkl=b"", constants_pkl=b"", code__m_py=b"x")[:-9], "truncated"),
    )
    for content, message in cases:
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match=message):
            bertc.compile(path, tmp_path / "out.bertc", allow_torchscript=True)
    torch.save({"weight": torch.ones(2)}, path)
    with pytest.raises(CheckpointError, match="tensors or a pickle"):
        bertc.compile(path, tmp_path / "out.bertc", allow_torchscript=True)
    with pytest.raises(CheckpointError, match="there is no file"):
        bertc.compile(tmp_path / "absent.pt", tmp_path / "out.bertc")
    assert {each.name for each in tmp_path.iterdir()} == {"model.pt"}


def test_nothing_is_loaded_without_the_flag_or_pytorch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.jit.script(Scripted()).save(str(tmp_path / "model.pt"))
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "torch", None)
        with pytest.raises(MissingExtraError, match=r"bertc\[torch\]"):
            bertc.compile(tmp_path / "model.pt", tmp_path / "out.bertc", allow_torchscript=True)
    with pytest.raises(InputError, match=r"loading it runs code.*--allow-torchscript"):
        bertc.compile(tmp_path / "model.pt", tmp_path / "out.bertc")
    assert not (tmp_path / "out.bertc").exists()
