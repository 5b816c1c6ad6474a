"""Seeded random checkpoints as ``transformers`` itself makes and saves them, of any class."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from tests.support.languages import SENTENCES
from tests.support.tiny_models import make_tokenizer, write_json

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


def save_with_tokenizer(path: Path, class_name: str, **config: Any) -> Path:
    """Save a model of a BERT or RoBERTa class with the tokenizer of its family, as a pipeline loads it."""
    bert = class_name.startswith("Bert")
    tokenizer = make_tokenizer(300) if bert else byte_level_tokenizer()
    save_checkpoint(path, class_name, **{"vocab_size": tokenizer.get_vocab_size(), **config})
    tokenizer.save(str(path / "tokenizer.json"))
    names = ("pad", "unk", "cls", "sep", "mask")
    tokens = [f"[{name.upper()}]" for name in names] if bert else ["<pad>", "<unk>", "<s>", "</s>", "<mask>"]
    special = {f"{name}_token": token for name, token in zip(names, tokens, strict=True)}
    limit = config.get("max_position_embeddings", SMALL["max_position_embeddings"]) - (0 if bert else 2)
    inputs = ["input_ids", *(["token_type_ids"] if bert else []), "attention_mask"]
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "model_input_names": inputs, **special}
    write_json(path / "tokenizer_config.json", {**settings, "model_max_length": limit})
    return path


def byte_level_tokenizer() -> Tokenizer:
    """Return RoBERTa's kind of tokenizer, byte-level BPE, trained on ``SENTENCES``."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=500,
        special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(SENTENCES, trainer)
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    return tokenizer
