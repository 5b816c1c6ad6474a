"""A damaged or hostile file gives an exception or other numbers; nothing ever crashes or hangs."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

import bertc
from bertc.artifact.reader import open_artifact
from tests.hostile.conftest import Attack, make_hosted_artifact
from tests.support.artifacts import Artifacts
from tests.support.hf_checkpoints import save_checkpoint

pytestmark = pytest.mark.filterwarnings("ignore:.*run on the host")


def kinds(outcomes: dict[str, str]) -> set[str]:
    return {outcome.split(":")[0] for outcome in outcomes.values()}


@pytest.mark.parametrize("kind", ["truncated", "extended", "noise", "header_bits"])
def test_visible_damage_is_an_artifact_error(kind: str, artifact: Path, attack: Attack) -> None:
    assert kinds(attack(kind, artifact)) == {"ArtifactError"}


@pytest.mark.native
def test_damaged_weights_may_change_numbers_and_nothing_else(artifact: Path, attack: Attack) -> None:
    """Or it is noticed, where weights no longer keep the bound that the file states."""
    found = kinds(attack("weight_bits", artifact))
    assert "fine" in found and found <= {"fine", "ArtifactError"}


@pytest.mark.parametrize(
    "kind",
    [
        "header_fields",
        pytest.param("integers", marks=pytest.mark.native),
        pytest.param("wiring", marks=pytest.mark.native),
        "tokenizers",
    ],
)
def test_forged_headers_are_refused_or_harmless(kind: str, artifact: Path, attack: Attack) -> None:
    """The hash of these headers is right: what they say is checked, in Python and in the native core."""
    _assert_refused_or_harmless(attack(kind, artifact))


@pytest.mark.native
@pytest.mark.parametrize("kind", ["integers", "wiring"])
def test_forged_heads_windows_and_norms_are_refused_or_harmless(
    kind: str, artifacts: Artifacts, attack: Attack
) -> None:
    """Of heads that share keys and values, RMS norms, angles and windows."""
    source = artifacts.derived("ultrabert", partial(save_checkpoint, class_name="UltrabertModel"))
    _assert_refused_or_harmless(attack(kind, artifacts.compile(source, "int8")))


def _assert_refused_or_harmless(outcomes: dict[str, str]) -> None:
    unexpected = {
        name: outcome
        for name, outcome in outcomes.items()
        if outcome.split(":")[0] not in ("fine", "ArtifactError", "InputError", "MemoryError")
    }
    assert not unexpected
    assert "ArtifactError" in kinds(outcomes)


@pytest.mark.native
@pytest.mark.parametrize("kind", ["integers", "wiring"])
def test_forged_rows_by_distance_are_refused_or_harmless(
    kind: str, artifacts: Artifacts, attack: Attack
) -> None:
    """What distances name are numbers of a tensor, which are as hostile as those of the header."""
    source = artifacts.derived("disentangled", lambda path: save_checkpoint(path, "DebertaV2Model"))
    outcomes = attack(kind, artifacts.compile(source, "int8"))
    assert kinds(outcomes) <= {"fine", "ArtifactError", "InputError", "MemoryError"}
    assert "ArtifactError" in kinds(outcomes)


def test_forged_steps_of_the_host_are_refused_or_harmless(artifacts: Artifacts, attack: Attack) -> None:
    """A region is data: it is checked by the rules that its primitives have, and tried, before it runs."""
    outcomes = attack("regions", make_hosted_artifact(artifacts))
    assert kinds(outcomes) == {"ArtifactError", "fine"}
    assert len(outcomes) > 500


def test_verify_finds_every_flipped_bit_of_the_weights(artifact: Path, tmp_path: Path) -> None:
    data = bytearray(artifact.read_bytes())
    damaged = tmp_path / "damaged.bertc"
    start = 8 + int.from_bytes(data[:8], "little")
    for at in range(start, len(data), max(1, (len(data) - start) // 50)):
        data[at] ^= 4
        damaged.write_bytes(data)
        data[at] ^= 4
        with pytest.raises(bertc.ArtifactError, match="SHA-256"):
            bertc.load(damaged, verify=True)
    damaged.write_bytes(data)
    bertc.load(damaged, verify=True)


def test_show_verify_reports_damaged_weights(artifact: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.bertc"
    damaged.write_bytes(artifact.read_bytes()[:-1] + b"\x55")
    command = [sys.executable, "-m", "bertc.cli.main", "show", str(damaged)]
    whole = subprocess.run(command, capture_output=True, text=True, timeout=60)
    verified = subprocess.run([*command, "--verify"], capture_output=True, text=True, timeout=60)
    assert (whole.returncode, verified.returncode) == (0, 1)
    assert "SHA-256" in verified.stderr


@pytest.mark.parametrize(
    "content", [b"", b"\0", b"PK\3\4 a zip file, or so it says"], ids=["empty", "zero", "zip"]
)
def test_other_files_get_a_clear_message(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "other.bertc"
    path.write_bytes(content)
    with pytest.raises(bertc.ArtifactError, match="no bertc artifact"):
        bertc.load(path)


def test_missing_file_and_folder_get_a_clear_message(tmp_path: Path) -> None:
    with pytest.raises(bertc.ArtifactError, match="cannot open"):
        bertc.load(tmp_path / "missing.bertc")
    with pytest.raises(bertc.ArtifactError, match=r"is a folder.*bertc compile"):
        open_artifact(tmp_path)
    with pytest.raises(
        bertc.CheckpointError, match=r"is no model folder: there is no config\.json"
    ):  # loading would compile it
        bertc.load(tmp_path)


def test_plain_safetensors_file_is_told_from_an_artifact(checkpoint: Path) -> None:
    with pytest.raises(bertc.ArtifactError, match="no bertc artifact"):
        bertc.load(checkpoint / "model.safetensors")
