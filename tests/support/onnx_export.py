"""Exports checkpoints of ``transformers`` to ONNX with PyTorch's two exporters."""

from __future__ import annotations

import io
import warnings
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest


def _by_place(torch: Any, model: Any) -> Any:
    """Return a module that takes by place what a model takes by name, and returns a tuple."""

    class ByPlace(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = model

        def forward(self, input_ids: Any, attention_mask: Any, token_type_ids: Any = None) -> Any:
            types = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
            return self.inner(input_ids, attention_mask=attention_mask, **types).to_tuple()

    return ByPlace()


def export(
    checkpoint: Path, class_name: str, path: Path, *, opset: int, dynamo: bool, attention: str
) -> Path:
    """Write the model of a checkpoint, with dynamic numbers of sequences and tokens."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("onnxscript" if dynamo else "onnx")
    model = (
        getattr(transformers, class_name).from_pretrained(checkpoint, attn_implementation=attention).eval()
    )
    ids = torch.randint(5, model.config.vocab_size, (2, 7))
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    inputs["attention_mask"][1, 5:] = 0
    if model.config.model_type == "bert":
        inputs["token_type_ids"] = torch.zeros_like(ids)
    names = [*inputs]
    axes = {0: "batch", 1: "length"}
    if class_name.endswith("ForMultipleChoice"):
        inputs = {name: each[:, None].expand(-1, 3, -1).contiguous() for name, each in inputs.items()}
        axes = {0: "batch", 1: "choices", 2: "length"}
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        if dynamo:
            sizes = {axis: torch.export.Dim(name, max=60) for axis, name in axes.items()}
            torch.onnx.export(
                model,
                kwargs=inputs,
                f=str(path),
                dynamo=True,
                dynamic_shapes=dict.fromkeys(names, sizes),
                external_data=True,
                opset_version=opset,
                verbose=False,
            )
        else:
            torch.onnx.export(
                _by_place(torch, model),
                tuple(inputs.values()),
                str(path),
                input_names=names,
                dynamo=False,
                dynamic_axes=dict.fromkeys(names, axes),
                opset_version=opset,
            )
    return path
