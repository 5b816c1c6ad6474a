"""OpenVINO: converted from PyTorch, int8 by NNCF with the transformer model type and calibration texts.

https://docs.openvino.ai/2026/openvino-workflow/model-optimization-guide/quantizing-models-post-training.html
advises this, and which performance hint to run with.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bertc.bench.engine import Array, evenly
from bertc.bench.peers.base import INPUTS, Peer, feed, pad
from bertc.bench.peers.source import Source
from bertc.bench.peers.torch_model import build, example
from bertc.errors import InputError
from bertc.precision import BF16, FP32, INT8

PACKAGES = ("openvino", "nncf", "torch", "transformers")
PRECISIONS = {FP32: "f32", BF16: "bf16", INT8: None}
"""The inference precision hint by dtype; None leaves to the plugin how it runs what is not quantized."""
CALIBRATION_TEXTS = 300
"""The number of texts to calibrate on: the default of NNCF's ``subset_size``."""


class OpenVinoPeer(Peer):
    """A model that runs one batch by the latency hint, many by the throughput hint and a queue."""

    library = "openvino"
    packages = PACKAGES
    dtypes = tuple(PRECISIONS)

    def __init__(self, source: Source, dtype: str, threads: int) -> None:
        """Load the model. Raises ``InputError`` where the processor does not run the precision."""
        import openvino

        super().__init__(source, dtype, threads)
        self._core, self._precision, self._threads = openvino.Core(), PRECISIONS[dtype], threads
        self._model = self._core.read_model(self.convert(source, dtype))
        compiled = self._compile("LATENCY")
        self._request = compiled.create_infer_request()
        self._queue: Any = None
        requirements = str(compiled.get_property("RUNTIME_REQUIREMENTS"))
        self.isa = dict(part.partition("=")[::2] for part in requirements.split(";")).get("isa")

    @classmethod
    def convert(cls, source: Source, dtype: str) -> Path:
        """Convert the model, and quantize it; the precision hint alone makes bf16."""
        if dtype != INT8:
            folder = source.converted(FP32, PACKAGES, lambda folder: _convert(source, folder))
        else:
            plain, texts = cls.convert(source, FP32), evenly(source.calibration, CALIBRATION_TEXTS)
            folder = source.converted(
                dtype, PACKAGES, lambda folder: _quantize(source, texts, plain, folder), *texts
            )
        return folder / "model.xml"

    def _compile(self, hint: str) -> Any:
        options = {"INFERENCE_NUM_THREADS": self._threads, "PERFORMANCE_HINT": hint}
        if self._precision is not None:
            options["INFERENCE_PRECISION_HINT"] = self._precision
        compiled = self._core.compile_model(self._model, "CPU", options)
        used = compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
        if self._precision not in (None, used):
            raise InputError(f"openvino runs in {used} on this processor, not in {self._precision}")
        return compiled

    def bind(self, input_ids: Array, attention_mask: Array) -> Callable[[], Array]:
        """Prepare arrays as :meth:`bertc.bench.engine.Engine.bind` says."""
        inputs = feed(input_ids, attention_mask)
        request = self._request
        # Shared with the request, not copied, in and out; the copy lets go of its output buffer.
        return lambda: np.array(request.infer(inputs, share_inputs=True, share_outputs=True)[0])

    def run_batches(self, padded: Sequence[tuple[Array, Array]]) -> list[Array]:
        """Run batches in parallel, a thread for each, as the throughput hint arranges."""
        if len(padded) == 1:
            return super().run_batches(padded)
        results: list[Array] = [np.empty(0)] * len(padded)

        def keep(request: Any, index: int) -> None:
            results[index] = np.array(request.get_output_tensor(0).data)

        if self._queue is None:
            import openvino

            self._queue = openvino.AsyncInferQueue(self._compile("THROUGHPUT"))
        self._queue.set_callback(keep)
        for index, (ids, mask) in enumerate(padded):
            self._queue.start_async(feed(ids, mask), index)
        self._queue.wait_all()
        return results


def _convert(source: Source, folder: Path) -> None:
    import openvino
    import torch

    module = build(source.checkpoint, source.info)
    inputs = dict(zip(INPUTS, example(torch), strict=True))
    model = openvino.convert_model(module, example_input=inputs)
    openvino.save_model(model, folder / "model.xml", compress_to_fp16=False)


def _quantize(source: Source, texts: Sequence[str], plain: Path, folder: Path) -> None:
    import nncf
    import openvino

    samples = [feed(*pad([encoding.ids])) for encoding in source.tokenizer().encode_batch_fast(list(texts))]
    model = nncf.quantize(
        openvino.Core().read_model(plain),
        nncf.Dataset(samples),
        model_type=nncf.ModelType.TRANSFORMER,
        subset_size=len(samples),
    )
    openvino.save_model(model, folder / "model.xml", compress_to_fp16=False)
