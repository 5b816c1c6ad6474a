"""A session: an artifact, its native program, and packed arrays in and out."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bertc import _native
from bertc.artifact.reader import Artifact
from bertc.errors import ArtifactError, InputError
from bertc.runtime import environment

Array = np.ndarray[Any, Any]

ATTENTION_PARTS = ("packing", "scores", "softmax", "mixing")
"""What attention's time goes to; packing also writes what comes out."""

_NUMPY_DTYPES = {"f32": np.float32, "i32": np.int32, "u8": np.uint8, "bf16": np.uint16}


@dataclass(frozen=True, eq=False)
class Profile:
    """Where the time of a run went."""

    cooperative: bool
    """Whether the threads shared each step, and met after it; else each took sequences of its own."""
    wall_ns: int
    """Of the native run, in nanoseconds, as all times."""
    step_ns: Array
    """int64 [threads, steps + 1]: in the program's steps, in their order, and in copying outputs."""
    attention_ticks: Array
    """int64 [len(ATTENTION_PARTS)], of all threads, in a unit of the processor's; zero if not asked for."""


class Session:
    """Runs a compiled model on packed tokens. Safe to share between threads, usable after ``fork``."""

    def __init__(self, artifact: Artifact, *, num_threads: int | None = None, isa: str | None = None) -> None:
        """Build the native program. ``isa`` overrides ``BERTC_ISA``; see ``bertc show``.

        Raises ``ArtifactError`` if the program makes no sense, ``InputError`` for an instruction set
        that this processor lacks or a number of threads below 1.
        """
        if num_threads is None:
            num_threads = environment.default_num_threads()
        elif not isinstance(num_threads, int) or not 1 <= num_threads <= 1024:
            raise InputError(f"num_threads must be an integer from 1 to 1024, found {num_threads!r}")
        self.artifact = artifact
        program = _build_program(artifact, environment.isa() if isa is None else isa)
        self._native = _native.Session(program, num_threads)
        self._outputs = {name: (dtype, rows, columns) for name, dtype, rows, columns in self._native.outputs}
        if environment.verbose():
            sys.stderr.write(f"bertc: {artifact.path}: {self.isa}, {self.num_threads} threads\n")

    @property
    def output_names(self) -> tuple[str, ...]:
        """What :meth:`run` can return."""
        return tuple(self._outputs)

    @property
    def num_threads(self) -> int:
        """Threads of one call."""
        return int(self._native.num_threads)

    @property
    def isa(self) -> str:
        """The instruction set in use: ``scalar``, ``avx2``, ``avx512_vnni`` or ``avx512_bf16``."""
        return str(self._native.isa)

    def run(
        self,
        input_ids: Array,
        cu_seqlens: Array,
        token_type_ids: Array | None = None,
        position_ids: Array | None = None,
        *,
        outputs: Sequence[str] | None = None,
    ) -> dict[str, Array]:
        """Run the model on packed sequences.

        ``input_ids`` int32 [tokens]; ``cu_seqlens`` int32 [sequences + 1], strictly increasing from 0
        to tokens; ``token_type_ids`` and ``position_ids`` int32 [tokens], by default 0 and 0, 1, ...
        in each sequence. ``outputs`` names what to compute, by default everything.

        Returns float32 arrays by name: ``last_hidden_state`` [tokens, hidden], ``pooler_output`` and
        ``sentence_embedding`` [sequences, hidden], ``logits`` [sequences or tokens, labels].
        Raises ``InputError`` for anything that is not as said here.
        """
        results, arguments = self._bind(input_ids, cu_seqlens, token_type_ids, position_ids, outputs)
        self._native.run(*arguments)
        return results

    def profile(
        self,
        input_ids: Array,
        cu_seqlens: Array,
        *,
        outputs: Sequence[str] | None = None,
        inside_attention: bool = False,
    ) -> Profile:
        """Run as :meth:`run` does and tell where the time went; the clock is read once or twice a step.

        ``inside_attention``: also several times for each head, which makes short sequences slower.
        """
        _, arguments = self._bind(input_ids, cu_seqlens, None, None, outputs)
        threads, cooperative, wall_ns, times, ticks = self._native.profile(inside_attention, *arguments)
        return Profile(
            cooperative,
            wall_ns,
            np.array(times, np.int64).reshape(threads, -1),
            np.array(ticks, np.int64).reshape(-1, len(ATTENTION_PARTS)).sum(axis=0),
        )

    def _bind(
        self,
        input_ids: Array,
        cu_seqlens: Array,
        token_type_ids: Array | None,
        position_ids: Array | None,
        outputs: Sequence[str] | None,
    ) -> tuple[dict[str, Array], tuple[Any, ...]]:
        """Empty results, and the native core's arguments that fill them."""
        ids = _ids(input_ids, "input_ids")
        bounds = _ids(cu_seqlens, "cu_seqlens")
        wanted = self.output_names if outputs is None else tuple(outputs)
        unknown = [name for name in wanted if name not in self._outputs]
        if unknown:
            known = ", ".join(self.output_names)
            raise InputError(f"this model has no output {unknown[0]!r}, it has: {known}")
        results = {
            name: np.empty((len(ids) if rows == "tokens" else max(len(bounds) - 1, 0), columns), dtype)
            for name, (dtype, rows, columns) in (
                (name, (_NUMPY_DTYPES[kind], rows, columns))
                for name, (kind, rows, columns) in self._outputs.items()
                if name in wanted
            )
        }
        return results, (
            ids,
            bounds,
            None if token_type_ids is None else _ids(token_type_ids, "token_type_ids"),
            None if position_ids is None else _ids(position_ids, "position_ids"),
            [results[name].reshape(-1).view(np.uint8) if name in results else None for name in self._outputs],
        )


def _ids(array: Array, name: str) -> Array:
    """One-dimensional, contiguous int32; wider integers are narrowed if they fit."""
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


def _build_program(artifact: Artifact, isa: str) -> Any:
    program = artifact.manifest.program
    native = _native.Program(isa)
    try:
        for slot in program.slots:
            native.add_slot(slot)
        for name, entry in artifact.tensors.items():
            native.add_tensor(name, entry.dtype, list(entry.shape), artifact.bytes_of(name))
        for buffer in program.buffers:
            native.add_buffer(buffer.name, buffer.dtype, buffer.rows, buffer.columns, buffer.slot)
        for step in program.steps:
            native.add_step(step.op, step.name, dict(step.inputs), list(step.outputs), dict(step.attributes))
        for name, buffer_name in program.outputs.items():
            native.add_output(name, buffer_name)
        native.finish()
    except ArtifactError as error:
        raise ArtifactError(f"{artifact.path}: {error}: compile the model again") from None
    except TypeError:
        raise ArtifactError(
            f"{artifact.path}: a number in the program is out of range: compile the model again"
        ) from None
    return native
