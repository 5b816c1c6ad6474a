"""Files that appear at their destination complete or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from bertc.errors import ArtifactError


def check_destination(path: Path, source: object = None) -> Path:
    """Fail before the work rather than after it: ``path``, or ``ArtifactError`` if no file can be there.

    ``source`` is what is read to make the file: if it is the path of a file, that one is not overwritten.
    """
    target = _behind_links(path)
    try:
        if target.is_dir():
            raise ArtifactError(f"the output {path} is a folder: name a file in it")
        if target.exists() and not target.is_file():
            raise ArtifactError(f"the output {path} is no regular file: name one, which may be new")
        if not target.parent.is_dir():
            raise ArtifactError(f"the folder {target.parent} for the output does not exist: make it first")
        if not os.access(target.parent, os.W_OK):
            raise ArtifactError(f"the folder {target.parent} cannot be written to: name another one")
        if isinstance(source, str | os.PathLike) and _behind_links(Path(source)) == target:
            raise ArtifactError(f"the output {path} is the source, which it would replace: name another file")
    except OSError as error:
        raise ArtifactError(
            f"the output {path} cannot be a file ({error.strerror}): name another one"
        ) from None
    return path


@contextlib.contextmanager
def replace_atomically(path: Path) -> Iterator[IO[bytes]]:
    """Open a file that takes ``path``'s place when the block ends well, and vanishes otherwise.

    A symbolic link stays, and what it points to is replaced. Raises ``OSError``.
    """
    target = _behind_links(path)
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    try:
        if target.exists() and not target.is_file():  # a rename would put a file in a device's place
            raise OSError(errno.EINVAL, "it is no regular file", str(path))
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename in (None, str(temporary)):
            error.filename = str(path)
        raise


def _behind_links(path: Path) -> Path:
    return Path(os.path.realpath(path))
