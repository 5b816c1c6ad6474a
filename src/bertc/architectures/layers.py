"""The layers of a transformer, once for all families: embeddings, and layers with norms after or before."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from bertc.architectures.family import EncoderConfig
from bertc.architectures.model_builder import ModelBuilder, Order
from bertc.ports import CU_SEQLENS

_NONE: Mapping[str, str] = MappingProxyType({})
_AS_STORED: Mapping[str, Order] = MappingProxyType({})


@dataclass(frozen=True)
class LayerNames:
    """How a family names the modules of a layer, behind the name of the layer. The defaults are BERT's."""

    query: str = "attention.self.query"
    key: str = "attention.self.key"
    value: str = "attention.self.value"
    attention: str = "attention.self"
    attention_output: str = "attention.output.dense"
    attention_norm: str = "attention.output.LayerNorm"
    intermediate: str = "intermediate.dense"
    output: str = "output.dense"
    output_norm: str = "output.LayerNorm"
    gate: str = ""
    """A dense layer beside ``intermediate`` that takes the activation and multiplies what that one gives."""
    query_norm: str = ""
    """A norm of all heads' queries together, before they meet the keys."""
    key_norm: str = ""
    """The same of keys."""
    unbiased: tuple[str, ...] = ()
    """The modules, of those above, that have no bias."""


@dataclass(frozen=True)
class Layer:
    """One layer: where it is in the graph, and where its tensors are in the checkpoint."""

    builder: ModelBuilder
    config: EncoderConfig
    name: str
    names: LayerNames = LayerNames()
    module: str = ""
    """What its tensors are called after, if that is not its name: layers may share them."""
    bias: Mapping[str, str] = field(default_factory=dict)
    """More operands of attention, which say where tokens are, and how far they attend to each other."""
    window: int = 0
    """How far away a token that another attends to may be; 0 for any distance."""
    orders: Mapping[str, Order] = field(default_factory=dict)
    """The order of the outputs of dense layers of ``names``, where that is not the checkpoint's."""
    score_terms: int = 1
    """The products that a score is the sum of: it is divided by the root of head size times their number."""

    def post_norm(self, x: str) -> str:
        """Append the layer as BERT has it, a norm after each sum: [tokens, hidden_size]."""
        x = self._norm(self.names.attention_norm, self._attend(x, x))
        return self._norm(self.names.output_norm, self._feed_forward(x, x))

    def pre_norm(self, x: str) -> str:
        """Append the layer with a norm before each part, and sums of what is not normed."""
        x = self._attend(self._norm(self.names.attention_norm, x), x)
        return self._feed_forward(self._norm(self.names.output_norm, x), x)

    def _attend(self, x: str, residual: str) -> str:
        names, config = self.names, self.config
        operands = {**self.project(x), "cu_seqlens": CU_SEQLENS, **self.bias}
        optional = {"num_key_value_heads": config.num_key_value_heads, "window": self.window}
        context = self.builder.op(
            "attention",
            f"{self.name}.{names.attention}",
            operands,
            num_attention_heads=config.num_attention_heads,
            scale=1.0 / math.sqrt(config.head_size * self.score_terms),
            **{name: value for name, value in optional.items() if value},
        )
        return self._add(names.attention_output, context, residual)

    def project(self, x: str) -> dict[str, str]:
        """Append the projections of attention: queries, keys and values by operand."""
        names, config = self.names, self.config
        heads = config.num_attention_heads
        sharers = config.num_key_value_heads or heads
        parts = {"query": (names.query, heads), "key": (names.key, sharers), "value": (names.value, sharers)}
        made = {
            part: self._linear(name, x, count * config.head_size) for part, (name, count) in parts.items()
        }
        norms = {"query": names.query_norm, "key": names.key_norm}
        return {
            part: self._norm(norms[part], value) if norms.get(part) else value for part, value in made.items()
        }

    def _feed_forward(self, x: str, residual: str) -> str:
        names, size = self.names, self.config.intermediate_size
        inner = self._linear(names.gate or names.intermediate, x, size)
        beside = {
            each: f"{self.name}.{_beside(names.intermediate, each)}" for each in ("activation", "multiply")
        }
        inner = self.builder.activation(self.config.activation, beside["activation"], inner)
        if names.gate:
            value = self._linear(names.intermediate, x, size)
            inner = self.builder.multiply(beside["multiply"], inner, value)
        return self._add(names.output, inner, residual)

    def _add(self, name: str, x: str, residual: str) -> str:
        dense = self._linear(name, x, self.config.hidden_size)
        return self.builder.add(f"{self.name}.{_beside(name, 'add')}", dense, residual)

    def _linear(self, name: str, x: str, out_features: int) -> str:
        module = f"{self.module or self.name}.{name}"
        return self.builder.linear(
            f"{self.name}.{name}",
            x,
            out_features,
            module=module,
            bias=name not in self.names.unbiased,
            order=self.orders.get(name),
        )

    def _norm(self, name: str, x: str) -> str:
        module = f"{self.module or self.name}.{name}"
        config = self.config
        return self.builder.layer_norm(
            f"{self.name}.{name}",
            x,
            config.layer_norm_eps,
            module=module,
            bias=config.norm_bias and name not in self.names.unbiased,
            rms=config.rms_norm,
        )


