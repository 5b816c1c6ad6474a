"""Seeded tiny Hugging Face checkpoints, written with NumPy alone.

>>> make_bert_checkpoint(folder, "classification", hidden_size=64)    # doctest: +SKIP

Weights are larger than a fresh BERT's, so that attention is not uniform and an error in any tensor
shows in the result.
"""

from __future__ import annotations

import json
import string
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from bertc.ir.formulas import round_to_bf16

Array = np.ndarray[Any, Any]

DEFAULT_CONFIG: Mapping[str, Any] = {
    "model_type": "bert",
    "vocab_size": 300,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-12,
    "max_position_embeddings": 64,
    "type_vocab_size": 2,
    "pad_token_id": 0,
    "position_embedding_type": "absolute",
}
CLASSES = {
    "embedding": "BertModel",
    "classification": "BertForSequenceClassification",
    "token_classification": "BertForTokenClassification",
}
LABELS = {
    "embedding": (),
    "classification": ("negative", "positive"),
    "token_classification": ("O", "B-PER", "I-PER", "B-LOC", "I-LOC"),
}
SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
WORDS = (
    "the of and to in is a man woman child dog cat plays playing guitar piano is are was were on in at "
    "with good bad great terrible movie film story acting plot hello world paris london john smith lives "
    "works big small red green blue house street car train plane sky sea one two three four five not very"
)
PIECES = ("ing", "ed", "er", "est", "ly", "tion", "ness", "able")
CHINESE = "我们在中国北京上海人民日报的是不了一"


def make_bert_checkpoint(
    path: Path,
    head: str = "embedding",
    *,
    seed: int = 0,
    weights: str = "F32",
    shards: int = 1,
    prefix: str | None = None,
    pooler: bool = True,
    old_names: bool = False,
    pooling: str | None = None,
    normalize: bool = False,
    max_seq_length: int | None = None,
    sink: bool = False,
    **config: Any,
) -> Path:
    """Write config.json, model.safetensors, tokenizer.json and tokenizer_config.json into ``path``.

    ``head`` is "embedding", "classification" or "token_classification"; ``weights`` is F32, F16 or
    BF16; ``shards`` > 1 writes a sharded checkpoint; ``prefix`` overrides "bert." (with a head) or
    "" (without); ``old_names`` calls layer norm's vectors gamma and beta. ``pooling`` ("cls", "mean"
    or "max") makes it a sentence-transformers folder, with ``normalize`` and ``max_seq_length``.
    ``sink`` makes the first token large and nearly the same in all texts. Further keywords go into
    config.json. Returns ``path``.
    """
    path.mkdir(parents=True, exist_ok=True)
    full = {**DEFAULT_CONFIG, "architectures": [CLASSES[head]], **config}
    labels = LABELS[head]
    if labels:
        full.setdefault("id2label", {str(i): label for i, label in enumerate(labels)})
        full["label2id"] = {label: int(i) for i, label in full["id2label"].items()}
    tensors = bert_tensors(full, head, seed=seed, pooler=pooler, prefix=prefix, sink=sink)
    if old_names:
        tensors = {_old_name(name): array for name, array in tensors.items()}
    write_json(path / "config.json", full)
    write_weights(path, tensors, weights, shards)
    make_tokenizer(full["vocab_size"]).save(str(path / "tokenizer.json"))
    special = {f"{t.strip('[]').lower()}_token": t for t in SPECIAL_TOKENS}
    write_json(
        path / "tokenizer_config.json",
        {"tokenizer_class": "BertTokenizer", "do_lower_case": True, "model_max_length": 512, **special},
    )
    if pooling is not None:
        _write_sentence_transformers(path, full["hidden_size"], pooling, normalize)
    if max_seq_length is not None:
        write_json(
            path / "sentence_bert_config.json", {"max_seq_length": max_seq_length, "do_lower_case": False}
        )
    return path


def bert_tensors(
    config: Mapping[str, Any],
    head: str,
    *,
    seed: int = 0,
    pooler: bool = True,
    prefix: str | None = None,
    sink: bool = False,
) -> dict[str, Array]:
    """Return the checkpoint's tensors, float32, by their Hugging Face names."""
    rng = np.random.default_rng(seed)
    hidden, intermediate = config["hidden_size"], config["intermediate_size"]
    tensors: dict[str, Array] = {}

    def linear(name: str, rows: int, columns: int) -> None:
        tensors[f"{name}.weight"] = rng.normal(0, 1.5 / np.sqrt(columns), (rows, columns))
        tensors[f"{name}.bias"] = rng.normal(0, 0.1, rows)

    def norm(name: str) -> None:
        tensors[f"{name}.weight"] = rng.normal(1, 0.1, hidden)
        tensors[f"{name}.bias"] = rng.normal(0, 0.1, hidden)

    sizes = {"word": "vocab_size", "position": "max_position_embeddings", "token_type": "type_vocab_size"}
    for kind, key in sizes.items():
        tensors[f"embeddings.{kind}_embeddings.weight"] = rng.normal(0, 0.5, (config[key], hidden))
    if sink:
        tensors["embeddings.position_embeddings.weight"][0, 3] = 40
    norm("embeddings.LayerNorm")
    for i in range(config["num_hidden_layers"]):
        layer = f"encoder.layer.{i}"
        for part in ("query", "key", "value"):
            linear(f"{layer}.attention.self.{part}", hidden, hidden)
        linear(f"{layer}.attention.output.dense", hidden, hidden)
        norm(f"{layer}.attention.output.LayerNorm")
        linear(f"{layer}.intermediate.dense", intermediate, hidden)
        linear(f"{layer}.output.dense", hidden, intermediate)
        norm(f"{layer}.output.LayerNorm")
    if head == "classification" or (head == "embedding" and pooler):
        linear("pooler.dense", hidden, hidden)
    if prefix is None:
        prefix = "" if head == "embedding" else "bert."
    tensors = {prefix + name: array for name, array in tensors.items()}
    if head != "embedding":
        linear("classifier", len(config["id2label"]), hidden)
    return {name: array.astype(np.float32) for name, array in tensors.items()}


