"""Ready recipes: what ``--recipe NAME`` and ``bertc recipe init --preset NAME`` know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bertc.precision import BF16, FP32, INT8, WEIGHT_BOUNDS

AVX2 = "avx2"
"""The name of the preset for processors with AVX2 and no VNNI, and of their instruction set."""


@dataclass(frozen=True)
class Preset:
    """A recipe with a name."""

    doc: str
    values: Mapping[str, Any]
    """The keys whose values differ from the default."""


_PLAIN: Mapping[str, Any] = {
    "smoothing": {"migration": None, "channel_shift": False, "place_shift": False, "rotation": False},
    "bias_correction": False,
}
"""Leaves out every method that makes up for the error of quantization."""

_NEAREST: Mapping[str, Any] = {"bound": "none", "clip": "max", "rounding": "nearest"}
"""Rounds each weight by itself, as others do."""

_STATIC: Mapping[str, Any] = {**_PLAIN, "embeddings": FP32, "parts": {"head": INT8}}
"""What vendors' tool-chains have in common: embeddings on the host, and everything else quantized."""

PRESETS: Mapping[str, Preset] = {
    "default": Preset("8 bits with everything that keeps them accurate, ranges per token.", {}),
    AVX2: Preset(
        f"Weights bounded in fours, for {WEIGHT_BOUNDS['fours'].use}: faster there, and less accurate.",
        {"weights": {"bound": "fours"}},
    ),
    "round-to-nearest": Preset(
        "8 bits as other runtimes' dynamic quantization has them; calibrates nothing, compiles fastest.",
        {**_PLAIN, "weights": _NEAREST},
    ),
    "vendor-static": Preset(
        "The accelerator vendors' examples: static, one scale per tensor, the largest value of ten samples.",
        {
            **_STATIC,
            "weights": {"granularity": "per_tensor", **_NEAREST},
            "activations": {"mode": "static", "observer": {"kind": "max"}},
            "calibration": {"samples": 10},
        },
    ),
    "vendor-percentile": Preset(
        "The vendors' tuned setting: static, weights per channel, percentile 99.9 of 256 samples.",
        {
            **_STATIC,
            "weights": _NEAREST,
            "activations": {"mode": "static", "observer": {"kind": "percentile", "percentile": 99.9}},
            "calibration": {"samples": 256},
        },
    ),
    BF16: Preset("16 bits: half the size of fp32, and as good as lossless.", {"dtype": BF16}),
    FP32: Preset("Nothing is quantized: the reference.", {"dtype": FP32}),
}

PROFILES: Mapping[str, str] = {"vnni": "default", "avx2": AVX2}
"""Deprecated names of ``--profile`` and ``compile(profile=...)``, each with the preset whose ``weights.bits``
and ``weights.bound`` it chooses."""
