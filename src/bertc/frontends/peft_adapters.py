"""Adapters (LoRA) in folders of a checkpoint, ``adapters/NAME``, as peft saves them: jina-embeddings-v5."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bertc.errors import CheckpointError
from bertc.frontends.checkpoint import file_tensors
from bertc.frontends.folder import CheckpointFolder
from bertc.ir.graph import StoredTensor

FOLDER = "adapters/"
_CONFIG, _WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_PREFIX = "base_model.model."
"""What peft puts before the names of all modules."""
_USUAL: Mapping[str, tuple[Any, ...]] = {
    "peft_type": ("LORA",),
    "bias": ("none", None),
    **dict.fromkeys(("use_dora", "fan_in_fan_out", "lora_bias"), (False, None)),
    **dict.fromkeys(("modules_to_save", "trainable_token_indices", "layer_replication"), (None,)),
    **dict.fromkeys(("rank_pattern", "alpha_pattern"), ({}, None)),
}
"""Options of peft -> the values with which it adds the products of two matrices each, and nothing else."""


@dataclass(frozen=True)
class Merged:
    """A matrix with an adapter added to it, in float32, which is computed whenever it is read."""

    original: StoredTensor
    left: StoredTensor
    """The factor whose product with ``right`` has the shape of the matrix, or those of all adapters."""
    right: StoredTensor
    scale: float
    index: int | None = None
    """Which of all adapters it is, where the factors hold several."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The size of the matrix."""
        return self.original.shape

    def read(self) -> np.ndarray[Any, Any]:
        """Return a float32 copy."""
        left, right = (
            each.read() if self.index is None else each.read()[self.index] for each in (self.left, self.right)
        )
        return np.asarray(self.original.read() + np.float32(self.scale) * (left @ right), np.float32)


def adapter_names(folder: CheckpointFolder, subfolder: str) -> list[str]:
    """Return the names of the adapters that a checkpoint has in folders of their own, sorted."""
    root = folder.path / subfolder / FOLDER
    return sorted(each.parent.name for each in root.glob(f"*/{_CONFIG}"))


def merge_peft(
    folder: CheckpointFolder, where: str, tensors: Mapping[str, StoredTensor]
) -> Mapping[str, StoredTensor]:
    """Return tensors with the adapter in the folder ``where`` added to those which it changes: W + B A.

    Raises ``CheckpointError`` for what is not LoRA alone, or does not fit.
    """
    config = folder.read_json(where + _CONFIG)
    problems = [
        f"{key} is {config[key]!r}, supported is {usual[0]!r}"
        for key, usual in _USUAL.items()
        if key in config and config[key] not in usual
    ]
    rank, alpha = (_positive(config, key, problems) for key in ("r", "lora_alpha"))
    if problems:
        raise CheckpointError(f"{where + _CONFIG}: {'; '.join(problems)}")
    scale = alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)
    factors = {tensor.name.removeprefix(_PREFIX): tensor for tensor in file_tensors(folder, where + _WEIGHTS)}
    merged = dict(tensors)
    for module in dict.fromkeys(name.partition(".lora_")[0] for name in factors):
        weight = _weight_of(module, tensors)
        right, left = (factors.pop(f"{module}.lora_{each}.weight", None) for each in "AB")
        if weight is None or left is None or right is None:
            raise CheckpointError(f"{where + _WEIGHTS}: {module} is no dense layer with lora_A and lora_B")
        original = tensors[weight]
        if (left.shape[:1], left.shape[1:], right.shape[1:]) != (
            original.shape[:1],
            right.shape[:1],
            original.shape[1:],
        ):
            shapes = [list(each.shape) for each in (left, right, original)]
            raise CheckpointError(f"{where + _WEIGHTS}: lora_B, lora_A and {weight} are {shapes}")
        merged[weight] = Merged(original, left, right, scale)
    return merged


def _positive(config: Mapping[str, Any], key: str, problems: list[str]) -> float:
    value: Any = config.get(key)
    if type(value) in (int, float) and value > 0:
        return float(value)
    problems.append(f"{key} is {value!r}, expected a positive number")
    return 1.0


def _weight_of(module: str, tensors: Mapping[str, StoredTensor]) -> str | None:
    """Return the matrix of a module, whose name may lack the beginning of the other, or have one more."""
    wanted = f".{module}.weight"
    return next(
        (name for name in tensors if wanted.endswith(f".{name}") or f".{name}".endswith(wanted)), None
    )
