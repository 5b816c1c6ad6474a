"""UltraBERT (``transformers``, ``ultrabert``): EuroBERT's layers, most of them with a window."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from bertc.architectures import eurobert
from bertc.architectures.eurobert import FULL, SLIDING, Config
from bertc.architectures.family import ConfigReader, Family, ModelType
from bertc.architectures.rope_scaling import Rope
from bertc.architectures.rotary import read_angles

_THETA = {SLIDING: 10_000.0, FULL: 2_560_000.0}
"""The usual values."""


def _read_config(reader: ConfigReader) -> Config:
    config = eurobert.read_sizes(
        reader, positions=32_768, epsilon=1e-6, poolings={"cls": "cls", "mean": "mean"}
    )
    layers, windows = config.num_hidden_layers, reader.value("attention_windows")
    kinds: Any = reader.value("layer_types")
    if windows is not None and not _is_of_layers(windows, layers, (int, type(None))):
        reader.require(False, f"attention_windows is {windows!r}, expected a number for each layer")
        windows = None
    if kinds is None:
        every = [window or 0 for window in windows] if windows else [(i + 1) % 3 for i in range(layers)]
        kinds = [SLIDING if window else FULL for window in every]
    valid = _is_of_layers(kinds, layers, str) and set(kinds) <= set(_THETA)
    reader.require(valid, f"layer_types is {kinds!r}, expected {FULL} or {SLIDING} for each layer")
    kinds = kinds if valid else [FULL]
    window = next(filter(None, windows or ()), None) or reader.size("sliding_window", 128)
    return dataclasses.replace(
        config,
        layer_types=",".join(kinds),
        sliding_window=window,
        rope_parameters=json.dumps(
            {kind: _rope(reader, config, kinds, kind) for kind in dict.fromkeys(kinds)}
        ),
        head_bias=False,
        decoder_bias=False,
        prediction_head_size=reader.size("prediction_head_size", 768),
    )


def _is_of_layers(found: Any, layers: int, types: Any) -> bool:
    return isinstance(found, list) and len(found) == layers and all(isinstance(each, types) for each in found)


def _rope(reader: ConfigReader, config: Config, kinds: list[str], kind: str) -> Rope:
    """Return the angles of a kind of layers; older configs list ``rope_theta``, one for each layer."""
    by_kind, older = reader.value("rope_parameters"), reader.value("rope_theta")
    if not by_kind and isinstance(older, list):
        by_kind = {of: {"rope_theta": each} for of, each in zip(kinds, older, strict=False)}
    elif not by_kind:
        by_kind = {of: {"rope_theta": each} for of, each in _THETA.items()}
    given = by_kind.get(kind) if isinstance(by_kind, dict) else by_kind
    return read_angles(reader, config, given, 10_000.0)


_PLAIN = {"dense": ""}
FAMILY = Family(
    model_types={"ultrabert": ModelType("Ultrabert", "PreTrainedTokenizerFast")},
    read_config=_read_config,
    encoder=eurobert.encoder,
    config_keys={"layer_norm_eps": "rms_norm_eps"},
    spellings={
        "classification": _PLAIN,
        "masked_lm": {
            "first": "head.linear1",
            "dense": "head.linear2",
            "activation": "gelu_tanh",
            "layer_norm": "",
            "decoder": "head.decoder",
            "bias": "head.decoder.bias",
            "words": "embed_tokens",
        },
    },
    lacks=("multiple_choice",),
    renames={"cls.weight": "head.decoder.weight"},
)
