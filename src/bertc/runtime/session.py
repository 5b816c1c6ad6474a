"""A session: an executable bound to this processor and its threads, and packed arrays in and out."""

from __future__ import annotations

import dataclasses
import math
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bertc import _native
from bertc.artifact.executable import Executable
from bertc.artifact.schema import Program
from bertc.errors import ArtifactError, InputError
from bertc.ports import EMBEDDINGS, HOST, SEQUENCES, TOKENS, Port
from bertc.runtime import environment
from bertc.runtime.batching import PackedBatch

Array = np.ndarray[Any, Any]

ATTENTION_PARTS = ("packing", "scores", "distances", "softmax", "mixing")
"""The parts of attention that its time is divided by; packing also writes what comes out."""

_IGNORED = ("token_type_ids", "position_ids", "places")
"""Inputs that tokenizers, callers and the padded call pass to any model."""

_OF_DISTANCES = {"attention.distance_bias", "attention.slopes"}
"""The features of programs that depend on the distance from token to token."""

_CHECK_SECONDS = 0.005
"""How long a queue's batches do without a look at the file: it takes some microseconds, a short batch ten."""

_LANES = 16
"""A buffer's row takes a multiple of so many elements."""
_INT32 = np.dtype(np.int32)
_NUMPY_DTYPES = {"f32": np.float32, "i32": np.int32, "u8": np.uint8, "bf16": np.uint16}


@dataclass(frozen=True, eq=False)
class Profile:
    """The times of one run, by step and by part of attention."""

    cooperative: bool
    """Whether the threads shared each step, and met after it; else each took sequences of its own."""
    wall_ns: int
    """The duration of the native run, in nanoseconds."""
    step_ns: Array
    """The nanoseconds in each of the program's steps, then in copying outputs: int64 [threads, steps + 1]."""
    attention_ticks: Array
    """The time in each of ATTENTION_PARTS, int64 [parts], all threads together, in a unit of the processor's;
    zero if it was not asked for."""


