"""The source of a peer, and the cache where conversions are kept between runs.

A conversion has a folder of its own, named by a hash of all that it depends on.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from bertc.artifact.schema import ModelInfo

if TYPE_CHECKING:
    from tokenizers import Tokenizer

RECIPE = 1
"""A number to raise when the same checkpoint and library are converted in another way than before."""
BLOCK = 2**20


def default_cache() -> Path:
    """Return a folder of the user's own for the cache: a shared one could hold what others put there."""
    return Path.home() / ".cache" / "bertc" / "bench"


@dataclass(frozen=True)
class Source:
    """A checkpoint, and all else that a conversion depends on."""

    checkpoint: Path
    info: ModelInfo
    tokenizer_json: str
    cache: Path
    """The folder of conversions."""
    calibration: tuple[str, ...]
    """Texts like those that the model will see."""

    def tokenizer(self) -> Tokenizer:
        """Return the tokenizer of the compiled file: it cuts where the model ends, and pads nothing."""
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_str(self.tokenizer_json)
        tokenizer.no_padding()
        side = (tokenizer.truncation or {}).get("direction", "right")
        tokenizer.enable_truncation(self.info.max_seq_length, direction=side)
        return tokenizer

    def converted(
        self, dtype: str, packages: Sequence[str], make: Callable[[Path], None], *texts: str
    ) -> Path:
        """Return the folder of a conversion by the first of ``packages``; ``make`` fills it the first time.

        It depends on the versions of the packages, on the checkpoint and on ``texts``.
        """
        folder = self.cache / f"{packages[0]}-{dtype}-{self._key(dtype, packages, texts)}"
        if folder.is_dir():
            return folder
        self.cache.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix="draft-", dir=self.cache))
        try:
            make(draft)
            draft.rename(folder)  # at once: an interrupted conversion leaves nothing that looks whole
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        return folder

    def _key(self, dtype: str, packages: Sequence[str], texts: Sequence[str]) -> str:
        versions = [f"{package} {metadata.version(package)}" for package in packages]
        digest = hashlib.sha256(repr((RECIPE, dtype, versions, self.info, texts)).encode())
        for path in sorted(self.checkpoint.rglob("*")):
            if path.suffix in (".json", ".safetensors", ".txt"):
                digest.update(path.relative_to(self.checkpoint).as_posix().encode())
                with path.open("rb") as file:
                    while block := file.read(BLOCK):
                        digest.update(block)
        return digest.hexdigest()[:16]
