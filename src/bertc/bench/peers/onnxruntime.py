"""ONNX Runtime: its transformer optimizer fuses the exported graph, its dynamic quantization makes int8.

It is used as https://onnxruntime.ai/docs/performance/transformers-optimization.html and
https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html advise for BERT. Its
optimizer fuses attention only if the graph comes from plain products and the exporter that traces:
with the newer exporter, or with scaled dot product attention, it finds none (1.31, transformers 5.23).
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from bertc.bench.engine import Array
from bertc.bench.peers.base import INPUTS, Peer, feed
from bertc.bench.peers.source import Source
from bertc.bench.peers.torch_model import build, example
from bertc.errors import BertcError
from bertc.precision import FP32, INT8

PACKAGES = ("onnxruntime", "onnx", "torch", "transformers")
OPSET = 17


class OnnxRuntimePeer(Peer):
    """A session of the CPU provider; int8 has weights per channel, and quantizes activations on the fly."""

    library = "onnxruntime"
    packages = PACKAGES
    dtypes = (FP32, INT8)

    def __init__(self, source: Source, dtype: str, threads: int) -> None:
        """Load a session that runs one request at a time, on all threads."""
        import onnxruntime

        super().__init__(source, dtype, threads)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        path, providers = str(self.convert(source, dtype)), ["CPUExecutionProvider"]
        self._session: Any = onnxruntime.InferenceSession(path, options, providers=providers)
        self._inputs = [each.name for each in self._session.get_inputs()]

    @classmethod
    def convert(cls, source: Source, dtype: str) -> Path:
        """Export and fuse the model, and quantize it."""
        if dtype == FP32:
            folder = source.converted(dtype, PACKAGES, lambda folder: _export(source, folder))
        else:
            fused = cls.convert(source, FP32)
            folder = source.converted(dtype, PACKAGES, lambda folder: _quantize(fused, folder))
        return folder / "model.onnx"

    def bind(self, input_ids: Array, attention_mask: Array) -> Callable[[], Array]:
        """Prepare arrays as :meth:`bertc.bench.engine.Engine.bind` says."""
        arrays = feed(input_ids, attention_mask)
        inputs = {name: arrays[name] for name in self._inputs}
        return lambda: np.asarray(self._session.run(None, inputs)[0])


def _export(source: Source, folder: Path) -> None:
    import torch
    from onnxruntime.transformers import optimizer

    module = build(source.checkpoint, source.info, attention="eager")
    axes = {name: {0: "batch", 1: "sequence"} for name in INPUTS}
    with tempfile.TemporaryDirectory() as scratch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        raw = str(Path(scratch) / "raw.onnx")
        torch.onnx.export(
            module,
            example(torch),
            raw,
            input_names=list(INPUTS),
            output_names=["output"],
            dynamic_axes={**axes, "output": {0: "batch"}},
            opset_version=OPSET,
            dynamo=False,
        )
        fused = optimizer.optimize_model(
            raw,
            model_type="bert",
            num_heads=source.info.size("num_attention_heads"),
            hidden_size=source.info.size("hidden_size"),
        )
        found = fused.get_fused_operator_statistics()["Attention"]
        # It knows no attention with a bias by distance (1.31): of MPNet it fuses everything else.
        biased = "relative_attention_num_buckets" in source.info.facts
        layers = source.info.size("num_hidden_layers")
        if found != (0 if biased else layers):
            raise BertcError(f"onnxruntime's optimizer fused attention in {found} of {layers} layers")
        fused.save_model_to_file(str(folder / "model.onnx"))


def _quantize(fused: Path, folder: Path) -> None:
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    quantize_dynamic(
        fused,
        folder / "model.onnx",
        per_channel=True,
        weight_type=QuantType.QInt8,
        # Shape inference stops at the fused nodes; onnxruntime.transformers does the same.
        extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT},
    )
