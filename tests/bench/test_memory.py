from __future__ import annotations

from pathlib import Path

import pytest

from bertc.artifact.reader import open_artifact
from bertc.bench.memory import measure_memory, resident_mb
from bertc.errors import BertcError
from tests.conftest import MakeArtifact


@pytest.mark.skipif(resident_mb() is None, reason="memory is read from /proc")
def test_the_weights_are_the_tensors_of_the_file(artifact: MakeArtifact) -> None:
    found = measure_memory(artifact(), threads=1, shape=(2, 1000))
    assert found is not None and found["length"] == 64  # the model has no more positions
    tensors = open_artifact(artifact()).executable.tensors.values()
    assert found["weights_mb"] == sum(tensor.array.nbytes for tensor in tensors) / 1e6
    assert found["peak_mb"] == pytest.approx(found["weights_mb"] + found["beyond_mb"])


def test_a_failing_process_is_reported(tmp_path: Path) -> None:
    with pytest.raises(BertcError, match=r"measuring memory failed: .*cannot open"):
        measure_memory(tmp_path / "none.bertc", threads=1)
