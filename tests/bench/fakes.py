"""Engines and turns whose times a test chooses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from bertc.artifact.schema import ModelInfo
from bertc.bench.peaks import Peaks
from bertc.bench.process import EngineFacts
from bertc.bench.report import FORMAT, rate, ratios
from bertc.bench.timing import Amount, Round, Timing, summarize

Array = np.ndarray[Any, Any]


class FakeEngine:
    """Answers a text with its length, and remembers what it was asked."""

    version = "1.0"
    isa: str | None = "abacus"

    def __init__(self) -> None:
        self.kernel_seconds = 0.0
        self.bound: list[tuple[int, ...]] = []
        self.runs = 0
        self.encoded: list[tuple[int, int | None, bool]] = []

    def bind(self, input_ids: Array, attention_mask: Array) -> Callable[[], Array]:
        assert input_ids.dtype == attention_mask.dtype == np.int64
        assert np.array_equal(attention_mask, np.ones(input_ids.shape))
        self.bound.append(input_ids.shape)

        def run() -> Array:
            self.runs += 1
            return np.zeros((len(input_ids), 2), np.float32)

        return run

    def encode(self, texts: Sequence[str], *, batch_size: int | None, sort: bool) -> Array:
        self.encoded.append((len(texts), batch_size, sort))
        self.kernel_seconds += 0.25
        return np.array([[len(text)] for text in texts], np.float32)


class FakeTurn:
    """Takes ``milliseconds`` per call, all of it in the kernel, and notes its name in ``log``."""

    def __init__(self, name: str, milliseconds: float, log: list[str]) -> None:
        self.name, self.milliseconds, self.log = name, milliseconds, log
        self.calls: list[int] = []

    def __call__(self, calls: int) -> Round:
        self.log.append(self.name)
        self.calls.append(calls)
        return Round((self.milliseconds,) * calls, self.milliseconds, self.milliseconds)


def timing(*units: float, sequences: int = 1) -> Timing:
    """One call in each round, of so many milliseconds."""
    rounds = [Round((unit,), unit, unit / 2) for unit in units]
    return summarize(rounds, Amount(sequences, 10 * sequences, 1_000_000))


def bert_operations(info: ModelInfo, lengths: Sequence[int]) -> int:
    """Those of BERT's layers: 4 H*H multiply-adds a token, 2 H*I, and 2 H for each token that it meets."""
    width, inner = info.size("hidden_size"), info.size("intermediate_size")
    per_layer = sum(n * (4 * width * width + 2 * width * inner) + 2 * n * n * width for n in lengths)
    return 2 * info.size("num_hidden_layers") * per_layer


def facts(name: str) -> EngineFacts:
    """Of an engine that is called by its library and its dtype."""
    library, dtype = name.split()
    return EngineFacts(name, library, dtype, version="1.0", isa=None, peak_mb=1.5)


def make_report() -> dict[str, Any]:
    """A report as ``run_bench`` gives it, of made-up figures."""
    peaks = Peaks(2, {"avx2": {"fp32": 1.0, "int8": 4.0}}, 20.0)
    engines = {name: facts(name) for name in ("bertc int8", "openvino int8", "transformers fp32")}
    shapes = {
        ((batch, 16), name): timing(float(batch * (place + 1)))
        for batch in (1, 8)
        for place, name in enumerate(engines)
    }
    texts = {
        (mode, name): timing(10.0 * (place + 1), sequences=5)
        for mode in ("sorted", "single", "one_call")
        for place, name in enumerate(engines)
        if mode != "one_call" or name == "bertc int8"
    }
    score = {"spearman": 82.0, "pearson": 81.0, "mean_cosine": 0.999, "worst_cosine": None}
    return {
        "format": FORMAT,
        "complete": True,
        "date": "2026-01-01",
        "commit": None,
        "machine": {
            "processor": "Abacus",
            "isas": ["avx2"],
            "cores": 2,
            "flags": ["avx2", "beads"],
            "caches": {"L1": "32K"},
        },
        "versions": {"bertc": "1.0"},
        "model": {"name": "tiny"},
        "settings": {"threads": 2, "source": "texts.txt", "sts": "sts.csv"},
        "peaks": asdict(peaks),
        "engines": [asdict(each) for each in engines.values()],
        "failed": {"ctranslate2 int8": "ctranslate2 int8: it has no heads"},
        "shapes": [
            {"batch": shape[0], "length": shape[1], **rate(engines[name], each, peaks)}
            for (shape, name), each in shapes.items()
        ],
        "texts": [{"mode": mode, **rate(engines[name], each, peaks)} for (mode, name), each in texts.items()],
        "accuracy": [{"engine": name, **score} for name in engines],
        "ratios": ratios(shapes, texts, ["bertc int8"], ["openvino int8", "transformers fp32"]),
        "startup_ms": {"bertc int8": {"import": 1.0, "total": 2.0, "whole": 250.0}},
        "memory": [
            {
                "engine": "bertc int8",
                "batch": 32,
                "length": 128,
                "peak_mb": 80.0,
                "weights_mb": 24.0,
                "beyond_mb": 56.0,
            }
        ],
        "scaling": [
            {
                "engine": "bertc int8",
                "threads": 2,
                "batch": 8,
                "length": 128,
                "median": 1.95,
                "low": 1.9,
                "high": 1.97,
            }
        ],
    }
