"""The cpu target as a callable: runs graphs on the native core, without a file between.

This is the ``run`` that calibration and measuring are handed. What it runs is, byte for byte, what
the writer would put into the file.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple
from weakref import WeakValueDictionary

import numpy as np

from bertc.artifact.executable import Executable, Tensor
from bertc.ir.graph import Constant, Graph, StoredTensor
from bertc.lowering.lower import Packer, lower
from bertc.passes.eliminate_dead_nodes import eliminate_dead_nodes
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

    The programs of the last graphs are kept, so that running a graph batch by batch builds it once, and a
    constant that several of these graphs share is packed once. All of it goes with the target.
    """

    def __init__(self, *, num_threads: int | None = None) -> None:
        self._num_threads = num_threads
        self._built: OrderedDict[Graph, _Built] = OrderedDict()
        self._packed = _PackedConstants()
        self.isa = ""
        """The instruction set that graphs run on, known once one did."""

    def __call__(self, graph: Graph, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Return the graph's outputs by public name, as ``interpreter.run`` gives them.

        ``inputs`` are those of the interpreter. Any value with two dimensions may be made an output;
        bf16 comes back as float32. Raises ``InputError`` for inputs that do not fit the model.
        """
        batch = PackedBatch(
            {name: array for name, array in inputs.items() if name != CU_SEQLENS}, inputs[CU_SEQLENS]
        )
        results = {name: inputs[value] for name, value in graph.outputs.items() if value in inputs}
        built = self._build(graph)
        for executable in built.executables:
            results |= (built.session or self._session(executable)).run_batch(batch)
        return {name: _widen(results[name]) for name in graph.outputs}

    def executable(self, graph: Graph) -> Executable:
        """Return the executable of a graph with at most ``MAX_OUTPUTS`` outputs, as a file would hold it."""
        (executable,) = self._build(graph).executables
        return executable

    def session(self, graph: Graph) -> Session:
        """Return the session of a graph with at most ``MAX_OUTPUTS`` outputs, for tasks."""
        return self._build(graph).session or self._session(self.executable(graph))

    def _build(self, graph: Graph) -> _Built:
        if graph not in self._built:
            executables = tuple(lower(part, self._packed) for part in _with_few_outputs(graph))
            while len(self._built) >= KEPT_GRAPHS:
                self._built.popitem(last=False)
            session = self._session(executables[0]) if len(executables) == 1 else None
            self._built[graph] = _Built(executables, session)
        self._built.move_to_end(graph)
        return self._built[graph]

    def _session(self, executable: Executable) -> Session:
        session = Session(executable, num_threads=self._num_threads)
        self.isa = session.isa
        return session


class _Built(NamedTuple):
    """A graph that can run, in parts if it has many outputs."""

    executables: tuple[Executable, ...]
    session: Session | None
    """None for several parts: a session keeps memory for all of its outputs, and is made in milliseconds."""


@dataclasses.dataclass(frozen=True, eq=False)
class _PackedTensor(Tensor):
    """A packed tensor with what it was made of: while that lives, nothing else gets its id."""

    source: Array | StoredTensor


class _PackedConstants:
    """Packs each constant once for all executables that are alive: variants of a model share most."""

    def __init__(self) -> None:
        self._packed: WeakValueDictionary[tuple[int, Packer], _PackedTensor] = WeakValueDictionary()

    def __call__(self, packer: Packer, constant: Constant) -> Tensor:
        key = id(constant.source), packer
        found = self._packed.get(key)
        if found is None:
            tensor = packer(constant)
            found = self._packed[key] = _PackedTensor(tensor.dtype, tensor.array, constant.source)
        return found


def _with_few_outputs(graph: Graph) -> Iterator[Graph]:
    """Yield the graph once for each ``MAX_OUTPUTS`` outputs that its nodes make, with what these need."""
    given = {port.name for port in graph.inputs}
    outputs = iter([each for each in graph.outputs.items() if each[1] not in given])
    while group := dict(itertools.islice(outputs, MAX_OUTPUTS)):
        yield eliminate_dead_nodes(graph.with_nodes(graph.nodes, outputs=group))


def _widen(array: Array) -> Array:
    """Return bf16, which a session gives as its bits, as float32; anything else as it is."""
    if array.dtype != np.uint16:
        return array
    return (array.astype(np.uint32) << 16).view(np.float32)
