"""What ``transformers`` computes for a checkpoint in fp32, on packed inputs: the outside judge."""

from __future__ import annotations

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


def run_transformers(path: Path, inputs: Mapping[str, Array], head: str = "embedding") -> dict[str, Array]:
    """Its outputs, one sequence at a time without padding, packed as ours are."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    transformers.logging.disable_progress_bar()
    classes = {
        "embedding": transformers.AutoModel,
        "classification": transformers.AutoModelForSequenceClassification,
        "token_classification": transformers.AutoModelForTokenClassification,
    }
    model = classes[head].from_pretrained(path, dtype=torch.float32).eval()
    collected: dict[str, list[Array]] = {name: [] for name in OUTPUTS[head]}
    for start, stop in itertools.pairwise(inputs["cu_seqlens"]):
        part = {
            name: torch.from_numpy(inputs[name][None, start:stop].astype(np.int64))
            for name in ("input_ids", "token_type_ids", "position_ids")
        }
        with torch.no_grad():
            result = model(**part, attention_mask=torch.ones_like(part["input_ids"]))
        for name, rows in collected.items():
            value = result[name].numpy()
            rows.append(value[0] if value.ndim == 3 else value)
    return {name: np.concatenate(rows) for name, rows in collected.items()}
