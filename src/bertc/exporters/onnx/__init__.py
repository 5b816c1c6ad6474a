"""A graph as an ONNX file of standard operators, padded with a mask, in floating point or 8 bits."""

from bertc.exporters.onnx.model import make_model
from bertc.exporters.onnx.options import FORMATS, FP32, Options, import_onnx

__all__ = ["FORMATS", "FP32", "Options", "import_onnx", "make_model"]
