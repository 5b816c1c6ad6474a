"""Makes a task's answers to items from numbers that a test chooses: no model runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bertc.artifact.schema import ModelInfo
from bertc.ports import Port
from bertc.runtime.tokenization import Tokenizer
from bertc.tasks.task import Task
from tests.support.tiny_models import make_tokenizer

Array = np.ndarray[Any, Any]

VOCABULARY: Mapping[str, int] = make_tokenizer().get_vocab()
MAX_SEQ_LENGTH = 16


def tokenizer() -> Tokenizer:
    """Return the tokenizer of ``tiny_models``, which cuts at ``MAX_SEQ_LENGTH`` tokens."""
    return Tokenizer(make_tokenizer().to_str(), MAX_SEQ_LENGTH)


def make_info(task: str, **changes: Any) -> ModelInfo:
    """Return the facts about a model of the tiny test sizes."""
    facts: dict[str, Any] = {"vocab_size": 300, "max_position_embeddings": 64, "hidden_size": 8}
    values: dict[str, Any] = {
        "name": "tiny",
        "architecture": "BertModel",
        "task": task,
        "outputs": (Port("sentence_embedding", "f32", "sequences", 8),),
        "max_seq_length": MAX_SEQ_LENGTH,
        "facts": {**facts, **changes.pop("facts", {})},
    }
    return ModelInfo(**{**values, **changes})


def answers(task: Task[Any, Any], items: Sequence[Any], table: Array, *, per_token: bool = False) -> Any:
    """Return what a task answers by a model that looks up rows of ``table`` [vocab, n] by token id.

    The output has a row per token; else one per sequence, the sum over its tokens.
    """
    prepared = task.prepare(items)
    batch = prepared.batch
    ids, cu_seqlens = batch.inputs["input_ids"], batch.cu_seqlens
    assert ids.dtype == cu_seqlens.dtype == np.int32
    assert cu_seqlens[0] == 0 and np.all(np.diff(cu_seqlens) > 0) and cu_seqlens[-1] == len(ids)
    rows = table.astype(np.float32)[ids]
    return task.finish(prepared, rows if per_token else np.add.reduceat(rows, cu_seqlens[:-1], axis=0))


def tagging_table(labels: Sequence[str], tags: Mapping[str, str], *, score: float = 4.0) -> Array:
    """Return logits [vocab, labels] of tokens: ``tags`` maps a token to its label, every other token is O."""
    table = np.zeros((len(VOCABULARY), len(labels)), np.float32)
    table[:, labels.index("O")] = score
    for token, label in tags.items():
        table[VOCABULARY[token]] = 0
        table[VOCABULARY[token], labels.index(label)] = score
    return table
