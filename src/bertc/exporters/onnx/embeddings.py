"""Embedding tables: a row of each, added in the order of ``bertc.ir.reference.TABLES``."""

from __future__ import annotations

import numpy as np

from bertc.errors import InputError
from bertc.exporters.onnx.writer import FLOAT, Writer
from bertc.ir.graph import DType, Node
from bertc.ir.reference import TABLES


def embed(writer: Writer, node: Node) -> None:
    """Write the sum of the rows. Positions count from the first token of the padded sequence."""
    total = ""
    for table in TABLES:
        if table in node.inputs:
            rows = _rows(writer, node, table)
            total = writer.add("Add", total, rows) if total else rows
    writer.bind(node.outputs[0], total)


def _rows(writer: Writer, node: Node, table: str) -> str:
    constant = writer.graph.constants[node[table]]
    if table == "position":
        return _positions(writer, node)
    if table == "task_type" or constant.source.shape[0] == 1:
        # What callers seldom say is no input: all tokens have the first row.
        return writer.make(f"{node[table]}.first", lambda: constant.array[0].astype(np.float32))
    ids = writer.read(node[TABLES[table]])
    rows = _float(writer, constant.dtype, writer.add("Gather", writer.constant(node[table]), ids))
    if "word_scale" not in node.inputs or table != "word":
        return rows
    scales = writer.make(
        f"{node['word_scale']}.column", lambda: writer.graph.constants[node["word_scale"]].array[:, None]
    )
    return writer.add("Mul", rows, writer.add("Gather", scales, ids))


def _positions(writer: Writer, node: Node) -> str:
    constant, first = writer.graph.constants[node["position"]], int(node.attributes["first_position"])
    count, length = constant.source.shape[0] - first, writer.options.length
    if length is not None and length > count:
        raise InputError(f"length is {length}, the model has positions for {count} tokens: choose fewer")
    if length is not None:
        name = f"{node['position']}.{first}_to_{first + length}"
        return writer.make(name, lambda: constant.array[first : first + length].astype(np.float32))
    last = writer.add("Add", writer.length(), writer.integers(first)) if first else writer.length()
    table = writer.constant(node["position"])
    rows = writer.add("Slice", table, writer.integers(first), last, writer.integers(0))
    return _float(writer, constant.dtype, rows)


def _float(writer: Writer, dtype: DType, rows: str) -> str:
    return rows if dtype == DType.F32 else writer.add("Cast", rows, to=FLOAT)
