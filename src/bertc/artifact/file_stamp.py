"""Notices that a mapped file was written to, which changes what was read of it before."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple


class FileStamp(NamedTuple):
    """The identity of a mapped file, and those of its facts that change when it is written to."""

    path: str
    """The absolute path: the working folder may change."""
    device: int
    inode: int
    size: int
    mtime_ns: int

    @classmethod
    def of(cls, path: Path, facts: os.stat_result) -> FileStamp:
        """Return the stamp of a file whose facts are these now."""
        return cls(str(path.absolute()), facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns)

    def was_written_to(self) -> bool:
        """Return whether the file was written to since then.

        Costs some microseconds. A file that was deleted, or replaced by a rename, is still mapped as it was.
        """
        try:
            now = os.stat(self.path)  # noqa: PTH116 (Path.stat takes twice as long)
        except OSError:
            return False
        same_file = now.st_ino == self.inode and now.st_dev == self.device
        return same_file and (now.st_size != self.size or now.st_mtime_ns != self.mtime_ns)
