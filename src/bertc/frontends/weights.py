"""Matches a checkpoint's tensors with what a family needs, and says at once all that does not fit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bertc.errors import CheckpointError
from bertc.frontends.checkpoint import StoredTensor

Array = np.ndarray[Any, Any]

_OLD_NAMES = {"LayerNorm.gamma": "LayerNorm.weight", "LayerNorm.beta": "LayerNorm.bias"}


def by_plain_name(tensors: Mapping[str, StoredTensor], prefix: str) -> dict[str, StoredTensor]:
    """Tensors by name without the family's prefix, with today's names of layer norm's vectors."""
    plain: dict[str, StoredTensor] = {}
    for name, tensor in tensors.items():
        for old, new in _OLD_NAMES.items():
            name = f"{name.removesuffix(old)}{new}" if name.endswith(old) else name
        plain.setdefault(name.removeprefix(prefix), tensor)
    return plain


def load(
    tensors: Mapping[str, StoredTensor], shapes: Mapping[str, tuple[int, ...]], where: str
) -> dict[str, Array]:
    """The tensors that ``shapes`` asks for, float32. Others are left unread.

    Raises ``CheckpointError`` that lists every missing tensor and every wrong shape.
    """
    missing = [name for name in shapes if name not in tensors]
    wrong = [
        f"{name} is {list(tensors[name].shape)}, expected {list(shape)}"
        for name, shape in shapes.items()
        if name in tensors and tensors[name].shape != shape
    ]
    problems = []
    if missing:
        problems.append(f"missing tensors: {', '.join(missing)}")
    if wrong:
        problems.append(f"tensors whose shapes do not fit config.json: {'; '.join(wrong)}")
    if problems:
        raise CheckpointError(f"{where}: {'. '.join(problems)}")
    return {name: tensors[name].read() for name in shapes}
