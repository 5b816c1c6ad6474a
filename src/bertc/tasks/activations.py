"""What is put on the logits of a sequence classifier, by name or as the caller's own function."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from bertc.errors import InputError
from bertc.runtime.batching import FloatArray
from bertc.tasks.task import softmax


def sigmoid(logits: FloatArray) -> FloatArray:
    """Return 1 / (1 + exp(-x)) of each number."""
    with np.errstate(over="ignore"):  # exp(-x) = inf gives the right answer, 0
        return np.asarray(1 / (1 + np.exp(-logits)), np.float32)


def _unchanged(logits: FloatArray) -> FloatArray:
    return logits


ACTIVATIONS: Mapping[str, Callable[[FloatArray], FloatArray]] = MappingProxyType(
    {"none": _unchanged, "sigmoid": sigmoid, "softmax": softmax, "tanh": np.tanh}
)
"""The functions by their names, as files have them (``activation_fn`` in the facts of a model)."""


def activate(logits: FloatArray, activation: Any) -> FloatArray:
    """Return logits [rows, labels] after an activation: one of ``ACTIVATIONS``, or a function on the array.

    A module of PyTorch is given a tensor. Raises ``InputError`` for an unknown name, and for a function that
    gives another shape.
    """
    if isinstance(activation, str):
        if activation not in ACTIVATIONS:
            raise InputError(
                f"the activation is {activation!r}: expected one of {', '.join(ACTIVATIONS)}, or a function"
            )
        return ACTIVATIONS[activation](logits)
    if not callable(activation):
        raise InputError(
            f"the activation is {type(activation).__name__}: expected one of {', '.join(ACTIVATIONS)}, or a "
            "function"
        )
    if type(activation).__module__.startswith("torch."):
        torch = importlib.import_module("torch")
        found = activation(torch.from_numpy(logits.copy())).detach().numpy()
    else:
        found = activation(logits)
    try:
        values = np.asarray(found, np.float32)
    except (TypeError, ValueError):
        raise InputError(
            f"the activation makes {type(found).__name__}: expected an array of numbers"
        ) from None
    if values.shape != logits.shape:
        raise InputError(f"the activation makes shape {values.shape} of {logits.shape}: expected the same")
    return values
