"""From an exported program of ATen ops to a foreign graph."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bertc.errors import NodeError
from bertc.foreign.graph import BATCH, LENGTH, ForeignGraph
from bertc.foreign.typed_builder import TypedBuilder
from bertc.frontends.aten import Value, Values
from bertc.frontends.aten.confirm import coarsest, confirm
from bertc.frontends.aten.tensors import constant
from bertc.frontends.roles import find_roles
from bertc.frontends.torch.exporting import Exported
from bertc.primitives.dim import Dim


def to_foreign(exported: Exported) -> ForeignGraph:
    """Return the graph of a traced module, which computes what the module does.

    Raises ``CheckpointError`` that names the op which is not supported.
    """
    program, builder = exported.program, TypedBuilder()
    values = Values(builder)
    batch, length = Dim.symbol(BATCH), Dim.symbol(LENGTH)
    roles = _roles(exported)
    inputs = iter(exported.inputs)
    specs = {spec.arg.name: spec for spec in program.graph_signature.input_specs}
    for node in program.graph.nodes:
        builder.begin(node.name, node.op)
        if node.op == "placeholder":
            spec = specs[node.name]
            if spec.kind.name == "USER_INPUT":
                role = roles.get(next(inputs))
                values[node] = None if role is None else Value(builder.input(role, (batch, length)))
            else:
                values[node] = constant(builder, _stored(program, spec.target))
        elif node.op == "get_attr":
            values[node] = _attribute(builder, program.graph_module, node)
        elif node.op == "call_function":
            values[node] = _call(values, node)
    (output,) = (node for node in program.graph.nodes if node.op == "output")
    found = dict(zip(exported.outputs, (_resolve(values, each) for each in output.args[0]), strict=True))
    graph = ForeignGraph(
        inputs=dict.fromkeys(roles.values(), (batch, length)),
        constants=builder.constants,
        nodes=tuple(builder.nodes),
        outputs=found,
        batch=batch,
        length=length,
    )
    names = {role: name for name, role in roles.items()}
    confirm(
        graph,
        lambda given: exported.run({names[role]: each for role, each in given.items()}),
        exported.described.name,
        coarsest(exported.described.module.parameters()),
    )
    return graph


def _stored(program: Any, target: str) -> Any:
    stored = program.state_dict.get(target)
    return program.constants[target] if stored is None else stored


def _attribute(builder: TypedBuilder, module: Any, node: Any) -> Value:
    import torch

    for part in node.target.split("."):
        module = getattr(module, part)
    if not isinstance(module, torch.Tensor):
        raise NodeError(
            {f"{node.name!r} ({node.op})": "control flow on values is not supported: use torch.where"}
        )
    return constant(builder, module)


def _call(values: Values, node: Any) -> Any:
    """Import a call: of an ATen op, of an operator on sizes, or of what takes one of several results."""
    import torch

    target, where = node.target, _where(node)
    operands = [_resolve(values, each) for each in node.args]
    if not isinstance(target, torch._ops.OpOverload):
        name = getattr(target, "__name__", str(target))
        if name == "getitem":
            return operands[0][operands[1]]
        return values.call(name, dict(zip(("self", "other"), operands, strict=False)), where, node.name)
    if target.namespace not in ("aten", "prim"):
        raise NodeError({where: f"ops of {target.namespace!r} are not supported, only PyTorch's own"})
    schema = target._schema.arguments
    arguments = {each.name: each.default_value for each in schema if each.has_default_value()}
    arguments.update({each.name: operand for each, operand in zip(schema, operands, strict=False)})
    arguments.update({name: _resolve(values, each) for name, each in node.kwargs.items()})
    ordered = {each.name: arguments[each.name] for each in schema if each.name in arguments}
    return values.call(target._opname, ordered, where, node.name)


def _resolve(values: Values, argument: Any) -> Any:
    import torch

    if isinstance(argument, torch.fx.Node):
        return values[argument]
    if isinstance(argument, list | tuple):
        return [_resolve(values, each) for each in argument]
    return argument


def _where(node: Any) -> str:
    """Return the name of a node for messages, with the module whose code it is of."""
    stack = [*(node.meta.get("nn_module_stack") or {}).values()]
    path = str(stack[-1][0]).removeprefix("inner").lstrip(".") if stack else ""
    return f"{node.name!r} ({node.target}{f' of {path}' if path else ''})"


def _roles(exported: Exported) -> Mapping[str, str]:
    """Return the role of each input that is used."""
    import torch

    program = exported.program
    specs = program.graph_signature.input_specs
    given = [spec.arg.name for spec in specs if spec.kind.name == "USER_INPUT"]
    nodes = {node.name: node for node in program.graph.nodes if node.op == "placeholder"}
    tables = {spec.arg.name: spec.target for spec in specs if spec.kind.name == "PARAMETER"}
    rows, used = {}, []
    for name, node in zip(exported.inputs, (nodes[each] for each in given), strict=True):
        if node.users:
            used.append(name)
        for user in node.users:
            if user.target == torch.ops.aten.embedding.default and user.args[0].name in tables:
                rows[name] = int(_stored(program, tables[user.args[0].name]).shape[0])
    shapes = [_stored(program, target).shape for target in tables.values()]
    largest = max((shape[0] for shape in shapes if len(shape) == 2), default=0)
    return find_roles(used, rows, largest, exported.described.name)
