"""A seeded sentence-transformers folder with every pooling and module there is, written with NumPy alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tests.support.tiny_models import make_bert_checkpoint, write_json, write_safetensors

POOLINGS = ("cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken")
DENSE = 45
"""The width of the vectors, a multiple of nothing."""


def make_module_checkpoint(path: Path, **config: Any) -> Path:
    """Write a model whose poolings are put side by side, then Dense, LayerNorm and Normalize."""
    hidden = config.get("hidden_size", 20)
    make_bert_checkpoint(path, **{"hidden_size": hidden, "intermediate_size": 37, **config})
    kinds = ["Transformer", "Pooling", "Dense", "Dropout", "LayerNorm", "Normalize"]
    folders = ["", *(f"{index}_{kind}" for index, kind in enumerate(kinds[1:], 1))]
    write_json(
        path / "modules.json",
        [
            {"idx": index, "name": str(index), "path": folder, "type": f"sentence_transformers.models.{kind}"}
            for index, (folder, kind) in enumerate(zip(folders, kinds, strict=True))
        ],
    )
    write_json(path / "1_Pooling" / "config.json", {"pooling_mode": POOLINGS})
    width = len(POOLINGS) * hidden
    write_json(
        path / "2_Dense" / "config.json",
        {
            "in_features": width,
            "out_features": DENSE,
            "bias": False,
            "activation_function": "torch.nn.modules.activation.SiLU",
            "use_residual": True,
        },
    )
    rng = np.random.default_rng(0)
    names = ("linear.weight", "residual.weight")
    weights = {name: rng.normal(0, width**-0.5, (DENSE, width)).astype(np.float32) for name in names}
    write_safetensors(path / "2_Dense" / "model.safetensors", weights)
    norm = {
        "norm.weight": rng.normal(1, 0.1, DENSE).astype(np.float32),
        "norm.bias": rng.normal(0, 0.1, DENSE).astype(np.float32),
    }
    (path / "4_LayerNorm").mkdir()
    write_safetensors(path / "4_LayerNorm" / "model.safetensors", norm)
    return path
