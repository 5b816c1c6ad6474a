from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bertc.errors import CheckpointError
from bertc.frontends.huggingface import import_model
from bertc.ir import interpreter
from tests.support.tiny_models import DEFAULT_CONFIG, make_bert_checkpoint, packed_inputs, write_json
from tests.support.transformers_model import run_transformers

TOLERANCE = 2e-5
"""Largest absolute difference to transformers in fp32 that the project allows."""

CONFIGS: dict[str, dict[str, Any]] = {
    "default": {},
    "odd sizes": {
        "hidden_size": 312,
        "num_attention_heads": 12,
        "intermediate_size": 1200,
        "vocab_size": 1000,
        "num_hidden_layers": 1,
    },
    "one head, one token type": {"num_attention_heads": 1, "type_vocab_size": 1},
    "gelu_new": {"hidden_act": "gelu_new"},
    "gelu_pytorch_tanh": {"hidden_act": "gelu_pytorch_tanh"},
    "relu, large epsilon": {"hidden_act": "relu", "layer_norm_eps": 1e-3},
}


def _assert_equal_to_transformers(path: Path, head: str, inputs: dict[str, Any]) -> None:
    ours = interpreter.run(import_model(path).graph, inputs)
    for name, expected in run_transformers(path, inputs, head).items():
        assert ours[name].shape == expected.shape
        assert np.abs(ours[name] - expected).max() <= TOLERANCE, name


@pytest.mark.parametrize("config", CONFIGS)
def test_encoder_equals_transformers(config: str, tmp_path: Path) -> None:
    path = make_bert_checkpoint(tmp_path, **CONFIGS[config])
    sizes = {k: v for k, v in CONFIGS[config].items() if k in ("vocab_size", "type_vocab_size")}
    _assert_equal_to_transformers(path, "embedding", packed_inputs([1, 7, 64], **sizes))


@pytest.mark.parametrize("weights", ["F16", "BF16"])
@pytest.mark.parametrize("shards", [1, 3])
def test_half_precision_and_sharded_weights_equal_transformers(
    weights: str, shards: int, tmp_path: Path
) -> None:
    path = make_bert_checkpoint(tmp_path, weights=weights, shards=shards)
    _assert_equal_to_transformers(path, "embedding", packed_inputs([3, 9]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hidden_act": "laplace"}, "hidden_act 'laplace' is not supported, only gelu, gelu_python"),
        ({"position_embedding_type": "relative_key"}, "position_embedding_type 'relative_key' is not supp"),
        ({"is_decoder": True}, "is_decoder is set: only encoders"),
        ({"hidden_size": 0}, "hidden_size is 0, expected a positive integer"),
        ({"hidden_size": "32"}, "hidden_size is '32', expected a positive integer"),
        ({"num_hidden_layers": None}, "num_hidden_layers is missing"),
        ({"layer_norm_eps": 0}, "layer_norm_eps is 0, expected a positive number"),
        ({"num_attention_heads": 5}, "hidden_size 32 is not a multiple of num_attention_heads 5"),
        ({"hidden_size": -1, "vocab_size": True}, "hidden_size is -1.*; vocab_size is True"),
    ],
)
def test_a_config_that_is_not_supported_is_refused_by_key(
    change: dict[str, Any], message: str, tmp_path: Path
) -> None:
    path = make_bert_checkpoint(tmp_path)
    write_json(path / "config.json", {**DEFAULT_CONFIG, "architectures": ["BertModel"], **change})
    with pytest.raises(CheckpointError, match=f"config.json: .*{message}"):
        import_model(path)
