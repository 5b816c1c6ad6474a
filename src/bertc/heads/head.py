"""What a head is: the contract between its file, the families that spell it and the front ends."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from bertc.architectures.family import EncoderConfig, Spelling
from bertc.architectures.model_builder import ModelBuilder


@dataclass(frozen=True)
class SentenceModule:
    """A module of a sentence-transformers model that follows the transformer."""

    kind: str
    """``pooling``, ``splade``, ``dense``, ``layer_norm`` or ``normalize``."""
    modes: tuple[str, ...] = ()
    """The modes of a pooling, whose results are put side by side; ``pooler`` is the encoder's own."""
    tensors: str = ""
    """What stands before the names of the module's tensors, for one that has some."""
    out_features: int = 0
    """The width of a dense layer's result."""
    activation: str = "none"
    """The op that follows a dense layer."""
    bias: bool = True
    """Whether a dense layer has one."""
    include_prompt: bool = True
    """Whether a pooling counts the tokens of a prompt."""
    residual: bool = False
    """Whether a dense layer's input is added to its result, through a matrix where their widths differ."""


MEAN_POOLING = (SentenceModule("pooling", ("mean",)),)
"""What sentence-transformers itself puts on a plain encoder."""


@dataclass(frozen=True)
class HeadOptions:
    """What a checkpoint says of its head, beside the tensors."""

    num_labels: int = 0
    modules: tuple[SentenceModule, ...] = MEAN_POOLING
    """For an embedding model: what makes a vector of hidden states."""
    partial_attention: bool = False
    """For late interaction: whether callers may say that nothing attends to some tokens."""
    tie_word_embeddings: bool = True
    """For a masked LM: whether the word embeddings are its last weights where a checkpoint has no others."""


@dataclass(frozen=True)
class HeadContext:
    """What a head is appended to."""

    builder: ModelBuilder
    hidden: str
    """The last hidden state [tokens, hidden_size]."""
    config: EncoderConfig
    spelling: Spelling
    options: HeadOptions = field(default_factory=HeadOptions)


@dataclass(frozen=True)
class Head:
    """One head, written once for all families."""

    name: str
    """As families call it where they spell it in another way."""
    task: str
    """The row of ``bertc.task_table`` that it serves."""
    suffix: str
    """How the names of its Hugging Face classes end: ``Model``, ``ForSequenceClassification``."""
    outputs: Callable[[HeadContext], Mapping[str, str]]
    """Appends the head; returns public output -> value."""
    spelling: Spelling = field(default_factory=lambda: MappingProxyType({}))
    """How BERT spells it, and so most families."""
    spelled_as: str = ""
    """The head whose spelling families give for this one, too."""
    everywhere: bool = True
    """Whether it is of every family, or only of those that spell it."""
    has_labels: bool = False
    """Whether config.json names the head's outputs (``id2label``)."""


TRANSFORM = ("first", "dense", "activation", "layer_norm", "pooling")
"""The words of :func:`transform` and :func:`pooled_linear`: a family may spell them for any head that is made
with these. ``pooling`` is a mode of ``pool``; a ``dense`` of no name is none."""


def transform(
    context: HeadContext, x: str, out_features: int, word: str = "dense", *, activation: str = ""
) -> str:
    """Append a dense layer, its activation, and a layer norm, as far as the head is spelled with them.

    ``activation`` is an op that counts more than those of config, family and encoder.
    """
    builder, spelling, config = context.builder, context.spelling, context.config
    name = spelling[word]
    if not name:
        return x
    dense = builder.linear(name, x, out_features, bias=config.head_bias)
    activation = activation or config.head_activation or spelling.get("activation") or config.activation
    dense = builder.activation(activation, f"{name}.activation", dense)
    if not spelling.get("layer_norm"):
        return dense
    return builder.layer_norm(spelling["layer_norm"], dense, config.layer_norm_eps, bias=config.norm_bias)


def first_token(builder: ModelBuilder, hidden: str) -> str:
    """The hidden state of each sequence's first token: [sequences, hidden_size]."""
    return builder.pool("pooler.first_token", hidden, "cls")


def pooled_linear(context: HeadContext, out_features: int, output: str = "output") -> str:
    """Append two dense layers on a sequence's one row, its first unless config or spelling say otherwise.

    Between them are an activation and perhaps a norm, behind which a late mean is taken; the first may be
    missing. The last layer of a mean is the mean of that layer. Returns [sequences, out_features].
    """
    builder, x, width = context.builder, context.hidden, context.config.hidden_size
    mode = context.spelling.get("pooling", context.config.classifier_pooling)
    late = mode == "late"
    if late:
        x, mode = transform(context, x, width), "mean"
    x = builder.pool("pooler.first_token" if mode == "cls" else f"pooler.{mode}", x, mode)
    if not late:
        x = transform(context, x, width, activation=context.config.pooler_activation)
    return builder.linear(context.spelling[output], x, out_features)


def token_linear(context: HeadContext, out_features: int) -> str:
    """Append a dense layer on each token, behind another where the head is spelled with one."""
    x = context.hidden
    if "dense" in context.spelling:
        x = transform(context, x, context.config.hidden_size)
    return context.builder.linear(context.spelling["output"], x, out_features)
