"""Other quantizers of ONNX files: ONNX Runtime's and NNCF's, and our own export with rounded products."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from bertc import passes
from bertc.compiler.calibration_data import read_calibration_data
from bertc.frontends.source import import_source
from bertc.recipe import Calibration

Array = np.ndarray[Any, Any]

FEW_TEXTS = 128
"""The texts that ONNX Runtime's quantizer gets: it keeps all values of all of them in memory."""
NNCF_TEXTS = 300
"""The default of NNCF's ``subset_size``."""
_CANDIDATES = np.linspace(0.3, 1.0, 36)
"""The shares of a range of which the one with the least squared error of rounding is taken."""


def texts(source: Path, fp32: Path, count: int) -> Iterator[dict[str, Array]]:
    """Yield the inputs of some of the texts that a recipe's default calibrates on, one at a time."""
    import onnx

    names = {each.name for each in onnx.load(fp32).graph.input}
    model = import_source(source)
    model = dataclasses.replace(model, graph=passes.fuse(model.graph))
    for batch in read_calibration_data(Calibration(samples=count), model).samples.batches:
        for start, stop in itertools.pairwise(batch.inputs["cu_seqlens"]):
            found = {name: array[start:stop] for name, array in batch.inputs.items() if name in names}
            found["attention_mask"] = np.ones(stop - start)
            yield {name: array[None].astype(np.int64) for name, array in found.items()}


class _Reader:
    """Gives texts to ONNX Runtime's quantizer."""

    def __init__(self, inputs: Iterator[dict[str, Array]]) -> None:
        self._inputs = inputs

    def get_next(self) -> dict[str, Array] | None:
        """Return the inputs of the next text; None after the last."""
        return next(self._inputs, None)


def quantize_static(source: Path, fp32: Path, output: Path, form: str) -> None:
    """Run ONNX Runtime's static quantizer with weights per channel, all else by default."""
    from onnxruntime import quantization
    from onnxruntime.quantization import shape_inference

    prepared = output.with_suffix(".prepared.onnx")
    shape_inference.quant_pre_process(fp32, prepared, skip_symbolic_shape=True)
    quantization.quantize_static(
        prepared,
        output,
        _Reader(texts(source, fp32, FEW_TEXTS)),
        quant_format=quantization.QuantFormat[form],
        per_channel=True,
        weight_type=quantization.QuantType.QInt8,
        activation_type=quantization.QuantType.QUInt8,
    )


def quantize_dynamic(fp32: Path, output: Path) -> None:
    """Run ONNX Runtime's dynamic quantizer, which finds a range for each activation as the model runs."""
    from onnxruntime import quantization

    quantization.quantize_dynamic(fp32, output, per_channel=True, weight_type=quantization.QuantType.QInt8)


def quantize_by_nncf(source: Path, fp32: Path, output: Path) -> None:
    """Run NNCF with the transformer model type, all else by default."""
    import nncf
    import onnx

    samples = [*texts(source, fp32, NNCF_TEXTS)]
    model = nncf.quantize(
        onnx.load(fp32),
        nncf.Dataset(samples),
        model_type=nncf.ModelType.TRANSFORMER,
        subset_size=len(samples),
    )
    onnx.save(model, output)


def round_products(source: Path, fp32: Path, qdq: Path, output: Path) -> None:
    """Write our own ``qdq`` export with ``QLinearMatMul``, which rounds what it computes to 8 bits."""
    import onnx
    from onnx import helper, numpy_helper

    model = onnx.load(qdq)
    dequantized = {node.output[0]: node for node in model.graph.node if node.op_type == "DequantizeLinear"}
    products = [
        node
        for node in model.graph.node
        if node.op_type == "MatMul" and all(name in dequantized for name in node.input)
    ]
    values = _values(model, [node.output[0] for node in products], texts(source, fp32, FEW_TEXTS))
    for node in products:
        (out,) = node.output
        scale, zero_point = _least_squares(values[out])
        names = [f"{out}.scale", f"{out}.zero_point"]
        model.graph.initializer.extend(
            numpy_helper.from_array(array, name)
            for array, name in zip((scale, zero_point), names, strict=True)
        )
        rounded = [*dequantized[node.input[0]].input, *dequantized[node.input[1]].input, *names]
        place = [*model.graph.node].index(node)
        node.CopyFrom(helper.make_node("QLinearMatMul", rounded, [f"{out}.rounded"]))
        model.graph.node.insert(
            place + 1, helper.make_node("DequantizeLinear", [f"{out}.rounded", *names], [out])
        )
    onnx.save(model, output)


def _values(model: Any, names: list[str], inputs: Iterator[dict[str, Array]]) -> dict[str, Array]:
    """Return all elements of some values of a model on some inputs."""
    import copy

    import onnxruntime
    from onnx import TensorProto, helper

    probe = copy.deepcopy(model)
    probe.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names)
    session = onnxruntime.InferenceSession(probe.SerializeToString(), providers=["CPUExecutionProvider"])
    runs = [session.run(names, each) for each in inputs]
    return {name: np.concatenate([run[i].ravel() for run in runs]) for i, name in enumerate(names)}


def _least_squares(values: Array) -> tuple[Array, Array]:
    """Return the scale and zero point of 8 bits that change values least."""
    found = []
    for share in _CANDIDATES:
        low, high = min(share * values.min(), 0.0), max(share * values.max(), 0.0)
        scale = np.float32((high - low) / 255)
        zero_point = np.round(-low / scale)
        rounded = (np.clip(np.round(values / scale) + zero_point, 0, 255) - zero_point) * scale
        found.append((float(((rounded - values) ** 2).mean()), scale, zero_point))
    _, scale, zero_point = min(found, key=lambda each: each[0])
    return np.array(scale, np.float32), np.array(zero_point, np.uint8)