def _beside(name: str, other: str) -> str:
    """Return ``a.b.other`` for ``a.b.c``."""
    return ".".join((*name.split(".")[:-1], other))


def problem_of_normed_heads(config: EncoderConfig, multiple: int) -> str:
    """Return why queries and keys of such heads cannot have norms, "" if they can.

    Kernels take heads of a ``multiple`` of columns, and what fills others up would be part of a norm.
    """
    size = config.head_size
    return (
        f"heads of {size} columns with norms are not supported, only of multiples of {multiple}"
        if size % multiple
        else ""
    )


def embeddings(builder: ModelBuilder, config: EncoderConfig, *, norm: bool = True) -> str:
    """Append the sum of a row of each table that the config has, and its norm: [tokens, embedding_size]."""
    tables = {
        "word": config.vocab_size,
        "token_type": config.type_vocab_size,
        "position": config.max_position_embeddings,
        "task_type": config.task_type_vocab_size,
    }
    total = ""
    for table, rows in tables.items():
        if rows:
            first = config.first_position if table == "position" else 0
            name = f"embeddings.{table}_embeddings"
            stored = config.stored_positions if table == "position" else 0
            row = builder.embedding(
                name, table, rows, config.embedding_size, first_position=first, stored_rows=stored
            )
            total = builder.add(f"embeddings.add_{table}", total, row) if total else row
    return builder.layer_norm("embeddings.LayerNorm", total, config.layer_norm_eps) if norm else total


def post_norm_layers(
    builder: ModelBuilder,
    config: EncoderConfig,
    x: str,
    *,
    prefix: str = "encoder.layer",
    names: LayerNames = LayerNames(),
    bias: Mapping[str, str] = _NONE,
    orders: Mapping[str, Order] = _AS_STORED,
    kind: type[Layer] = Layer,
) -> str:
    """Append all layers as BERT has them to what the embeddings give: [tokens, hidden_size]."""
    builder.hidden_state(x)
    for i in range(config.num_hidden_layers):
        layer = kind(builder, config, f"{prefix}.{i}", names, bias=bias, orders=orders)
        x = builder.hidden_state(layer.post_norm(x))
    return x


def pre_norm_layers(
    builder: ModelBuilder,
    config: EncoderConfig,
    x: str,
    *,
    names: LayerNames,
    norm: str,
    prefix: str = "encoder.layer",
    bias: Mapping[str, str] = _NONE,
    kind: type[Layer] = Layer,
) -> str:
    """Append all layers with norms before their parts, and the last norm: [tokens, hidden_size]."""
    for i in range(config.num_hidden_layers):
        builder.hidden_state(x)
        x = kind(builder, config, f"{prefix}.{i}", names, bias=bias).pre_norm(x)
    unbiased = norm in names.unbiased
    return builder.hidden_state(builder.layer_norm(norm, x, config.layer_norm_eps, bias=not unbiased))
