"""A program with steps on the host: native programs and NumPy in turns, like one native session from outside.

The steps stay in order. What a native program needs of the steps before a cut comes in by ports, where it is
float32 with a row for each token or sequence. Anything else (8-bit rows and their scales) is made again, from
what can come in: the same ops on the same numbers give the same bits.
"""

from __future__ import annotations

import dataclasses
import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bertc.artifact.executable import Executable
from bertc.artifact.format import STORED_DTYPES
from bertc.artifact.schema import Program, Step
from bertc.errors import ArtifactError, InputError
from bertc.ports import CU_SEQLENS, HOST, SEQUENCES, TOKENS, Port
from bertc.primitives.region import IDS, NUMBERS, ROWS, Region, RegionError, RowsOf, check, run

Array = np.ndarray[Any, Any]
Build = Callable[[Executable], Any]
"""A function that makes the native session of an executable without steps on the host."""

_ATTRIBUTES = {"region", "rows"}
_LANES = 16
"""A buffer's row takes a multiple of so many elements."""


@dataclass(frozen=True, eq=False)
class _Native:
    """A run of native steps."""

    session: Any
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    """What later segments and callers read, by the names of buffers."""
    places: tuple[int, ...]
    """Where its steps are in the whole program."""

    @property
    def reads(self) -> Iterable[str]:
        return (port.name for port in self.inputs)

    @property
    def writes(self) -> Iterable[str]:
        return (port.name for port in self.outputs)


@dataclass(frozen=True, eq=False)
class _Host:
    """A step on the host."""

    step: Step
    region: Region
    per_token: bool
    numbers: Array
    places: tuple[int]

    @property
    def reads(self) -> Iterable[str]:
        return self.step.inputs.values()

    @property
    def writes(self) -> Iterable[str]:
        return self.step.outputs


@dataclass
class _Times:
    """The nanoseconds of one run, by thread and step, and the ticks inside attention."""

    inside_attention: bool
    steps: Array
    ticks: list[int]
    cooperative: bool = False


