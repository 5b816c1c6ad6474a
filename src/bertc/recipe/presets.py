"""Ready recipes by name, as plain values: what ``--recipe NAME`` and ``bertc recipe init`` know."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

PRESETS: Mapping[str, Mapping[str, Any]] = {
    "default": {},
    "avx2": {"weights": {"bits": 7}},
    "vendor-static": {
        "weights": {"granularity": "per_tensor", "clip": "max", "rounding": "nearest"},
        "activations": {"mode": "static", "granularity": "per_tensor", "observer": {"kind": "max"}},
        "smoothing": {"migration": None, "channel_shift": False},
        "bias_correction": False,
        "calibration": {"samples": 10},
    },
    "round-to-nearest": {
        "weights": {"clip": "max", "rounding": "nearest"},
        "smoothing": {"migration": None, "channel_shift": False},
        "bias_correction": False,
    },
}
