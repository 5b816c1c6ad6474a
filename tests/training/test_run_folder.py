"""Folders of runs: whose they are, and what a stop at any time leaves in them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bertc.errors import InputError
from bertc.training.loop import best_epoch, is_over
from bertc.training.run_folder import RunFolder
from bertc.training.settings import Settings

FACTS = {"kind": "classify", "seed": 0}


def checkpoint(folder: RunFolder, number: int, text: str) -> Path:
    path = folder.epoch(number)
    for name in ("config.json", "model.safetensors", "1_Pooling/config.json"):
        (path / name).parent.mkdir(exist_ok=True)
        (path / name).write_text(text)
    return path


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    for resume in (True, False):
        with pytest.raises(
            InputError, match="has files, and is no folder of bertc finetune: name a new folder"
        ):
            RunFolder(tmp_path, FACTS, resume=resume)
    with pytest.raises(InputError, match="is no folder of bertc finetune"):
        RunFolder(tmp_path / "mine.txt", FACTS, resume=True)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_run_with_other_settings_is_told_and_thrown_away_only_on_demand(tmp_path: Path) -> None:
    first = RunFolder(tmp_path / "out", FACTS, resume=True)
    first.save({"step": 3}, best=0)
    with pytest.raises(InputError, match=r"seed was 0, now 1. Name another folder, or .* --no-resume"):
        RunFolder(tmp_path / "out", {**FACTS, "seed": 1}, resume=True)
    assert RunFolder(tmp_path / "out", FACTS, resume=True).restore() == {"step": 3}
    (tmp_path / "out" / "config.json").write_text("{}")
    anew = RunFolder(tmp_path / "out", {**FACTS, "seed": 1}, resume=False)
    assert anew.restore() is None
    assert not (tmp_path / "out" / "config.json").exists()


def test_a_save_keeps_the_best_epoch_alone(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "out", FACTS, resume=True)
    for number in (1, 2, 3):
        checkpoint(folder, number, str(number))
    (folder.scored.parent / ".state.pt.0.tmp").write_text("of a save that was killed")
    folder.save({"step": 1}, best=2)
    again = RunFolder(tmp_path / "out", FACTS, resume=True)
    assert sorted(path.name for path in again.scored.parent.iterdir()) == ["epoch-2", "state.pt"]


def test_a_damaged_state_is_told(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "out", FACTS, resume=True)
    folder.save({"step": 1}, best=0)
    (folder.scored.parent / "state.pt").write_bytes(b"no archive")
    with pytest.raises(InputError, match=r"state.pt is damaged .*--no-resume"):
        folder.restore()


def test_a_checkpoint_that_is_moved_in_part_is_no_model_until_it_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = RunFolder(tmp_path / "out", FACTS, resume=True)
    checkpoint(folder, 1, "best")
    replace = Path.replace

    def stop(self: Path, target: Any) -> Path:
        if self.name == "model.safetensors":
            raise OSError(28, "No space left on device")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", stop)
    with pytest.raises(
        InputError, match=r"cannot write .*out: No space left on device. What was saved before"
    ):
        folder.promote(1)
    assert not (tmp_path / "out" / "config.json").exists()
    monkeypatch.undo()
    folder.promote(1)
    folder.promote(1)  # a run that is killed after it promotes again
    folder.finish()
    found = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*")}
    assert found == {
        "1_Pooling",
        "1_Pooling/config.json",
        "config.json",
        "model.safetensors",
        "training.json",
    }
    assert json.loads((tmp_path / "out" / "training.json").read_text())["complete"] is True


@pytest.mark.parametrize(
    ("scores", "patience", "best", "over"),
    [([], 2, 0, False), ([1, 2], 2, 2, False), ([3, 3, 1], 2, 1, True), ([3, 2, 1], 0, 1, False),
     ([1, 2, 3, 4], 2, 4, True)],
)  # fmt: skip
def test_training_ends_with_the_epochs_or_with_patience(
    scores: list[float], patience: int, best: int, over: bool
) -> None:
    epochs = [{"metrics": {"f1": score}} for score in scores]
    assert best_epoch(epochs, "f1") == best
    assert is_over(epochs, Settings("ner", "b", "d", "e", epochs=4, patience=patience), "f1") == over
