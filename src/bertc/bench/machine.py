"""What a reader needs to know of a machine, and of the software, to compare figures."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

from bertc import _native
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
FLAGS = ("avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile", "amx_bf16", "amx_int8")
"""Of /proc/cpuinfo: those that decide how fast matrix products can be."""


def machine_facts() -> dict[str, Any]:
    """The processor: what it calls itself, what it can do, how much of it is ours."""
    information = _cpu_information()
    flags = set(information.get("flags", "").split())
    return {
        "processor": information.get("model name", platform.processor() or platform.machine()),
        "family": "/".join(information.get(key, "?") for key in ("cpu family", "model", "stepping")),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "flags": [flag for flag in FLAGS if flag in flags],
        "isas": _native.supported_isas(),
        "caches": _caches(),
        "system": f"{platform.system()} {platform.machine()}",
    }


def versions() -> dict[str, str]:
    """Of Python, of ours, and of what is installed of the peers."""
    found = {"python": platform.python_version(), "bertc": __version__}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def commit() -> str | None:
    """Of the source tree that this module lies in, with a ``+`` if it was changed; None outside of one."""
    folder = Path(__file__).parent
    try:
        head = _git(folder, "rev-parse", "--short=12", "HEAD")
        changed = _git(folder, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.CalledProcessError):
        return None
    return head + ("+" if changed else "")


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def _cpu_information() -> dict[str, str]:
    """The first processor's block of /proc/cpuinfo; empty where there is none."""
    path = Path("/proc/cpuinfo")
    if not path.exists():
        return {}
    block = path.read_text(errors="replace").split("\n\n", 1)[0]
    pairs = (line.split(":", 1) for line in block.splitlines() if ":" in line)
    return {key.strip(): value.strip() for key, value in pairs}


def _caches() -> dict[str, str]:
    """Level and size of each data cache of the first core."""
    sizes: dict[str, str] = {}
    for index in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        kind, level = ((index / name).read_text().strip() for name in ("type", "level"))
        if kind != "Instruction":
            sizes[f"L{level}"] = (index / "size").read_text().strip()
    return sizes
