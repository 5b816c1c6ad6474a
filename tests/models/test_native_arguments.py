"""What the native session refuses, whoever calls it: nothing is written outside of an array."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from bertc import _native
from bertc.artifact.reader import open_artifact
from bertc.errors import ArtifactError, InputError
from bertc.lowering.lower import lower
from bertc.runtime.session import Session
from tests.parity.op_cases import CASES, Builder, Shape
from tests.support.artifacts import Artifacts
from tests.support.native import ISAS, build_program

READ_ONLY = np.zeros(128, np.uint8)
READ_ONLY.setflags(write=False)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros(127, np.uint8), "wrong size"),
        (np.zeros(31, np.float32), "wrong size"),
        (np.zeros(256, np.uint8)[::2], "not writable and contiguous"),
        (READ_ONLY, "not writable and contiguous"),
        ([0] * 128, "not writable and contiguous"),
    ],
)
def test_an_output_array_that_does_not_fit_is_refused(artifacts: Artifacts, array: Any, message: str) -> None:
    session = Session(open_artifact(artifacts.tiny("fp32", pooling="mean")).executable, num_threads=1)
    ids, cu_seqlens = np.arange(3, dtype=np.int32), np.array([0, 3], np.int32)
    outputs = [array if name == "sentence_embedding" else None for name in session.output_names]
    inputs = [ids if port.name == "input_ids" else None for port in session.inputs]
    with pytest.raises(InputError, match=f"'sentence_embedding'.* {message}"):
        session._native.run(3, cu_seqlens, inputs, outputs)
    with pytest.raises(InputError, match="for each output"):
        session._native.run(3, cu_seqlens, inputs, [])


def _normalizing_program() -> _native.Program:
    """A finished program: embeddings of 16 columns, divided by their length."""
    builder = Builder(Shape((3,), 16, 1, 1, 0), np.random.default_rng(0))
    CASES["normalize"](builder)
    return build_program(lower(builder.graph()), ISAS[0])


@pytest.mark.parametrize(
    "change",
    [
        lambda program: program.add_slot(64),
        lambda program: program.add_tensor("more", "f32", [16], np.zeros(64, np.uint8)),
        lambda program: program.add_buffer("more", "f32", "tokens", 16, 0),
        lambda program: program.add_input("more", "i32", "tokens", 0),
        lambda program: program.add_step("normalize", "more", {"x": "x"}, ["y"], {}),
        lambda program: program.add_output("more", "y"),
        lambda program: program.finish(),
    ],
    ids=["slot", "tensor", "buffer", "input", "step", "output", "finish"],
)
def test_a_finished_program_does_not_change(change: Callable[[_native.Program], None]) -> None:
    program = _normalizing_program()
    with pytest.raises(ArtifactError, match="the program is finished"):
        change(program)


def test_a_session_takes_no_program_that_may_still_change() -> None:
    with pytest.raises(ArtifactError, match="not finished"):
        _native.Session(_native.Program(ISAS[0]), 1)
