"""Rotary positions that a config stretches to longer texts, as ``transformers`` computes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bertc.architectures import ConfigReader
from bertc.architectures.rope_scaling import frequencies, read_rope
from bertc.errors import CheckpointError
from bertc.frontends.huggingface import import_model
from tests.support.hf_checkpoints import save_checkpoint

POSITIONS = 2048
LLAMA3 = {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
KINDS: dict[str, dict[str, Any]] = {
    "linear": {"rope_type": "linear", "factor": 4.0},
    "dynamic": {"rope_type": "dynamic", "factor": 2.0},
    "yarn": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 512},
    "yarn with all keys": {
        "rope_type": "yarn",
        "rope_theta": 500.0,
        "factor": 16.0,
        "original_max_position_embeddings": 128,
        "beta_fast": 8,
        "beta_slow": 2,
        "mscale": 1.5,
        "mscale_all_dim": 0.8,
        "truncate": False,
    },
    "yarn of a given magnitude": {"rope_type": "yarn", "factor": 2.0, "attention_factor": 0.7},
    "yarn without a factor": {
        "rope_type": "yarn",
        "factor": None,
        "original_max_position_embeddings": 256,
    },
    "llama3": {"rope_type": "llama3", **LLAMA3, "original_max_position_embeddings": 256},
    "longrope": {
        "rope_type": "longrope",
        "short_factor": [1.0 + 0.1 * i for i in range(12)],
        "long_factor": [4.0] * 12,
        "original_max_position_embeddings": 4096,
        "factor": 3.0,
    },
}


@pytest.mark.parametrize("kind", KINDS)
def test_frequencies_and_magnitudes_are_those_of_transformers(kind: str) -> None:
    transformers = pytest.importorskip("transformers")
    rope_utils = pytest.importorskip("transformers.modeling_rope_utils")
    given = {"rope_theta": 10_000.0, **KINDS[kind]}
    config = transformers.EuroBertConfig(
        hidden_size=48,
        num_attention_heads=2,
        max_position_embeddings=POSITIONS,
        rope_parameters=dict(given),
    )
    expected, magnitude = rope_utils.ROPE_INIT_FUNCTIONS[given["rope_type"]](config)
    reader = ConfigReader({})
    rope = read_rope(reader, given, 10_000.0, columns=24, positions=POSITIONS)
    assert not reader.problems
    np.testing.assert_allclose(frequencies(rope, 24), expected.numpy(), rtol=5e-7)
    assert rope.get("attention_factor", 1.0) == pytest.approx(magnitude, rel=1e-12)


@pytest.mark.parametrize(
    ("rope", "message"),
    [
        ({"rope_type": "axial"}, "rope_type 'axial' is not supported, only default, linear, dynamic, yarn"),
        ({"type": "linear", "factor": 0}, "factor is 0, expected a positive number"),
        ({"rope_theta": True}, "rope_theta is True"),
        ({"partial_rotary_factor": 0.5}, "partial_rotary_factor is 0.5"),
        ({"rope_type": "yarn", "factor": "x"}, "factor is 'x'"),
        ({"rope_type": "yarn", "rope_theta": 1}, "rope_theta is 1"),
        ({"rope_type": "llama3"}, "factor is None"),
        ({"rope_type": "llama3", **LLAMA3, "high_freq_factor": 1}, "low_freq_factor is 1, expected less"),
        ({"rope_type": "longrope"}, "short_factor is None, expected 8 positive numbers"),
        (
            {"rope_type": "longrope", "original_max_position_embeddings": 16},
            r"'longrope' has other angles for texts of more than 16 tokens.*set max_position_embeddings to",
        ),
    ],
)
def test_what_is_not_supported_is_named(rope: dict[str, Any], message: str, tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path / "model", "EuroBertModel")
    config = json.loads((path / "config.json").read_text("utf-8"))
    (path / "config.json").write_text(json.dumps({**config, "rope_parameters": rope}), "utf-8")
    with pytest.raises(CheckpointError, match=message):
        import_model(path)
