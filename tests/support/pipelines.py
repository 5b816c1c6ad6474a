"""The pipelines of ``transformers`` on tiny checkpoints, beside the same models compiled."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import bertc
from tests.support.artifacts import Artifacts
from tests.support.hf_checkpoints import save_with_tokenizer

FAMILIES = ("Bert", "Roberta")
TOLERANCE = 1e-4
"""Largest difference of scores."""


def pipeline_and_model(
    artifacts: Artifacts, task: str, class_name: str, labels: tuple[str, ...], **config: Any
) -> tuple[Any, Any]:
    """Return the pipeline of a task for a tiny checkpoint, and the checkpoint compiled in fp32."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    name = "-".join(["pipeline", class_name, *labels, *map(str, config.values())])
    names = {"id2label": dict(enumerate(labels)), "label2id": {v: i for i, v in enumerate(labels)}}
    save = partial(save_with_tokenizer, class_name=class_name, **config, **names)
    folder: Path = artifacts.derived(name, save)
    theirs = transformers.pipeline(task, model=str(folder), dtype=torch.float32, device="cpu")
    return theirs, bertc.load(artifacts.compile(folder, "fp32"))


@contextmanager
def quiet_on_one_thread() -> Iterator[None]:
    """Keep PyTorch to one thread, as tiny models are no faster with more, and ``transformers`` quiet."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def assert_close(found: Any, expected: Any) -> None:
    """Assert that scores differ by ``TOLERANCE`` at most."""
    assert found == pytest.approx(expected, rel=0, abs=TOLERANCE)
