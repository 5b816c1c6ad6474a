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
from tests.support.hf_checkpoints import SMALL, byte_level_tokenizer, save_checkpoint
from tests.support.multilingual import SENTENCES
from tests.support.tiny_models import make_tokenizer, write_json

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


def save_with_tokenizer(path: Path, class_name: str, **config: Any) -> Path:
    """Save a model of a BERT or RoBERTa class with the tokenizer of its family, as a pipeline loads it."""
    bert = class_name.startswith("Bert")
    tokenizer = make_tokenizer(300) if bert else byte_level_tokenizer(SENTENCES)
    size = tokenizer.get_vocab_size()
    save_checkpoint(path, class_name, tokenizer=tokenizer, **{"vocab_size": size, **config})
    names = ("pad", "unk", "cls", "sep", "mask")
    tokens = [f"[{name.upper()}]" for name in names] if bert else ["<pad>", "<unk>", "<s>", "</s>", "<mask>"]
    special = {f"{name}_token": token for name, token in zip(names, tokens, strict=True)}
    limit = config.get("max_position_embeddings", SMALL["max_position_embeddings"]) - (0 if bert else 2)
    inputs = ["input_ids", *(["token_type_ids"] if bert else []), "attention_mask"]
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "model_input_names": inputs, **special}
    write_json(path / "tokenizer_config.json", {**settings, "model_max_length": limit})
    return path


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
