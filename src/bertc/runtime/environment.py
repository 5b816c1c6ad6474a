"""Every environment variable that the run half reads, and what this process may use of the machine.

The list with explanations is in ``docs/environment.md``.
"""

from __future__ import annotations

import math
import os
import sys
from pathlib import Path

from bertc.errors import InputError


def isa() -> str:
    """Return ``BERTC_ISA``, the instruction set to use, or "" for the best one there is."""
    return os.environ.get("BERTC_ISA", "")


def verbose() -> bool:
    """Return whether ``BERTC_VERBOSE=1`` asks for a line on stderr that says what a session chose."""
    return os.environ.get("BERTC_VERBOSE", "0") not in ("", "0")


def default_num_threads() -> int:
    """Return as many threads as the affinity mask, the cgroup's CPU quota and OMP_NUM_THREADS allow."""
    limits = [_affinity(), *_cgroup_quota()]
    wanted = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    if wanted.isdecimal() and int(wanted) > 0:
        limits.append(int(wanted))
    return max(1, min(limits))


def cache_folder() -> Path:
    """Return the folder of the cache of compiled models, which may not exist yet.

    Raises ``InputError`` if it would be in a home folder that the system does not know.
    """
    folder = _expanded(os.environ.get("BERTC_CACHE") or _platform_cache_folder())
    if str(folder).startswith("~"):
        raise InputError(f"there is no home folder {folder.parts[0]} for the cache: set BERTC_CACHE")
    return folder


def _platform_cache_folder() -> Path:
    home = Path("~")
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local") / "bertc" / "Cache"
    if sys.platform == "darwin":
        return home / "Library" / "Caches" / "bertc"
    return Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache") / "bertc"


def cache_limit() -> str:
    """Return ``BERTC_CACHE_LIMIT``, the largest size of the cache, or ""."""
    return os.environ.get("BERTC_CACHE_LIMIT", "")


def hub_cache_folder() -> Path:
    """Return the folder into which the hub's client downloads."""
    home = os.environ.get("HF_HOME") or Path("~", ".cache", "huggingface")
    return _expanded(os.environ.get("HF_HUB_CACHE") or Path(home) / "hub")


def _expanded(path: str | Path) -> Path:
    """Return a path without ~, which stays where the system knows no home: Path.expanduser would raise."""
    return Path(os.path.expanduser(path))  # noqa: PTH111


def _affinity() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _cgroup_quota() -> list[int]:
    """Return the CPUs that each cgroup (v2, else v1) grants, rounded up; empty without a quota.

    A container sees its own group at the root of /sys/fs/cgroup; elsewhere /proc/self/cgroup says
    which group this process is in, and every group above it limits it too.
    """
    root = Path("/sys/fs/cgroup")
    groups = [root]
    for line in _read(Path("/proc/self/cgroup")).splitlines():
        if line.startswith("0::/"):
            group = root / line[4:]
            groups += [group, *(parent for parent in group.parents if root in parent.parents)]
    quotas = [_read(group / "cpu.max").split() for group in groups]
    quotas.append([_read(root / "cpu" / f"cpu.cfs_{part}_us").strip() for part in ("quota", "period")])
    return [
        max(1, math.ceil(int(quota[0]) / int(quota[1])))
        for quota in quotas
        if len(quota) == 2 and quota[0].isdecimal() and quota[1].isdecimal() and int(quota[1]) > 0
    ]


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
