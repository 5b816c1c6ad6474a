"""Folders of many files with a ``summary.json``: what each file is, and whether all of them are there.

The summary says ``"complete": false`` from the beginning on, so that a folder whose writer was stopped, or
whose disk was full, is never taken for a whole one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from bertc.atomic_file import replace_atomically
from bertc.errors import BertcError, InputError

SUMMARY = "summary.json"
INPUTS, OUTPUTS = "bertc inputs", "bertc outputs"
"""What a folder holds, as its summary says in ``kind``."""


class ResultFolder:
    """A folder that is being filled."""

    def __init__(self, path: Path, facts: Mapping[str, Any]) -> None:
        """Start with the facts that are known before the work; :func:`result_folder` makes the folder."""
        self.path = path
        self.facts = dict(facts)
        """What the summary says besides its files."""
        self.files: dict[str, Any] = {}
        """The name of each sample -> what is known of it."""

    def write(self, name: str, content: bytes) -> None:
        """Write a file whole; one that does not fit is taken away again. Raises ``InputError``."""
        target = self.path / name
        try:
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(content)
        except OSError as error:
            with suppress(OSError):
                target.unlink(missing_ok=True)
            raise InputError(f"cannot write {target}: {error.strerror or error}") from None

    def save(self, *, complete: bool, error: str | None = None) -> None:
        """Write the summary. Raises ``OSError``."""
        failure = {} if error is None else {"error": error}
        summary = {**self.facts, "complete": complete, **failure, "files": self.files}
        with replace_atomically(self.path / SUMMARY) as file:
            file.write(json.dumps(summary, indent=1, default=str).encode())


@contextmanager
def result_folder(path: Path, facts: Mapping[str, Any]) -> Iterator[ResultFolder]:
    """Make a folder, and write its summary when the block ends: as complete, or as what there is.

    Raises ``InputError`` for a folder that has files already, or where the disk refuses. What the block
    raises says also how many samples are kept.
    """
    folder = ResultFolder(path, facts)
    try:
        path.mkdir(exist_ok=True)
        if any(path.iterdir()):
            raise InputError(f"{path} is not empty: name a new folder, so that it holds nothing else")
        folder.save(complete=False)
        try:
            yield folder
        except BaseException as error:
            with suppress(OSError):  # the summary from the beginning stays, which says enough
                folder.save(complete=False, error=str(error) or type(error).__name__)
            if isinstance(error, BertcError):
                kept = f"{len(folder.files):,} samples are kept in {path}, marked as partial"
                raise InputError(f"{error}. {kept}") from None
            raise
        folder.save(complete=True)
    except OSError as error:
        raise InputError(f"cannot write {error.filename or path}: {error.strerror or error}") from None


def read_summary(folder: Path, kind: str) -> dict[str, Any] | None:
    """Return the summary of a folder of this kind, None if it has no such summary.

    Raises ``InputError`` where it says that the folder is partial, or makes no sense.
    """
    path = folder / SUMMARY
    try:
        summary = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from None
    except (ValueError, RecursionError):
        return None  # of another tool
    if not isinstance(summary, dict) or summary.get("kind") != kind:
        return None
    if not isinstance(summary.get("files"), dict):
        raise InputError(f"{path}: damaged, it has no files: make the folder again")
    if not summary.get("complete"):
        reason = f" ({summary['error']})" if "error" in summary else ""
        raise InputError(
            f"{folder} is partial{reason}: it has {len(summary['files'])} samples. Make it again"
        )
    return summary
