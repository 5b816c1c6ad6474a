"""A traced module as TorchScript has it, and how to run it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bertc.errors import CheckpointError, MissingExtraError
from bertc.frontends.roles import find_roles

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class Program:
    """A module, and its graph without calls of methods."""

    name: str
    module: Any
    graph: Any
    roles: Mapping[str, str]
    """The name of each input that is used -> its role."""

    @classmethod
    def load(cls, path: Path) -> Program:
        """Load a file that was checked; its code runs. Raises ``CheckpointError``, ``MissingExtraError``."""
        try:
            import torch
        except ImportError:
            raise MissingExtraError("torch", "torch", "reading TorchScript") from None
        try:
            module = torch.jit.load(str(path), map_location="cpu").eval()
            graph = module.inlined_graph
        except Exception as error:  # PyTorch's errors are of many kinds
            line = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise CheckpointError(
                f"{path}: PyTorch cannot load it ({line}): it is damaged, or too new"
            ) from None
        return cls(str(path), module, graph, _roles(path, module, graph))

    @property
    def inputs(self) -> dict[str, Any]:
        """The graph's inputs by name, without the module itself."""
        names = [each.name for each in self.module.forward.schema.arguments]
        return dict(zip(names[1:], [*self.graph.inputs()][1:], strict=True))

    def run(self, inputs: Mapping[str, Array]) -> list[Array]:
        """Return the outputs for arrays [batch, length] by role. Raises what PyTorch raises."""
        import torch

        fallback = torch.from_numpy(inputs["input_ids"])
        given = [
            torch.from_numpy(inputs[self.roles[name]]) if name in self.roles else fallback
            for name in self.inputs
        ]
        with torch.no_grad():
            return [each.float().numpy() for each in _tensors(self.module(*given))]


def _tensors(result: Any) -> Iterator[Any]:
    import torch

    if isinstance(result, torch.Tensor):
        yield result
    elif isinstance(result, Mapping):
        yield from _tensors([*result.values()])
    else:
        for each in result:
            yield from _tensors(each)


def stored(module: Any, node: Any) -> Any:
    """Return what a chain of ``prim::GetAttr`` gets."""
    names = []
    while node.kind() == "prim::GetAttr":
        names.append(node.s("name"))
        node = node.input().node()
    for name in reversed(names):
        module = getattr(module, name)
    return module


def _roles(path: Path, module: Any, graph: Any) -> dict[str, str]:
    names = [each.name for each in module.forward.schema.arguments][1:]
    places = {value.debugName(): name for name, value in zip(names, [*graph.inputs()][1:], strict=True)}
    rows: dict[str, int] = {}
    largest = 0
    for node in graph.nodes():
        if node.kind() == "aten::embedding":
            weight, ids = [*node.inputs()][:2]
            if weight.node().kind() != "prim::GetAttr":
                continue
            count = int(stored(module, weight.node()).shape[0])
            largest = max(largest, count)
            if ids.debugName() in places:
                rows[places[ids.debugName()]] = count
    used = [places[value.debugName()] for value in [*graph.inputs()][1:] if value.uses()]
    return find_roles(used, rows, largest, str(path))
