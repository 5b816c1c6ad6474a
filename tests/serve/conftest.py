"""A server with a tiny model for each task, for all tests of this folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import MakeArtifact
from tests.support.artifacts import Artifacts

if TYPE_CHECKING:
    from tests.support.serving import Server

MakeServer = Callable[..., "Server"]


@pytest.fixture(scope="session")
def model_files(artifacts: Artifacts, artifact: MakeArtifact) -> dict[str, Path]:
    """The compiled file of each model, by its name in requests."""

    from tests.support.hf_checkpoints import save_with_tokenizer

    def of_class(name: str, class_name: str, **config: Any) -> Path:
        checkpoint = artifacts.derived(name, lambda path: save_with_tokenizer(path, class_name, **config))
        return artifacts.compile(checkpoint, "fp32")

    return {
        "embedder": artifact("embedding"),
        "classifier": artifact("classification"),
        "tagger": artifact("token_classification"),
        "reranker": artifacts.tiny(
            "fp32", "classification", id2label={"0": "LABEL_0"}, max_position_embeddings=48
        ),
        "answerer": of_class("serve-answerer", "BertForQuestionAnswering"),
        "filler": of_class("serve-filler", "BertForMaskedLM"),
    }


@pytest.fixture
def make_server(model_files: dict[str, Path]) -> Iterator[MakeServer]:
    """``make_server(*names, **settings)``: a server of its own."""
    from bertc.serve.settings import ModelSource, Settings
    from tests.support.serving import Server

    servers = []

    def make(*names: str, **settings: Any) -> Server:
        models = tuple(ModelSource(name, str(model_files[name])) for name in names)
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
