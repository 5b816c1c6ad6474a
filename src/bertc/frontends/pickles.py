"""Weights that PyTorch saved as a pickle: read by PyTorch itself, if it is installed, without running code.

``torch.load(weights_only=True)`` builds tensors and plain containers and refuses everything else.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bertc.errors import CheckpointError
from bertc.frontends.folder import CheckpointFolder

Array = np.ndarray[Any, Any]

SINGLE = ("pytorch_model.bin", "model.pt", "model.bin")
INDEX = "pytorch_model.bin.index.json"
_NESTED = ("state_dict", "model_state_dict", "model")
"""Keys under which training scripts keep a model's tensors beside other things."""


@dataclass(frozen=True, eq=False)
class PickledTensor:
    """A tensor of a pickle, mapped by PyTorch."""

    name: str
    file: str
    tensor: Any

    @property
    def shape(self) -> tuple[int, ...]:
        """The size of each dimension."""
        return tuple(self.tensor.shape)

    def read(self) -> Array:
        """Return a float32 copy. Raises ``CheckpointError`` for dtypes that are not floats and for NaN."""
        if not self.tensor.is_floating_point():
            raise CheckpointError(
                f"{self.file}: tensor {self.name!r} is {self.tensor.dtype}, expected a float type"
            )
        values: Array = self.tensor.detach().float().contiguous().numpy().copy()
        if not np.isfinite(values).all():
            raise CheckpointError(f"{self.file}: tensor {self.name!r} holds infinite numbers or NaN")
        return values


def can_read_pickles() -> bool:
    """Return whether PyTorch is installed."""
    try:
        return importlib.util.find_spec("torch") is not None
    except ValueError:  # a module that is switched off
        return False


def read_pickles(folder: CheckpointFolder, subfolder: str = "") -> dict[str, PickledTensor] | None:
    """Return all tensors of the pickles in a folder, one file or sharded; None if there is none."""
    if folder.has(subfolder + INDEX):
        files = sorted(set(folder.read_weight_map(subfolder + INDEX).values()))
    else:
        files = [subfolder + file for file in SINGLE if folder.has(subfolder + file)][:1]
    if not files:
        return None
    return {name: tensor for file in files for name, tensor in _load(folder, file).items()}


def _load(folder: CheckpointFolder, file: str) -> dict[str, PickledTensor]:
    import torch

    path = folder.path / file
    folder.map(file)  # for its hash
    try:
        try:
            loaded = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        except RuntimeError:  # of PyTorch before 1.6: no zip archive, which could be mapped
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # pickle's errors are of many kinds
        raise CheckpointError(
            f"{path} cannot be read by PyTorch without running code in it ({type(error).__name__}): it is "
            "damaged, or holds more than tensors. Download it again, or save the model as safetensors"
        ) from None
    tensors = _state_dict(loaded)
    if not tensors:
        raise CheckpointError(f"{path} holds no mapping of names to tensors")
    return {name: PickledTensor(name, str(path), tensor) for name, tensor in tensors.items()}


def _state_dict(loaded: Any) -> Mapping[str, Any]:
    """Return the tensors by name, taken out of what a training script has put around them."""
    import torch

    if not isinstance(loaded, dict):
        return {}
    tensors = {
        name: value
        for name, value in loaded.items()
        if isinstance(name, str) and isinstance(value, torch.Tensor)
    }
    nested = next((loaded[key] for key in _NESTED if isinstance(loaded.get(key), dict)), None)
    return tensors or (_state_dict(nested) if nested is not None else {})
