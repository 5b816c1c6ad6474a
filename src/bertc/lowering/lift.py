"""Packed tensors and a program back to a typed graph: what ``lower.py`` did, undone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bertc.artifact.executable import Executable, Tensor
from bertc.artifact.schema import Buffer, Step
from bertc.errors import ArtifactError
from bertc.ir.graph import Constant, DType, Graph, Node
from bertc.ir.op import Op
from bertc.ir.ops import OPS
from bertc.ir.verifier import verify
from bertc.lowering.pack import GROUP, LANES
from bertc.ports import HOST

Array = np.ndarray[Any, Any]


def lift(executable: Executable) -> Graph:
    """Return the typed graph of an executable that the native core accepts.

    Its numbers are those of the graph that was lowered, but for scales of weights that read static 8 bits:
    they were multiplied by that scale, and are rounded once more. Tensors are unpacked where they are read,
    one by one. Raises ``ArtifactError`` if a tensor does
    not fit its step, or has a layout that cannot be undone.
    """
    lifter = _Lifter(executable)
    nodes = tuple(lifter.node(step) for step in executable.program.steps)
    program = executable.program
    graph = Graph(program.inputs, lifter.constants, nodes, dict(program.outputs), "typed")
    verify(graph)
    return graph


class _Lifter:
    """Turns steps into nodes, in order, and collects their constants."""

    def __init__(self, executable: Executable) -> None:
        self.constants: dict[str, Constant] = {}
        self._tensors = executable.tensors
        self._buffers: Mapping[str, Buffer] = {each.name: each for each in executable.program.buffers}
        self._static: dict[str, str] = {}
        """The static scale of each buffer that is written in 8 bits."""

    def node(self, step: Step) -> Node:
        """Return the node of a step."""
        op, inputs = OPS[step.op], dict(step.inputs)
        for operand in op.operands:
            if operand.packing is not None and operand.name in inputs:
                shape, gated = self._shape(step, operand.name), _is_gated(step) and operand.name != "static"
                self._unpack(inputs[operand.name], shape, operand.packing, gated=gated)
        if "static" in inputs:
            self._static.update(dict.fromkeys(step.outputs, inputs["static"]))
        if step.op == "linear_int8":
            self._restore_scales(step, inputs)
        return Node(step.name, step.op, inputs, step.outputs, self._attributes(step, op))

    def _attributes(self, step: Step, op: Op) -> dict[str, int | float | str | bool]:
        attributes = {**op.defaults, **{k: v for k, v in step.attributes.items() if k in op.attributes}}
        if "out_dtype" in op.attributes:
            attributes["out_dtype"] = self._buffers[step.outputs[0]].dtype
        return attributes

    def _shape(self, step: Step, operand: str) -> tuple[int, ...]:
        """Return the shape of a constant before it was padded."""
        columns, name = self._product_columns(step), step.inputs[operand]
        if operand == "static":
            return (2,)
        if step.op == HOST:  # how many there were is in the region, which reads as many
            return tuple(self._tensors[name].array.shape)
        if operand == "distance_bias":
            return int(step.attributes["num_attention_heads"]), 2 * _reach(self._tensors[name].array) + 1
        if operand == "buckets":
            return 1, 2 * _reach(self._tensors[name].array) + 1
        if operand == "position_keys":  # of rows that buckets name, as there are no others
            return int(self._tensors[step.inputs["buckets"]].array.max()) + 1, columns
        if operand == "slopes":
            return (int(step.attributes["num_attention_heads"]),)
        if operand == "word_scale":
            return (int(step.attributes["word_rows"]),)
        if operand == "rotary":
            return int(step.attributes["rotary_rows"]), self._tensors[name].array.shape[1]
        if f"{operand}_rows" in step.attributes:
            return int(step.attributes[f"{operand}_rows"]), columns
        if operand == "weight":
            return columns, self._buffers[step.inputs["x"]].columns
        return (columns,)

    def _product_columns(self, step: Step) -> int:
        """Return the columns of a step's output, of a gated layer those of gate and value."""
        return self._buffers[step.outputs[0]].columns * (2 if _is_gated(step) else 1)

    def _restore_scales(self, step: Step, inputs: dict[str, str]) -> None:
        """Put back the operands of a product of 8 bits that were multiplied together."""
        name = inputs.pop("column_scale")
        del inputs["column_sum"]
        self._unpack(name, (self._product_columns(step),), "vector", gated=_is_gated(step))
        inputs["weight_scale"] = name
        static = self._static.get(step.inputs["x"])
        if "scale" in inputs or static is None:
            return
        scale, zero_point = self.constants[static].array
        inputs.update(
            weight_scale=f"{name}.weight", scale=f"{static}.scale", zero_point=f"{static}.zero_point"
        )
        of_weight = self.constants.pop(name).array / scale
        self.constants[inputs["weight_scale"]] = Constant(DType.F32, of_weight.astype(np.float32))
        self.constants[inputs["scale"]] = Constant(DType.F32, np.array([scale], np.float32))
        self.constants[inputs["zero_point"]] = Constant(DType.I32, np.array([zero_point], np.int32))

    def _unpack(self, name: str, shape: tuple[int, ...], packing: str, *, gated: bool = False) -> None:
        tensor = self._tensors[name]
        dtype, has = DType(tensor.dtype), tensor.array.shape
        if packing == "weight" and len(has) == 4 and has[2:] == (LANES, GROUP[dtype]):
            has = has[0] * LANES, has[1] * GROUP[dtype]
        elif packing == "distances" and len(has) == 2 and has[1] % 2 == 0:
            has = has[0], has[1] - 1
        elif packing not in ("vector", "table", "angles"):
            raise ArtifactError(
                f"tensor {name!r} has a layout that this bertc cannot undo: export the checkpoint"
            )
        if len(has) != len(shape) or any(size < wanted for size, wanted in zip(has, shape, strict=True)):
            raise ArtifactError(f"tensor {name!r} is {has}, expected {shape}: compile the model again")
        if gated and has[0] % (2 * LANES):
            raise ArtifactError(f"tensor {name!r} is {has}, of no gated layer: compile the model again")
        make = _unpack_gated if gated else _unpack
        self.constants[name] = Constant(dtype, _Unpacked(shape, lambda: make(tensor, packing, shape)))


