from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.support.onnx_models import VOCABULARY, OnnxBert
from tests.support.tiny_models import make_tokenizer

pytest.importorskip("onnx")


def two_outputs(bert: OnnxBert, x: str) -> dict[str, str]:
    return {"first": bert.op("Gather", x, bert.constant(0), axis=1), "all": x}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    (tmp_path / "tokenizer").mkdir()
    make_tokenizer(VOCABULARY).save(str(tmp_path / "tokenizer" / "tokenizer.json"))
    return OnnxBert(head=two_outputs).save(tmp_path / "tiny.onnx")


def test_an_onnx_file_with_its_tokenizer_and_output_named(run: Run, model: Path, tmp_path: Path) -> None:
    options = ["--tokenizer", tmp_path / "tokenizer", "--output-name", "first", "--dtype", "fp32"]
    facts = run.json("compile", model, "-o", tmp_path / "out.bertc", *options)
    assert (facts["model"], facts["task"]) == ("tiny", "embedding")
    answer = run("embed", tmp_path / "out.bertc", "the cat")
    assert answer.code == 0, answer.err


def test_an_output_that_is_not_there_is_told(run: Run, model: Path, tmp_path: Path) -> None:
    outcome = run("compile", model, "-o", tmp_path / "out.bertc", "--output-name", "third")
    assert outcome.code == 1
    assert "'third'" in outcome.err
    assert not (tmp_path / "out.bertc").exists()
