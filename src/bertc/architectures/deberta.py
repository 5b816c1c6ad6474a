"""DeBERTa (He et al. 2020, arXiv:2006.03654): scores of contents and of the distances between them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bertc.architectures import bert, layers
from bertc.architectures.disentangled import Distances, Projection
from bertc.architectures.family import ConfigReader, EncoderConfig, Family, ModelType
from bertc.architectures.layers import Layer, LayerNames
from bertc.architectures.model_builder import ModelBuilder
from bertc.architectures.rotary import MAX_POSITIONS

Array = np.ndarray[Any, Any]

_TERMS = {"position_keys": "c2p", "position_queries": "p2c"}
"""What configs call the term of scores that a table makes."""


@dataclass(frozen=True, kw_only=True)
class Config(EncoderConfig):
    """What both versions of the family have beside BERT's sizes."""

    relative_attention: bool
    max_relative_positions: int
    pos_att_type: str
    """The terms of scores beside that of contents, separated by ``|``."""
    position_biased_input: bool

    @property
    def terms(self) -> list[str]:
        """The terms of scores beside that of contents."""
        return self.pos_att_type.split("|") if self.pos_att_type else []

    def distances(
        self, builder: ModelBuilder, projections: Mapping[str, Projection], **options: Any
    ) -> Distances | None:
        """What attention takes of distances, None if it takes nothing."""
        used = {operand: made for operand, made in projections.items() if _TERMS[operand] in self.terms}
        if not used or not self.relative_attention:
            return None
        options = {"span": self.max_relative_positions, "farthest": 0, **options}
        return Distances(builder, self.hidden_size, projections=used, **options)


def read_config(reader: ConfigReader) -> Config:
    """Sizes and options of both versions."""
    sizes = dataclasses.replace(
        bert.read_config(reader),
        embedding_size=reader.size("embedding_size", reader.size("hidden_size")),
        type_vocab_size=reader.size("type_vocab_size", 0, smallest=0),
        layer_norm_eps=reader.number("layer_norm_eps", 1e-7),
        pooler_activation=reader.choice("pooler_hidden_act", bert.ACTIVATIONS, "gelu"),
    )
    width = sizes.hidden_size
    usual = {"pooler_hidden_size": width, "attention_head_size": width // sizes.num_attention_heads}
    for key, size in usual.items():
        found = reader.size(key, size)
        reader.require(found == size, f"{key} is {found}, only {size} is supported")
    reader.absent("talking_head", "attention heads that are mixed are not supported")
    farthest = reader.size("max_relative_positions", -1, smallest=-1)
    farthest = farthest if farthest > 0 else sizes.max_position_embeddings
    reader.require(farthest <= MAX_POSITIONS, f"max_relative_positions is {farthest}, above {MAX_POSITIONS}")
    return Config(
        **dataclasses.asdict(sizes),
        relative_attention=reader.flag("relative_attention"),
        max_relative_positions=farthest,
        pos_att_type=_read_terms(reader),
        position_biased_input=reader.flag("position_biased_input", default=True),
    )


def _read_terms(reader: ConfigReader) -> str:
    """Return the terms of ``pos_att_type``, which is a list or has them separated by ``|``."""
    found = reader.value("pos_att_type") or []
    text = "|".join(map(str, found)) if isinstance(found, list) else str(found)
    terms = [each.strip() for each in text.lower().split("|") if each.strip()]
    valid = len({*terms}) == len(terms) and {*terms} <= {*_TERMS.values()}
    reader.require(valid, f"pos_att_type is {found!r}, expected some of {', '.join(_TERMS.values())}")
    return "|".join(terms) if valid else ""


def embeddings(builder: ModelBuilder, config: Config) -> str:
    """Append the sum of tables, a projection where they are narrower, and a norm: [tokens, hidden_size]."""
    positions = config.max_position_embeddings if config.position_biased_input else 0
    tables = dataclasses.replace(config, max_position_embeddings=positions)
    x = layers.embeddings(builder, tables, norm=False)
    if config.embedding_size != config.hidden_size:
        x = builder.linear("embeddings.embed_proj", x, config.hidden_size, bias=False)
    return builder.hidden_state(builder.layer_norm("embeddings.LayerNorm", x, config.layer_norm_eps))


def layer(
    builder: ModelBuilder,
    config: Config,
    index: int,
    distances: Distances | None,
    names: LayerNames,
    kind: type[Layer] = Layer,
) -> Layer:
    """A layer of either version."""
    name = f"encoder.layer.{index}"
    operands = distances.of_layer(f"{name}.{names.attention}") if distances else {}
    return kind(builder, config, name, names, bias=operands, score_terms=1 + len(config.terms))


class _Layer(Layer):
    """A layer whose queries, keys and values are made by rows of one tensor, head by head."""

    def project(self, x: str) -> dict[str, str]:
        return {
            "query": self._part("query", x, 0, "q_bias"),
            "key": self._part("key", x, 1, ""),
            "value": self._part("value", x, 2, "v_bias"),
        }

    def _part(self, name: str, x: str, part: int, bias: str) -> str:
        builder, heads, width = self.builder, self.config.num_attention_heads, self.config.hidden_size
        module = f"{self.name}.{self.names.attention}"

        def of_heads(stored: Array) -> Array:
            return stored.reshape(heads, 3, width // heads, width)[:, part].reshape(width, width)

        whole = {f"{module}.in_proj.weight": (3 * width, width)}
        operands = {
            "x": x,
            "weight": builder.derived(f"{module}.{name}.weight", (width, width), whole, of_heads),
            "bias": self._bias(f"{module}.{name}.bias", f"{module}.{bias}" if bias else ""),
        }
        return builder.op("linear", f"{module}.{name}", operands, columns=width, activation="none")

    def _bias(self, name: str, stored: str) -> str:
        width = self.config.hidden_size
        if not stored:
            return self.builder.constant(name, np.zeros(width, np.float32))
        return self.builder.derived(name, (width,), {stored: (width,)}, np.asarray)


def _encoder(builder: ModelBuilder, config: Config) -> str:
    x = embeddings(builder, config)
    distances = config.distances(
        builder,
        {"position_keys": Projection("pos_proj", bias=False), "position_queries": Projection("pos_q_proj")},
    )
    for index in range(config.num_hidden_layers):
        found = layer(builder, config, index, distances, LayerNames(), _Layer)
        x = builder.hidden_state(found.post_norm(x))
    return x


SPELLINGS = {"embedding": {"pooler": ""}}
"""The dense layer of a head on one row of a sequence is no pooler of the encoder."""
RENAMES = {
    f"lm_predictions.lm_head.{name}": f"cls.predictions.{usual}"
    for name, usual in {
        "dense.weight": "transform.dense.weight",
        "dense.bias": "transform.dense.bias",
        "LayerNorm.weight": "transform.LayerNorm.weight",
        "LayerNorm.bias": "transform.LayerNorm.bias",
        "bias": "bias",
    }.items()
}
"""The head of a masked LM without ``legacy`` -> with it: it computes the same."""
FAMILY = Family(
    model_types={"deberta": ModelType("Deberta", "DebertaTokenizer")},
    read_config=read_config,
    encoder=_encoder,
    spellings=SPELLINGS,
    renames=RENAMES,
    lacks=("multiple_choice",),
)
