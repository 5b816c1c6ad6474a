"""Checkpoints and compiled files for tests, each made once in a test run, whichever process asks first."""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import bertc
from tests.support.real_data import real_checkpoint
from tests.support.tiny_models import make_bert_checkpoint

RECIPES: dict[str, Any] = {"int8": "default", "fours": "avx2", "int7": {"weights": {"bits": 7}}}
"""The dtype as tests name it -> the recipe; "fours" and "int7" are int8 of such weights."""


class Artifacts:
    """Makes checkpoints and compiled files in one folder, which several processes may share.

    What it gives must not be written to.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made: set[Path] = set()

    def tiny_checkpoint(self, head: str = "embedding", **options: Any) -> Path:
        """A checkpoint folder as ``make_bert_checkpoint`` makes it."""
        name = f"{head}-{_digest(sorted(options.items()))}"
        return self._once(name, lambda path: make_bert_checkpoint(path, head, **options))

    def compile(self, checkpoint: Path, dtype: str) -> Path:
        """The compiled file of a checkpoint folder, calibrated on the instruction set of ``BERTC_ISA``."""
        name = f"{checkpoint.name}-{_digest((checkpoint, os.environ.get('BERTC_ISA')))}.{dtype}.bertc"
        return self._once(name, partial(bertc.compile, checkpoint, recipe=RECIPES.get(dtype, dtype)))

    def tiny(self, dtype: str, head: str = "embedding", **options: Any) -> Path:
        """Return the compiled file of a tiny checkpoint."""
        return self.compile(self.tiny_checkpoint(head, **options), dtype)

    def real(self, name: str, dtype: str) -> Path:
        """The compiled file of a trained checkpoint; skips the test where there is none.

        It takes long to compile, so the best instruction set does it, once: the others run the same file.
        """
        with best_isa():
            return self.compile(real_checkpoint(name), dtype)

    def derived(self, name: str, make: Callable[[Path], object]) -> Path:
        """What ``make`` writes to a path: a file or folder with a unique name."""
        return self._once(name, make)

    def _once(self, name: str, make: Callable[[Path], object]) -> Path:
        path = self._folder / name
        if path not in self._made:
            with (self._folder / f"{name}.lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                if not path.exists():
                    draft = self._folder / f"{name}.draft"
                    make(draft)
                    draft.rename(path)
            self._made.add(path)
        return path


@contextmanager
def best_isa() -> Iterator[None]:
    """The block runs on the best instruction set of this processor, whatever ``BERTC_ISA`` says."""
    isa = os.environ.pop("BERTC_ISA", None)
    try:
        yield
    finally:
        if isa is not None:
            os.environ["BERTC_ISA"] = isa


def _digest(value: object) -> str:
    return hashlib.sha256(repr(value).encode()).hexdigest()[:12]
