"""The software that was measured: versions of packages, and the commit of the source tree."""

from __future__ import annotations

import platform
import subprocess
from importlib import metadata
from pathlib import Path

from bertc.version import __version__

PACKAGES = (
    "numpy",
    "tokenizers",
    "torch",
    "transformers",
    "onnx",
    "onnxruntime",
    "openvino",
    "nncf",
    "ctranslate2",
)


def versions() -> dict[str, str]:
    """Return the versions of Python and bertc, and of those of ``PACKAGES`` that are installed."""
    found = {"python": platform.python_version(), "bertc": __version__}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def commit() -> str | None:
    """Return the commit of the source tree of this module, with ``+`` if changed; None outside of one."""
    try:
        changed = _git("status", "--porcelain", "--untracked-files=no")
        return _git("rev-parse", "--short=12", "HEAD") + ("+" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def _git(*arguments: str) -> str:
    folder = Path(__file__).parent
    done = subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()
