"""What cannot be exported is told before anything is written."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest

import bertc
from tests.exporters.conftest import DYNAMIC

pytest.importorskip("onnx", reason="ONNX files are written by the package onnx")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"format": "int4"}, "format is 'int4', expected one of fp32, qdq, qoperator"),
        ({"opset": 99}, "opset is 99, expected a number from 13 to 22"),
        ({"opset": True}, "opset is True"),
        ({"batch": 0}, "batch is 0, expected a number from 1"),
        ({"length": "12"}, "length is '12'"),
        ({"length": 65}, "length is 65, the model has positions for 64 tokens"),
    ],
)
def test_options_that_do_not_fit(
    options: dict[str, Any], message: str, classifier: Path, tmp_path: Path
) -> None:
    with pytest.raises(bertc.InputError, match=message):
        bertc.export(classifier, tmp_path / "model.onnx", **options)
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        ("fp32", {"format": "qdq"}, "has no layers in 8 bits"),
        ("static", {"format": "fp32"}, "has layers in 8 bits: choose the format qdq or qoperator"),
        ("dynamic", {"format": "qdq"}, "finds the range of each token while it runs.*export the checkpoint"),
        ("static", {"format": "qdq", "recipe": "default"}, "recipe is for a checkpoint"),
        ("checkpoint", {"format": "qdq", "recipe": "fp32"}, "8 bits need int8"),
        ("checkpoint", {"format": "qdq", "recipe": {"budget": {}}}, "an export keeps no budget"),
        ("broken", {}, "no bertc artifact"),
    ],
)
def test_sources_that_do_not_fit(
    source: str, options: dict[str, Any], message: str, classifier: Path, static_file: Path, tmp_path: Path
) -> None:
    files = {"checkpoint": classifier, "static": static_file, "broken": tmp_path / "broken.bertc"}
    files["broken"].write_bytes(b"no file of ours")
    if source in ("fp32", "dynamic"):
        recipe = {**DYNAMIC, "dtype": "fp32"} if source == "fp32" else DYNAMIC
        files[source] = bertc.compile(classifier, tmp_path / f"{source}.bertc", recipe).path
    with pytest.raises(bertc.BertcError, match=message):
        bertc.export(files[source], tmp_path / "model.onnx", **options)
    assert not (tmp_path / "model.onnx").exists()


def test_a_destination_that_cannot_be_is_found_before_the_work(tmp_path: Path) -> None:
    with pytest.raises(bertc.ArtifactError, match="does not exist"):
        bertc.export(tmp_path / "no-model", tmp_path / "absent" / "model.onnx")


def test_a_full_disk_leaves_the_old_file(
    classifier: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"before")

    def fail(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match="No space left"):
        bertc.export(classifier, path)
    assert [each.name for each in tmp_path.iterdir()] == ["model.onnx"] and path.read_bytes() == b"before"


def test_too_many_bytes_for_a_protobuf(
    classifier: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bertc.exporters.onnx.model.MAX_BYTES", 1000)
    with pytest.raises(bertc.InputError, match="its format takes less than 2"):
        bertc.export(classifier, tmp_path / "model.onnx")


def test_without_the_package_the_extra_is_named(
    classifier: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnx", None)
    with pytest.raises(bertc.MissingExtraError, match=r"bertc\[onnx\]"):
        bertc.export(classifier, tmp_path / "model.onnx")
