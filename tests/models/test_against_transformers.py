"""Compiled fp32 models on the native core against ``transformers`` in fp32: every output, any mask."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bertc
from tests.support.artifacts import Artifacts
from tests.support.batches import MASKS, Padded, padded_batch, random_lengths
from tests.support.real_data import MINILM, real_checkpoint
from tests.support.transformers_model import OUTPUTS, call_transformers

pytestmark = pytest.mark.native

TOLERANCE = 2e-5
"""Largest absolute difference that the project allows."""

Array = np.ndarray[Any, Any]

ODD: dict[str, dict[str, Any]] = {
    "hidden 312, 12 heads of 26, inner 1200": {
        "hidden_size": 312,
        "num_attention_heads": 12,
        "intermediate_size": 1200,
        "vocab_size": 1000,
    },
    "1 layer, 5 heads of 7": {
        "num_hidden_layers": 1,
        "hidden_size": 35,
        "num_attention_heads": 5,
        "intermediate_size": 51,
    },
    "1 head of 17, 3 layers, relu": {
        "num_hidden_layers": 3,
        "hidden_size": 17,
        "num_attention_heads": 1,
        "intermediate_size": 130,
        "hidden_act": "relu",
    },
    "gelu_new, 1 token type": {"hidden_act": "gelu_new", "type_vocab_size": 1},
    "1000 words, 3 token types, epsilon 1e-5": {
        "vocab_size": 1000,
        "type_vocab_size": 3,
        "layer_norm_eps": 1e-5,
    },
}
"""Sizes that are no multiples of what kernels work on, and what else a config may say."""


def assert_equals_transformers(checkpoint: Path, artifact: Path, batch: Padded, head: str) -> None:
    """All outputs of the encoder are within ``TOLERANCE``, and exactly 0 where there is no token."""
    found = bertc.load(artifact)(batch.input_ids, batch.attention_mask, batch.token_type_ids)
    expected = call_transformers(checkpoint, head, **vars(batch))
    replace_leading_padding(expected, checkpoint, batch, head)
    tokens = batch.mask.astype(bool)
    for name in OUTPUTS[head]:
        array = getattr(found, name)
        assert array.dtype == np.float32
        assert array.shape == expected[name].shape
        here = tokens if array.ndim == 3 else tokens.any(axis=1)
        assert np.abs(array[here] - expected[name][here]).max() <= TOLERANCE, name
        assert not array[~here].any(), name


def replace_leading_padding(expected: dict[str, Array], checkpoint: Path, batch: Padded, head: str) -> None:
    """Results per row, where the row's first column is padding.

    There ``transformers`` pools the padding; we pool the first token, as it does for the same tokens
    at the same positions without padding.
    """
    per_row = [name for name in OUTPUTS[head] if expected[name].ndim == 2]
    for row, mask in enumerate(batch.mask.astype(bool)):
        if not per_row or mask[0] or not mask.any():
            continue
        alone = {"input_ids": batch.input_ids, "token_type_ids": batch.token_type_ids}
        arrays = {name: None if array is None else array[row, mask][None] for name, array in alone.items()}
        result = call_transformers(checkpoint, head, position_ids=np.flatnonzero(mask)[None], **arrays)
        for name in per_row:
            expected[name][row] = result[name][0]


@pytest.mark.parametrize(("batch", "longest", "types"), [(1, 512, 0), (64, 40, 2), (7, 256, 2), (1, 1, 0)])
def test_minilm_on_random_texts(artifacts: Artifacts, batch: int, longest: int, types: int) -> None:
    rng = np.random.default_rng(batch)
    lengths = random_lengths(rng, batch, longest)
    inputs = padded_batch(rng, lengths, 30522, "right", types=types)
    assert_equals_transformers(real_checkpoint(MINILM), artifacts.real(MINILM, "fp32"), inputs, "embedding")


@pytest.mark.parametrize("head", OUTPUTS)
@pytest.mark.parametrize("config", ODD.values(), ids=ODD)
def test_odd_configurations_and_all_heads(artifacts: Artifacts, config: dict[str, Any], head: str) -> None:
    options = {"max_position_embeddings": 512, **config}
    rng = np.random.default_rng(len(head))
    inputs = padded_batch(
        rng,
        random_lengths(rng, 9, 130),
        config.get("vocab_size", 300),
        "holes",
        types=config.get("type_vocab_size", 2),
    )
    checkpoint = artifacts.tiny_checkpoint(head, **options)
    assert_equals_transformers(checkpoint, artifacts.compile(checkpoint, "fp32"), inputs, head)


@pytest.mark.parametrize("types", [0, 2])
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("head", OUTPUTS)
def test_any_mask(artifacts: Artifacts, head: str, mask: str, types: int) -> None:
    checkpoint = artifacts.tiny_checkpoint(head, max_position_embeddings=512)
    rng = np.random.default_rng(7)
    inputs = padded_batch(rng, random_lengths(rng, 6, 60), 300, mask, types=types)
    assert_equals_transformers(checkpoint, artifacts.compile(checkpoint, "fp32"), inputs, head)


@pytest.mark.parametrize("seed", range(4))
def test_batches_of_1_to_64_texts_of_1_to_512_tokens(artifacts: Artifacts, seed: int) -> None:
    checkpoint = artifacts.tiny_checkpoint(max_position_embeddings=512)
    rng = np.random.default_rng(seed)
    lengths = random_lengths(rng, (1, 2, 17, 64)[seed], 512)
    inputs = padded_batch(rng, lengths, 300, "right", types=2 * (seed % 2))
    assert_equals_transformers(checkpoint, artifacts.compile(checkpoint, "fp32"), inputs, "embedding")


@pytest.mark.parametrize("checkpoint_weights", ["F16", "BF16"])
def test_checkpoints_stored_in_half_precision_compute_in_fp32(
    artifacts: Artifacts, checkpoint_weights: str
) -> None:
    checkpoint = artifacts.tiny_checkpoint(weights=checkpoint_weights)
    inputs = padded_batch(np.random.default_rng(1), [5, 30, 2], 300, "right")
    assert_equals_transformers(checkpoint, artifacts.compile(checkpoint, "fp32"), inputs, "embedding")
