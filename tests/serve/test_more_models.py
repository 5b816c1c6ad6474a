"""Models that few have: sparse vectors, labels by inference, steps on the host, a checkpoint's folder."""

from __future__ import annotations

import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

pytest.importorskip("msgspec", reason='the extra "serve" is not installed')

import bertc
from tests.support.artifacts import Artifacts
from tests.support.hosted_parts import ALL, save_with_tokenizer

if TYPE_CHECKING:
    from tests.conftest import MakeArtifact
    from tests.serve.conftest import MakeServer

TEXTS = ["the man plays guitar", "a dog", "john smith lives in london"]


def test_embed_sparse(make_server: MakeServer, artifacts: Artifacts, model_files: dict[str, Path]) -> None:
    assert "filler" in model_files  # whose checkpoint is the next line's
    filler = artifacts.derived("serve-filler", pytest.fail)
    path = artifacts.derived(
        "serve-sparse.bertc", lambda out: bertc.compile(filler, out, dtype="fp32", task="sparse")
    )
    server = make_server("embedder", others={"sparse": path})
    reply = server.post("/embed_sparse", {"inputs": TEXTS})
    assert reply.headers["x-compute-tokens"] != "0"
    expected: Any = bertc.load(path, num_threads=1)
    for found, row in zip(reply.json, expected.encode_sparse(TEXTS, output="dict"), strict=True):
        words = [expected.tokenizer.token(each["index"]) for each in found]
        assert dict(zip(words, [each["value"] for each in found], strict=True)) == pytest.approx(row)
    (single,) = server.post("/embed_sparse", {"inputs": TEXTS[0]}).json
    assert single == reply.json[0]


def test_candidate_labels(make_server: MakeServer, artifacts: Artifacts) -> None:
    names = {"0": "contradiction", "1": "neutral", "2": "entailment"}
    path = artifacts.tiny("fp32", "classification", id2label=names)
    server = make_server(others={"nli": path})
    expected: Any = bertc.load(path, num_threads=1)
    labels = ["music", "animals", "cities"]
    for options in ({}, {"multi_label": True, "hypothesis_template": "It is about {}."}):
        found = server.post("/classify", {"inputs": TEXTS, "candidate_labels": labels, **options})
        assert found.status == 200
        assert found.json == expected.classify(TEXTS, candidate_labels=labels, **options)
    single = server.post("/classify", {"inputs": TEXTS[0], "candidate_labels": labels}).json
    assert single == expected.classify(TEXTS[0], candidate_labels=labels)


def test_a_model_with_steps_on_the_host(make_server: MakeServer, artifacts: Artifacts) -> None:
    pytest.importorskip("onnx")
    folder = artifacts.derived("hosted", lambda path: save_with_tokenizer(path, **ALL))
    path = artifacts.compile(folder / "model.onnx", "fp32")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the steps on the host
        hosted: Any = bertc.load(path, num_threads=1)
    expected = hosted.encode(TEXTS, normalize_embeddings=True)
    server = make_server("embedder", others={"hosted": path}, max_batch_tokens=16)

    def ask(index: int) -> Any:
        return server.post("/embed", {"inputs": TEXTS[index % 3], "model": "hosted"}).json[0]

    whole = server.post("/embed", {"inputs": TEXTS, "model": "hosted"})
    assert float(whole.headers["x-inference-time"]) > 0
    np.testing.assert_array_equal(np.array(whole.json, np.float32), expected)
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(ask, range(12)))
    np.testing.assert_array_equal(np.array(found, np.float32), np.tile(expected, (4, 1)))
    assert server.get("/health").status == 200


def test_a_checkpoint_is_compiled_into_the_cache(
    make_server: MakeServer, checkpoint: MakeArtifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BERTC_CACHE", str(tmp_path))
    folder = checkpoint()
    server = make_server(others={"m": folder})
    (compiled,) = tmp_path.glob("*.bertc")
    embedder: Any = bertc.load(compiled, num_threads=1)
    found = server.post("/embed", {"inputs": TEXTS}).json
    expected = embedder.encode(TEXTS, normalize_embeddings=True)
    np.testing.assert_array_equal(np.array(found, np.float32), expected)
    assert server.get("/info").json["model_id"] == str(folder)
    server.call(server.lifecycle.reload())
    assert server.state.metrics.total("bertc_reloads", model="m") == 0
