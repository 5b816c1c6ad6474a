"""What a caller chooses of an ONNX file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bertc.errors import InputError, MissingExtraError

FP32, QDQ, QOPERATOR = "fp32", "qdq", "qoperator"
FORMATS = (FP32, QDQ, QOPERATOR)
"""The ways to write layers: in floating point, between ``QuantizeLinear`` and ``DequantizeLinear``, or as
products of integers."""
OPSETS = range(13, 23)
"""The versions of ONNX's operators that can be written: scales per channel came with 13; 22 is what every
version of the package ``onnx`` knows that bertc takes."""
DEFAULT_OPSET = 17
"""The first version with layer norm as one operator."""


@dataclass(frozen=True)
class Options:
    """The form of an ONNX file. Raises ``InputError`` for a value that is not accepted."""

    format: str = FP32
    opset: int = DEFAULT_OPSET
    batch: int | None = None
    """The number of sequences; None for any."""
    length: int | None = None
    """The number of tokens of each sequence, padding included; None for any."""

    def __post_init__(self) -> None:
        if self.format not in FORMATS:
            raise InputError(f"format is {self.format!r}, expected one of {', '.join(FORMATS)}")
        if type(self.opset) is not int or self.opset not in OPSETS:
            raise InputError(f"opset is {self.opset!r}, expected a number from {OPSETS[0]} to {OPSETS[-1]}")
        for name, size in (("batch", self.batch), ("length", self.length)):
            if size is not None and (type(size) is not int or size < 1):
                raise InputError(f"{name} is {size!r}, expected a number from 1, or nothing for any {name}")


def import_onnx() -> Any:
    """Return the package ``onnx``. Raises ``MissingExtraError`` without it."""
    try:
        import onnx
        import onnx.helper
        import onnx.numpy_helper
    except ImportError:
        raise MissingExtraError("onnx", "onnx", "writing an ONNX file") from None
    return onnx
