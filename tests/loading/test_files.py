"""ONNX and TorchScript files that are loaded are compiled once, into the cache, as checkpoints are."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bertc
from bertc import cache
from bertc.errors import CheckpointError, InputError
from bertc.frontends.torchscript import SUFFIXES
from bertc.loading import SOURCES
from tests.cli.conftest import Run, run  # noqa: F401
from tests.support.onnx_models import VOCABULARY, OnnxBert
from tests.support.tiny_models import make_tokenizer, write_json

pytest.importorskip("onnx")

TEXTS = ["the cat", "a dog"]
FEW = {"dtype": "fp32", "calibration": {"samples": 8, "held_out": 8}}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model whose weights are in another file, with a tokenizer beside it."""
    import onnx

    (tmp_path / "source").mkdir()
    path = OnnxBert().save(tmp_path / "source" / "model.onnx")
    make_tokenizer(VOCABULARY).save(str(path.parent / "tokenizer.json"))
    onnx.save(onnx.load(path), path, save_as_external_data=True, location="weights.bin", size_threshold=64)
    return path


def compiled_files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.bertc"))


def test_an_onnx_file_is_compiled_once_and_found_without_reading_it(
    folder: Path, model: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    vectors = bertc.load(model, recipe=FEW).encode(TEXTS)
    assert "compiling source-model to fp32, once" in capsys.readouterr().err
    (file,) = compiled_files(folder)
    monkeypatch.setattr("bertc.frontends.onnx.external_data", None)  # whoever called it would fail
    again = bertc.load(str(model), recipe=FEW)
    assert (again.artifact.path, capsys.readouterr().err) == (file, "")
    np.testing.assert_array_equal(again.encode(TEXTS), vectors)


@pytest.mark.parametrize("name", ["model.onnx", "weights.bin", "tokenizer.json", "config.json"])
def test_a_change_of_any_file_of_the_model_compiles_it_anew(folder: Path, model: Path, name: str) -> None:
    first = bertc.load(model, recipe=FEW).artifact.path
    changed = model.parent / name
    if name == "config.json":
        write_json(changed, {"architectures": ["BertModel"]})
    elif name == "weights.bin":
        data = bytearray(changed.read_bytes())
        data[-4:] = np.float32(0.25).tobytes()
        changed.write_bytes(data)
    elif name == "model.onnx":
        import onnx

        proto = onnx.load(model, load_external_data=False)
        proto.doc_string = "another"
        model.write_bytes(proto.SerializeToString())
    else:
        tokenizer = make_tokenizer(VOCABULARY)
        tokenizer.add_special_tokens(["[SEP]"])
        tokenizer.enable_truncation(7)
        tokenizer.save(str(changed))
    assert bertc.load(model, recipe=FEW).artifact.path != first
    assert len(compiled_files(folder)) == 2


def test_files_that_only_look_changed_are_hashed_and_found(folder: Path, model: Path) -> None:
    first = bertc.load(model, recipe=FEW).artifact.path
    os.utime(model.parent / "weights.bin", (1, 1))
    assert bertc.load(model, recipe=FEW).artifact.path == first
    assert len(compiled_files(folder)) == 1
    assert [each.path for each in cache.cached_models()] == [first]
    cache.clear(1)  # keeps the one that was used last, and its notes
    assert bertc.load(model, recipe=FEW).artifact.path == first


@pytest.mark.usefixtures("folder")
def test_options_of_files_are_for_files(model: Path, tmp_path: Path) -> None:
    outputs = bertc.load(model, recipe=FEW, output_name="last_hidden_state").session.output_names
    assert "last_hidden_state" in outputs
    (model.parent / "tokenizer.json").rename(tmp_path / "tokenizer.json")
    alone = tmp_path
    assert len(bertc.load(model, recipe=FEW, tokenizer=alone).encode(TEXTS)) == 2
    for source, options, message in (
        (model.parent, {"tokenizer": alone}, "for a file such as model.onnx"),
        (model, {"subfolder": "x"}, "subfolder is for a folder"),
        (tmp_path / "x.bertc", {"output_name": "y"}, "compiled already"),
    ):
        given: dict[str, Any] = options
        with pytest.raises(InputError, match=message):
            bertc.load(source, **given)
    with pytest.raises(CheckpointError, match=r"no\.onnx"):
        bertc.load(tmp_path / "no.onnx")
    with pytest.raises(CheckpointError, match=r"no file .*no\.pt"):
        bertc.load(tmp_path / "no.pt", allow_torchscript=True)


@pytest.mark.usefixtures("folder")
def test_commands_take_an_onnx_file(run: Run, model: Path, tmp_path: Path) -> None:  # noqa: F811
    vectors = run("embed", model, "the cat")
    assert vectors.code == 0, vectors.err
    assert run("run", model, "the cat").out == vectors.out
    data = tmp_path / "sts.csv"
    data.write_text("sentence1,sentence2,score\n" + "the cat,a dog,1.5\na man,the man,4\nred,blue,2\n")
    scored = run("eval", "sts", model, "--data", data, "--reference", model)
    assert scored.code == 0, scored.err
    timed = run("bench", model, "--layers", "--batch", "1", "--length", "8", "--seconds", "0")
    assert timed.code == 0, timed.err


def test_the_endings_of_files_are_those_of_the_front_ends() -> None:
    assert (".onnx", *SUFFIXES) == SOURCES


@pytest.mark.usefixtures("folder")
@pytest.mark.filterwarnings("ignore:.*torch.jit")
@pytest.mark.filterwarnings("ignore:.*tracer")
@pytest.mark.filterwarnings("ignore:.*no tokenizer")
def test_a_trace_is_loaded_with_the_flag_alone(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("transformers")
    from tests.frontends.torchscript.test_traces import trace
    from tests.support.hf_checkpoints import load_transformers, save_checkpoint

    save_checkpoint(tmp_path, "BertModel", num_hidden_layers=1)
    with torch.no_grad():
        path = trace(load_transformers(tmp_path, "BertModel")[0], tmp_path / "model.pt", types=True)
    with pytest.raises(InputError, match="allow_torchscript"):
        bertc.load(path)
    assert bertc.load(path, recipe=FEW, allow_torchscript=True).info.task == "embedding"
