"""From the graph of a traced module to a foreign graph."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from bertc.errors import CheckpointError, NodeError
from bertc.foreign.graph import BATCH, LENGTH, ForeignGraph
from bertc.foreign.typed_builder import TypedBuilder
from bertc.frontends.aten import Value, Values
from bertc.frontends.aten.confirm import coarsest, confirm
from bertc.frontends.aten.tensors import constant
from bertc.frontends.torchscript.program import Program, stored
from bertc.primitives.dim import Dim

_LISTS = ("prim::ListConstruct", "prim::TupleConstruct")
_UNPACKING = ("prim::ListUnpack", "prim::TupleUnpack")
_BRANCHES = ("prim::If", "prim::Loop")
_LARGEST = 4096
"""No trace has more sequences or tokens than this."""
_MOST_TOKENS = 8192
"""The largest batch, padding included, that a trace is tried on: widths of layers are among the numbers."""


def to_foreign(program: Program) -> ForeignGraph:
    """Return the graph of a traced module, which computes what the module does.

    Sizes are left open where the trace does. Raises ``CheckpointError`` that names the op which is not
    supported, or what depends on the example inputs.
    """
    branch = next((node for node in program.graph.nodes() if node.kind() in _BRANCHES), None)
    if branch is not None:
        problem = "branches and loops are not supported: use torch.jit.trace, not torch.jit.script"
        raise NodeError({_where(branch): problem})
    try:
        return _confirmed(program, Dim.symbol(BATCH), Dim.symbol(LENGTH))
    except CheckpointError as error:
        for batch, length in _fixed_sizes(program):
            try:
                return _confirmed(program, batch, length)
            except CheckpointError:
                continue
        raise error


def _confirmed(program: Program, batch: Any, length: Any) -> ForeignGraph:
    graph = _import(program, batch, length)

    def run(inputs: Mapping[str, np.ndarray[Any, Any]]) -> dict[str, np.ndarray[Any, Any]]:
        try:
            return dict(zip(graph.outputs, program.run(inputs), strict=True))
        except RuntimeError as error:
            line = str(error).strip().splitlines()[-1]
            raise CheckpointError(
                f"{program.name} does not run on another batch than it was traced with: {line}"
            ) from None

    confirm(graph, run, program.name, coarsest(program.module.parameters()))
    return graph


def _fixed_sizes(program: Program) -> Iterator[tuple[Any, Any]]:
    """Yield the numbers of sequences and tokens that a trace may be fixed to, and that it runs on."""
    numbers = sorted(
        {
            value
            for node in program.graph.nodes()
            if node.kind() == "prim::ListConstruct"
            for each in node.inputs()
            if isinstance(value := _plain(each), int) and 1 <= value <= _LARGEST
        }
    )
    batches: list[Any] = [Dim.symbol(BATCH), *numbers]
    for batch, length in itertools.product(batches, numbers):
        count = 2 if isinstance(batch, Dim) else batch
        if count * length > _MOST_TOKENS:
            continue
        ids = np.full((count, length), 1, np.int64)
        try:
            program.run(dict.fromkeys(program.roles.values(), ids))
        except (RuntimeError, IndexError):
            continue
        yield batch, length


def _plain(value: Any) -> Any:
    """Return the number that a value of the graph is, if it is a constant."""
    return value.toIValue() if value.node().kind() == "prim::Constant" else None


def _import(program: Program, batch: Any, length: Any) -> ForeignGraph:
    builder = TypedBuilder()
    values = Values(builder)
    for name, value in program.inputs.items():
        role = program.roles.get(name)
        values[value.debugName()] = None if role is None else Value(builder.input(role, (batch, length)))
    for index, node in enumerate(program.graph.nodes()):
        _step(program, values, node, f"{node.kind()} {index}")
    found = [values[each.debugName()] for each in program.graph.outputs()]
    return ForeignGraph(
        inputs=dict.fromkeys(program.roles.values(), (batch, length)),
        constants=builder.constants,
        nodes=tuple(builder.nodes),
        outputs=dict(_named(found[0] if len(found) == 1 else found)),
        batch=batch,
        length=length,
    )


def _named(found: Any) -> Iterator[tuple[str, str]]:
    """Yield the outputs by name: those of a mapping, else by their places."""
    if isinstance(found, Value):
        yield "output", found
        return
    pairs = found.items() if isinstance(found, Mapping) else enumerate(_flat(found))
    for name, each in pairs:
        if isinstance(each, Value):
            yield (name if isinstance(name, str) else f"output_{name}"), each


def _flat(found: Any) -> Iterator[Any]:
    for each in found:
        yield from _flat(each) if isinstance(each, list) else [each]


def _step(program: Program, values: Values, node: Any, name: str) -> None:
    kind, outputs = node.kind(), [each.debugName() for each in node.outputs()]
    values.builder.begin(name, kind)
    if kind == "prim::GetAttr":
        found = _stored(program, values, node)
        if found is not None:
            values[outputs[0]] = found
        return
    if kind == "prim::Constant":
        found = node.output().toIValue()
        values[outputs[0]] = constant(values.builder, found) if _is_tensor(found) else found
        return
    operands = [values[each.debugName()] for each in node.inputs()]
    if kind in _LISTS:
        values[outputs[0]] = operands
    elif kind == "prim::DictConstruct":
        values[outputs[0]] = dict(zip(operands[::2], operands[1::2], strict=True))
    elif kind in _UNPACKING:
        for output, each in zip(outputs, operands[0], strict=True):
            values[output] = each
    else:
        values[outputs[0] if outputs else name] = _call(values, node, operands, name)


def _call(values: Values, node: Any, operands: list[Any], name: str) -> Any:
    import torch

    kind, where = node.kind(), _where(node)
    if kind == "aten::__getitem__":
        return operands[0][operands[1]]
    op = kind.partition("::")[2]
    schema = node.schema()
    if kind == "prim::NumToTensor" or schema == "(no schema)":
        return values.call(op, {"self": operands[0]} if operands else {}, where, name)
    names = [each.name for each in torch._C.parse_schema(schema).arguments]
    return values.call(op, dict(zip(names, operands, strict=False)), where, name)


def _where(node: Any) -> str:
    """Return the kind of a node for messages, with the line of the code in the file that it is of."""
    lines = [line.strip() for line in str(node.sourceRange()).splitlines()]
    here = next((index for index, line in enumerate(lines) if "<--- HERE" in line), 0)
    return f"{node.kind()} ({lines[here - 1]})" if here else str(node.kind())


def _stored(program: Program, values: Values, node: Any) -> Any:
    """Return a parameter as a constant; None for a module, whose parts are got by chains."""
    found = stored(program.module, node)
    if _is_tensor(found):
        return constant(values.builder, found)
    return found if isinstance(found, bool | int | float | str) else None


def _is_tensor(value: Any) -> bool:
    import torch

    return isinstance(value, torch.Tensor)
