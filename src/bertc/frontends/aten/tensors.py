"""Tensors of PyTorch as constants: their memory is shared, not copied, where NumPy can read it."""

from __future__ import annotations

from typing import Any

import numpy as np

from bertc.foreign.graph import SMALL, Tensor
from bertc.foreign.typed_builder import TypedBuilder
from bertc.frontends.aten.call import Value


def constant(builder: TypedBuilder, tensor: Any) -> Value:
    """Append a tensor; a large one is read where it is needed. All floats become float32 there."""
    kind = np.dtype(np.float32) if tensor.is_floating_point() else _whole(tensor)

    def make() -> np.ndarray[Any, Any]:
        plain = tensor.detach().cpu()
        plain = plain.float() if plain.is_floating_point() else plain
        return np.asarray(plain.resolve_conj().resolve_neg().numpy())

    if tensor.numel() <= SMALL:
        return Value(builder.constant(make()))
    return Value(builder.constant(Tensor(tuple(tensor.shape), kind, make)))


def _whole(tensor: Any) -> np.dtype[Any]:
    return np.dtype(str(tensor.dtype).removeprefix("torch."))