class SegmentedSession:
    """Runs a program with steps on the host; what it offers is what ``_native.Session`` does."""

    def __init__(self, executable: Executable, build: Build) -> None:
        """Cut the program and build its parts. Raises ``ArtifactError`` that names what makes no sense."""
        self._executable = executable
        program = executable.program
        self._buffers = {buffer.name: buffer for buffer in program.buffers}
        self._inputs = {port.name: port for port in program.inputs}
        self._buffer_of = tuple(program.outputs.values())
        self._check_order()
        self._segments = self._cut(build)
        natives = [each for each in self._segments if isinstance(each, _Native)]
        if not natives:
            raise self._error("all of its steps are for the host")
        self._first = natives[0].session
        self.inputs = tuple(dataclasses.astuple(port) for port in program.inputs)
        self.outputs = tuple(
            (name, *dataclasses.astuple(port)[1:])
            for name, port in zip(program.outputs, self._ports(self._buffer_of), strict=True)
        )

    @property
    def num_threads(self) -> int:
        """The number of threads that one call may use."""
        return int(self._first.num_threads)

    @property
    def isa(self) -> str:
        """The instruction set of the native parts."""
        return str(self._first.isa)

    def run(
        self,
        tokens: int,
        cu_seqlens: Array,
        inputs: list[Array | None],
        outputs: list[Array | None],
    ) -> None:
        """Run on the arrays of the program's inputs, and fill those of its outputs, or None."""
        self._run(tokens, cu_seqlens, inputs, outputs, None)

    def profile(
        self,
        inside_attention: bool,
        tokens: int,
        cu_seqlens: Array,
        inputs: list[Array | None],
        outputs: list[Array | None],
    ) -> tuple[int, bool, int, list[int], list[int]]:
        """Run, and return what ``_native.Session.profile`` does: times by step of the whole program."""
        count = len(self._executable.program.steps) + 1
        times = _Times(inside_attention, np.zeros((self.num_threads, count), np.int64), [])
        start = time.perf_counter_ns()
        self._run(tokens, cu_seqlens, inputs, outputs, times)
        wall = time.perf_counter_ns() - start
        return self.num_threads, times.cooperative, wall, times.steps.ravel().tolist(), times.ticks

    def _run(
        self,
        tokens: int,
        cu_seqlens: Array,
        inputs: list[Array | None],
        outputs: list[Array | None],
        times: _Times | None,
    ) -> None:
        values = {
            port[0]: array for port, array in zip(self.inputs, inputs, strict=True) if array is not None
        }
        values[CU_SEQLENS] = cu_seqlens
        self._check_rows(tokens, values)
        wanted = {buffer for buffer, place in zip(self._buffer_of, outputs, strict=True) if place is not None}
        for segment, needed in self._plan(wanted):
            if isinstance(segment, _Native):
                self._run_native(segment, needed, tokens, values, times)
            else:
                self._run_host(segment, values, times)
        for buffer, place in zip(self._buffer_of, outputs, strict=True):
            if place is not None:
                place[:] = values[buffer]

    def _check_rows(self, tokens: int, values: Mapping[str, Array]) -> None:
        """Check what the host relies on; native programs check what they read."""
        bounds = values[CU_SEQLENS]
        if len(bounds) < 2 or bounds[0] != 0 or bounds[-1] != tokens or (np.diff(bounds) <= 0).any():
            raise InputError(f"cu_seqlens must increase from 0 to the number of tokens, {tokens}")
        for port in self._executable.program.inputs:
            if port.columns and len(values.get(port.name, ())) != tokens:
                raise InputError(f"{port.name} must have a row for each of {tokens} tokens")

    def _plan(self, wanted: set[str]) -> Iterator[tuple[_Native | _Host, set[str]]]:
        """Yield the segments that some buffers need, each with those of its own that are needed."""
        plan, missing = [], set(wanted)
        for segment in reversed(self._segments):
            needed = missing.intersection(segment.writes)
            if needed:
                plan.append((segment, needed))
                missing.update(segment.reads)
        yield from reversed(plan)

    def _run_native(
        self,
        segment: _Native,
        needed: set[str],
        tokens: int,
        values: dict[str, Array],
        times: _Times | None,
    ) -> None:
        bounds = values[CU_SEQLENS]
        given = [values.get(port.name) for port in segment.inputs]
        rows = {TOKENS: tokens, SEQUENCES: max(len(bounds) - 1, 0)}
        places: list[Array | None] = []
        for port in segment.outputs:
            if port.name not in needed:
                places.append(None)
                continue
            count = rows[port.rows] if port.rows in rows else len(values.get(port.rows, ()))
            array = np.empty((count, port.columns), STORED_DTYPES[port.dtype.upper()])
            values[port.name] = array
            places.append(array)
        if times is None:
            segment.session.run(tokens, bounds, given, places)
            return
        threads, cooperative, _, steps, ticks = segment.session.profile(
            times.inside_attention, tokens, bounds, given, places
        )
        found = np.array(steps, np.int64).reshape(threads, -1)
        times.cooperative |= cooperative
        times.ticks.extend(ticks)
        times.steps[:threads, [*segment.places, -1]] += found

    def _run_host(self, segment: _Host, values: dict[str, Array], times: _Times | None) -> None:
        start = time.perf_counter_ns()
        step = segment.step
        operands = {name: values[value] for name, value in step.inputs.items() if value in values}
        operands[NUMBERS] = segment.numbers
        bounds = values[CU_SEQLENS].tolist()
        try:
            values[step.outputs[0]] = run(segment.region, operands, bounds, per_token=segment.per_token)
        except RegionError as error:
            origin = self._executable.origin
            raise ArtifactError(f"{origin}: step {step.name!r} cannot run on the host: {error}") from None
        if times is not None:
            times.steps[0, segment.places[0]] += time.perf_counter_ns() - start

    def _cut(self, build: Build) -> tuple[_Native | _Host, ...]:
        steps = self._executable.program.steps
        groups = [
            [place for place, _ in group]
            for _, group in itertools.groupby(enumerate(steps), lambda each: each[1].op == HOST)
        ]
        on_host = [place for places in groups for place in places if steps[place].op == HOST]
        inner = [self._with_remade(places) for places in groups if steps[places[0]].op != HOST]
        asked = {*self._executable.program.outputs.values()}
        asked.update(name for places in (*inner, on_host) for name in self._read(places))
        segments: list[_Native | _Host] = [self._host(place) for place in on_host]
        segments += [self._native(places, asked, build) for places in inner]
        return tuple(sorted(segments, key=lambda segment: segment.places[-1]))

    def _read(self, places: Iterable[int]) -> set[str]:
        """Return the buffers that some steps read and do not write."""
        steps = [self._executable.program.steps[place] for place in places]
        read = {name for step in steps for name in step.inputs.values()}
        return (read & self._buffers.keys()) - {name for step in steps for name in step.outputs}

    def _with_remade(self, places: list[int]) -> list[int]:
        """Return the places of steps, and of those before them whose results cannot come in."""
        inner = {*places}
        while True:
            missing = [name for name in self._read(inner) if not self._crosses(name)]
            if not missing:
                return sorted(inner)
            before = [self._producer(name, places[0]) for name in missing]
            inner.update(before)

    def _producer(self, name: str, before: int) -> int:
        steps = self._executable.program.steps
        for place in range(before):
            if name in steps[place].outputs and steps[place].op != HOST:
                return place
        raise self._error(f"a step reads {name!r} before any step has written it")

    def _crosses(self, name: str) -> bool:
        """Return whether a buffer can be an input of a native program."""
        buffer = self._buffers[name]
        return buffer.dtype == "f32" and buffer.rows in (TOKENS, SEQUENCES) and buffer.columns > 0

    def _native(self, places: list[int], asked: set[str], build: Build) -> _Native:
        program = self._executable.program
        steps = tuple(program.steps[place] for place in places)
        written = [name for step in steps for name in step.outputs]
        outputs = [name for name in written if name in asked]
        crossing = self._read(places)
        given = {name for step in steps for name in step.inputs.values()}
        inputs = (
            *(port for port in program.inputs if port.name in given),
            *self._ports(name for name in self._buffers if name in crossing - self._inputs.keys()),
        )
        slots, buffers = [*program.slots], []
        for buffer in program.buffers:
            if buffer.name in (*outputs, *crossing):  # each in memory of its own, from start to end
                buffers.append(dataclasses.replace(buffer, slot=len(slots)))
                slots.append(4 * -(-buffer.columns // _LANES) * _LANES)
            else:
                buffers.append(buffer)
        part = Program(tuple(buffers), tuple(slots), steps, {name: name for name in outputs}, inputs)
        session = build(dataclasses.replace(self._executable, program=part))
        return _Native(session, inputs, tuple(self._ports(outputs)), tuple(places))

    def _ports(self, names: Iterable[str]) -> Iterator[Port]:
        for name in names:
            buffer = self._buffers[name]
            yield Port(name, buffer.dtype, buffer.rows, buffer.columns)

    def _host(self, place: int) -> _Host:
        """Return a step on the host, checked. Raises ``ArtifactError`` that names it."""
        step = self._executable.program.steps[place]
        try:
            return self._checked(step, place)
        except (RegionError, KeyError, ValueError) as error:
            raise self._error(f"step {step.name!r} on the host: {error}") from None

    def _checked(self, step: Step, place: int) -> _Host:
        tensors, (output,) = self._executable.tensors, step.outputs
        unknown = step.inputs.keys() - {*ROWS, *IDS, NUMBERS, CU_SEQLENS}
        wrong = {name for name in IDS if step.inputs.get(name, name) != name}
        if (
            unknown
            or wrong
            or step.inputs.get(CU_SEQLENS) != CU_SEQLENS
            or step.attributes.keys() != _ATTRIBUTES
        ):
            raise RegionError("it has operands or attributes that are not its own")
        numbers = np.zeros(0, np.float32)
        if NUMBERS in step.inputs:
            numbers = tensors[step.inputs[NUMBERS]].array
        if numbers.dtype != np.float32 or numbers.ndim != 1:
            raise RegionError(f"its numbers are {numbers.dtype} of rank {numbers.ndim}")
        rows = {}
        for name in step.inputs.keys() & {*ROWS}:
            value = step.inputs[name]
            if not self._crosses(value):
                raise RegionError(f"it reads {value!r}, which is no float32 of tokens or sequences")
            rows[name] = RowsOf(self._buffers[value].rows == TOKENS, self._buffers[value].columns)
        per_token = {TOKENS: True, SEQUENCES: False}[str(step.attributes["rows"])]
        region = Region.from_json(str(step.attributes["region"]))
        columns = check(region, rows, len(numbers), per_token=per_token)
        buffer = self._buffers[output]
        if (buffer.dtype, buffer.rows, buffer.columns) != ("f32", step.attributes["rows"], columns):
            raise RegionError(f"its result does not fit {output!r}")
        return _Host(step, region, per_token, numbers, (place,))

    def _check_order(self) -> None:
        """Check that each buffer is written once, and before it is read."""
        written = {port.name for port in self._executable.program.inputs}
        for step in self._executable.program.steps:
            for name in step.inputs.values():
                if name in self._buffers and name not in written:
                    raise self._error(f"step {step.name!r} reads {name!r} before any step has written it")
            for name in step.outputs:
                if name in written:
                    raise self._error(f"two steps write {name!r}")
                written.add(name)
        for name in self._buffer_of:
            if name not in written or name not in self._buffers:
                raise self._error(f"no step writes the output {name!r}")

    def _error(self, problem: str) -> ArtifactError:
        return ArtifactError(f"{self._executable.origin}: {problem}: compile the model again")
