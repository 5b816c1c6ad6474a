"""What a file says of its weights is checked when it is loaded; weights that break it later do no harm."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest

import bertc
from bertc.artifact.executable import unchanged
from bertc.artifact.reader import open_artifact
from bertc.runtime.session import Session
from tests.hostile.attacks import Forger
from tests.hostile.conftest import Attack
from tests.support.artifacts import Artifacts
from tests.support.native import ISAS

WEIGHT = "encoder.layer.1.intermediate.dense.weight"
STEP = "encoder.layer.1.intermediate.dense"


@pytest.fixture(scope="module")
def artifact(artifacts: Artifacts) -> Path:
    return artifacts.tiny("int7")


@pytest.fixture
def copy(artifact: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(artifact, tmp_path / "copy.bertc"))


def place_of_the_weight(path: Path) -> tuple[int, int]:
    """Where ``WEIGHT`` starts in the file, and its bytes."""
    artifact = open_artifact(path)
    array = artifact.executable.tensors[WEIGHT].array
    return array.ctypes.data - artifact.memory.ctypes.data, array.nbytes


def overwrite(path: Path, at: int, data: bytes) -> None:
    """In place: the same file, as a process that has mapped it sees it."""
    with path.open("r+b") as file:
        file.seek(at)
        file.write(data)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("value", [64, -64, 127, -128])
@pytest.mark.parametrize("last", [False, True])
def test_a_weight_out_of_range_is_refused(copy: Path, isa: str, value: int, last: bool) -> None:
    start, size = place_of_the_weight(copy)
    overwrite(copy, start + (size - 1 if last else 0), np.int8(value).tobytes())
    with pytest.raises(bertc.ArtifactError, match=rf"'{STEP}'.* outside of -63\.\.63"):
        Session(open_artifact(copy).executable, isa=isa)


def test_the_largest_weights_are_not(copy: Path) -> None:
    start, size = place_of_the_weight(copy)
    overwrite(copy, start, np.resize(np.array([63, -63], np.int8), size).tobytes())
    Session(open_artifact(copy).executable)


def test_weights_of_eight_bits_cannot_be_passed_off_as_seven(artifacts: Artifacts, tmp_path: Path) -> None:
    path = tmp_path / "forged.bertc"
    forger = Forger(artifacts.tiny("int8").read_bytes())
    for step in forger.header["__metadata__"]["manifest"]["program"]["steps"]:
        if step["op"] == "linear_int8":
            step["attributes"]["weight_bits"] = 7
    path.write_bytes(forger.file(forger.header))
    with pytest.raises(bertc.ArtifactError, match=r"outside of -63\.\.63"):
        bertc.load(path)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize(("dtype", "offsets"), [("int8", (0, 1)), ("fours", (0, 1, 64, 65))])
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("last", [False, True])
def test_a_group_beyond_the_bound_is_refused(
    artifacts: Artifacts,
    tmp_path: Path,
    isa: str,
    dtype: str,
    offsets: tuple[int, ...],
    sign: int,
    last: bool,
) -> None:
    """A group, at these offsets in the packed layout, adds up to the bound, and then to 1 more."""
    path = Path(shutil.copy(artifacts.tiny(dtype), tmp_path / "copy.bertc"))
    start, size = place_of_the_weight(path)
    start += size - 1 - offsets[-1] if last else 0
    share = sign * 128 // len(offsets)
    for offset in offsets:
        overwrite(path, start + offset, np.int8(share).tobytes())
    Session(open_artifact(path).executable, isa=isa)
    overwrite(path, start, np.int8(share + sign).tobytes())
    with pytest.raises(bertc.ArtifactError, match=rf"'{STEP}'.* add up to more than 128"):
        Session(open_artifact(path).executable, isa=isa)


@pytest.mark.parametrize("bound", ["pairs", "fours"])
def test_unbounded_weights_cannot_be_passed_off_as_bounded(
    artifacts: Artifacts, tmp_path: Path, bound: str
) -> None:
    path = tmp_path / "forged.bertc"
    forger = Forger(artifacts.tiny("round-to-nearest").read_bytes())
    program = forger.header["__metadata__"]["manifest"]["program"]
    program["features"] = ["linear_int8.weight_bound"]
    for step in program["steps"]:
        if step["op"] == "linear_int8":
            step["attributes"]["weight_bound"] = bound
    path.write_bytes(forger.file(forger.header))
    with pytest.raises(bertc.ArtifactError, match="add up to more than 128"):
        bertc.load(path)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", ["int7", "fours"])
def test_weights_that_change_after_loading_give_other_numbers_and_nothing_else(
    artifacts: Artifacts, tmp_path: Path, dtype: str, isa: str
) -> None:
    copy = Path(shutil.copy(artifacts.tiny(dtype), tmp_path / "copy.bertc"))
    artifact = open_artifact(copy)
    session = Session(dataclasses.replace(artifact.executable, check_unchanged=unchanged), isa=isa)
    for tensor in artifact.executable.tensors.values():
        if tensor.dtype == "i8":
            start = tensor.array.ctypes.data - artifact.memory.ctypes.data
            overwrite(copy, start, b"\x80" * tensor.array.nbytes)
            assert (tensor.array == -128).all()
    ids = np.arange(40, dtype=np.int32)
    session.run(ids, np.array([0, 7, 40], np.int32))


@pytest.mark.native
def test_flipped_bits_of_weights_are_refused_or_change_numbers(artifact: Path, attack: Attack) -> None:
    outcomes = attack("weight_bits", artifact)
    assert {outcome.split(":")[0] for outcome in outcomes.values()} <= {"fine", "ArtifactError"}
