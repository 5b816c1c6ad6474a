"""The cpu target as a callable: runs a graph on the native core, without a file between.

This is the ``run`` that calibration and measuring are handed. What it runs is, byte for byte, what
the writer would put into the file.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from bertc.artifact.reader import Artifact, TensorEntry
from bertc.artifact.schema import FORMAT_VERSION, Manifest, ModelInfo, Program
from bertc.ir.graph import Graph
from bertc.lowering.lower import LoweredModel, lower
from bertc.runtime.session import Session

Array = np.ndarray[Any, Any]

MAX_OUTPUTS = 32
"""Of one native program (``Program::kMaxOutputs``); a graph with more of them runs in several."""

_ALIGNMENT = 64
_IN_MEMORY = Path("(in memory)")


class CpuTarget:
    """Runs fused graphs (in fp32) and typed ones on packed inputs.

    The program of the last graph is kept, so that running one graph batch by batch builds it once.
    """

    def __init__(self, info: ModelInfo, *, num_threads: int | None = None) -> None:
        self.info = info
        self._num_threads = num_threads
        self._graph: Graph | None = None
        self._sessions: tuple[Session, ...] = ()

    def __call__(self, graph: Graph, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """The graph's outputs by public name, as ``interpreter.run`` gives them.

        ``inputs`` are those of the interpreter. Any value with two dimensions may be made an output;
        bf16 comes back as float32. Raises ``InputError`` for inputs that do not fit the model.
        """
        results: dict[str, Array] = {}
        for session in self._sessions_of(graph):
            results |= session.run(
                inputs["input_ids"], inputs["cu_seqlens"], inputs["token_type_ids"], inputs["position_ids"]
            )
        return {name: _widen(results[name]) for name in graph.outputs}

    def session(self, graph: Graph) -> Session:
        """The graph as a session, for tasks; it has at most ``MAX_OUTPUTS`` outputs."""
        (session,) = self._sessions_of(graph)
        return session

    @property
    def isa(self) -> str:
        """The instruction set of the last graph's program. Raises ``IndexError`` before the first run."""
        return self._sessions[0].isa

    def _sessions_of(self, graph: Graph) -> tuple[Session, ...]:
        if graph is not self._graph:
            self._sessions = tuple(self._build(graph))
            self._graph = graph
        return self._sessions

    def _build(self, graph: Graph) -> Iterator[Session]:
        typed = graph if graph.stage == "typed" else graph.with_nodes(graph.nodes, stage="typed")
        artifact = in_memory(self.info, lower(typed))
        outputs = iter(artifact.manifest.program.outputs.items())
        while group := dict(itertools.islice(outputs, MAX_OUTPUTS)):
            yield Session(_with_outputs(artifact, group), num_threads=self._num_threads)


def in_memory(info: ModelInfo, lowered: LoweredModel) -> Artifact:
    """An artifact as if it had been written and opened, for sessions only: it has no tokenizer."""
    total = sum(tensor.array.nbytes for tensor in lowered.tensors.values())
    memory = _aligned(total)
    entries: dict[str, TensorEntry] = {}
    start = 0
    for name, tensor in lowered.tensors.items():
        data = np.ascontiguousarray(tensor.array).view(np.uint8).reshape(-1)
        memory[start : start + data.size] = data
        entries[name] = TensorEntry(tensor.dtype.value, tensor.array.shape, start, data.size)
        start += data.size
    manifest = Manifest(info, lowered.program, {}, {}, {})
    return Artifact(
        _IN_MEMORY, manifest, "", MappingProxyType(entries), total, FORMAT_VERSION, "", "", memory
    )


def _aligned(size: int) -> Array:
    """Room for ``size`` bytes that starts on 64, as a mapped file does."""
    memory = np.empty(size + _ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % _ALIGNMENT
    return memory[start : start + size]


def _with_outputs(artifact: Artifact, outputs: Mapping[str, str]) -> Artifact:
    program: Program = dataclasses.replace(artifact.manifest.program, outputs=outputs)
    return dataclasses.replace(artifact, manifest=dataclasses.replace(artifact.manifest, program=program))


def _widen(array: Array) -> Array:
    """bf16, which a session gives as its bits, as float32."""
    if array.dtype != np.uint16:
        return array
    return (array.astype(np.uint32) << 16).view(np.float32)
