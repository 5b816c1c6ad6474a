"""What a model family is: the contract between its file and the front ends. No family is here."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Generic, NamedTuple, TypeVar

from bertc.architectures.model_builder import ModelBuilder

Spelling = Mapping[str, str]
"""How a family spells one head: the head's word for a module (``dense``, ``output``) -> the module's name in
the checkpoint, or for a function (``activation``) -> its op."""


@dataclass(frozen=True)
class EncoderConfig:
    """The sizes and options of an encoder, by Hugging Face's names; a family may add its own."""

    hidden_size: int
    embedding_size: int
    """The width of the tables: most often that of the hidden states."""
    num_hidden_layers: int
    num_attention_heads: int
    intermediate_size: int
    vocab_size: int
    max_position_embeddings: int
    type_vocab_size: int
    layer_norm_eps: float
    activation: str
    """The name of an op of the table, such as ``gelu_tanh``."""
    first_position: int = 0
    """The row of the position table that a sequence's first token takes."""
    stored_positions: int = 0
    """The rows of the checkpoint's position table, where it has more than are used; else 0."""
    task_type_vocab_size: int = 0
    """The number of ERNIE's task types, 0 for a model without."""
    norm_bias: bool = True
    """Whether layer norms have one."""
    head_bias: bool = True
    """Whether the first dense layer of a head has one."""
    decoder_bias: bool = True
    """Whether the matrix of a masked LM's words has one."""
    head_activation: str = ""
    """The op after that layer, where the config says it; else the head has one, or the encoder's."""
    pooler_activation: str = ""
    """The op after that layer in heads on one row of a sequence, where the config says another for them."""
    classifier_pooling: str = "cls"
    """The mode of ``pool`` that makes one row of a sequence for a head; or ``late``, the mean behind it."""
    prediction_head_size: int = 0
    """The width between the dense layers of a masked LM that has two before its last matrix, else 0."""
    rms_norm: bool = False
    """Whether norms leave the mean in."""
    num_key_value_heads: int = 0
    """The heads of keys and values, each of which several heads share; 0 where each has its own."""
    head_dim: int = 0
    """The columns of a head, where heads are not as wide together as hidden states; else 0."""

    @property
    def head_size(self) -> int:
        """The columns of a head."""
        return self.head_dim or self.hidden_size // self.num_attention_heads

    @property
    def longest_sequence(self) -> int:
        """The number of tokens that the model has positions for."""
        return self.max_position_embeddings - self.first_position

    @property
    def prediction_size(self) -> int:
        """The width of what a masked LM's last matrix reads; that of the tables, which it may share."""
        return self.embedding_size

    def facts(self) -> dict[str, int | float | str]:
        """Plain values by name, for the artifact."""
        return {name: value for name, value in dataclasses.asdict(self).items() if name not in _OF_HEADS}


_OF_HEADS = (
    *("norm_bias", "head_bias", "decoder_bias", "head_activation", "pooler_activation"),
    *("classifier_pooling", "prediction_head_size", "rms_norm", "stored_positions"),
)
"""What the graph alone needs to know."""


Config = TypeVar("Config", bound=EncoderConfig)


class ModelType(NamedTuple):
    """What Hugging Face calls a family, which has several such names for models trained in other ways."""

    stem: str
    """How the names of its classes begin: ``Bert``."""
    tokenizer_class: str
    """The class of the tokenizer where a checkpoint names none."""


@dataclass(frozen=True)
class Family(Generic[Config]):
    """One model family: how it is recognized, its encoder, and how it spells what stands on the encoder."""

    model_types: Mapping[str, ModelType]
    """``model_type`` of config.json -> its names."""
    read_config: Callable[[ConfigReader], Config]
    """Reads sizes and options; problems go into the reader, which reports them together."""
    encoder: Callable[[ModelBuilder, Config], str]
    """Appends the encoder and returns its last hidden state [tokens, hidden_size]."""
    config_keys: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Usual keys of config.json -> those of this family, where they are others."""
    spellings: Mapping[str, Spelling] = field(default_factory=lambda: MappingProxyType({}))
    """Name of a head (``bertc.heads``) -> the words of its spelling that are others than BERT's, perhaps
    none: heads that few families have are those of the families that name them here."""
    endings: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Name of a head -> the ending of its class in this family, where that is another than most have."""
    encoder_only: bool = False
    """Whether the encoder is the only class of the family."""
    lacks: tuple[str, ...] = ()
    """The heads that most families have and this one has not."""
    renames: Mapping[str, str | tuple[str, ...]] = field(
        default_factory=lambda: MappingProxyType(
            {"LayerNorm.gamma": "LayerNorm.weight", "LayerNorm.beta": "LayerNorm.bias"}
        )
    )
    """Words of older tensor names, in the order in which they are replaced -> today's; several where the
    older tensor has the rows of several, one after the other."""
    translate: Callable[[Mapping[str, Any]], Mapping[str, Any] | None] = lambda _: None
    """Returns what ``transformers`` has for a config.json that is written for code on the hub, where that
    computes what this family does; None for any other. Raises ``CheckpointError`` for what it does not."""

    def spelling(self, head: str, usual: Spelling) -> Spelling:
        """How this family spells a head, whose ``usual`` spelling is BERT's."""
        return {**usual, **self.spellings.get(head, {})}


class ConfigReader:
    """Reads keys of a config.json and gathers what is wrong with them, to report it all at once."""

    def __init__(self, config: Mapping[str, Any], keys: Mapping[str, str] = MappingProxyType({})) -> None:
        """``keys`` maps those that are asked for to those that the config has instead."""
        self._config = config
        self._keys = keys
        self.problems: list[str] = []

    def _get(self, key: str, default: Any = None) -> tuple[str, Any]:
        """Return the key that the config has, and its value."""
        own = self._keys.get(key, key)
        used = key if own not in self._config and key in self._config else own
        return used, self._config.get(used, default)

    def size(self, key: str, default: int | None = None, *, smallest: int = 1) -> int:
        """A whole number of at least ``smallest``; without a default the key must be there."""
        key, value = self._get(key, default)
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
        key, value = self._get(key, default)
        if type(value) not in (int, float) or not 0 < value < float("inf"):
            self.problems.append(f"{key} is {value!r}, expected a positive number")
            return default
        return float(value)

    def choice(self, key: str, choices: Mapping[str, str], default: str) -> str:
        """The translation of a string, one of the keys of ``choices``."""
        key, value = self._get(key, default)
        if not isinstance(value, str) or value not in choices:
            self.problems.append(f"{key} {value!r} is not supported, only {', '.join(choices)}")
            return choices[default]
        return choices[value]

    def absent(self, key: str, reason: str) -> None:
        """Refuse a key that is set to anything true."""
        if self._config.get(key):
            self.problems.append(f"{key} is set: {reason}")

    def flag(self, key: str, *, default: bool = False) -> bool:
        """Return a value that is true or false, and ``default`` where it is not there."""
        value = self._config.get(key, default)
        if not isinstance(value, bool):
            self.problems.append(f"{key} is {value!r}, expected true or false")
        return value is True

    def value(self, key: str) -> Any:
        """Return what the config says, whatever it is, None where it says nothing."""
        return self._get(key)[1]

    def require(self, holds: bool, problem: str) -> None:
        """Add a problem unless a condition holds, which is for sizes that must fit each other."""
        if not holds and not self.problems:
            self.problems.append(problem)