def make_tokenizer(vocab_size: int = 300) -> Tokenizer:
    """Return a lower-casing WordPiece tokenizer with exactly ``vocab_size`` entries, specials first."""
    characters = string.ascii_lowercase + string.digits
    tokens = [*SPECIAL_TOKENS, *characters, *(f"##{c}" for c in characters), *".,!?'-()"]
    tokens += [*WORDS.split(), *(f"##{piece}" for piece in PIECES), *CHINESE]
    unique = list(dict.fromkeys(tokens))[:vocab_size]
    unique += [f"[unused{i}]" for i in range(vocab_size - len(unique))]
    vocabulary = {token: i for i, token in enumerate(unique)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]", max_input_chars_per_word=100))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.add_special_tokens(list(SPECIAL_TOKENS))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(token, vocabulary[token]) for token in ("[CLS]", "[SEP]")],
    )
    return tokenizer


def packed_inputs(
    lengths: Sequence[int], *, vocab_size: int = 300, type_vocab_size: int = 2, seed: int = 0
) -> dict[str, Array]:
    """Return random model inputs for sequences of these lengths, packed: every graph takes them."""
    rng = np.random.default_rng(seed)
    tokens = sum(lengths)
    return {
        "input_ids": rng.integers(0, vocab_size, tokens, dtype=np.int32),
        "token_type_ids": rng.integers(0, type_vocab_size, tokens, dtype=np.int32),
        "position_ids": np.concatenate([np.arange(n, dtype=np.int32) for n in lengths]),
        "cu_seqlens": np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32),
    }


def write_weights(path: Path, tensors: Mapping[str, Array], dtype: str = "F32", shards: int = 1) -> None:
    """Write model.safetensors, or an index and ``shards`` files."""
    if shards == 1:
        write_safetensors(path / "model.safetensors", tensors, dtype)
        return
    names = list(tensors)
    weight_map: dict[str, str] = {}
    for i in range(shards):
        file = f"model-{i + 1:05d}-of-{shards:05d}.safetensors"
        part = names[i::shards]
        write_safetensors(path / file, {name: tensors[name] for name in part}, dtype)
        weight_map.update(dict.fromkeys(part, file))
    write_json(path / "model.safetensors.index.json", {"metadata": {}, "weight_map": weight_map})


def write_safetensors(path: Path, tensors: Mapping[str, Array], dtype: str = "F32") -> None:
    """Write a safetensors file with all tensors in ``dtype``: F32, F16 or BF16 (which NumPy lacks)."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    blobs: list[bytes] = []
    offset = 0
    for name, array in tensors.items():
        blob = _encode(array, dtype)
        header[name] = {
            "dtype": dtype,
            "shape": list(array.shape),
            "data_offsets": [offset, offset + len(blob)],
        }
        blobs.append(blob)
        offset += len(blob)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(blobs))


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as indented JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False), encoding="utf-8")


def _encode(array: Array, dtype: str) -> bytes:
    if dtype == "BF16":
        return (round_to_bf16(array).view(np.uint32) >> 16).astype("<u2").tobytes()
    return array.astype({"F32": "<f4", "F16": "<f2", "F64": "<f8", "I64": "<i8"}[dtype]).tobytes()


def _old_name(name: str) -> str:
    if "LayerNorm" not in name:
        return name
    return name.replace(".weight", ".gamma").replace(".bias", ".beta")


def _write_sentence_transformers(path: Path, hidden: int, pooling: str, normalize: bool) -> None:
    kinds = [("", "Transformer"), ("1_Pooling", "Pooling")] + [("2_Normalize", "Normalize")] * normalize
    write_json(
        path / "modules.json",
        [
            {"idx": i, "name": str(i), "path": folder, "type": f"sentence_transformers.models.{kind}"}
            for i, (folder, kind) in enumerate(kinds)
        ],
    )
    modes = {"cls": "cls_token", "mean": "mean_tokens", "max": "max_tokens"}
    flags = {f"pooling_mode_{suffix}": mode == pooling for mode, suffix in modes.items()}
    write_json(path / "1_Pooling" / "config.json", {"word_embedding_dimension": hidden, **flags})
