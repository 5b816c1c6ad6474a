"""The work of a pass through a program: its steps, their operations, and the bytes that they move."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from bertc.artifact.executable import Executable
from bertc.artifact.schema import ModelInfo, Program, Step
from bertc.operations import attention_operations, product_operations, seen_keys
from bertc.ports import SELECTED, SEQUENCES, TOKENS
from bertc.precision import BF16, FP32, INT8
from bertc.task_table import TASKS

Array = np.ndarray[Any, Any]

ELEMENT_BYTES = {"f32": 4, "i32": 4, "bf16": 2, "f16": 2, "i8": 1, "u8": 1}
INT8_FOURS = "int8 fours"
"""The dtype of 8-bit products with weights bounded in fours, which have a limit of their own without VNNI."""
LINEAR_DTYPES = {"linear": FP32, "linear_bf16": BF16, "linear_int8": INT8}
"""The dtype of the products of each linear op, as users name it."""


def product_dtype(step: Step) -> str | None:
    """Return the dtype of a linear layer's products, as users and limits name it; None for other steps."""
    dtype = LINEAR_DTYPES.get(step.op)
    return INT8_FOURS if dtype == INT8 and step.attributes.get("weight_bound") == "fours" else dtype


def main_output(info: ModelInfo) -> tuple[str, ...]:
    """Return the name of the one output that the model's task reads."""
    return (TASKS[info.task].output,)


def operations(executable: Executable, info: ModelInfo, lengths: Sequence[int]) -> int:
    """Return the operations of the encoder's matrix products for sequences of these numbers of tokens.

    A multiplication and an addition are two. They are those of the program's own steps: gates count, keys
    beyond a window do not. Steps behind the last hidden states, which are of a head, count where a file does
    not name those.
    """
    program = executable.program
    last = info.hidden_states[-1] if info.hidden_states else program.outputs[main_output(info)[0]]
    steps = _steps_to(program, last)
    loads = [Workload(executable, batch, length) for length, batch in Counter(lengths).items()]
    return sum(load.operations(step) for load in loads for step in steps)


def needed_steps(program: Program, output: str) -> list[Step]:
    """Return the steps that a public output needs, in their order: a session runs these for it."""
    return _steps_to(program, program.outputs[output])


def _steps_to(program: Program, buffer: str) -> list[Step]:
    needed = {buffer}
    steps = []
    for step in reversed(program.steps):
        if needed.intersection(step.outputs):
            needed.update(step.inputs.values())
            steps.append(step)
    return steps[::-1]


def matrix_bytes(executable: Executable, output: str) -> int:
    """Return the bytes that products of a pass read besides activations: weights, scales, biases."""
    steps = needed_steps(executable.program, output)
    names = {name for step in steps if step.op in LINEAR_DTYPES for name in step.inputs.values()}
    return sum(tensor.array.nbytes for name, tensor in executable.tensors.items() if name in names)


class Workload:
    """A batch of ``batch`` sequences of ``length`` tokens, one of them selected, in a program."""

    def __init__(self, executable: Executable, batch: int, length: int) -> None:
        self._tensors = executable.tensors
        self._rows = {TOKENS: batch * length, SEQUENCES: batch, SELECTED: batch}
        self._length = length
        self._buffers = {buffer.name: buffer for buffer in executable.program.buffers}

    def operations(self, step: Step) -> int:
        """Return the operations of the step's matrix products, 2 per multiply-add."""
        out = self._buffers[step.outputs[0]]
        if step.op in LINEAR_DTYPES:
            depth = self._buffers[step.inputs["x"]].columns
            columns = out.columns * (2 if step.attributes.get("gated") else 1)
            return self._rows[out.rows] * product_operations(depth, columns)
        if step.op == "attention":
            keys = seen_keys(self._length, int(step.attributes.get("window", 0)))
            contents = self._rows[TOKENS] * attention_operations(out.columns, keys)
            return contents + self.distance_operations(step)
        return 0

    def distance_operations(self, step: Step) -> int:
        """Return those of an attention's operations that multiply tokens by rows of distances."""
        tables = sum(name in step.inputs for name in ("position_keys", "position_queries"))
        if not tables:
            return 0
        rows = _named_rows(self._tensors[step.inputs["buckets"]].array[0], self._length)
        return (
            tables * self._rows[SEQUENCES] * product_operations(self._buffers[step.outputs[0]].columns, rows)
        )

    def bytes(self, step: Step, operands: Sequence[str]) -> int:
        """Return the bytes of operands of a step: activations read or written once, weights read once."""
        total = 0
        for name in operands:
            if name in self._buffers:
                buffer = self._buffers[name]
                columns = max(buffer.columns, 1)
                total += self._rows[buffer.rows] * columns * ELEMENT_BYTES[buffer.dtype]
            elif name in self._tensors:
                array = self._tensors[name].array
                # Of a table, the rows that tokens name: one each.
                share = self._rows[TOKENS] / array.shape[0] if step.op == "embed" else 1.0
                total += int(array.nbytes * share)
        return total


def _named_rows(buckets: Array, length: int) -> int:
    """Return how many rows of distances each token of a sequence meets, summed over its tokens.

    ``buckets`` rise by 0 or 1 around the distance 0 in the middle, so that those of a token's first and last
    key tell.
    """
    places, reach = np.arange(length), len(buckets) // 2
    first, last = (np.clip(each, 0, len(buckets) - 1) for each in (reach - places, reach + places[::-1]))
    return int((buckets[last] - buckets[first] + 1).sum())
