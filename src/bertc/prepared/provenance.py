"""What summaries say of where files come from: the model, versions, the machine, the command, hashes."""

from __future__ import annotations

import platform
from datetime import datetime, timezone
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from bertc.encoder import Encoder
from bertc.files.hashing import hash_of
from bertc.version import __version__


def about(engine: Encoder, command: str) -> dict[str, Any]:
    """Return the facts of a run of a command with a model that was loaded from a file."""
    artifact = engine.artifact
    return {
        "command": command,
        "started": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "model": {
            "name": engine.info.name,
            "path": str(artifact.path),
            "task": engine.info.task,
            "header_sha256": artifact.header_sha256,
            "weights_sha256": artifact.weights_sha256,
        },
        "versions": {"bertc": __version__, "numpy": np.__version__, "python": platform.python_version()},
        "machine": {"isa": engine.session.isa, "threads": engine.session.num_threads},
    }


def file_hash(path: str | PathLike[str]) -> str | None:
    """Return the SHA-256 of a file, None for what is no file."""
    if not Path(path).is_file():
        return None
    with Path(path).open("rb") as file:
        return hash_of(file)
