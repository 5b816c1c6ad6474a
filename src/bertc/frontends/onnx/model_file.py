"""Reads an ONNX file and the external data beside it; trusts neither, and checks sizes before reading."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bertc.errors import CheckpointError, MissingExtraError
from bertc.foreign.graph import SMALL, Constant, Tensor
from bertc.frontends.folder import CheckpointFolder
from bertc.frontends.onnx.standard import DTYPES

Array = np.ndarray[Any, Any]

_BITS = {
    1: 32,
    2: 8,
    3: 8,
    4: 16,
    5: 16,
    6: 32,
    7: 64,
    9: 8,
    10: 16,
    11: 64,
    12: 32,
    13: 64,
    16: 16,
    21: 4,
    22: 4,
}
"""The number of an ONNX element type -> the bits that an element takes in a file."""
_STRING = 8
_EXTERNAL = 1


@dataclass(frozen=True, eq=False)
class OnnxNode:
    """A node as the file has it."""

    name: str
    domain: str
    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]

    def __str__(self) -> str:
        return f"{self.name!r} ({self.domain + '.' if self.domain else ''}{self.op})"


@dataclass(frozen=True, eq=False)
class OnnxModel:
    """What an ONNX file says, without the protobuf it says it in."""

    path: Path
    folder: CheckpointFolder
    """The folder of the file, which knows the hashes of what was read."""
    producer: str
    versions: Mapping[str, int]
    """The version of each domain of operators; that of ONNX itself is ""."""
    inputs: Mapping[str, tuple[Any, ...]]
    """The dimensions of each input: numbers, or names."""
    outputs: tuple[str, ...]
    constants: Mapping[str, Constant]
    nodes: tuple[OnnxNode, ...]


def read_model(path: Path) -> OnnxModel:
    """Return the model of a file. Raises ``CheckpointError`` that names what is damaged or missing."""
    try:
        import onnx
    except ImportError:
        raise MissingExtraError("onnx", "onnx", "reading an ONNX file") from None
    folder = CheckpointFolder(path.parent, path.stem)
    data = folder.map(path.name)
    try:
        proto = onnx.load_model_from_string(bytes(data))
    except Exception as error:  # of protobuf, whose exceptions depend on its implementation
        raise CheckpointError(f"{path} is no ONNX file, or it is truncated: {error}") from None
    if not proto.graph.node:
        raise CheckpointError(f"{path} is no ONNX file: it holds no graph")
    reader = _Reader(path, folder)
    graph = proto.graph
    if graph.sparse_initializer:
        raise CheckpointError(f"{path}: sparse tensors are not supported")
    constants = {each.name: reader.tensor(each) for each in graph.initializer}
    return OnnxModel(
        path=path,
        folder=folder,
        producer=f"{proto.producer_name} {proto.producer_version}".strip(),
        versions={
            each.domain if each.domain != "ai.onnx" else "": each.version for each in proto.opset_import
        },
        inputs={each.name: reader.dimensions(each) for each in graph.input if each.name not in constants},
        outputs=tuple(each.name for each in graph.output),
        constants=constants,
        nodes=tuple(reader.node(each, index) for index, each in enumerate(graph.node)),
    )


class _Reader:
    """Turns messages of the protobuf into plain values."""

    def __init__(self, path: Path, folder: CheckpointFolder) -> None:
        self._path = path
        self._folder = folder
        self._mapped: dict[str, Any] = {}

    def node(self, proto: Any, index: int) -> OnnxNode:
        """Return a node; one without a name is called by its first output."""
        name = proto.name or (proto.output[0] if proto.output else f"node {index}")
        domain = "" if proto.domain == "ai.onnx" else proto.domain
        attributes = {each.name: self._attribute(each, name) for each in proto.attribute}
        return OnnxNode(name, domain, proto.op_type, tuple(proto.input), tuple(proto.output), attributes)

    def dimensions(self, proto: Any) -> tuple[Any, ...]:
        """Return the dimensions of an input: numbers, or names ("" for none)."""
        if not proto.type.HasField("tensor_type"):
            raise CheckpointError(f"{self._path}: the input {proto.name!r} is no tensor")
        dims = proto.type.tensor_type.shape.dim
        return tuple(each.dim_value if each.HasField("dim_value") else each.dim_param for each in dims)

    def tensor(self, proto: Any) -> Constant:
        """Return a tensor; a large one is read where it is needed."""
        from onnx import numpy_helper

        where = f"{self._path}: tensor {proto.name!r}"
        shape, kind = tuple(proto.dims), proto.data_type
        if kind == _STRING or kind not in _BITS:
            raise CheckpointError(f"{where} has the element type {kind}, which is not supported")
        if any(size < 0 for size in shape):
            raise CheckpointError(f"{where} has the shape {list(shape)}: a size is negative")
        size = math.prod(shape)
        expected = -(-size * _BITS[kind] // 8)
        external = proto.data_location == _EXTERNAL
        if external:
            data = self._external(proto, expected, where)
        elif proto.HasField("raw_data") and len(proto.raw_data) != expected:
            raise CheckpointError(
                f"{where} holds {len(proto.raw_data)} bytes, {list(shape)} takes {expected}"
            )
        elif not proto.HasField("raw_data"):
            self._check_fields(proto, size, where)
        dtype = np.dtype(DTYPES.get(kind, "int8"))

        def make() -> Array:
            if external:
                copy = type(proto)()
                copy.CopyFrom(proto)
                copy.ClearField("external_data")
                copy.data_location = 0
                copy.raw_data = bytes(data)
                return np.asarray(numpy_helper.to_array(copy).astype(dtype))
            return np.asarray(numpy_helper.to_array(proto).astype(dtype, copy=False))

        return make() if size <= SMALL else Tensor(shape, dtype, make)

    def _check_fields(self, proto: Any, size: int, where: str) -> None:
        fields = ("float_data", "int32_data", "int64_data", "double_data", "uint64_data")
        found = max(len(getattr(proto, each)) for each in fields)
        if found not in (size, -(-size // 2)):  # two numbers of 4 bits make one
            raise CheckpointError(f"{where} holds {found} numbers, {list(proto.dims)} takes {size}")

    def _external(self, proto: Any, expected: int, where: str) -> memoryview:
        entries = {each.key: each.value for each in proto.external_data}
        file = entries.get("location", "")
        data = self._map(file, where)
        try:
            offset, length = int(entries.get("offset", 0)), int(entries.get("length", expected))
        except ValueError:
            raise CheckpointError(f"{where}: offset and length of its external data are no numbers") from None
        if length != expected or offset < 0 or offset + length > len(data):
            raise CheckpointError(
                f"{where} takes {expected} bytes, its external data are {length} at {offset} of {file!r}, "
                f"which has {len(data)}: download both files again"
            )
        return memoryview(data)[offset : offset + length]

    def _map(self, file: str, where: str) -> Any:
        """Map a file with external data, which must lie in the model's folder."""
        if file not in self._mapped:
            data = self._folder.map(file)
            place = (self._path.parent / file).resolve()
            # In the hub's cache the model is a link too, and both files lie beside each other.
            if not any(
                place.is_relative_to(each)
                for each in (self._path.parent.resolve(), self._path.resolve().parent)
            ):
                raise CheckpointError(
                    f"{where}: its external data {file!r} are a link to {place}: put the file there"
                )
            self._mapped[file] = data
        return self._mapped[file]

    def _attribute(self, proto: Any, node: str) -> Any:
        from onnx import AttributeProto, helper

        if proto.type == AttributeProto.TENSOR:
            return self.tensor(proto.t)
        if proto.type in (AttributeProto.GRAPH, AttributeProto.GRAPHS):
            return _Subgraph()
        if proto.ref_attr_name or proto.type in (AttributeProto.SPARSE_TENSOR, AttributeProto.SPARSE_TENSORS):
            raise CheckpointError(f"node {node!r}: the attribute {proto.name!r} is not supported")
        value = helper.get_attribute_value(proto)
        if isinstance(value, bytes):
            return value.decode("utf-8", "replace")
        return [*value] if isinstance(value, Sequence) and not isinstance(value, str) else value


class _Subgraph:
    """An attribute that is a graph: of control flow, which no import table has."""
