"""Packed tensors and a program back to a typed graph: what ``lower.py`` did, undone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bertc.artifact.executable import Executable
from bertc.artifact.schema import Buffer, Step
from bertc.errors import ArtifactError
from bertc.ir.graph import Constant, DType, Graph, Node
from bertc.ir.op import Op
from bertc.ir.ops import OPS
from bertc.ir.verifier import verify
from bertc.lowering.pack import GROUP, LANES

Array = np.ndarray[Any, Any]


def lift(executable: Executable) -> Graph:
    """Return the typed graph of an executable that the native core accepts.

    Its numbers are those of the graph that was lowered, but for scales of weights that read static 8 bits:
    they were multiplied by that scale, and are rounded once more. Raises ``ArtifactError`` if a tensor does
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
                shape = self._shape(step, operand.name)
                self._unpack(inputs[operand.name], shape, operand.packing)
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
        columns = self._buffers[step.outputs[0]].columns
        if operand == "static":
            return (2,)
        if operand == "word_scale":
            return (int(step.attributes["word_rows"]),)
        if f"{operand}_rows" in step.attributes:
            return int(step.attributes[f"{operand}_rows"]), columns
        if operand == "weight":
            return columns, self._buffers[step.inputs["x"]].columns
        return (columns,)

    def _restore_scales(self, step: Step, inputs: dict[str, str]) -> None:
        """Put back the operands of a product of 8 bits that were multiplied together."""
        name, columns = inputs.pop("column_scale"), self._buffers[step.outputs[0]].columns
        del inputs["column_sum"]
        self._unpack(name, (columns,), "vector")
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

    def _unpack(self, name: str, shape: tuple[int, ...], packing: str) -> None:
        tensor = self._tensors[name]
        dtype, array = DType(tensor.dtype), tensor.array
        if dtype == DType.BF16:
            array = (array.astype(np.uint32) << np.uint32(16)).view(np.float32)
        if packing == "weight" and array.ndim == 4 and array.shape[2:] == (LANES, GROUP[dtype]):
            array = array.transpose(0, 2, 1, 3).reshape(array.shape[0] * LANES, -1)
        elif packing not in ("vector", "table"):
            raise ArtifactError(
                f"tensor {name!r} has a layout that this bertc cannot undo: export the checkpoint"
            )
        if array.ndim != len(shape) or any(has < size for has, size in zip(array.shape, shape, strict=True)):
            raise ArtifactError(
                f"tensor {name!r} is {array.shape}, expected {shape}: compile the model again"
            )
        self.constants[name] = Constant(dtype, array[tuple(map(slice, shape))])
