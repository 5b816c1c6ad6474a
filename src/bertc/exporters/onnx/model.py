"""The whole ONNX model of a graph: its inputs and outputs by the usual names, and its nodes by the tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bertc.errors import InputError
from bertc.exporters.onnx.operators import OPERATORS
from bertc.exporters.onnx.options import FP32, Options, import_onnx
from bertc.exporters.onnx.quantized import QUANTIZED
from bertc.exporters.onnx.writer import FLOAT, MASK, Writer
from bertc.ir.graph import Graph
from bertc.ir.verifier import verify
from bertc.ports import SEQUENCES
from bertc.version import __version__

INT64 = 7
"""ONNX's number of int64."""
MAX_BYTES = 2**31 - 2**24
"""The most bytes of tensors: protobuf has no more than 2 GiB, of which nodes take some."""
TOKEN_INPUTS = ("input_ids", MASK, "token_type_ids")
_BATCH, _LENGTH = "batch_size", "sequence_length"


def make_model(
    graph: Graph, options: Options, *, name: str = "bertc", columns: tuple[str, Sequence[str]] = ("", ())
) -> Any:
    """Return the ``ModelProto`` of a fused or a typed graph.

    Its inputs are int64 [batch, length], padded on the right. ``columns`` is an output, and the names of its
    columns if each of them is an output of its own. Raises ``InputError`` if the graph is not in the
    format, has ranges for each token, or is larger than a protobuf can be; ``MissingExtraError``.
    """
    _check_format(graph, options)
    divided, names = columns if columns[1] else ("", ())
    public = {value: each for each, value in reversed([*graph.outputs.items()]) if each != divided}
    writer = Writer(graph, verify(graph), options, public, (*graph.outputs, *names))
    table = {**OPERATORS, **QUANTIZED}
    for node in graph.nodes:
        if node.op not in table:
            raise InputError(f"node {node.name!r}: the op {node.op} has no form in ONNX")
        writer.scope = node.name
        table[node.op](writer, node)
    outputs: list[tuple[str, tuple[Any, ...]]] = []
    for each, value in graph.outputs.items():
        writer.scope = each
        width, sequences = writer.columns(value), writer.types[value].shape[0] == SEQUENCES
        rows = _sizes(options)[: 1 if sequences else 2]
        if each == divided:
            _divide(writer, value, names)
            outputs += [(column, rows) for column in names]
            continue
        if writer.read(value) != each:
            writer.add("Identity", writer.read(value))
            writer.rename(each)
        outputs.append((each, (*rows, width)))
    return _assemble(writer, name, outputs)


def _check_format(graph: Graph, options: Options) -> None:
    layers = {node.op for node in graph.nodes if node.op.startswith("linear")}
    if options.format == FP32 and "linear_int8" in layers:
        raise InputError(
            "the model has layers in 8 bits: choose the format qdq or qoperator, or export the checkpoint"
        )
    if options.format != FP32 and "linear_int8" not in layers:
        raise InputError(
            f"the model has no layers in 8 bits, which the format {options.format} is for: choose"
            " fp32, or export the checkpoint with a recipe of dtype int8"
        )


def _sizes(options: Options) -> tuple[int | str, int | str]:
    return options.batch or _BATCH, options.length or _LENGTH


def _divide(writer: Writer, value: str, names: Sequence[str]) -> None:
    """Make each column of a value an output of its own, [batch, length]."""
    x, axis = writer.read(value), writer.integers(-1)
    parts = [x]
    if len(names) > 1:
        parts = writer.add_all("Split", len(names), x, writer.integers(*[1] * len(names)), axis=-1)
    for name, part in zip(names, parts, strict=True):
        writer.add("Squeeze", part, axis)
        writer.rename(name)


def _assemble(writer: Writer, name: str, outputs: Sequence[tuple[str, tuple[Any, ...]]]) -> Any:
    size = writer.bytes()
    if size > MAX_BYTES:
        raise InputError(
            f"the ONNX file would have {size / 2**30:.1f} GiB of weights, its format takes less than 2:"
            " choose qdq or qoperator"
        )
    onnx, options = import_onnx(), writer.options
    read = {value for node in writer.nodes for value in node.input}
    info = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        writer.nodes,
        name,
        [
            *(info(each, INT64, _sizes(options)) for each in TOKEN_INPUTS if each in read),
            *(info(p.name, FLOAT, (*_sizes(options), p.columns)) for p in writer.graph.inputs if p.columns),
        ],
        [info(each, FLOAT, shape) for each, shape in outputs],
        [onnx.numpy_helper.from_array(array, each) for each, array in writer.tensors.items()],
    )
    versions = [onnx.helper.make_opsetid("", options.opset)]
    return onnx.helper.make_model(
        graph,
        opset_imports=versions,
        ir_version=onnx.helper.find_min_ir_version_for(versions),
        producer_name="bertc",
        producer_version=__version__,
    )
