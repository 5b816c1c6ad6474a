"""BigBird (Zaheer et al. 2020, arXiv:2007.14062) on texts that are short enough for full attention: BERT."""

from __future__ import annotations

import dataclasses
import warnings
from dataclasses import dataclass

from bertc.architectures import bert
from bertc.architectures.family import ConfigReader, EncoderConfig, Family, ModelType
from bertc.architectures.layers import LayerNames, embeddings, post_norm_layers
from bertc.architectures.model_builder import ModelBuilder

_NAMES = LayerNames()
_SPARSE, _FULL = "block_sparse", "original_full"


@dataclass(frozen=True, kw_only=True)
class _Config(EncoderConfig):
    use_bias: bool
    """Whether queries, keys and values have one."""


def _read_config(reader: ConfigReader) -> _Config:
    config = bert.read_config(reader)
    positions = reader.size("max_position_embeddings", 4096)
    config = dataclasses.replace(
        config,
        max_position_embeddings=_full_attention(reader, positions),
        stored_positions=positions,
        activation=reader.choice("hidden_act", bert.ACTIVATIONS, "gelu_new"),
    )
    reader.absent("rescale_embeddings", "embeddings times the root of hidden_size are not supported")
    return _Config(**dataclasses.asdict(config), use_bias=reader.flag("use_bias", default=True))


def _full_attention(reader: ConfigReader, positions: int) -> int:
    """Return the tokens of the longest text whose attention is full.

    ``transformers`` computes it in full up to the number of tokens that one sees in sparse attention.
    """
    if reader.choice("attention_type", {_SPARSE: _SPARSE, _FULL: _FULL}, _SPARSE) == _FULL:
        return positions
    blocks = 5 + 2 * reader.size("num_random_blocks", 3, smallest=0)
    longest = blocks * reader.size("block_size", 64)
    if positions <= longest:
        return positions
    warnings.warn(
        f"attention_type is {_SPARSE}, which is full attention up to {longest} tokens: longer texts are not "
        f"supported. {_FULL} in config.json computes it in full for all {positions}",
        stacklevel=5,
    )
    return longest


def _encoder(builder: ModelBuilder, config: _Config) -> str:
    names = _NAMES
    if not config.use_bias:
        names = dataclasses.replace(names, unbiased=(names.query, names.key, names.value))
    return post_norm_layers(builder, config, embeddings(builder, config), names=names)


FAMILY = Family(
    model_types={"big_bird": ModelType("BigBird", "BigBirdTokenizer")},
    read_config=_read_config,
    encoder=_encoder,
    spellings={
        "embedding": {"pooler": "pooler"},
        "classification": {"dense": "classifier.dense", "activation": "", "output": "classifier.out_proj"},
        "multiple_choice": {"dense": "pooler"},
        "pretraining": {"pooler": "pooler"},
    },
    lacks=("question_answering",),
)
