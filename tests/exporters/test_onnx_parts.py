"""Parts of models, and files of other systems, are exported as they are compiled."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx_session import OnnxSession

import bertc
from tests.exporters.conftest import STATIC
from tests.support.onnx_models import OnnxBert

pytest.importorskip("onnx", reason="ONNX files are written by the package onnx")
pytest.importorskip("onnxruntime")


@pytest.mark.parametrize(("form", "dtype"), [("fp32", "fp32"), ("qdq", "int8")])
def test_a_part_is_that_of_the_compiled_file(form: str, dtype: str, classifier: Path, tmp_path: Path) -> None:
    recipe = {**STATIC, "dtype": dtype, "embeddings": "fp32"}
    options: dict[str, Any] = {"inputs": "embeddings", "until": "encoder.layer.0"}
    bertc.compile(classifier, tmp_path / "part.bertc", recipe, **options)
    bertc.export(tmp_path / "part.bertc", tmp_path / "file.onnx", format=form)
    (tmp_path / "new").mkdir()
    tables = "part.embeddings.safetensors"
    bertc.export(classifier, tmp_path / "new" / "part.onnx", format=form, recipe=recipe, **options)
    theirs, ours = (bertc.EmbeddingTables.load(path / tables) for path in (tmp_path, tmp_path / "new"))
    assert ours.roles == theirs.roles and ours.tensors.keys() == theirs.tensors.keys()
    rows = np.random.default_rng(0).normal(size=(2, 5, 32)).astype(np.float32)
    given = {"embeddings": rows, "attention_mask": np.ones((2, 5), np.int64)}
    expected, found = (
        OnnxSession(tmp_path / file).onnx.run(None, given) for file in ("file.onnx", "new/part.onnx")
    )
    assert len(expected) == 2
    for wanted, array in zip(expected, found, strict=True):
        np.testing.assert_array_equal(array, wanted)


@pytest.mark.filterwarnings("ignore:.*has no tokenizer")
def test_steps_of_the_host_are_named(tmp_path: Path) -> None:
    path = OnnxBert(gelu=lambda bert, x: bert.op("Sin", x)).save(tmp_path / "tiny.onnx")
    compiled = bertc.compile(path, tmp_path / "tiny.bertc", {"dtype": "fp32"}).path
    for source in (path, compiled):
        with pytest.raises(bertc.InputError, match=r"an export cannot hold .*host.*\(Sin\)"):
            bertc.export(source, tmp_path / "out.onnx", format="fp32")
    assert not (tmp_path / "out.onnx").exists()
