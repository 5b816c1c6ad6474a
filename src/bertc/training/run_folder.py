"""The folder of a run: what is saved to go on after a kill, and at the end the checkpoint itself.

While a run lasts, ``.training`` in it has ``state.pt``, one file that is replaced whole, and a folder with
the checkpoint of the best epoch so far, which is there before the state knows of it. Of the final checkpoint
``config.json`` comes last into the folder: without it nothing takes what is there for a model.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bertc.atomic_file import replace_atomically
from bertc.errors import InputError

RECORD = "training.json"
ARTIFACT = "model.bertc"
_WORK = ".training"
_STATE = "state.pt"
_LAST = "config.json"


class RunFolder:
    """A folder that belongs to one run."""

    def __init__(self, path: Path, facts: Mapping[str, Any], *, resume: bool) -> None:
        """Make the folder of a run, or open it again.

        ``facts`` are all that the result depends on. Raises ``InputError`` for a folder of something else, or
        of a run with other facts; without ``resume`` such a run is thrown away.
        """
        self.path = path
        self._work = path / _WORK
        facts = json.loads(json.dumps(facts))
        self.record: dict[str, Any] = {"complete": False, "run": facts, "epochs": []}
        """What ``training.json`` says."""
        with writing(path):
            if path.exists() and (not path.is_dir() or any(path.iterdir())):
                found = _read_record(path)
                if resume:
                    _check_same(path, found["run"], facts)
                    self.record = found
                else:
                    (path / _LAST).unlink(missing_ok=True)
                    shutil.rmtree(self._work, ignore_errors=True)
            path.mkdir(parents=True, exist_ok=True)
            self.write_record()
            self._work.mkdir(exist_ok=True)
            for left in self._work.glob(".*.tmp"):  # of a save that was killed
                left.unlink()

    @property
    def scored(self) -> Path:
        """The compiled file that an epoch is scored with."""
        return self._work / "scored.bertc"

    @property
    def artifact(self) -> Path:
        """The compiled file of the result."""
        return self.path / ARTIFACT

    def epoch(self, number: int) -> Path:
        """Return the folder for the checkpoint of an epoch, emptied; 0 is before the first."""
        folder = self._epoch(number)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder

    def save(self, state: Mapping[str, Any], best: int) -> None:
        """Save what the run needs to go on, then remove the checkpoints of all epochs but the best."""
        import torch

        with writing(self.path), replace_atomically(self._work / _STATE) as file:
            torch.save(state, file)
        for folder in self._work.glob("epoch-*"):
            if folder != self._epoch(best):
                shutil.rmtree(folder, ignore_errors=True)

    def restore(self) -> dict[str, Any] | None:
        """Return what was saved last, if anything was. Raises ``InputError`` for a damaged file."""
        import torch

        path = self._work / _STATE
        if not path.exists():
            return None
        try:
            found: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # of pickles and archives: there is no common base
            raise InputError(
                f"{path} is damaged ({type(error).__name__}): begin again with --no-resume"
            ) from None
        return found

    def promote(self, best: int) -> None:
        """Move the checkpoint of the best epoch into the folder, as far as that was not done before."""
        folder = self._epoch(best)
        with writing(self.path):
            if (folder / _LAST).exists():
                (self.path / _LAST).unlink(missing_ok=True)
            for source in sorted(folder.rglob("*"), key=(folder / _LAST).__eq__):
                target = self.path / source.relative_to(folder)
                if source.is_dir():
                    target.mkdir(exist_ok=True)
                else:
                    source.replace(target)

    def finish(self) -> None:
        """Write down that the run is complete, and remove what only a run needs."""
        self.record["complete"] = True
        with writing(self.path):
            self.write_record()
        shutil.rmtree(self._work, ignore_errors=True)

    def write_record(self) -> None:
        """Write ``training.json``. Raises ``OSError``."""
        with replace_atomically(self.path / RECORD) as file:
            file.write(json.dumps(self.record, indent=1).encode())

    def _epoch(self, number: int) -> Path:
        return self._work / f"epoch-{number}"


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Raise ``InputError`` in one line where a disk refuses what ``safetensors`` or PyTorch writes."""
    from safetensors import SafetensorError

    try:
        yield
    except (OSError, SafetensorError, RuntimeError) as error:
        cause = (
            error.__context__ if isinstance(error, RuntimeError) else error
        )  # PyTorch's own message hides it
        if not isinstance(cause, (OSError, SafetensorError)):
            raise
        reason = (cause.strerror if isinstance(cause, OSError) else None) or str(cause)
        raise InputError(
            f"cannot write {path}: {reason}. What was saved before is kept: make room, and give the command "
            "again"
        ) from None


def _read_record(path: Path) -> dict[str, Any]:
    try:
        found = json.loads((path / RECORD).read_text("utf-8"))
        if isinstance(found["run"], dict) and isinstance(found["epochs"], list):
            return dict(found)
    except (OSError, ValueError, KeyError, TypeError):
        pass
    raise InputError(f"{path} has files, and is no folder of bertc finetune: name a new folder")


def _check_same(path: Path, found: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
    changed = [
        f"{name} was {json.dumps(found.get(name))}, now {json.dumps(facts.get(name))}"
        for name in sorted({*found, *facts})
        if found.get(name) != facts.get(name)
    ]
    if changed:
        raise InputError(
            f"{path} is of a run with other settings: {'; '.join(changed)}. Name another folder, or throw "
            "that run away with --no-resume"
        )
