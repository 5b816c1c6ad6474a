"""ATen, the ops of PyTorch: the import table that the doors for modules and for TorchScript share."""

from __future__ import annotations

from bertc.frontends.aten.call import Call, Value
from bertc.frontends.aten.values import Values

__all__ = ["Call", "Value", "Values"]
