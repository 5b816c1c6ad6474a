"""DeBERTa v2 and v3 (He et al. 2021, arXiv:2111.09543): buckets of distances, projections shared or not."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from bertc.architectures import deberta
from bertc.architectures.disentangled import Projection
from bertc.architectures.family import ConfigReader, Family, ModelType
from bertc.architectures.layers import LayerNames
from bertc.architectures.model_builder import ModelBuilder

_NAMES = LayerNames(
    query="attention.self.query_proj", key="attention.self.key_proj", value="attention.self.value_proj"
)


@dataclass(frozen=True, kw_only=True)
class _Config(deberta.Config):
    position_buckets: int
    """The buckets of distances on either side, 0 where each distance has its own."""
    share_att_key: bool
    """Whether distances go through the projections of contents."""
    norm_rel_ebd: str


def _read_config(reader: ConfigReader) -> _Config:
    sizes = deberta.read_config(reader)
    buckets, farthest = max(reader.size("position_buckets", -1, smallest=-1), 0), sizes.max_relative_positions
    reader.require(
        not buckets or (buckets % 2 == 0 and 4 <= buckets <= 2 * farthest - 4),
        f"position_buckets is {buckets}, expected an even number from 4 to {2 * farthest - 4}, as there are "
        f"{farthest} max_relative_positions",
    )
    reader.absent("conv_kernel_size", "a convolution behind the first layer is not supported")
    norms = {"none": "none", "layer_norm": "layer_norm"}
    return _Config(
        **dataclasses.asdict(sizes),
        position_buckets=buckets,
        share_att_key=reader.flag("share_att_key"),
        norm_rel_ebd=reader.choice("norm_rel_ebd", norms, "none"),
    )


def _encoder(builder: ModelBuilder, config: _Config) -> str:
    x = deberta.embeddings(builder, config)
    key, query = ("key_proj", "query_proj") if config.share_att_key else ("pos_key_proj", "pos_query_proj")
    options: dict[str, Any] = {}
    if config.position_buckets:
        options |= {"span": config.position_buckets, "farthest": config.max_relative_positions}
    if config.norm_rel_ebd == "layer_norm":
        options["norm_epsilon"] = config.layer_norm_eps
    projections = {"position_keys": Projection(key), "position_queries": Projection(query)}
    distances = config.distances(builder, projections, **options)
    for index in range(config.num_hidden_layers):
        layer = deberta.layer(builder, config, index, distances, _NAMES)
        x = builder.hidden_state(layer.post_norm(x))
    return x


FAMILY = Family(
    model_types={"deberta-v2": ModelType("DebertaV2", "DebertaV2Tokenizer")},
    read_config=_read_config,
    encoder=_encoder,
    spellings=deberta.SPELLINGS,
    renames=deberta.RENAMES,
)