@dataclass(frozen=True, eq=False)
class _Unpacked:
    """A tensor that is unpacked where it is needed: most readers want to know its shape."""

    shape: tuple[int, ...]
    make: Callable[[], Array]

    def read(self) -> Array:
        """Return the elements, bf16 as float32."""
        return self.make()


def _unpack(tensor: Tensor, packing: str, shape: tuple[int, ...]) -> Array:
    array = tensor.array
    if tensor.dtype == DType.BF16:
        array = (array.astype(np.uint32) << np.uint32(16)).view(np.float32)
    if packing == "weight":
        array = array.transpose(0, 2, 1, 3).reshape(array.shape[0] * LANES, -1)
    if packing == "distances":
        array = array[:, array.shape[1] // 2 - shape[1] // 2 :]
    return array[tuple(map(slice, shape))]


def _unpack_gated(tensor: Tensor, packing: str, shape: tuple[int, ...]) -> Array:
    """Return gates and then values, of which blocks take turns."""
    rows = tensor.array.shape[0] * (LANES if packing == "weight" else 1)
    blocks = _unpack(tensor, packing, (rows, *shape[1:])).reshape(-1, 2, LANES, *shape[1:])
    halves = blocks.swapaxes(0, 1).reshape(2, rows // 2, *shape[1:])
    return halves[:, : shape[0] // 2].reshape(shape)


def _is_gated(step: Step) -> bool:
    return bool(step.attributes.get("gated"))


def _reach(packed: Array) -> int:
    """Return the distance from which on all numbers of a packed bias by distance are alike, on either side.

    ``packed`` is [heads, width], with distance 0 in the middle of an even width.
    """
    middle = packed.shape[-1] // 2
    before, after = packed[:, middle::-1], packed[:, middle:]
    changes = [np.flatnonzero((side[:, 1:] != side[:, :-1]).any(axis=0)) for side in (before, after)]
    return max((int(each[-1]) + 1 for each in changes if each.size), default=0)
