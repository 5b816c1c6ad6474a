"""PyTorch through ``transformers``: the model as it comes, with the attention that it chooses itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from bertc.bench.engine import Array
from bertc.bench.peers.base import Peer, feed
from bertc.bench.peers.source import Source
from bertc.bench.peers.torch_model import build

TORCH_DTYPES = {"fp32": "float32", "bf16": "bfloat16"}


class TransformersPeer(Peer):
    """Eager mode, scaled dot product attention, inference mode; bf16 casts the whole model."""

    library = "transformers"
    packages = ("transformers", "torch")
    dtypes = tuple(TORCH_DTYPES)

    def __init__(self, source: Source, model: Any, torch: Any) -> None:
        super().__init__(source)
        self._model, self._torch = model, torch
        self.version = f"{self.version} (torch {torch.__version__})"
        self.isa = torch.backends.cpu.get_cpu_capability()

    @classmethod
    def prepare(cls, source: Source, dtype: str) -> None:
        """Nothing to convert."""

    @classmethod
    def load(cls, source: Source, dtype: str, threads: int) -> TransformersPeer:
        """In this process PyTorch then has ``threads`` threads."""
        import torch

        torch.set_num_threads(threads)
        return cls(source, build(source.checkpoint, source.info, dtype=TORCH_DTYPES[dtype]), torch)

    def bind(self, input_ids: Array, attention_mask: Array) -> Callable[[], Array]:
        """See :class:`bertc.bench.engine.Engine`."""
        torch, model = self._torch, self._model
        tensors = {name: torch.from_numpy(array) for name, array in feed(input_ids, attention_mask).items()}

        def run() -> Array:
            with torch.inference_mode():
                return np.asarray(model(**tensors).float().numpy())

        return run
