"""Seeded random checkpoints as ``transformers`` itself makes and saves them, of any class."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.support.tiny_models import make_tokenizer

SMALL: Mapping[str, Any] = {
    "vocab_size": 300,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 66,
    "initializer_range": 0.2,
}
CONFIGS: Mapping[str, Mapping[str, Any]] = {
    "default": {},
    "odd sizes": {"hidden_size": 60, "num_attention_heads": 5, "intermediate_size": 130, "vocab_size": 307},
    "one layer": {"num_hidden_layers": 1, "layer_norm_eps": 1e-5, "hidden_act": "gelu_new"},
    "wide heads": {"hidden_size": 68, "num_attention_heads": 1, "hidden_act": "relu"},
    "untied": {"tie_word_embeddings": False, "hidden_act": "silu", "vocab_size": 331},
}
"""Sizes that no kernel likes, and options that change a head."""


def save_checkpoint(path: Path, class_name: str, **config: Any) -> Path:
    """Save a model of a ``transformers`` class; its weights are large enough that errors show."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    model_class = getattr(transformers, class_name)
    settings = model_class.config_class(**{**SMALL, **config})
    model = model_class(settings)
    for name, tensor in model.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(tensor, 0, 0.2)
    model.save_pretrained(path)
    make_tokenizer(max(300, settings.vocab_size)).save(str(path / "tokenizer.json"))
    return path