class Session:
    """Runs an executable on packed batches. Safe to share between threads, usable after ``fork``."""

    def __init__(
        self, executable: Executable, *, num_threads: int | None = None, isa: str | None = None
    ) -> None:
        """Build the native program. ``isa`` overrides ``BERTC_ISA``; see ``bertc show``.

        Raises ``ArtifactError`` if the program makes no sense, ``InputError`` for an instruction set
        that this processor lacks or a number of threads below 1.
        """
        if num_threads is None:
            num_threads = environment.default_num_threads()
        elif not isinstance(num_threads, int) or not 1 <= num_threads <= 1024:
            raise InputError(f"num_threads must be an integer from 1 to 1024, found {num_threads!r}")
        self._executable = executable
        self._check_unchanged = executable.check_unchanged
        self._checked = -math.inf
        self._native = _native_session(executable, environment.isa() if isa is None else isa, num_threads)
        self.inputs = tuple(Port(*port) for port in self._native.inputs)
        """The ports of what a batch may hold; of those that are ids, some have defaults."""
        self.reads_distances = _reads_distances(executable.program)
        """Whether what comes out may depend on how many tokens lie between two."""
        self._known_inputs = {port.name for port in self.inputs}
        if not self.takes_embeddings:
            self._known_inputs |= {*_IGNORED}
        self.outputs = tuple(Port(*port) for port in self._native.outputs)
        """The ports of all outputs that a run can return."""
        self._place_of = {port.name: index for index, port in enumerate(self.outputs)}
        if environment.verbose():
            sys.stderr.write(f"bertc: {executable.origin}: {self.isa}, {self.num_threads} threads\n")

    def with_outputs(self, outputs: Mapping[str, str]) -> Session:
        """Return a session with more outputs: by name the buffers of the program that they are, float32.

        Each such buffer gets memory of its own, so that no later step takes it over.
        """
        program = self._executable.program
        slots, moved = list(program.slots), []
        for buffer in program.buffers:
            if buffer.name in outputs.values():
                moved.append(dataclasses.replace(buffer, slot=len(slots)))
                slots.append(4 * -(-buffer.columns // _LANES) * _LANES)
            else:
                moved.append(buffer)
        changed = dataclasses.replace(
            program,
            buffers=tuple(moved),
            slots=tuple(slots),
            outputs={**program.outputs, **outputs},
        )
        executable = dataclasses.replace(self._executable, program=changed)
        return Session(executable, num_threads=self.num_threads, isa=self.isa)

    @property
    def has_host_steps(self) -> bool:
        """Whether steps of the program run on the host, so that no native queue can run it."""
        return not isinstance(self._native, _native.Session)

    @property
    def takes_embeddings(self) -> bool:
        """Whether the model takes what its embeddings gave, rows of floats, instead of ids."""
        return any(port.columns for port in self.inputs)

    @property
    def output_names(self) -> tuple[str, ...]:
        """The names of :attr:`outputs`."""
        return tuple(port.name for port in self.outputs)

    @property
    def num_threads(self) -> int:
        """The number of threads that one call may use."""
        return int(self._native.num_threads)

    @property
    def isa(self) -> str:
        """The instruction set: ``scalar``, ``avx2``, ``avx_vnni``, ``avx512_vnni`` or ``avx512_bf16``."""
        return str(self._native.isa)

    def run(
        self,
        input_ids: Array | None = None,
        cu_seqlens: Array | None = None,
        token_type_ids: Array | None = None,
        position_ids: Array | None = None,
        *,
        embeddings: Array | None = None,
        outputs: Sequence[str] | None = None,
    ) -> dict[str, Array]:
        """Run the model on packed sequences.

        ``input_ids`` int32 [tokens]; ``cu_seqlens`` int32 [sequences + 1], strictly increasing from 0
        to tokens; ``token_type_ids`` and ``position_ids`` int32 [tokens], by default 0 and 0, 1, ...
        in each sequence. A model that was compiled from its embeddings on takes ``embeddings``, floats
        [tokens, hidden], and no ids. ``outputs`` names what to compute, by default everything.

        Returns float32 arrays by name: ``last_hidden_state`` [tokens, hidden], ``pooler_output`` and
        ``sentence_embedding`` [sequences, hidden], ``logits`` [sequences or tokens, labels].
        Raises ``InputError`` for anything that is not as said here.
        """
        if cu_seqlens is None:
            raise InputError(
                "cu_seqlens is missing: pass the start of each sequence and the number of tokens"
            )
        inputs = {
            "input_ids": input_ids,
            "token_type_ids": token_type_ids,
            "position_ids": position_ids,
            EMBEDDINGS: embeddings,
        }
        given = {name: array for name, array in inputs.items() if array is not None}
        return self.run_batch(PackedBatch(given, cu_seqlens), outputs=outputs)

    def run_batch(self, batch: PackedBatch, *, outputs: Sequence[str] | None = None) -> dict[str, Array]:
        """Run the model on a batch as :meth:`run` does, whatever the model's :attr:`inputs` are.

        Token types and positions are ignored by a model that takes none.
        """
        self._check_unchanged()
        results, arguments = self._bind(batch, outputs)
        self._native.run(*arguments)
        return results

    def submit(
        self, queue: Any, batch: PackedBatch, *, outputs: Sequence[str] | None = None, timeout: float = 0.0
    ) -> tuple[int, dict[str, Array]]:
        """Put a batch into a native ``Queue``: its number there, and the arrays that the queue will fill.

        ``timeout`` are the seconds that it may wait there, 0 for any time. Raises ``InputError`` for a batch
        that makes no sense, of which ids beyond a table show only when it runs.
        """
        now = time.monotonic()
        if now - self._checked > _CHECK_SECONDS:
            self._check_unchanged()
            self._checked = now
        results, arguments = self._bind(batch, outputs)
        return queue.submit(self._native, *arguments, timeout), results

    def profile(
        self, batch: PackedBatch, *, outputs: Sequence[str] | None = None, inside_attention: bool = False
    ) -> Profile:
        """Run as :meth:`run_batch` does and tell where the time went; the clock is read once or twice a step.

        With ``inside_attention`` also several times for each head, which makes short sequences slower.
        """
        _, arguments = self._bind(batch, outputs)
        threads, cooperative, wall_ns, times, ticks = self._native.profile(inside_attention, *arguments)
        return Profile(
            cooperative,
            wall_ns,
            np.array(times, np.int64).reshape(threads, -1),
            np.array(ticks, np.int64).reshape(-1, len(ATTENTION_PARTS)).sum(axis=0),
        )

    def _inputs(self, batch: PackedBatch) -> list[Array | None]:
        """Return the array of each of the program's inputs, or None."""
        if not batch.inputs.keys() <= self._known_inputs:
            unknown = min(batch.inputs.keys() - self._known_inputs)
            names = ", ".join(port.name for port in self.inputs)
            if self.takes_embeddings:
                raise InputError(
                    f"this model was compiled from its embeddings on: it takes {names}, not {unknown}. Make"
                    " them of ids with bertc.EmbeddingTables, and call session.run(embeddings=..., "
                    "cu_seqlens=...)"
                )
            raise InputError(f"this model has no input {unknown!r}, it has: {names}")
        return [
            None if array is None else _rows(array, port) if port.columns else _ids(array, port.name)
            for port in self.inputs
            for array in (batch.inputs.get(port.name),)
        ]

    def _bind(
        self, batch: PackedBatch, outputs: Sequence[str] | None
    ) -> tuple[dict[str, Array], tuple[Any, ...]]:
        """Return empty results, and the native core's arguments that fill them."""
        bounds = _ids(batch.cu_seqlens, "cu_seqlens")
        inputs = self._inputs(batch)
        rows = {SEQUENCES: max(len(bounds) - 1, 0), TOKENS: max(int(bounds[-1]), 0) if len(bounds) else 0}
        for port, array in zip(self.inputs, inputs, strict=True):
            if array is not None:
                rows[port.rows] = len(array)
        if outputs is not None and not isinstance(outputs, (list, tuple)):
            raise InputError(f"outputs must be a list of names, found {outputs!r}")
        results: dict[str, Array] = {}
        places: list[Array | None] = [None] * len(self.outputs)
        for name in self._place_of if outputs is None else outputs:
            index = self._place_of.get(name)
            if index is None:
                known = ", ".join(self.output_names)
                raise InputError(f"this model has no output {name!r}, it has: {known}")
            port = self.outputs[index]
            array = np.empty((rows.get(port.rows, 0), port.columns), _NUMPY_DTYPES[port.dtype])
            results[name] = places[index] = array
        return results, (rows[TOKENS], bounds, inputs, places)


def _rows(array: Array, port: Port) -> Array:
    """Return contiguous float32 [tokens, columns]."""
    array = np.asarray(array)
    if array.ndim != 2 or array.shape[1] != port.columns or array.dtype.kind != "f":
        raise InputError(
            f"{port.name} must be an array of floats [tokens, {port.columns}], found {array.dtype} of shape "
            f"{array.shape}"
        )
    return np.ascontiguousarray(array, np.float32)


def _ids(array: Array, name: str) -> Array:
    """Return a one-dimensional, contiguous int32 array; wider integers are narrowed if they fit."""
    if type(array) is np.ndarray and array.dtype is _INT32 and array.ndim == 1 and array.flags.c_contiguous:
        return array  # as tokenizers give them: half of what binding a short call costs would be below
    array = np.asarray(array)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise InputError(
            f"{name} must be a one-dimensional array of integers, found {array.dtype} of shape {array.shape}"
        )
    if array.dtype != np.int32:
        info = np.iinfo(np.int32)
        if array.size and (array.max() > info.max or array.min() < info.min):
            raise InputError(f"{name} holds numbers that do not fit int32")
    return np.ascontiguousarray(array, np.int32)


def _reads_distances(program: Program) -> bool:
    if not _OF_DISTANCES.isdisjoint(program.features):
        return True
    if HOST not in program.features:
        return False
    from bertc.primitives.region import Region

    regions = {str(step.attributes["region"]) for step in program.steps if step.op == HOST}
    return any(Region.from_json(each).reads_places for each in regions)


def _native_session(executable: Executable, isa: str, num_threads: int) -> Any:
    """Return what runs an executable: a native session, or several in turns with steps on the host."""
    if all(step.op != HOST for step in executable.program.steps):
        return _native.Session(_build_program(executable, isa), num_threads)
    from bertc.runtime.segments import SegmentedSession

    first: list[Any] = []

    def build(part: Executable) -> Any:
        session = _native.Session(_build_program(part, isa), num_threads, *first)
        first[:] = first or [session]
        return session

    return SegmentedSession(executable, build)


def _build_program(executable: Executable, isa: str) -> Any:
    program = executable.program
    native = _native.Program(isa)
    try:
        for slot in program.slots:
            native.add_slot(slot)
        for name, tensor in executable.tensors.items():
            native.add_tensor(
                name, tensor.dtype, list(tensor.array.shape), tensor.array.reshape(-1).view(np.uint8)
            )
        for buffer in program.buffers:
            native.add_buffer(buffer.name, buffer.dtype, buffer.rows, buffer.columns, buffer.slot)
        for port in program.inputs:
            native.add_input(port.name, port.dtype, port.rows, port.columns)
        for step in program.steps:
            native.add_step(step.op, step.name, dict(step.inputs), list(step.outputs), dict(step.attributes))
        for name, buffer_name in program.outputs.items():
            native.add_output(name, buffer_name)
        native.finish()
    except ArtifactError as error:
        raise ArtifactError(f"{executable.origin}: {error}: compile the model again") from None
    except TypeError:
        raise ArtifactError(
            f"{executable.origin}: a number in the program is out of range: compile the model again"
        ) from None
    return native
