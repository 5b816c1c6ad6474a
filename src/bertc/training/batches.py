"""Which features stand in which batch, and how they are padded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from bertc.training.objective import Batch, Feature

POOL = 50
"""The batches whose features are sorted by length together: little padding, and still random batches."""


class Padding(NamedTuple):
    """What stands behind the end of a sequence.

    The token is that of the model, since some models number positions by where it does not stand.
    """

    token: int
    type: int


def make_batches(lengths: Sequence[int], size: int, seed: int, epoch: int) -> list[list[int]]:
    """Return the features of each batch of an epoch, which ``seed`` and ``epoch`` alone decide."""
    rng = np.random.default_rng([seed, epoch])
    order = rng.permutation(len(lengths))
    pools = [order[start : start + POOL * size] for start in range(0, len(order), POOL * size)]
    by_length = [pool[np.argsort([lengths[index] for index in pool], kind="stable")] for pool in pools]
    batches = [
        pool[start : start + size].tolist() for pool in by_length for start in range(0, len(pool), size)
    ]
    return [batches[index] for index in rng.permutation(len(batches))]


def feature_length(feature: Feature) -> int:
    """Return the tokens of a feature's longest sequence."""
    return max(len(sequence.ids) for sequence in feature.sequences)


def collate(features: Sequence[Feature], padding: Padding, device: Any) -> Batch:
    """Return features as tensors, padded at their ends to the longest."""
    import torch

    sequences = [each for some in zip(*(f.sequences for f in features), strict=True) for each in some]
    shape = (len(sequences), max(len(sequence.ids) for sequence in sequences))
    inputs = {"input_ids": np.full(shape, padding.token), "attention_mask": np.zeros(shape, np.int64)}
    if any(sequence.types for sequence in sequences):
        inputs["token_type_ids"] = np.full(shape, padding.type)
    for row, sequence in enumerate(sequences):
        inputs["input_ids"][row, : len(sequence.ids)] = sequence.ids
        inputs["attention_mask"][row, : len(sequence.ids)] = 1
        if sequence.types:
            inputs["token_type_ids"][row, : len(sequence.types)] = sequence.types
    tensors = {name: torch.from_numpy(array).to(device) for name, array in inputs.items()}
    return Batch(tensors, [feature.target for feature in features])
