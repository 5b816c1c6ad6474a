"""The cpu target as a callable: runs graphs on the native core, without a file between.

This is the ``run`` that calibration and measuring are handed. What it runs is, byte for byte, what
the writer would put into the file.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, NamedTuple
from weakref import WeakValueDictionary

import numpy as np

from bertc.artifact.executable import Executable, Tensor
from bertc.ir.graph import Constant, Graph
from bertc.lowering.lower import Packer, lower
from bertc.ports import CU_SEQLENS
from bertc.runtime.batching import PackedBatch
from bertc.runtime.session import Session

Array = np.ndarray[Any, Any]

MAX_OUTPUTS = 32
"""The most outputs of a native program (``Program::kMaxOutputs``); a graph with more runs in several."""

KEPT_GRAPHS = 2
"""The number of graphs whose programs are kept: two that are compared with each other, batch by batch."""


class CpuTarget:
    """Runs fused graphs (in fp32) and typed ones on packed inputs.

    One target serves a whole compilation: the programs of the last graphs are kept, so that running a graph
    batch by batch builds it once, and a constant that several of these graphs share is packed once.
    """

    def __init__(self, *, num_threads: int | None = None) -> None:
        self._num_threads = num_threads
        self._built: OrderedDict[Graph, _Built] = OrderedDict()
        self._packed = _PackedConstants()

    def __call__(self, graph: Graph, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Return the graph's outputs by public name, as ``interpreter.run`` gives them.

        ``inputs`` are those of the interpreter. Any value with two dimensions may be made an output;
        bf16 comes back as float32. Raises ``InputError`` for inputs that do not fit the model.
        """
        batch = PackedBatch(
            {name: array for name, array in inputs.items() if name != CU_SEQLENS}, inputs[CU_SEQLENS]
        )
        results: dict[str, Array] = {}
        for session in self._build(graph).sessions:
            results |= session.run_batch(batch)
        return {name: _widen(results[name]) for name in graph.outputs}

    def executable(self, graph: Graph) -> Executable:
        """Return the executable of the graph, as a file would hold it."""
        return self._build(graph).executable

    def session(self, graph: Graph) -> Session:
        """Return the session of a graph with at most ``MAX_OUTPUTS`` outputs, for tasks."""
        (session,) = self._build(graph).sessions
        return session

    @property
    def isa(self) -> str:
        """The instruction set that the last graph ran on. Raises ``KeyError`` before the first run."""
        return self._built[next(reversed(self._built))].sessions[0].isa

    def _build(self, graph: Graph) -> _Built:
        if graph not in self._built:
            executable = lower(graph, self._packed)
            while len(self._built) >= KEPT_GRAPHS:
                self._built.popitem(last=False)
            sessions = tuple(
                Session(part, num_threads=self._num_threads) for part in _with_few_outputs(executable)
            )
            self._built[graph] = _Built(executable, sessions)
        self._built.move_to_end(graph)
        return self._built[graph]


class _Built(NamedTuple):
    """The executable of a graph, and the sessions that run it."""

    executable: Executable
    sessions: tuple[Session, ...]


@dataclasses.dataclass(frozen=True, eq=False)
class _PackedTensor(Tensor):
    """A packed tensor with the array that it was made of: while it lives, no other array gets that id."""

    source: Array


class _PackedConstants:
    """Packs each constant once for all executables that are alive: variants of a model share most."""

    def __init__(self) -> None:
        self._packed: WeakValueDictionary[tuple[int, Packer], _PackedTensor] = WeakValueDictionary()

    def __call__(self, packer: Packer, constant: Constant) -> Tensor:
        key = id(constant.array), packer
        found = self._packed.get(key)
        if found is None:
            tensor = packer(constant)
            found = self._packed[key] = _PackedTensor(tensor.dtype, tensor.array, constant.array)
        return found


def _with_few_outputs(executable: Executable) -> list[Executable]:
    """Return the executable, once for each ``MAX_OUTPUTS`` of its outputs."""
    outputs = iter(executable.program.outputs.items())
    parts = []
    while group := dict(itertools.islice(outputs, MAX_OUTPUTS)):
        program = dataclasses.replace(executable.program, outputs=group)
        parts.append(dataclasses.replace(executable, program=program))
    return parts


def _widen(array: Array) -> Array:
    """Return bf16, which a session gives as its bits, as float32; anything else as it is."""
    if array.dtype != np.uint16:
        return array
    return (array.astype(np.uint32) << 16).view(np.float32)
