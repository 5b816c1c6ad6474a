"""Libraries in C that are loaded before all others, to take the place of functions of the system."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SUPPORT = Path(__file__).resolve().parent
COMPILER = shutil.which("cc") or shutil.which("gcc")

needs_c_compiler = pytest.mark.skipif(COMPILER is None, reason="there is no C compiler")


def compile_library(source: str, folder: Path) -> Path:
    """The library of a C file of this folder."""
    library = folder / f"{source}.so"
    command = [str(COMPILER), "-O1", "-shared", "-fPIC", "-o", str(library), str(SUPPORT / source)]
    subprocess.run(command, check=True)
    return library


def preloading(library: Path) -> dict[str, str]:
    """The environment of a process that loads the library, after those that this one has loaded so."""
    return {**os.environ, "LD_PRELOAD": f"{os.environ.get('LD_PRELOAD', '')} {library}".strip()}
