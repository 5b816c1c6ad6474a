"""What a model family is: the contract between its file and the front ends. No family is here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bertc.errors import CheckpointError
from bertc.ir.graph import Graph

Array = np.ndarray[Any, Any]


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


@dataclass(frozen=True)
class Head:
    """What stands on the encoder."""

    task: str
    """``embedding``, ``classification`` or ``token_classification``."""
    num_labels: int = 0
    with_pooler: bool = False
    """Whether the checkpoint has the tensors of a pooler that the model computes."""
    pooling: str = "mean"
    """For an embedding model: ``cls``, ``mean``, ``max`` or ``pooler``."""
    normalize: bool = False
    """For an embedding model: whether it ends in a division by the L2 norm."""


@dataclass(frozen=True)
class Family:
    """One model family: its ``model_type`` in config.json and how to make a graph of it."""

    model_type: str
    prefix: str
    """What tensor names may start with, when the encoder was saved inside a model with a head."""
    tasks: Mapping[str, str]
    """Hugging Face class -> task."""
    read_config: Callable[[Mapping[str, Any]], EncoderConfig]
    """Raises ``CheckpointError`` that lists all problems of a config.json."""
    tensor_shapes: Callable[[EncoderConfig, Head], dict[str, tuple[int, ...]]]
    """Every tensor that ``build`` needs, by name without the prefix."""
    build: Callable[[EncoderConfig, Head, Mapping[str, Array]], Graph]
    """The graph (stage "imported") from float32 tensors of those names and shapes."""


class ConfigReader:
    """Reads keys of a config.json and gathers what is wrong with them, to report it all at once."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._config = config
        self.problems: list[str] = []

    def size(self, key: str, default: int | None = None) -> int:
        """A positive integer; without a default the key must be there."""
        value = self._config.get(key, default)
        if value is None:
            self.problems.append(f"{key} is missing")
        elif type(value) is not int or value < 1:
            self.problems.append(f"{key} is {value!r}, expected a positive integer")
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

    def finish(self) -> None:
        """Raise ``CheckpointError`` if anything was wrong."""
        if self.problems:
            raise CheckpointError(f"config.json: {'; '.join(self.problems)}")
