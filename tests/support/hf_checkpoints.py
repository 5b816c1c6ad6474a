"""Seeded random checkpoints as ``transformers`` itself makes and saves them, of any class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from tokenizers import (
    AddedToken,
    decoders,
    models,
    pre_tokenizers,
    processors,
    trainers,
)
from tokenizers import Tokenizer as NativeTokenizer

from bertc import passes
from bertc.encoder import Encoder, encoder_class_of
from bertc.frontends.huggingface import import_model
from bertc.frontends.model_class import supported_classes
from bertc.lowering.lower import lower
from bertc.runtime.session import Session
from bertc.runtime.tokenization import Tokenizer
from tests.support import jina_bert
from tests.support.multilingual import SENTENCES
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


SPECIAL_TOKENS = dict(zip(("pad_token_id", "cls_token_id", "sep_token_id"), (0, 2, 3), strict=True))
"""Ids within the small vocabulary, for a class whose own are beyond it."""
DISENTANGLED: Mapping[str, Any] = {
    "relative_attention": True,
    "pos_att_type": ["c2p", "p2c"],
    "position_buckets": 16,
    "norm_rel_ebd": "layer_norm",
}
OF_FAMILY: Mapping[str, Mapping[str, Any]] = {
    "ModernBert": SPECIAL_TOKENS,
    "Deberta": DISENTANGLED,
    "EuroBert": {"pad_token_id": 0, "num_key_value_heads": 1},
    "Ultrabert": {"num_key_value_heads": 1, "sliding_window": 4, "prediction_head_size": 40},
    "Esmc": {"hidden_size": 64},
    "Esm": {"position_embedding_type": "rotary", "pad_token_id": 1, "mask_token_id": 32},
    "Luke": {"entity_vocab_size": 10, "entity_emb_size": 8},
    "Xmod": {"languages": ["de_DE", "en_XX"], "default_language": "en_XX"},
    "Longformer": {"attention_window": 8},
    "BigBird": {"attention_type": "original_full"},
    "SqueezeBert": {f"{part}_groups": 2 for part in ("q", "k", "v", "intermediate", "output")},
}
"""Options of the classes whose names begin so."""


def hf_class(name: str) -> Any:
    """Return a class of ``transformers``, or one that it lacks from ``jina_bert``."""
    transformers = pytest.importorskip("transformers")
    return jina_bert.classes()[name] if name.startswith("JinaBert") else getattr(transformers, name)


def save_checkpoint(
    path: Path, class_name: str, *, tokenizer: NativeTokenizer | None = None, **config: Any
) -> Path:
    """Save a model of a ``transformers`` class; its weights are large enough that errors show.

    ``tokenizer`` is by default that of ``tiny_models``.
    """
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    model_class = hf_class(class_name)
    keys = next(each.family.config_keys for each in supported_classes() if each.name == class_name)
    own = next((found for start, found in OF_FAMILY.items() if class_name.startswith(start)), {})
    given = {keys.get(key, key): value for key, value in {**SMALL, **own, **config}.items()}
    if class_name.startswith("SqueezeBert"):
        given["embedding_size"] = given["hidden_size"]
    settings = model_class.config_class(**given)
    model = model_class(settings)
    for name, tensor in model.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(tensor, 0, 0.2)
        elif not tensor.any():  # I-BERT's norms
            torch.nn.init.normal_(tensor, 1, 0.2)
    model.save_pretrained(path)
    (tokenizer or make_tokenizer(max(300, settings.vocab_size))).save(str(path / "tokenizer.json"))
    if tokenizer is None and settings.model_type != "bert":  # whose class would make something else of it
        write_json(path / "tokenizer_config.json", {"tokenizer_class": "PreTrainedTokenizerFast"})
    return path


def byte_level_tokenizer(texts: Sequence[str], vocab_size: int = 320) -> NativeTokenizer:
    """Return a tokenizer as RoBERTa has it, trained on texts: every text of any language has tokens."""
    tokenizer = NativeTokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<s>", "<pad>", "</s>", "<unk>", AddedToken("<mask>", lstrip=True, special=True)]
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    return tokenizer


def load_fp32(path: Path) -> Encoder:
    """Return the model of a checkpoint in fp32 as ``bertc.load`` returns it, without a file."""
    model = import_model(path)
    session = Session(lower(passes.fuse(model.graph)), num_threads=1)
    tokenizer = Tokenizer(model.tokenizer_json, model.info.max_seq_length, model.info.size("vocab_size"))
    return encoder_class_of(model.info)(session, tokenizer, model.info)


def load_transformers(path: Path, class_name: str) -> tuple[Any, Any]:
    """Return the model and the tokenizer of ``transformers`` for a checkpoint of ``save_checkpoint``."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    model = getattr(transformers, class_name).from_pretrained(path, dtype=torch.float32).eval()
    names = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    if model.config.model_type == "bert":
        names = ["[CLS]", "[PAD]", "[SEP]", "[UNK]", "[MASK]"]
    keys = ("cls_token", "pad_token", "sep_token", "unk_token", "mask_token")
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_file=str(path / "tokenizer.json"), **dict(zip(keys, names, strict=True))
    )
    types = ["token_type_ids"] if getattr(model.config, "type_vocab_size", 0) > 1 else []
    tokenizer.model_input_names = ["input_ids", "attention_mask", *types]
    return model, tokenizer


def save_with_tokenizer(path: Path, class_name: str, **config: Any) -> Path:
    """Save a model of a BERT or RoBERTa class with the tokenizer of its family, as a pipeline loads it."""
    bert = class_name.startswith("Bert")
    tokenizer = make_tokenizer(300) if bert else byte_level_tokenizer(SENTENCES, 500)
    settings = {"vocab_size": tokenizer.get_vocab_size(), **config}
    save_checkpoint(path, class_name, tokenizer=tokenizer, **settings)
    names = ("pad", "unk", "cls", "sep", "mask")
    tokens = [f"[{name.upper()}]" for name in names] if bert else ["<pad>", "<unk>", "<s>", "</s>", "<mask>"]
    special = {f"{name}_token": token for name, token in zip(names, tokens, strict=True)}
    limit = config.get("max_position_embeddings", SMALL["max_position_embeddings"]) - (0 if bert else 2)
    types = ["token_type_ids"] if bert else []
    write_json(
        path / "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": limit,
            "model_input_names": ["input_ids", "attention_mask", *types],
            **special,
        },
    )
    return path
