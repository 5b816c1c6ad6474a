"""ESM-2 (Lin et al. 2023, doi:10.1126/science.ade2574) and ESM-1b: RoBERTa for proteins, norms before."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bertc.architectures import bert, roberta
from bertc.architectures.family import ConfigReader, Family, ModelType
from bertc.architectures.layers import LayerNames, pre_norm_layers
from bertc.architectures.model_builder import ModelBuilder
from bertc.architectures.rotary import RotaryConfig, read_rotary, table
from bertc.ports import TOKENS
from bertc.primitives.region import LENGTH, Call, Literal, Region

_NAMES = LayerNames(attention_norm="attention.LayerNorm", output_norm="LayerNorm")
_FREQUENCIES = ("rotary_embeddings", "encoder.layer.0.attention.self.rotary_embeddings")
"""Where checkpoints have the frequencies, all layers the same."""
_TRAINED = 1 - 0.15 * 0.8
"""The share of tokens that were not masked in training."""


@dataclass(frozen=True, kw_only=True)
class _Config(RotaryConfig):
    rotary: bool
    norm_before: bool
    token_dropout: bool
    mask_token_id: int


def _read_config(reader: ConfigReader) -> _Config:
    config = dataclasses.replace(
        bert.read_config(reader, ("absolute", "rotary")),
        max_position_embeddings=reader.size("max_position_embeddings", 1026),
        type_vocab_size=0,
        activation="gelu",
    )
    reader.absent("is_folding_model", "of ESMFold, the encoder alone is supported: save model.esm")
    rotary = reader.value("position_embedding_type") == "rotary"
    if not rotary:
        first_position = reader.size("pad_token_id", 1, smallest=0) + 1
        config = dataclasses.replace(config, first_position=first_position)
    token_dropout = reader.value("token_dropout") is True
    return _Config(
        **dataclasses.asdict(read_rotary(reader, config, 10_000.0)),
        rotary=rotary,
        norm_before=reader.value("emb_layer_norm_before") is True,
        token_dropout=token_dropout,
        mask_token_id=reader.size("mask_token_id", smallest=0) if token_dropout else 0,
    )


def _encoder(builder: ModelBuilder, config: _Config) -> str:
    width, positions = config.hidden_size, config.max_position_embeddings
    x = builder.embedding("embeddings.word_embeddings", "word", config.vocab_size, width)
    if config.token_dropout:
        region = _scale_of_dropout(config).to_json()
        x = builder.host(
            "embeddings.token_dropout",
            {"x0": x},
            ("input_ids",),
            0,
            columns=width,
            region=region,
            rows=TOKENS,
        )
    operands: Mapping[str, str] = {}
    if config.rotary:
        operands = config.operands(builder, _stored_frequencies(builder, config))
    else:
        name, first = "embeddings.position_embeddings", config.first_position
        place = builder.embedding(name, "position", positions, width, first_position=first)
        x = builder.add("embeddings.add_position", x, place)
    if config.norm_before:
        x = builder.layer_norm("embeddings.layer_norm", x, config.layer_norm_eps)
    norm = "encoder.emb_layer_norm_after"
    return pre_norm_layers(builder, config, x, names=_NAMES, norm=norm, bias=operands)


def _stored_frequencies(builder: ModelBuilder, config: _Config) -> str:
    module = next(filter(builder.is_sound, _FREQUENCIES), "")
    if not module:
        return ""
    derive = functools.partial(table, config.max_position_embeddings)
    return builder.derived(f"{module}.inv_freq", (config.head_size // 2,), "rotary", derive)


def _scale_of_dropout(config: _Config) -> Region:
    """Return what embeddings are multiplied by: 0 for masks, for all others the more the more masks.

    So the sum over a sequence is what it was on average in training.
    """
    numbers = {"one": 1.0, "trained": _TRAINED, "least": 1e-6}
    constants = {name: Literal("float32", (), (value,)) for name, value in numbers.items()}
    constants["mask"] = Literal("int64", (), (config.mask_token_id,))
    steps: tuple[tuple[str, tuple[str, ...], str, dict[str, Any]], ...] = (
        ("equal", ("input_ids", "mask"), "is_mask", {}),
        ("cast", ("is_mask",), "masked", {"to": "float32"}),
        ("reduce_mean", ("masked",), "share", {"axes": [1], "keepdims": True}),
        ("sub", ("one", "share"), "seen_share", {}),
        ("max", ("seen_share", "least"), "seen_at_least", {}),
        ("div", ("trained", "seen_at_least"), "scale", {}),
        ("sub", ("one", "masked"), "seen", {}),
        ("mul", ("seen", "scale"), "by_token", {}),
        ("unsqueeze", ("by_token",), "factor", {"axes": [2]}),
        ("mul", ("x0", "factor"), "y", {}),
    )
    calls = (Call(op, names, output, given, "token_dropout") for op, names, output, given in steps)
    reason = "how many tokens of a text are masks is known when it is there"
    return Region({"x0": (1, LENGTH, config.hidden_size)}, constants, tuple(calls), "y", reason)


FAMILY = Family(
    model_types={"esm": ModelType("Esm", "EsmTokenizer")},
    read_config=_read_config,
    encoder=_encoder,
    spellings=roberta.SPELLINGS,
    lacks=("question_answering", "multiple_choice"),
)
