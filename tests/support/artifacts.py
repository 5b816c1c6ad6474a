"""Compiled files for tests, each made once in a test run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bertc
from tests.support.real_data import real_checkpoint
from tests.support.tiny_models import make_bert_checkpoint


class Artifacts:
    """Makes checkpoints and compiled files in one folder, and remembers which it has."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._tiny: dict[str, Path] = {}
        self._compiled: dict[tuple[Path, str], Path] = {}

    def tiny_checkpoint(self, head: str = "embedding", **options: Any) -> Path:
        """Return a checkpoint folder as ``make_bert_checkpoint`` makes it."""
        key = repr((head, sorted(options.items())))
        if key not in self._tiny:
            folder = self._folder / f"checkpoint-{len(self._tiny)}"
            self._tiny[key] = make_bert_checkpoint(folder, head, **options)
        return self._tiny[key]

    def compile(self, checkpoint: Path, dtype: str) -> Path:
        """Return the compiled file of a checkpoint folder; "int7" is int8 by the preset "avx2"."""
        key = checkpoint, dtype
        if key not in self._compiled:
            path = self._folder / f"{len(self._compiled)}.{dtype}.bertc"
            if dtype == "int7":
                bertc.compile(checkpoint, path, "avx2")
            else:
                bertc.compile(checkpoint, path, dtype=dtype)
            self._compiled[key] = path
        return self._compiled[key]

    def tiny(self, dtype: str, head: str = "embedding", **options: Any) -> Path:
        """Return the compiled file of a tiny checkpoint."""
        return self.compile(self.tiny_checkpoint(head, **options), dtype)

    def real(self, name: str, dtype: str) -> Path:
        """Return the compiled file of a trained checkpoint; skips the test where there is none."""
        return self.compile(real_checkpoint(name), dtype)
