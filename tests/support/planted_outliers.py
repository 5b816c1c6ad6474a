"""Checkpoints with outlier channels that keep the function, as RoBERTa and XLM-R have by nature.

In every layer norm a constant is added to the bias of some channels. It is cancelled in the bias of each
layer that reads the norm and, on the residual path, in the output bias of the next dense layer.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

Array = np.ndarray[Any, Any]


def plant_outliers(source: Path, target: Path, size: float, channels: Sequence[int]) -> Path:
    """Copy the BERT checkpoint ``source`` to the new folder ``target`` with outliers of ``size``.

    Any model but one that uses the last hidden state itself: nothing after it cancels the outliers there,
    so the last layer norm gets some only if a pooler reads it.
    """
    shutil.copytree(source, target)
    path = target / "model.safetensors"
    tensors = {name: array.astype(np.float32) for name, array in load_file(path).items()}
    prefix = "bert." if "bert.embeddings.LayerNorm.bias" in tensors else ""
    shift = np.zeros_like(tensors[f"{prefix}embeddings.LayerNorm.bias"])
    shift[list(channels)] = size
    for norm, readers, residual in _norms(tensors, prefix):
        if not readers:
            continue
        tensors[f"{norm}.bias"] += shift
        for reader in readers:
            tensors[f"{reader}.bias"] -= tensors[f"{reader}.weight"] @ shift
        if residual:
            tensors[f"{residual}.bias"] -= shift
    save_file(tensors, path, {"format": "pt"})
    return target


def _norms(tensors: dict[str, Array], prefix: str) -> list[tuple[str, list[str], str]]:
    """Layer norms, the linear layers that read them, and the dense layer whose output they are added to."""
    layers = 1 + max(int(name.split("layer.")[1].split(".")[0]) for name in tensors if "layer." in name)
    found = []
    for index in range(-1, layers):
        layer, following = f"{prefix}encoder.layer.{index}", f"{prefix}encoder.layer.{index + 1}"
        if index >= 0:
            readers = [f"{layer}.intermediate.dense"]
            found.append((f"{layer}.attention.output.LayerNorm", readers, f"{layer}.output.dense"))
        norm = f"{layer}.output.LayerNorm" if index >= 0 else f"{prefix}embeddings.LayerNorm"
        if index + 1 < layers:
            readers = [f"{following}.attention.self.{each}" for each in ("query", "key", "value")]
            found.append((norm, readers, f"{following}.attention.output.dense"))
        else:
            readers = [f"{prefix}pooler.dense"] if f"{prefix}pooler.dense.weight" in tensors else []
            found.append((norm, readers, ""))
    return found
