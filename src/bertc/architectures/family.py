"""What a model family is: the contract between its file and the front ends. No family is here."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from bertc.architectures.model_builder import ModelBuilder

Spelling = Mapping[str, str]
"""How a family spells one head: the head's word for a module (``dense``, ``output``) -> the module's name in
the checkpoint, or for a function (``activation``) -> its op."""


@dataclass(frozen=True)
class EncoderConfig:
    """The sizes and options of an encoder, by Hugging Face's names."""

    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    intermediate_size: int
    vocab_size: int
    max_position_embeddings: int
    type_vocab_size: int
    layer_norm_eps: float
    activation: str
    """Name of the op: ``gelu``, ``gelu_tanh`` or ``relu``."""
    first_position: int = 0
    """The row of the position table that a sequence's first token takes."""

    @property
    def longest_sequence(self) -> int:
        """The number of tokens that the model has positions for."""
        return self.max_position_embeddings - self.first_position

    def facts(self) -> dict[str, int | float | str]:
        """Plain values by name, for the artifact."""
        return dataclasses.asdict(self)


@dataclass(frozen=True)
class Family:
    """One model family: how it is recognized, its encoder, and how it spells what stands on the encoder."""

    matches: Mapping[str, str]
    """``model_type`` of config.json -> how the names of its classes begin: ``bert`` -> ``Bert``."""
    read_config: Callable[[ConfigReader], EncoderConfig]
    """Reads sizes and options; problems go into the reader, which reports them together."""
    encoder: Callable[[ModelBuilder, EncoderConfig], str]
    """Appends the encoder and returns its last hidden state [tokens, hidden_size]."""
    spellings: Mapping[str, Spelling] = field(default_factory=lambda: MappingProxyType({}))
    """Name of a head (``bertc.heads``) -> the words of its spelling that are others than BERT's."""
    lacks: frozenset[str] = frozenset()
    """The heads that no class of this family has."""
    renames: Mapping[str, str] = field(
        default_factory=lambda: MappingProxyType(
            {"LayerNorm.gamma": "LayerNorm.weight", "LayerNorm.beta": "LayerNorm.bias"}
        )
    )
    """Old endings of tensor names -> today's."""
    tokenizer_class: str = "BertTokenizer"
    """The Hugging Face class of the tokenizer where a checkpoint names none."""

    def spelling(self, head: str, usual: Spelling) -> Spelling:
        """How this family spells a head, whose ``usual`` spelling is BERT's."""
        return {**usual, **self.spellings.get(head, {})}


class ConfigReader:
    """Reads keys of a config.json and gathers what is wrong with them, to report it all at once."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._config = config
        self.problems: list[str] = []

    def size(self, key: str, default: int | None = None, *, smallest: int = 1) -> int:
        """A whole number of at least ``smallest``; without a default the key must be there."""
        value = self._config.get(key, default)
        if value is None:
            self.problems.append(f"{key} is missing")
        elif type(value) is not int or value < smallest:
            kind = "a positive integer" if smallest == 1 else f"an integer from {smallest}"
            self.problems.append(f"{key} is {value!r}, expected {kind}")
        else:
            return value
        return 1

    def number(self, key: str, default: float) -> float:
        """A positive number."""
        value = self._config.get(key, default)
        if type(value) not in (int, float) or not 0 < value < float("inf"):
            self.problems.append(f"{key} is {value!r}, expected a positive number")
            return default
        return float(value)

    def choice(self, key: str, choices: Mapping[str, str], default: str) -> str:
        """The translation of a string, one of the keys of ``choices``."""
        value = self._config.get(key, default)
        if not isinstance(value, str) or value not in choices:
            self.problems.append(f"{key} {value!r} is not supported, only {', '.join(choices)}")
            return choices[default]
        return choices[value]

    def absent(self, key: str, reason: str) -> None:
        """Refuse a key that is set to anything true."""
        if self._config.get(key):
            self.problems.append(f"{key} is set: {reason}")
