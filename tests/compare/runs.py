"""Saved runs of made-up figures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def load_row(batch: int, length: int | None, scope: str = "end_to_end", **changes: Any) -> dict[str, Any]:
    row = {
        "batch": batch,
        "length": length,
        "scope": scope,
        "samples_per_second": 100.0,
        "spread": 0.1,
        "p50_ms": 10.0,
        "p90_ms": 11.0,
        "p95_ms": 12.0,
        "p99_ms": 13.0,
        "scores": {"metrics": {"accuracy": 90.0}},
    }
    return {**row, **changes}


def save_run(path: Path, *rows: dict[str, Any], **changes: Any) -> Path:
    """A run as ``bertc load-test --save`` writes it."""
    report = {
        "kind": "load-test",
        "format": 1,
        "complete": True,
        "commit": "abc",
        "machine": {"processor": "Abacus", "isas": ["scalar", "avx2"]},
        "file": {"name": path.stem, "megabytes": 1.5},
        "model": {"name": "tiny"},
        "settings": {"queue": 1, "rate": None},
        "rows": list(rows),
    }
    path.write_text(json.dumps({**report, **changes}))
    return path
