"""Adapters (LoRA, Hu et al. 2021, arXiv:2106.09685) that a checkpoint holds beside its weights, by task.

jina-embeddings-v3 stores them as PyTorch's parametrizations do: ``NAME.parametrizations.weight.original``,
and beside it ``lora_A`` and ``lora_B`` of all adapters, in the order in which config.json names them.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bertc.errors import CheckpointError
from bertc.ir.graph import StoredTensor

_PARAMETRIZED = ".parametrizations.weight."
_ORIGINAL = f"{_PARAMETRIZED}original"


@dataclass(frozen=True)
class _Merged:
    """A matrix with an adapter added to it, in float32, which is computed whenever it is read."""

    original: StoredTensor
    left: StoredTensor
    """The factors of all adapters whose products with ``right`` have the shape of the matrix."""
    right: StoredTensor
    index: int
    scale: float

    @property
    def shape(self) -> tuple[int, ...]:
        """The size of the matrix."""
        return self.original.shape

    def read(self) -> np.ndarray[Any, Any]:
        """Return a float32 copy."""
        product = self.left.read()[self.index] @ self.right.read()[self.index]
        return np.asarray(self.original.read() + np.float32(self.scale) * product, np.float32)


def merge_adapter(
    tensors: Mapping[str, StoredTensor], config: Mapping[str, Any], adapter: str | None
) -> Mapping[str, StoredTensor]:
    """Return tensors by their plain names, the adapter of that name added to those which it changes.

    Without a name the weights are those that all adapters share, and a warning says which there are. Raises
    ``CheckpointError`` for an adapter that the checkpoint does not have.
    """
    if not any(name.endswith(_ORIGINAL) for name in tensors):
        if adapter is not None:
            raise CheckpointError(f"the checkpoint has no adapters in it: leave out adapter {adapter!r}")
        return tensors
    stated = config.get("lora_adaptations")
    names = [str(each) for each in stated] if isinstance(stated, list) else []
    listed = ", ".join(map(repr, names)) or "none that config.json names"
    if adapter is not None and adapter not in names:
        raise CheckpointError(f"adapter is {adapter!r}, the checkpoint has {listed}")
    if adapter is None:
        warnings.warn(
            f"the checkpoint has adapters, {listed}: without one it gives vectors for no task in particular. "
            "adapter=NAME, or --adapter NAME, merges one",
            stacklevel=4,
        )
    found: dict[str, StoredTensor] = {}
    for name, tensor in tensors.items():
        if name.endswith(_ORIGINAL):
            module = name.removesuffix(_ORIGINAL)
            merged = tensor if adapter is None else _merge(tensors, config, module, names.index(adapter))
            found[f"{module}.weight"] = merged
        elif _PARAMETRIZED not in name:
            found[name] = tensor
    return found


def _merge(
    tensors: Mapping[str, StoredTensor], config: Mapping[str, Any], module: str, index: int
) -> StoredTensor:
    """Return the matrix of a module with an adapter: W + B A of a linear layer, W + A B of a table."""
    original = tensors[module + _ORIGINAL]
    first, second = (tensors.get(f"{module}{_PARAMETRIZED}0.lora_{name}") for name in "AB")
    rank, alpha = config.get("lora_rank", 4), config.get("lora_alpha", 1)
    for left, right in ((second, first), (first, second)):
        if left is None or right is None or type(rank) is not int or type(alpha) not in (int, float):
            break
        count = max(index + 1, left.shape[0] if left.shape else 0)
        rows, columns = original.shape if len(original.shape) == 2 else (0, 0)
        if (left.shape, right.shape) == ((count, rows, rank), (count, rank, columns)):
            return _Merged(original, left, right, index, alpha / rank)
    shapes = [None if each is None else list(each.shape) for each in (first, second)]
    raise CheckpointError(
        f"lora_A and lora_B of {module} are {shapes}: no adapters of rank {rank!r} for {list(original.shape)}"
    )
