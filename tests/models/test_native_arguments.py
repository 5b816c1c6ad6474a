"""What the native session refuses, whoever calls it: nothing is written outside of an array."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bertc.artifact.reader import open_artifact
from bertc.errors import InputError
from bertc.runtime.session import Session
from tests.support.artifacts import Artifacts

READ_ONLY = np.zeros(128, np.uint8)
READ_ONLY.setflags(write=False)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros(127, np.uint8), "wrong size"),
        (np.zeros(32, np.float32), "not a writable row of bytes"),
        (np.zeros((2, 64), np.uint8), "not a writable row of bytes"),
        (np.zeros(256, np.uint8)[::2], "not a writable row of bytes"),
        (READ_ONLY, "not a writable row of bytes"),
        ([0] * 128, "not a writable row of bytes"),
    ],
)
def test_an_output_array_that_does_not_fit_is_refused(artifacts: Artifacts, array: Any, message: str) -> None:
    session = Session(open_artifact(artifacts.tiny("fp32", pooling="mean")).executable, num_threads=1)
    ids, cu_seqlens = np.arange(3, dtype=np.int32), np.array([0, 3], np.int32)
    outputs = [array if name == "sentence_embedding" else None for name in session.output_names]
    with pytest.raises(InputError, match=f"'sentence_embedding'.* {message}"):
        session._native.run(ids, cu_seqlens, None, None, outputs)
    with pytest.raises(InputError, match="for each output"):
        session._native.run(ids, cu_seqlens, None, None, [])
