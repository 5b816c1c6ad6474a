"""The cpu target as a callable: runs a graph on the native core, without a file between.

This is the ``run`` that calibration and measuring are handed. What it runs is, byte for byte, what
the writer would put into the file.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from bertc.artifact.reader import Artifact, TensorEntry
from bertc.artifact.schema import FORMAT_VERSION, Manifest, ModelInfo, Program
from bertc.ir.graph import Constant, Graph
from bertc.lowering.lower import LoweredModel, Packer, lower
from bertc.lowering.pack import ALIGNMENT, PackedTensor
from bertc.runtime.session import Session

Array = np.ndarray[Any, Any]

MAX_OUTPUTS = 32
"""Of one native program (``Program::kMaxOutputs``); a graph with more of them runs in several."""

_PATH = Path("(in memory)")


class CpuTarget:
    """Runs fused graphs (in fp32) and typed ones on packed inputs.

    The program of the last graph is kept, so that running one graph batch by batch builds it once, and
    so are its packed constants.
    """

    def __init__(self, info: ModelInfo, *, num_threads: int | None = None) -> None:
        self.info = info
        self._num_threads = num_threads
        self._graph: Graph | None = None
        self._sessions: tuple[Session, ...] = ()
        self._packed = _PackedConstants()

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
        artifact = _in_memory(self.info, lower(typed, self._packed))
        self._packed.forget_others()
        outputs = iter(artifact.manifest.program.outputs.items())
        while group := dict(itertools.islice(outputs, MAX_OUTPUTS)):
            yield Session(_with_outputs(artifact, group), num_threads=self._num_threads)


@dataclass(frozen=True, eq=False)
class _InMemory(Artifact):
    """An artifact as if it had been written and opened, for sessions only: it has no tokenizer."""

    arrays: Mapping[str, Array] = field(default_factory=lambda: MappingProxyType({}))

    def bytes_of(self, name: str) -> Array:
        return self.arrays[name].reshape(-1).view(np.uint8)


def _in_memory(info: ModelInfo, lowered: LoweredModel) -> _InMemory:
    """``lowered`` with tensors that start on 64 bytes."""
    arrays = {name: tensor.array for name, tensor in lowered.tensors.items()}
    entries = {
        name: TensorEntry(tensor.dtype.value, tensor.array.shape, 0, tensor.array.nbytes)
        for name, tensor in lowered.tensors.items()
    }
    return _InMemory(
        path=_PATH,
        manifest=Manifest(info, lowered.program, {}, {}, {}),
        tokenizer_json="",
        tensors=MappingProxyType(entries),
        size=sum(array.nbytes for array in arrays.values()),
        format_version=FORMAT_VERSION,
        header_sha256="",
        weights_sha256="",
        memory=np.empty(0, np.uint8),
        arrays=MappingProxyType(arrays),
    )


class _PackedConstants:
    """Packs constants, and remembers what it packed of the graph before: variants of a model share most."""

    def __init__(self) -> None:
        self._kept: dict[tuple[int, Packer], tuple[Constant, PackedTensor]] = {}
        self._used: dict[tuple[int, Packer], tuple[Constant, PackedTensor]] = {}

    def __call__(self, packer: Packer, constant: Constant) -> PackedTensor:
        # The entry holds the constant too, so that no other array gets its id.
        key = id(constant.array), packer
        found = self._used.get(key) or self._kept.get(key) or (constant, _aligned(packer(constant)))
        self._used[key] = found
        return found[1]

    def forget_others(self) -> None:
        """Drop what was not asked for since the last call."""
        self._kept, self._used = self._used, {}


def _aligned(tensor: PackedTensor) -> PackedTensor:
    """The tensor in memory that starts on 64 bytes, as in a mapped file."""
    array = np.ascontiguousarray(tensor.array)
    memory = np.empty(array.nbytes + ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    placed = memory[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    placed[...] = array
    return PackedTensor(tensor.dtype, placed)


def _with_outputs(artifact: Artifact, outputs: Mapping[str, str]) -> Artifact:
    program: Program = dataclasses.replace(artifact.manifest.program, outputs=outputs)
    return dataclasses.replace(artifact, manifest=dataclasses.replace(artifact.manifest, program=program))


def _widen(array: Array) -> Array:
    """bf16, which a session gives as its bits, as float32."""
    if array.dtype != np.uint16:
        return array
    return (array.astype(np.uint32) << 16).view(np.float32)
