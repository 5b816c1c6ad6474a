"""PyTorch through ``transformers``: the model as it comes, with the attention that it chooses itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from bertc.bench.engine import Array
from bertc.bench.peers.base import Peer, feed
from bertc.bench.peers.source import Source
from bertc.bench.peers.torch_model import build
from bertc.precision import BF16, FP32

TORCH_DTYPES = {FP32: "float32", BF16: "bfloat16"}


class TransformersPeer(Peer):
    """A model in eager and inference mode, with scaled dot product attention; bf16 casts all of it."""

    library = "transformers"
    packages = ("transformers", "torch")
    dtypes = tuple(TORCH_DTYPES)

    def __init__(self, source: Source, dtype: str, threads: int) -> None:
        """Load the model; PyTorch then has ``threads`` threads in this process."""
        import torch

        super().__init__(source, dtype, threads)
        torch.set_num_threads(threads)
        self._torch: Any = torch
        self._model = build(source.checkpoint, source.info, dtype=TORCH_DTYPES[dtype])
        self.version = f"{self.version} (torch {torch.__version__})"
        self.isa = torch.backends.cpu.get_cpu_capability()

    @classmethod
    def convert(cls, source: Source, dtype: str) -> Path:  # noqa: ARG003 (of peers)
        """Return the checkpoint itself: there is nothing to convert."""
        return source.checkpoint

    def bind(self, input_ids: Array, attention_mask: Array) -> Callable[[], Array]:
        """Prepare arrays as :meth:`bertc.bench.engine.Engine.bind` says."""
        torch, model = self._torch, self._model
        tensors = {name: torch.from_numpy(array) for name, array in feed(input_ids, attention_mask).items()}

        def run() -> Array:
            with torch.inference_mode():
                return np.asarray(model(**tensors).float().numpy())

        return run
