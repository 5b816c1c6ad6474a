"""A server with a tiny model for each task, for all tests of this folder."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests.conftest import MakeArtifact
from tests.support.artifacts import Artifacts
from tests.support.tiny_models import make_bert_checkpoint, write_safetensors

if TYPE_CHECKING:
    from tests.support.serving import Server

MakeServer = Callable[..., "Server"]


@pytest.fixture(scope="session")
def model_files(artifacts: Artifacts, artifact: MakeArtifact) -> dict[str, Path]:
    """The compiled file of each model, by its name in requests."""

    def of_task(name: str, head: str, write: Callable[[Path], None], **config: Any) -> Path:
        def make(path: Path) -> None:
            make_bert_checkpoint(path, head, **config)
            write(path / "model.safetensors")

        return artifacts.compile(artifacts.derived(name, make), "fp32")

    return {
        "embedder": artifact("embedding"),
        "classifier": artifact("classification"),
        "tagger": artifact("token_classification"),
        "reranker": artifacts.tiny(
            "fp32", "classification", id2label={"0": "LABEL_0"}, max_position_embeddings=48
        ),
        "answerer": of_task(
            "serve-answerer",
            "token_classification",
            _rename_classifier,
            architectures=["BertForQuestionAnswering"],
            id2label={"0": "LABEL_0", "1": "LABEL_1"},
        ),
        "filler": of_task("serve-filler", "embedding", _add_masked_lm, architectures=["BertForMaskedLM"]),
    }


def _rename_classifier(weights: Path) -> None:
    tensors = load_file(weights)
    for name in ("weight", "bias"):
        tensors[f"qa_outputs.{name}"] = tensors.pop(f"classifier.{name}")
    write_safetensors(weights, tensors)


def _add_masked_lm(weights: Path) -> None:
    tensors = {f"bert.{name}": tensor for name, tensor in load_file(weights).items() if "pooler" not in name}
    vocabulary, hidden = tensors["bert.embeddings.word_embeddings.weight"].shape
    rng = np.random.default_rng(1)
    transform = "cls.predictions.transform"
    write_safetensors(
        weights,
        {
            **tensors,
            f"{transform}.dense.weight": rng.normal(0, 0.3, (hidden, hidden)).astype(np.float32),
            f"{transform}.dense.bias": np.zeros(hidden, np.float32),
            f"{transform}.LayerNorm.weight": np.ones(hidden, np.float32),
            f"{transform}.LayerNorm.bias": np.zeros(hidden, np.float32),
            "cls.predictions.bias": np.zeros(vocabulary, np.float32),
        },
    )


@pytest.fixture
def make_server(model_files: dict[str, Path]) -> Iterator[MakeServer]:
    """``make_server(*names, others={name: source}, **settings)``: a server of its own."""
    from bertc.serve.settings import ModelSource, Settings
    from tests.support.serving import Server

    servers = []

    def make(*names: str, others: Mapping[str, Path] | None = None, **settings: Any) -> Server:
        files = {**{name: model_files[name] for name in names}, **(others or {})}
        models = tuple(ModelSource(name, str(path)) for name, path in files.items())
        servers.append(Server(Settings(models, num_threads=1, **settings)))
        return servers[-1]

    yield make
    for server in servers:
        server.close()


@pytest.fixture(scope="session")
def server(model_files: dict[str, Path]) -> Iterator[Server]:
    """A server with all models, for tests that change nothing."""
    from bertc.serve.settings import ModelSource, Settings
    from tests.support.serving import Server

    models = tuple(ModelSource(name, str(path)) for name, path in model_files.items())
    running = Server(Settings(models, num_threads=2, max_client_batch_size=64, payload_limit=200_000))
    yield running
    running.close()


@pytest.fixture(scope="session")
def url(model_files: dict[str, Path]) -> Iterator[str]:
    """The address of a server in a process of its own, with all models; its key is ``k``."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    models = [f"{name}={path}" for name, path in model_files.items()]
    command = [sys.executable, "-m", "bertc", "serve", *models, "--port", str(port), "--api-key", "k"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(6000):
            try:
                urllib.request.urlopen(f"{address}/ready").close()
                break
            except OSError:
                assert process.poll() is None
                time.sleep(0.01)
        yield address
    finally:
        process.terminate()
        process.wait(60)
