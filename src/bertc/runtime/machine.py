"""The machine that this process runs on: its processor, and how much of it the process may use."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

from bertc import _native

FLAGS = ("avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile", "amx_bf16", "amx_int8")
"""The flags of /proc/cpuinfo that decide how fast matrix products can be."""


def machine_facts() -> dict[str, Any]:
    """Return what a reader needs to know of the machine to compare figures, as plain JSON."""
    information = _cpu_information()
    flags = set(information.get("flags", "").split())
    return {
        "processor": processor_name(),
        "family": "/".join(information.get(key, "?") for key in ("cpu family", "model", "stepping")),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "flags": [flag for flag in FLAGS if flag in flags],
        "isas": _native.supported_isas(),
        "caches": _caches(),
        "system": f"{platform.system()} {platform.machine()}",
    }


def processor_name() -> str:
    """Return the name that the processor gives itself."""
    return _cpu_information().get("model name", platform.processor() or platform.machine())


def _cpu_information() -> dict[str, str]:
    """Return the first processor's block of /proc/cpuinfo; empty where there is none."""
    path = Path("/proc/cpuinfo")
    if not path.exists():
        return {}
    block = path.read_text(errors="replace").split("\n\n", 1)[0]
    pairs = (line.split(":", 1) for line in block.splitlines() if ":" in line)
    return {key.strip(): value.strip() for key, value in pairs}


def _caches() -> dict[str, str]:
    """Return the size of each data cache of the first core, by its level."""
    sizes: dict[str, str] = {}
    for index in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        kind, level = ((index / name).read_text().strip() for name in ("type", "level"))
        if kind != "Instruction":
            sizes[f"L{level}"] = (index / "size").read_text().strip()
    return sizes
