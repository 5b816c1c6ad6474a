"""Runs graphs on the native core without a file between."""

from __future__ import annotations

from typing import Any

import numpy as np

from bertc import _native
from bertc.artifact.executable import Executable
from bertc.ir.graph import Graph
from bertc.lowering.lower import lower

Array = np.ndarray[Any, Any]

ISAS = tuple(_native.supported_isas())
"""Every instruction set of this machine: kernels are tested on all of them, whatever BERTC_ISA says."""

_DTYPES = {"f32": np.float32, "i32": np.int32, "u8": np.uint8, "bf16": np.uint16}


def aligned(array: Array) -> Array:
    """Return the array's bytes in memory that starts on 64 bytes, as a mapped artifact's does."""
    data = np.ascontiguousarray(array).view(np.uint8).reshape(-1)
    memory = np.zeros(len(data) + 64, np.uint8)
    start = -memory.ctypes.data % 64
    memory[start : start + len(data)] = data
    return memory[start : start + len(data)]


def build_program(lowered: Executable, isa: str) -> _native.Program:
    program = _native.Program(isa)
    for slot in lowered.program.slots:
        program.add_slot(slot)
    for name, tensor in lowered.tensors.items():
        program.add_tensor(name, tensor.dtype, list(tensor.array.shape), aligned(tensor.array))
    for buffer in lowered.program.buffers:
        program.add_buffer(buffer.name, buffer.dtype, buffer.rows, buffer.columns, buffer.slot)
    for port in lowered.program.inputs:
        program.add_input(port.name, port.dtype, port.rows, port.columns)
    for step in lowered.program.steps:
        program.add_step(step.op, step.name, dict(step.inputs), list(step.outputs), dict(step.attributes))
    for name, value in lowered.program.outputs.items():
        program.add_output(name, value)
    program.finish()
    return program


def run_program(program: _native.Program, inputs: dict[str, Array], *, threads: int = 1) -> dict[str, Array]:
    session = _native.Session(program, threads)
    rows = {
        "tokens": int(inputs["cu_seqlens"][-1]),
        "selected": len(inputs.get("selected", ())),
        "sequences": len(inputs["cu_seqlens"]) - 1,
    }
    results = {
        name: np.empty((rows[kind], columns), _DTYPES[dtype])
        for name, dtype, kind, columns in session.outputs
    }
    session.run(
        rows["tokens"],
        inputs["cu_seqlens"],
        [inputs.get(name) for name, *_ in session.inputs],
        [array.reshape(-1).view(np.uint8) for array in results.values()],
    )
    return results


def run_native(graph: Graph, inputs: dict[str, Array], isa: str, *, threads: int = 1) -> dict[str, Array]:
    return run_program(build_program(lower(graph), isa), inputs, threads=threads)
