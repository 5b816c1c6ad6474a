"""X-MOD (Pfeiffer et al. 2022, arXiv:2205.06266): RoBERTa with a language's adapter in each layer.

``bertc.frontends.adapters`` chooses the language.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from bertc.architectures import roberta
from bertc.architectures.family import ConfigReader, EncoderConfig, Family, ModelType
from bertc.architectures.layers import Layer, LayerNames, embeddings, post_norm_layers, pre_norm_layers
from bertc.architectures.model_builder import ModelBuilder

_ADAPTER_NORM = "output.adapter_layer_norm"


@dataclass(frozen=True, kw_only=True)
class _Config(EncoderConfig):
    pre_norm: bool
    adapter_size: int
    """The width inside of adapters."""
    adapter_norm: str
    """The module of the norm before adapters; "" for none."""
    ln_before_adapter: bool
    """Whether what is added to an adapter's result is normed, too."""


@dataclass(frozen=True)
class _Layer(Layer):
    config: _Config

    def _feed_forward(self, x: str, residual: str) -> str:
        builder, config, name = self.builder, self.config, f"{self.name}.output"
        x = normed = super()._feed_forward(x, residual)
        if config.adapter_norm:
            module = f"{self.name}.{config.adapter_norm}"
            epsilon = config.layer_norm_eps
            normed = builder.layer_norm(f"{name}.adapter_layer_norm", x, epsilon, module=module)
        inner = self._linear("output.adapter.dense1", normed, config.adapter_size)
        inner = builder.activation(config.activation, f"{name}.adapter.activation", inner)
        return self._add("output.adapter.dense2", inner, normed if config.ln_before_adapter else x)


def _read_config(reader: ConfigReader) -> _Config:
    config = roberta.read_config(reader)
    factor = reader.number("adapter_reduction_factor", 2)
    reuses = "output.LayerNorm" if reader.flag("adapter_reuse_layer_norm", default=True) else ""
    return _Config(
        **dataclasses.asdict(config),
        pre_norm=reader.flag("pre_norm"),
        adapter_size=int(config.hidden_size // factor),
        adapter_norm=_ADAPTER_NORM if reader.flag("adapter_layer_norm") else reuses,
        ln_before_adapter=reader.flag("ln_before_adapter", default=True),
    )


def _encoder(builder: ModelBuilder, config: _Config) -> str:
    x = embeddings(builder, config)
    if config.pre_norm:
        return pre_norm_layers(builder, config, x, names=LayerNames(), norm="encoder.LayerNorm", kind=_Layer)
    return post_norm_layers(builder, config, x, kind=_Layer)


FAMILY = Family(
    model_types={"xmod": ModelType("Xmod", "XLMRobertaTokenizer")},
    read_config=_read_config,
    encoder=_encoder,
    spellings=roberta.SPELLINGS,
)
