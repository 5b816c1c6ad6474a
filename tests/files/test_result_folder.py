from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from bertc.errors import InputError
from bertc.files.result_folder import INPUTS, OUTPUTS, SUMMARY, read_summary, result_folder


def summary(folder: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads((folder / SUMMARY).read_text())
    return found


def test_a_whole_folder_says_what_its_files_are(tmp_path: Path) -> None:
    with result_folder(tmp_path / "out", {"kind": OUTPUTS}) as folder:
        assert summary(tmp_path / "out")["complete"] is False  # whoever looks now, or after a kill
        folder.write("a.bin", b"1")
        folder.files["a.bin"] = {"id": "line 1"}
        folder.facts["counts"] = {"samples": 1}
    expected = {
        "kind": OUTPUTS,
        "counts": {"samples": 1},
        "complete": True,
        "files": {"a.bin": {"id": "line 1"}},
    }
    assert summary(tmp_path / "out") == expected == read_summary(tmp_path / "out", OUTPUTS)
    assert read_summary(tmp_path / "out", INPUTS) is None


def test_what_was_written_before_a_failure_is_kept_and_marked(tmp_path: Path) -> None:
    with (
        pytest.raises(InputError, match=r"b.npy is odd. 1 samples are kept in .*out, marked as partial"),
        result_folder(tmp_path / "out", {"kind": OUTPUTS}) as folder,
    ):
        folder.write("a.bin", b"1")
        folder.files["a.bin"] = {}
        raise InputError("b.npy is odd")
    assert summary(tmp_path / "out")["error"] == "b.npy is odd"
    assert (tmp_path / "out" / "a.bin").read_bytes() == b"1"
    with pytest.raises(InputError, match=r"out is partial \(b.npy is odd\): it has 1 samples. Make it again"):
        read_summary(tmp_path / "out", OUTPUTS)


def test_an_interrupt_leaves_a_partial_folder(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), result_folder(tmp_path / "out", {"kind": OUTPUTS}):
        raise KeyboardInterrupt
    assert summary(tmp_path / "out")["complete"] is False


@pytest.mark.skipif(sys.platform != "linux", reason="/dev/full")
def test_a_full_disk_takes_no_part_of_a_file(tmp_path: Path) -> None:
    with (
        pytest.raises(InputError, match=r"cannot write .*b.bin: No space left on device. 1 samples are kept"),
        result_folder(tmp_path / "out", {"kind": OUTPUTS}) as folder,
    ):
        folder.write("a.bin", b"1")
        folder.files["a.bin"] = {}
        (tmp_path / "out" / "b.bin").symlink_to("/dev/full")
        folder.write("b.bin", b"2" * 100)
    assert sorted(each.name for each in (tmp_path / "out").iterdir()) == ["a.bin", SUMMARY]
    assert str(summary(tmp_path / "out")["error"]).endswith("No space left on device")


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with (
        pytest.raises(InputError, match="is not empty: name a new folder"),
        result_folder(tmp_path, {}),
    ):
        raise AssertionError
    assert [each.name for each in tmp_path.iterdir()] == ["mine.txt"]
    with (
        pytest.raises(InputError, match=r"cannot write .*absent/out: No such file"),
        result_folder(tmp_path / "absent" / "out", {}),
    ):
        raise AssertionError


@pytest.mark.parametrize("content", ["{}", "[1]", "no json", '{"kind": "another"}'])
def test_summaries_of_other_tools_are_passed_over(tmp_path: Path, content: str) -> None:
    (tmp_path / SUMMARY).write_text(content)
    assert read_summary(tmp_path, OUTPUTS) is None


def test_a_damaged_summary_is_named(tmp_path: Path) -> None:
    (tmp_path / SUMMARY).write_text(json.dumps({"kind": OUTPUTS, "complete": True}))
    with pytest.raises(InputError, match=r"summary.json: damaged, it has no files"):
        read_summary(tmp_path, OUTPUTS)
