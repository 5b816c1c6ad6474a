"""Computes what ``transformers`` gives for a checkpoint in fp32: the outside judge."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

Array = np.ndarray[Any, Any]

OUTPUTS = {
    "embedding": ("last_hidden_state", "pooler_output"),
    "classification": ("logits",),
    "token_classification": ("logits",),
}


@functools.lru_cache(maxsize=4)
def load_transformers(path: Path, head: str = "embedding") -> Any:
    """Return the checkpoint as a ``transformers`` model in fp32."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    transformers.logging.disable_progress_bar()
    classes = {
        "embedding": transformers.AutoModel,
        "classification": transformers.AutoModelForSequenceClassification,
        "token_classification": transformers.AutoModelForTokenClassification,
    }
    return classes[head].from_pretrained(path, dtype=torch.float32).eval()


def call_transformers(path: Path, head: str = "embedding", **arrays: Array | None) -> dict[str, Array]:
    """Return outputs for padded arrays [batch, seq], which are named as ``transformers`` names arguments."""
    model = load_transformers(path, head)
    import torch

    given = {name: array for name, array in arrays.items() if array is not None}
    with torch.no_grad():
        result = model(**{name: torch.from_numpy(array.astype(np.int64)) for name, array in given.items()})
    return {name: result[name].numpy() for name in OUTPUTS[head]}


def run_transformers(path: Path, inputs: Mapping[str, Array], head: str = "embedding") -> dict[str, Array]:
    """Return a model's outputs, one sequence at a time without padding, packed as ours are."""
    collected: dict[str, list[Array]] = {name: [] for name in OUTPUTS[head]}
    for start, stop in itertools.pairwise(inputs["cu_seqlens"]):
        names = ("input_ids", "token_type_ids", "position_ids")
        part = {name: inputs[name][None, start:stop] for name in names}
        result = call_transformers(path, head, attention_mask=np.ones_like(part["input_ids"]), **part)
        for name, rows in collected.items():
            rows.append(result[name][0] if result[name].ndim == 3 else result[name])
    return {name: np.concatenate(rows) for name, rows in collected.items()}
