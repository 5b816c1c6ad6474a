"""The import table of ATen ops that compute: element by element, over axes, products, attention."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from bertc.frontends.aten.call import Call, Import, Value
from bertc.primitives.dim import UnknownSizeError

DROPPED = -3.0e38
"""What takes the place of the scores of keys that nothing attends to."""


def _unary(primitive: str) -> Import:
    return lambda call: call.builder.op(primitive, call["self"])


def _binary(primitive: str, python: Callable[[Any, Any], Any]) -> Import:
    """Return an import of an op of two tensors, or numbers, of which the second may have a factor."""

    def convert(call: Call) -> Any:
        names = ("self", "other") if "self" in call.arguments else ("a", "b")
        a, b = (call.arguments[name] for name in names)
        alpha = call.get("alpha", 1)
        if not isinstance(a, Value) and not isinstance(b, Value):
            return _plainly(call, python, a, b * alpha if alpha != 1 else b)
        first, second = call.promoted(call.tensor(a, names[0]), call.tensor(b, names[1]))
        if alpha != 1:
            second = call.builder.op("mul", *call.promoted(second, call.tensor(alpha, "alpha")))
        return call.builder.op(primitive, first, second)

    return convert


def _plainly(call: Call, python: Callable[[Any, Any], Any], a: Any, b: Any) -> Any:
    try:
        return python(a, b)
    except UnknownSizeError:
        raise call.error("its result differs from batch to batch: a size cannot be compared here") from None
    except (TypeError, ArithmeticError) as error:
        raise call.error(f"it cannot be computed of {a!r} and {b!r} ({error})") from None


def _flipped(convert: Import) -> Import:
    def flip(call: Call) -> Any:
        swapped = {**call.arguments, "self": call.arguments["other"], "other": call.arguments["self"]}
        return convert(Call(call.builder, swapped, call.where))

    return flip


def _div(call: Call) -> Any:
    mode = call.get("rounding_mode")
    a, b = call.arguments["self"], call.arguments["other"]
    if not isinstance(a, Value) and not isinstance(b, Value):
        return _plainly(call, operator.floordiv if mode else operator.truediv, a, b)
    first, second = call["self"], call["other"]
    if "O" in (call.kind(first), call.kind(second)):
        return call.builder.op("div", first, second)
    whole = call.kind(first) in "iu" and call.kind(second) in "iub"
    if mode and whole:
        return call.builder.op("div", first, second)  # of sizes, which are never negative
    if call.kind(first) != "f":
        first = call.builder.cast(first, "float32")
    result = call.builder.op("div", *call.promoted(first, second))
    return call.builder.op("floor", result) if mode else result


def _floor_divide(call: Call) -> Any:
    return _div(Call(call.builder, {**call.arguments, "rounding_mode": "floor"}, call.where))


def _pow(call: Call) -> Any:
    a, b = call.arguments["self"], call.arguments["exponent"]
    if not isinstance(a, Value) and not isinstance(b, Value):
        return _plainly(call, operator.pow, a, b)
    return call.builder.op("pow", *call.promoted(call["self"], call["exponent"]))


def _square(call: Call) -> str:
    return call.builder.op("mul", call["self"], call["self"])


def _rsqrt(call: Call) -> str:
    return call.builder.op("reciprocal", call.builder.op("sqrt", call["self"]))


def _log1p(call: Call) -> str:
    return call.builder.op("log", call.builder.op("add", call["self"], call.builder.constant(1.0)))


def _clamp(call: Call) -> str:
    result = call["self"]
    for name, primitive in (("min", "max"), ("max", "min")):
        if call.get(name) is not None:
            bound = call.tensor(call.get(name), name)
            result = call.builder.op(primitive, *call.promoted(result, bound))
    return result


def _gelu(call: Call) -> str:
    return call.builder.gelu(call["self"], approximate=call.get("approximate", "none") == "tanh")


def _gated(outer: str) -> Import:
    return lambda call: call.builder.op("mul", call["self"], call.builder.op(outer, call["self"]))


def _mish(call: Call) -> str:
    grown = call.builder.op("tanh", call.builder.op("softplus", call["self"]))
    return call.builder.op("mul", call["self"], grown)


def _bitwise(primitive: str) -> Import:
    """Return an import of an op on bits, which on truths is the logical one."""

    def convert(call: Call) -> str:
        operands = [call[name] for name in ("self", "other") if name in call.arguments]
        if any(call.kind(each) != "b" for each in operands):
            raise call.error("operations on bits are supported for truths alone")
        return call.builder.op(primitive, *operands)

    return convert


def _logical(primitive: str) -> Import:
    return lambda call: call.builder.op(
        primitive, *(call[name] for name in ("self", "other") if name in call.arguments)
    )


def _where(call: Call) -> str:
    if "self" not in call.arguments:
        raise call.error("it lists the places of elements, how many depends on the input")
    return call.builder.op("where", call["condition"], *call.promoted(call["self"], call["other"]))


def _masked_fill(call: Call) -> str:
    return call.builder.op("where", call["mask"], *call.promoted(call["value"], call["self"]))


def _softmax(call: Call) -> str:
    return call.builder.op("softmax", call["self"], axis=call.axis())


def _log_softmax(call: Call) -> str:
    return call.builder.op("log", _softmax(call))


def _norm_operands(call: Call) -> tuple[str, str]:
    if len(call.sizes("normalized_shape")) != 1:
        raise call.error("only the last axis can be normalized")
    weight, bias = call.get("weight"), call.get("bias")
    one = call.builder.constant(1.0) if weight is None else call["weight"]
    return one, "" if bias is None else call["bias"]


def _layer_norm(call: Call) -> str:
    return call.builder.layer_norm(call["input"], *_norm_operands(call), float(call.get("eps", 1e-5)))


def _native_layer_norm(call: Call) -> list[Any]:
    return [Value(_layer_norm(call)), None, None]


def _rms_norm(call: Call) -> str:
    builder, (weight, _) = call.builder, _norm_operands(call)
    x, epsilon = call["input"], float(call.get("eps", np.finfo(np.float32).eps))
    mean = builder.op("reduce_mean", builder.op("mul", x, x), axes=(-1,), keepdims=True)
    root = builder.op("sqrt", builder.op("add", mean, builder.constant(epsilon)))
    return builder.op("mul", builder.op("div", x, root), weight)


def _matmul(first: str, second: str) -> Import:
    return lambda call: call.builder.op("matmul", call[first], call[second])


def _linear(call: Call) -> str:
    product = call.builder.op("matmul", call["input"], call.builder.transpose(call["weight"], 1, 0))
    return product if call.get("bias") is None else call.builder.op("add", product, call["bias"])


def _added_product(first: str, second: str) -> Import:
    """Return an import of ``beta * self + alpha * first @ second``."""

    def convert(call: Call) -> str:
        total, product = call["self"], call.builder.op("matmul", call[first], call[second])
        alpha, beta = (float(call.get(name, 1)) for name in ("alpha", "beta"))
        if alpha != 1.0:
            product = call.builder.op("mul", product, call.builder.constant(alpha))
        if beta == 0.0:
            return product
        if beta != 1.0:
            total = call.builder.op("mul", total, call.builder.constant(beta))
        return call.builder.op("add", product, total)

    return convert


def _attention(call: Call) -> str:
    """scaled_dot_product_attention(query, key, value, attn_mask, dropout_p, is_causal, scale, enable_gqa)."""
    if call.get("is_causal") or call.get("enable_gqa"):
        raise call.error("is_causal and enable_gqa are for decoders: only encoders are supported")
    builder, query = call.builder, call["query"]
    scale = call.get("scale")
    number = 1.0 / math.sqrt(call.shape(query)[-1]) if scale is None else call.number(scale, "scale")
    scores = builder.op("matmul", query, builder.swap_last(call["key"]))
    scores = builder.op("mul", scores, builder.constant(float(number)))
    keeps = call["attn_mask"] if call.get("attn_mask") is not None else ""
    if keeps and call.kind(keeps) != "b":
        scores, keeps = builder.op("add", scores, keeps), ""
    if keeps:
        scores = builder.op("where", keeps, scores, builder.constant(DROPPED))
    weights = builder.op("softmax", scores, axis=-1)
    if keeps:  # a token of padding that no other is in the window of attends to none
        weights = builder.op("where", keeps, weights, builder.constant(0.0))
    return builder.op("matmul", weights, call["value"])


def _reduce(primitive: str) -> Import:
    def convert(call: Call) -> Any:
        if call.get("other") is not None:  # max and min of two tensors
            return call.builder.op(
                primitive.removeprefix("reduce_"), *call.promoted(call["self"], call["other"])
            )
        keepdims = bool(call.get("keepdim", False))
        result = call.builder.op(primitive, _as_number(call), axes=call.axes(), keepdims=keepdims)
        of_one_axis = primitive in ("reduce_max", "reduce_min") and isinstance(call.get("dim"), int)
        return [Value(result), None] if of_one_axis else result

    return convert


def _as_number(call: Call) -> str:
    x, to = call["self"], call.dtype()
    if to is None:
        to = "int64" if call.kind(x) == "b" else None
    return x if to is None else call.builder.cast(x, to)


def _extreme(primitive: str) -> Import:
    return lambda call: call.builder.op(
        primitive, call["self"], axes=call.axes(), keepdims=bool(call.get("keepdim", False))
    )


def _norm(call: Call) -> str:
    if call.get("ord", call.get("p", 2)) != 2:
        raise call.error("only the norm of order 2 is supported")
    return call.builder.op(
        "reduce_l2", call["self"], axes=call.axes(), keepdims=bool(call.get("keepdim", False))
    )


def _cumsum(call: Call) -> str:
    return call.builder.op("cumsum", _as_number(call), axis=call.axis(), exclusive=False, reverse=False)


_UNARY = "abs neg sqrt reciprocal exp log erf tanh sin cos sigmoid relu sign floor ceil round isnan isinf"
_COMPARISONS: Mapping[str, tuple[str, Callable[[Any, Any], Any]]] = {
    "eq": ("equal", operator.eq),
    "lt": ("less", operator.lt),
    "le": ("less_equal", operator.le),
    "gt": ("greater", operator.gt),
    "ge": ("greater_equal", operator.ge),
}
_add, _sub, _mul = (
    _binary(name, python)
    for name, python in (("add", operator.add), ("sub", operator.sub), ("mul", operator.mul))
)


def _ne(call: Call) -> Any:
    found = _binary("equal", operator.eq)(call)
    return call.builder.op("not", found) if isinstance(found, str) else not found


TABLE: Mapping[str, Import] = {
    **{name: _unary(name) for name in _UNARY.split()},
    **{name: _binary(*row) for name, row in _COMPARISONS.items()},
    "ne": _ne,
    "add": _add,
    "sub": _sub,
    "mul": _mul,
    **dict.fromkeys(("div", "true_divide", "truediv"), _div),
    **dict.fromkeys(("floor_divide", "floordiv"), _floor_divide),
    "multiply": _mul,
    "subtract": _sub,
    "rsub": _flipped(_sub),
    **dict.fromkeys(("remainder", "mod"), _binary("mod", operator.mod)),
    **dict.fromkeys(("maximum", "sym_max"), _binary("max", max)),
    **dict.fromkeys(("minimum", "sym_min"), _binary("min", min)),
    "pow": _pow,
    "square": _square,
    "rsqrt": _rsqrt,
    "log1p": _log1p,
    **dict.fromkeys(("clamp", "clamp_min", "clamp_max", "clip"), _clamp),
    "gelu": _gelu,
    "silu": _gated("sigmoid"),
    "mish": _mish,
    "softplus": _unary("softplus"),
    "bitwise_not": _bitwise("not"),
    **dict.fromkeys(("bitwise_and", "__and__", "and"), _bitwise("and")),
    **dict.fromkeys(("bitwise_or", "__or__", "or"), _bitwise("or")),
    "logical_not": _logical("not"),
    "logical_and": _logical("and"),
    "logical_or": _logical("or"),
    "where": _where,
    "masked_fill": _masked_fill,
    **dict.fromkeys(("softmax", "_softmax", "_safe_softmax"), _softmax),
    **dict.fromkeys(("log_softmax", "_log_softmax"), _log_softmax),
    "layer_norm": _layer_norm,
    "native_layer_norm": _native_layer_norm,
    "rms_norm": _rms_norm,
    "matmul": _matmul("self", "other"),
    "mm": _matmul("self", "mat2"),
    "bmm": _matmul("self", "mat2"),
    "linear": _linear,
    "addmm": _added_product("mat1", "mat2"),
    "baddbmm": _added_product("batch1", "batch2"),
    "scaled_dot_product_attention": _attention,
    **{name: _reduce(f"reduce_{name}") for name in ("sum", "mean", "max", "min", "prod")},
    "amax": _extreme("reduce_max"),
    "amin": _extreme("reduce_min"),
    **dict.fromkeys(("norm", "linalg_vector_norm"), _norm),
    "cumsum": _cumsum,
}
"""The function for each op, by the name that all its overloads share."""
