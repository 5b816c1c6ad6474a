"""A graph as an ONNX file to look at, in Netron: our own ops as they are, one node each.

No runtime executes it: the ops are of the domain ``bertc``. ``bertc export`` writes files that run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from bertc.errors import InputError
from bertc.exporters.onnx import import_onnx
from bertc.inspection.place import place_of
from bertc.ir.graph import Constant, DType, Graph, Node
from bertc.ir.ops import OPS
from bertc.ir.verifier import verify
from bertc.version import __version__

DOMAIN = "bertc"
_DTYPES = {DType.F32: 1, DType.U8: 2, DType.I8: 3, DType.I32: 6, DType.F16: 10, DType.BF16: 16}
"""ONNX's number of each dtype."""
_INT64 = 7
_IR_VERSION, _OPSET = 10, 17
"""The first version of the format in which nodes have metadata, and one of operators: none is used."""
_MAX_BYTES = 2**31 - 2**24
"""The most bytes of tensors: protobuf has no more than 2 GiB, of which nodes take some."""


def make_model(graph: Graph, *, name: str, weights: bool = False) -> Any:
    """Return the ``ModelProto`` of a graph of any stage.

    Constants have their dtype and shape, and their elements only with ``weights``: without, they are sparse
    tensors that name no element. Values are called as in the graph, outputs by their public names.
    Raises ``InputError`` if the elements are more than a protobuf can hold; ``MissingExtraError``.
    """
    onnx, types = import_onnx(), verify(graph)
    read = dict.fromkeys(value for node in graph.nodes for value in node.inputs.values())
    constants = {value: graph.constants[value] for value in read if value in graph.constants}
    size = sum(int(np.prod(each.source.shape)) * each.dtype.itemsize for each in constants.values())
    if weights and size > _MAX_BYTES:
        raise InputError(
            f"the ONNX file would have {size / 2**30:.1f} GiB of weights, its format takes less than 2:"
            " leave the weights out"
        )
    public = {value: each for each, value in graph.outputs.items() if each not in types}

    def info(value: str) -> Any:
        shape = list(types[value].shape)
        return onnx.helper.make_tensor_value_info(
            public.get(value, value), _DTYPES[types[value].dtype], shape
        )

    outputs = list(dict.fromkeys(graph.outputs.values()))
    given = [value for value in read if value not in constants and value not in graph.producers()]
    proto = onnx.helper.make_graph(
        [_node(onnx, node, public) for node in graph.nodes],
        name,
        [info(value) for value in given],
        [info(value) for value in outputs],
        [_tensor(onnx, *each) for each in constants.items()] if weights else [],
        value_info=[info(value) for value in graph.producers() if value not in outputs],
        sparse_initializer=[] if weights else [*_shapes(onnx, constants)],
    )
    return onnx.helper.make_model(
        proto,
        opset_imports=[onnx.helper.make_opsetid("", _OPSET), onnx.helper.make_opsetid(DOMAIN, 1)],
        ir_version=_IR_VERSION,
        producer_name="bertc",
        producer_version=__version__,
        doc_string=f"The graph of {name} in stage {graph.stage}, to look at: nothing can run it."
        + ("" if weights else " Weights were left out: tensors have shapes and no elements."),
    )


def _node(onnx: Any, node: Node, public: Mapping[str, str]) -> Any:
    operands = [each.name for each in OPS[node.op].operands if each.name in node.inputs]
    place = place_of(node)
    proto = onnx.helper.make_node(
        node.op,
        [public.get(node[operand], node[operand]) for operand in operands],
        [public.get(value, value) for value in node.outputs],
        name=node.name,
        domain=DOMAIN,
        doc_string=": ".join(filter(None, place)),
        **node.attributes,
    )
    names = ", ".join(f"'{operand}'" for operand in operands)
    proto.metadata_props.add(key="input_names", value=f"[{names}]")  # what Netron calls its inputs
    return proto


def _shapes(onnx: Any, constants: Mapping[str, Constant]) -> Iterator[Any]:
    """Yield constants as sparse tensors without elements: of all forms without data, the one that loads."""
    for name, constant in constants.items():
        values = onnx.helper.make_tensor(name, _DTYPES[constant.dtype], [0], [])
        indices = onnx.helper.make_tensor("", _INT64, [0], [])
        yield onnx.helper.make_sparse_tensor(values, indices, list(constant.source.shape))


def _tensor(onnx: Any, name: str, constant: Constant) -> Any:
    array = np.ascontiguousarray(constant.array)
    if constant.dtype == DType.BF16:
        array = (array.view(np.uint32) >> np.uint32(16)).astype(np.uint16)
    return onnx.helper.make_tensor(
        name, _DTYPES[constant.dtype], list(array.shape), array.tobytes(), raw=True
    )
