"""Traces a module with ``torch.export``, the numbers of sequences and of tokens left open."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bertc.errors import CheckpointError, InputError
from bertc.frontends.torch.objects import Described

Array = np.ndarray[Any, Any]
_BATCH, _LENGTH = 2, 7
"""The sizes of the batch that is traced: neither is 1, which PyTorch would take for fixed."""
_FIXED = ("specialized", "Constraints violated", "ConstraintViolation", "marked as dynamic")
"""What PyTorch's errors say when a size that was left open became a number."""


@dataclass(frozen=True, eq=False)
class Exported:
    """A traced module."""

    described: Described
    program: Any
    """PyTorch's ``ExportedProgram``."""
    inputs: tuple[str, ...]
    """The names of its inputs, in order."""
    outputs: tuple[str, ...]
    """The names of its outputs, in order."""

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Return the module's outputs for arrays [batch, length] by input."""
        import torch

        device = _device(self.described.module)
        tensors = {name: torch.from_numpy(array).to(device) for name, array in inputs.items()}
        with _evaluating(self.described.module):
            found = named_outputs(self.described.call(tensors), tensors)
        return {name: each.float().cpu().numpy() for name, each in found.items()}


def export(described: Described, example_inputs: Mapping[str, Any] | Sequence[Any] | None) -> Exported:
    """Trace a module. Raises ``CheckpointError`` that says what to do, ``InputError`` for wrong examples."""
    import torch

    examples = _examples(described, example_inputs)
    wrapper = _wrap(described, tuple(examples))
    tensors = [*examples.values()]
    open_sizes = dict.fromkeys((0, 1), torch.export.Dim.DYNAMIC)
    with _evaluating(described.module), _quiet():
        try:
            wrapper(tensors)
        except Exception as error:  # of a user's code
            raise CheckpointError(
                f"{described.name} does not run on its example inputs, {_spell(examples)}: {_line(error)}. "
                "Give example_inputs that it runs on"
            ) from error
        try:
            program = torch.export.export(
                wrapper, (tensors,), dynamic_shapes=([open_sizes] * len(tensors),), strict=False
            )
        except Exception as error:  # PyTorch's errors are of many kinds
            raise _failed(described, error) from error
    if not wrapper.names:
        raise CheckpointError(f"{described.name} returns no tensors of floats by name or place")
    return Exported(described, program, tuple(examples), tuple(wrapper.names))


def _failed(described: Described, error: Exception) -> CheckpointError:
    text = str(error)
    if any(each in text for each in _FIXED):
        return CheckpointError(
            f"{described.name} can be traced for one number of sequences or tokens alone: it computes with "
            f"sizes as with plain numbers ({_line(error)}). Take sizes from its inputs (x.shape), leave out "
            "int() and branches on them"
        )
    return CheckpointError(
        f"torch.export failed on {described.name} ({type(error).__name__}: {_line(error)}). Try "
        "torch.export.export on it by itself, or compile the transformers model inside it; branches on "
        "values have to become torch.where"
    )


def _line(error: Exception) -> str:
    """Return the first line of a message that says something."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines or [type(error).__name__])[0].rstrip(".")


def _spell(examples: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {list(each.shape)}" for name, each in examples.items())


def _wrap(described: Described, names: tuple[str, ...]) -> Any:
    """Return a module that takes a list, and returns the tensors of floats whose ``names`` it notes."""
    import torch

    class ByPlace(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = described.module
            self.names: list[str] = []

        def forward(self, tensors: list[Any]) -> Any:
            inputs = dict(zip(names, tensors, strict=True))
            found = named_outputs(described.call(inputs), inputs)
            self.names[:] = found
            return tuple(found.values())

    return ByPlace().train(described.module.training)


def named_outputs(result: Any, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the tensors of floats of what a module returned by their names, or ``output`` and places."""
    import torch

    if isinstance(result, torch.Tensor):
        result = {"output": result}
    elif not isinstance(result, Mapping):
        result = {f"output_{index}": each for index, each in enumerate(result)}
    return {
        str(name): each
        for name, each in result.items()
        if isinstance(each, torch.Tensor)
        and each.is_floating_point()
        and not any(each is given for given in inputs.values())
    }


@contextlib.contextmanager
def _evaluating(module: Any) -> Iterator[None]:
    """Switch a module to evaluation, without gradients, for a while."""
    import torch

    training = [each for each in module.modules() if each.training]
    module.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for each in training:
            each.training = True


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep PyTorch from telling of its own troubles: what matters becomes an error."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), contextlib.ExitStack() as stack:
            warnings.simplefilter("ignore")
            stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
            stack.enter_context(contextlib.redirect_stderr(io.StringIO()))
            yield
    finally:
        logging.disable(before)


def _device(module: Any) -> Any:
    return next((each.device for each in module.parameters()), None)


def _examples(described: Described, given: Mapping[str, Any] | Sequence[Any] | None) -> dict[str, Any]:
    """Return a tensor for each input. Raises ``InputError`` for wrong ones, or where none can be made."""
    import torch

    if given is None:
        if described.unknown or not described.inputs:
            names = ", ".join(described.unknown) or "no arguments"
            raise InputError(
                f"{described.name}.forward takes {names}, of which bertc does not know what they are: pass "
                "example_inputs, tensors of whole numbers [batch, length] by name"
            )
        ids = (
            torch.arange(_BATCH * _LENGTH, device=_device(described.module)).reshape(_BATCH, _LENGTH) % 5 + 2
        )
        mask = torch.ones_like(ids)
        mask[1, 5:] = 0
        made = {"input_ids": ids, "attention_mask": mask, "token_type_ids": torch.zeros_like(ids)}
        return {name: made[role] for name, role in described.inputs.items()}
    if isinstance(given, torch.Tensor):
        given = [given]
    named = dict(given) if isinstance(given, Mapping) else dict(zip(described.places, given, strict=False))
    for name, each in named.items():
        if not isinstance(each, torch.Tensor) or each.dim() != 2 or each.is_floating_point():
            raise InputError(f"example_inputs[{name!r}] must be a tensor of whole numbers [batch, length]")
        if min(each.shape) < 2:
            raise InputError(
                f"example_inputs[{name!r}] has the shape {list(each.shape)}: give 2 sequences and 2 tokens "
                "or more, since PyTorch takes a size of 1 for fixed"
            )
    return named
