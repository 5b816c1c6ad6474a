"""The import table of ATen ops that move elements, or make them of sizes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from bertc.frontends.aten.call import Call, Import, Value
from bertc.primitives.dim import Dim


def _identity(call: Call) -> str:
    return call["self" if "self" in call.arguments else "input"]


def _copy(call: Call) -> str:
    return Value(str(call["self"]))  # another object: what is written into it leaves the first as it was


def _to(call: Call) -> str:
    to = call.dtype()
    if isinstance(call.get("other"), Value):
        to = str(call.builder.dtypes[call["other"]])
    x = call["self"]
    if to is None or call.builder.dtypes[x] in (np.dtype(to), np.dtype(object)):
        return x
    return call.builder.cast(x, to)


def _as(to: str) -> Import:
    return lambda call: call.builder.cast(call["self"], to)


def _reshape(call: Call) -> str:
    sizes = call.sizes("size" if "size" in call.arguments else "shape")
    return call.builder.op("reshape", call["self"], call.shape_constant(sizes), keep_zeros=True)


def _like_other(call: Call) -> str:
    return call.builder.op("reshape", call["self"], call.shape_constant(call.shape(call["other"])))


def _flatten(call: Call) -> str:
    shape = call.shape(call["self"])
    start, end = (call.axis(name, default) % len(shape) for name, default in _FLATTEN)
    sizes = (*shape[:start], _product(shape[start : end + 1]), *shape[end + 1 :])
    return call.builder.op("reshape", call["self"], call.shape_constant(sizes))


_FLATTEN = (("start_dim", 0), ("end_dim", -1))


def _product(sizes: Any) -> Any:
    return math.prod(sizes, start=1)


def _unflatten(call: Call) -> str:
    shape, axis = call.shape(call["self"]), call.axis() % call.rank(call["self"])
    sizes = (*shape[:axis], *call.sizes("sizes"), *shape[axis + 1 :])
    return call.builder.op("reshape", call["self"], call.shape_constant(sizes))


def _permute(call: Call) -> str:
    rank = call.rank(call["self"])
    return call.builder.transpose(call["self"], *(axis % rank for axis in call.sizes("dims")))


def _transpose(call: Call) -> str:
    rank = call.rank(call["self"])
    names = ("dim0", "dim1") if "dim0" in call.arguments else ("axis0", "axis1")
    first, second = (call.axis(name, axis) % rank for name, axis in zip(names, (0, 1), strict=True))
    order = [*range(rank)]
    order[first], order[second] = second, first
    return call.builder.transpose(call["self"], *order)


def _t(call: Call) -> str:
    return call.builder.swap_last(call["self"]) if call.rank(call["self"]) == 2 else call["self"]


def _unsqueeze(call: Call) -> str:
    return call.builder.op("unsqueeze", call["self"], axes=(call.axis(),))


def _squeeze(call: Call) -> str:
    shape, axes = call.shape(call["self"]), call.axes()
    if axes is not None:  # as in PyTorch, axes of more than one element stay
        axes = tuple(axis for axis in axes if not isinstance(shape[axis], Dim) and shape[axis] == 1)
        return call.builder.op("squeeze", call["self"], axes=axes) if axes else call["self"]
    return call.builder.op("squeeze", call["self"], axes=None)


def _expand(call: Call) -> str:
    sizes = [1 if isinstance(size, int) and size == -1 else size for size in call.sizes("size")]
    return call.builder.op("expand", call["self"], call.shape_constant(sizes))


def _expand_as(call: Call) -> str:
    return call.builder.op("expand", call["self"], call.shape_constant(call.shape(call["other"])))


def _repeat(call: Call) -> str:
    repeats, shape = call.sizes("repeats"), call.shape(call["self"])
    wide = call.builder.op(
        "reshape", call["self"], call.shape_constant(((1,) * (len(repeats) - len(shape))) + shape)
    )
    return call.builder.op("tile", wide, call.shape_constant(repeats))


def _select(call: Call) -> str:
    return call.builder.op(
        "gather",
        call["self"],
        call.tensor(call.number(call.get("index"), "index"), "index"),
        axis=call.axis(),
    )


def _slice(call: Call) -> str:
    start, end = call.number(call.get("start", 0), "start"), call.number(call.get("end", _END), "end")
    return _part(call, call["self"], call.axis("dim", 0), start, end, int(call.get("step", 1)))


_END = 2**63 - 1


def _part(call: Call, x: str, axis: int, start: Any, end: Any, step: int = 1) -> str:
    size = call.shape(x)[axis]
    whole = (isinstance(end, int) and (end >= 2**31 or end == size)) or end == size
    if isinstance(start, int) and start == 0 and whole and step == 1:
        return x
    bounds = (call.shape_constant([each]) for each in (start, end))
    return call.builder.op("slice", x, *bounds, axes=(axis,), steps=(step,))


def _narrow(call: Call) -> str:
    start, length = (call.number(call.get(name), name) for name in ("start", "length"))
    return _part(call, call["self"], call.axis(), start, start + length)


def _split(call: Call) -> list[Value]:
    name = "split_sizes" if "split_sizes" in call.arguments else "split_size"
    axis, wanted = call.axis("dim", 0), call.sizes(name)
    size = call.shape(call["self"])[axis]
    if not isinstance(call.get(name), list | tuple):
        count = -(-int(size) // wanted[0])
        wanted = [min(wanted[0], size - index * wanted[0]) for index in range(count)]
    ends = np.cumsum(wanted).tolist()
    return [
        Value(_part(call, call["self"], axis, end - each, end))
        for each, end in zip(wanted, ends, strict=True)
    ]


def _chunk(call: Call) -> list[Value]:
    axis, count = call.axis("dim", 0), int(call.get("chunks"))
    size = call.shape(call["self"])[axis]
    if isinstance(size, Dim):
        raise call.error("it splits an axis whose size depends on the batch")
    step = -(-size // count)
    starts = range(0, size, step)
    return [Value(_part(call, call["self"], axis, each, min(each + step, size))) for each in starts]


def _unbind(call: Call) -> list[Value]:
    axis = call.axis("dim", 0)
    size = call.shape(call["self"])[axis]
    if isinstance(size, Dim):
        raise call.error("it takes an axis apart whose size depends on the batch")
    indices = (call.builder.constant(np.array(index)) for index in range(size))
    return [Value(call.builder.op("gather", call["self"], index, axis=axis)) for index in indices]


def _cat(call: Call) -> str:
    parts = [call.tensor(each, "tensors") for each in call.get("tensors")]
    return call.builder.op("concat", *parts, axis=call.axis("dim", 0))


def _stack(call: Call) -> str:
    axis = call.axis("dim", 0)
    parts = [
        call.builder.op("unsqueeze", call.tensor(each, "tensors"), axes=(axis,))
        for each in call.get("tensors")
    ]
    return call.builder.op("concat", *parts, axis=axis)


def _index(call: Call) -> str:
    """Import ``x[a, b]`` and ``x[:, a]``, of whole numbers."""
    builder, x, indices = call.builder, call["self"], call.get("indices")
    if any(isinstance(each, Value) and call.kind(each) == "b" for each in indices):
        raise call.error("it selects elements by a mask, how many depends on the input")
    given = [axis for axis, each in enumerate(indices) if isinstance(each, Value)]
    if len(given) == 1:
        return builder.op("gather", x, indices[given[0]], axis=given[0])
    if given != [*range(len(given))]:
        raise call.error("it indexes axes that are not the first ones")
    total = builder.constant(np.zeros((), np.int64))
    for each in indices:
        total = builder.op("add", total, builder.op("mul", each, builder.constant(np.zeros((), np.int64))))
    spread = [builder.op("unsqueeze", builder.op("add", each, total), axes=(-1,)) for each in indices]
    return builder.op("gather_nd", x, builder.op("concat", *spread, axis=-1))


def _index_put(call: Call) -> str:
    """Import ``x[mask] = number``."""
    indices, x = call.get("indices"), call["self"]
    if len(indices) != 1 or not isinstance(indices[0], Value) or call.kind(indices[0]) != "b":
        raise call.error("it writes into a part of a value, which is not supported: make a new one")
    if call.get("accumulate") or call.shape(call["values"]) not in ((), (1,)):
        raise call.error("it writes several numbers by a mask, which is not supported: use torch.where")
    mask = indices[0]
    for _ in range(call.rank(x) - call.rank(mask)):
        mask = Value(call.builder.op("unsqueeze", mask, axes=(-1,)))
    return call.builder.op("where", mask, *call.promoted(call["values"], x))


def _index_select(call: Call) -> str:
    return call.builder.op("gather", call["self"], call["index"], axis=call.axis())


def _gather(call: Call) -> str:
    return call.builder.op("gather_elements", call["self"], call["index"], axis=call.axis())


def _embedding(call: Call) -> str:
    return call.builder.op("gather", call["weight"], call["indices"], axis=0)


def _tri(upper: bool) -> Import:
    return lambda call: call.builder.op("trilu", call["self"], upper=upper, k=int(call.get("diagonal", 0)))


def _filled(value: float | None, *, like: bool = False) -> Import:
    """Return an import of what makes a tensor of one number: ``value``, or that of an argument."""

    def convert(call: Call) -> str:
        number = call.number(call.get("fill_value"), "fill_value") if value is None else value
        sizes = call.shape(call["self"]) if like else call.sizes("size")
        kept = str(call.builder.dtypes[call["self"]]) if "self" in call.arguments else None
        default = "float32" if value is not None else str(np.asarray(number).dtype)
        fill = np.asarray(number, call.dtype() or kept or default.replace("float64", "float32"))
        return call.builder.op("full", call.shape_constant(sizes), value=fill)

    return convert


def _arange(call: Call) -> str:
    bounds = (("start", 0), ("end", None), ("step", 1))
    start, end, step = (call.number(call.get(name, default), name) for name, default in bounds)
    result = call.builder.op("range", *(call.tensor(each, "end") for each in (start, end, step)))
    to = call.dtype()
    return result if to in (None, "int64") else call.builder.cast(result, str(to))


def _size(call: Call) -> Any:
    shape = call.shape(call["self"])
    return [*shape] if call.get("dim") is None else shape[call.axis()]


def _numel(call: Call) -> Any:
    return _product(call.shape(call["self"]))


def _item(call: Call) -> Any:
    return call.number(next(iter(call.arguments.values())), "self")


def _scalar_tensor(call: Call) -> str:
    return call.tensor(next(iter(call.arguments.values())), "value")


_SAME = [
    "alias",
    "contiguous",
    "detach",
    "detach_",
    "dropout",
    "dropout_",
    "feature_dropout",
    "lift_fresh",
    "lift_fresh_copy",
    "native_dropout",
    "positive",
    "requires_grad_",
    "view_as_real_copy",
]
VIEWS = frozenset(
    [
        "view",
        "reshape",
        "view_as",
        "reshape_as",
        "flatten",
        "unflatten",
        "permute",
        "transpose",
        "swapaxes",
        "t",
        "unsqueeze",
        "squeeze",
        "expand",
        "expand_as",
        "select",
        "slice",
        "narrow",
        "split",
        "split_with_sizes",
        "chunk",
        "unbind",
    ]
)
"""Ops whose results are, or may be, the memory of their operand."""
TABLE: Mapping[str, Import] = {
    **dict.fromkeys(_SAME, _identity),
    "clone": _copy,
    **dict.fromkeys(("to", "_to_copy", "type_as"), _to),
    **{
        name: _as(to)
        for name, to in (("float", "float32"), ("long", "int64"), ("int", "int32"), ("bool", "bool"))
    },
    **dict.fromkeys(("view", "reshape", "_unsafe_view"), _reshape),
    **dict.fromkeys(("view_as", "reshape_as"), _like_other),
    "flatten": _flatten,
    "unflatten": _unflatten,
    "permute": _permute,
    **dict.fromkeys(("transpose", "swapaxes"), _transpose),
    "t": _t,
    "unsqueeze": _unsqueeze,
    "squeeze": _squeeze,
    "expand": _expand,
    "expand_as": _expand_as,
    "repeat": _repeat,
    "select": _select,
    "slice": _slice,
    "narrow": _narrow,
    **dict.fromkeys(("split", "split_with_sizes"), _split),
    "chunk": _chunk,
    "unbind": _unbind,
    **dict.fromkeys(("cat", "concat"), _cat),
    "stack": _stack,
    "index": _index,
    "index_put": _index_put,
    "index_select": _index_select,
    "gather": _gather,
    "embedding": _embedding,
    "triu": _tri(upper=True),
    "tril": _tri(upper=False),
    **dict.fromkeys(("zeros", "new_zeros", "empty", "new_empty"), _filled(0)),
    **dict.fromkeys(("ones", "new_ones"), _filled(1)),
    **dict.fromkeys(("full", "new_full"), _filled(None)),
    "zeros_like": _filled(0, like=True),
    "ones_like": _filled(1, like=True),
    "full_like": _filled(None, like=True),
    "arange": _arange,
    **dict.fromkeys(("size", "sym_size"), _size),
    **dict.fromkeys(("numel", "sym_numel"), _numel),
    "dim": lambda call: call.rank(call["self"]),
    "len": lambda call: call.shape(call["self"])[0],
    **dict.fromkeys(
        ("item", "Int", "Float", "Bool", "IntImplicit", "ScalarImplicit", "FloatImplicit"), _item
    ),
    **dict.fromkeys(("scalar_tensor", "NumToTensor"), _scalar_tensor),
}
"""The function for each op, by the name that all its overloads share."""
