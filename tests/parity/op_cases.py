"""A graph around each op of the table: an activation from an embedding table, the op, its outputs.

Every row of ``bertc.ir.ops`` that has a kernel has a function here; ``test_ops.py`` fails for one
that has none.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from bertc.ir import formulas, reference
from bertc.ir.graph import Attribute, Constant, DType, Graph, Node
from tests.support import tiny_graphs

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Shape:
    """What a case draws: sizes are no multiples of anything."""

    lengths: tuple[int, ...]
    columns: int
    out: int
    heads: int
    choice: int
    """Picks among an op's attribute values."""
    parts: int = 1
    """How many parts of rows are mixed that are quantized by their range."""

    @property
    def tokens(self) -> int:
        return sum(self.lengths)


@dataclass
class Builder:
    """Collects constants and nodes; ``activation`` gives a float32 value with chosen rows."""

    shape: Shape
    rng: np.random.Generator
    constants: dict[str, Constant] = field(default_factory=dict)
    nodes: list[Node] = field(default_factory=list)
    outputs: dict[str, str] = field(default_factory=dict)

    def constant(self, name: str, array: Array, dtype: DType = DType.F32) -> str:
        self.constants[name] = Constant(dtype, array)
        return name

    def normal(self, name: str, *shape: int) -> str:
        return self.constant(name, self.rng.standard_normal(shape).astype(np.float32))

    def node(
        self, op: str, inputs: list[str] | dict[str, str], outputs: list[str], **attributes: Attribute
    ) -> list[str]:
        """``inputs`` go by operand, or are in the order of the op's operands, "" for an absent one."""
        named = inputs if isinstance(inputs, dict) else tiny_graphs.bind(op, *inputs)
        self.nodes.append(Node(f"node.{outputs[0]}", op, named, tuple(outputs), attributes))
        return outputs

    def activation(self, name: str, columns: int, spread: float = 3.0) -> str:
        """A [tokens, columns] value: word row t is token t's.

        Rows differ in size by up to exp(2 * spread).
        """
        scale = np.exp(self.rng.uniform(-spread, spread, (self.shape.tokens, 1)))
        rows = (self.rng.standard_normal((self.shape.tokens, columns)) * scale).astype(np.float32)
        word = self.constant(f"{name}.rows", rows)
        self.nodes.append(tiny_graphs.embed(name, word=word))
        return name

    def result(self, *values: str) -> None:
        self.outputs.update({value: value for value in values})

    def graph(self) -> Graph:
        return Graph(tiny_graphs.IDS, self.constants, tuple(self.nodes), self.outputs, "typed")


ACTIVATIONS = ("none", *reference.ACTIVATIONS)


def _norm(builder: Builder, op: str, outputs: list[str], *optional: str, **attributes: Attribute) -> None:
    columns = builder.shape.columns
    inputs = [
        builder.activation("x", columns),
        *(builder.normal(name, columns) for name in ("gamma", "beta")),
    ]
    inputs += optional
    rms = builder.shape.heads % 2
    found = builder.node(op, inputs, outputs, epsilon=1e-12, rms=rms, **attributes)
    builder.result(*(value for value in found if _is_comparable(value)))


def _row_quantization(builder: Builder) -> tuple[tuple[str, ...], dict[str, Attribute]]:
    """Operands and attributes of row quantization: mixtures of vectors, places, a static scale, mixed parts.

    The static scale clips a lot. Rows that are mixed get other columns than the drawn ones, of whole parts.
    """
    choice, columns = builder.shape.choice, builder.shape.columns
    parts = 1 if choice // 2 % 2 else builder.shape.parts
    if parts > 1:
        columns = parts * formulas.PART_MULTIPLE * (1 + columns // 50)
        builder.shape = replace(builder.shape, columns=columns)
    vectors = [
        builder.normal(name, columns) if each % 2 else ""
        for each, name in ((choice, "multiplier"), (choice + choice // 4, "offset"))
    ]
    numbers = np.array([0.01 * 2.0 ** (choice % 5), 10 * choice % 256], np.float32)
    static = builder.constant("static", numbers) if choice // 2 % 2 else ""
    operands = (*vectors, static, *_by_place(builder, "offset", columns, builder.shape.out))
    return operands, {"hadamard": parts} if parts > 1 else {}


def _by_place(builder: Builder, what: str, columns: int, choice: int) -> tuple[str, str, str]:
    """Vectors of the first tokens, the last, both or neither, and ``cu_seqlens`` with them."""
    vectors = [
        builder.normal(f"{place}_{what}", columns) if choice >> bit & 1 else ""
        for bit, place in enumerate(("first", "last"))
    ]
    return vectors[0], vectors[1], "cu_seqlens" if any(vectors) else ""


def _is_comparable(value: str) -> bool:
    """Scales and zero points are vectors, and bf16 has no NumPy dtype: consumers show them."""
    return value not in ("scale", "zero_point", "half")


_FORMS = ("", "gated.")
"""What stands before the names of a layer's constants, by whether it is gated."""


def _linear_operands(builder: Builder, gated: int) -> tuple[dict[str, str], dict[str, Attribute]]:
    """Bias and residual by operand, and attributes; a gated layer has twice the rows and no residual."""
    shape = builder.shape
    turn, index = divmod(shape.choice, len(ACTIVATIONS))
    operands = {"bias": builder.normal(f"{_FORMS[gated]}bias", (1 + gated) * shape.out)}
    if (turn + index) % 2 and not gated:
        operands["residual"] = builder.activation("residual", shape.out)
    names = ("first_bias", "last_bias", "cu_seqlens")
    own = _by_place(builder, f"{_FORMS[gated]}bias", (1 + gated) * shape.out, shape.columns)
    operands.update({name: value for name, value in zip(names, own, strict=True) if value})
    return operands, {"activation": ACTIVATIONS[index], "gated": gated}


def _results(builder: Builder, op: str, operands: dict[str, str], attributes: dict[str, Attribute]) -> None:
    """The layer's result; of a gated one the factors, too, by which its errors are multiplied."""
    if not attributes["gated"]:
        builder.result(*builder.node(op, operands, ["product"], **attributes))
        return
    plain = {**attributes, "gated": 0, "activation": "none"}
    copies = {}  # a tensor is packed for a gated layer or for another
    for operand in operands.keys() & {"weight", "bias", "weight_scale", "first_bias", "last_bias"}:
        copies[operand] = f"factors.{operand}"
        builder.constants[copies[operand]] = builder.constants[operands[operand]]
    builder.result(*builder.node(op, {**operands, **copies}, ["factors"], **plain))
    builder.result(*builder.node(op, operands, ["gated"], **attributes))


def layer_norm(builder: Builder) -> None:
    _norm(builder, "layer_norm", ["y"])


def layer_norm_quantize(builder: Builder) -> None:
    operands, attributes = _row_quantization(builder)
    _norm(builder, "layer_norm_quantize", ["y", "q", "scale", "zero_point"], *operands, **attributes)
    _int8_product(builder, ["q", "scale", "zero_point"])


def layer_norm_bf16(builder: Builder) -> None:
    _norm(builder, "layer_norm_bf16", ["y", "half"])
    _bf16_product(builder, "half")


def quantize_rows(builder: Builder) -> None:
    quantized = ["q", "scale", "zero_point"]
    operands, attributes = _row_quantization(builder)
    x = builder.activation("x", builder.shape.columns)
    builder.node("quantize_rows", [x, *operands], quantized, **attributes)
    builder.result("q")
    _int8_product(builder, quantized)


def cast_bf16(builder: Builder) -> None:
    builder.node("cast_bf16", [builder.activation("x", builder.shape.columns)], ["half"])
    _bf16_product(builder, "half")


def linear(builder: Builder) -> None:
    x = builder.activation("x", builder.shape.columns)
    for gated in (0, 1):
        operands, attributes = _linear_operands(builder, gated)
        weight = builder.normal(
            f"{_FORMS[gated]}weight", (1 + gated) * builder.shape.out, builder.shape.columns
        )
        named = {"x": x, "weight": weight, **operands}
        _results(builder, "linear", named, attributes)


def linear_bf16(builder: Builder) -> None:
    cast_bf16(builder)


def _bf16_product(builder: Builder, half: str) -> None:
    shape = builder.shape
    for gated in (0, 1):
        operands, attributes = _linear_operands(builder, gated)
        weight = formulas.round_to_bf16(
            builder.rng.standard_normal(((1 + gated) * shape.out, shape.columns)).astype(np.float32)
        )
        named = {
            "x": half,
            "weight": builder.constant(f"{_FORMS[gated]}weight", weight, DType.BF16),
            **operands,
        }
        _results(builder, "linear_bf16", named, {**attributes, "out_dtype": "f32"})


def linear_int8(builder: Builder) -> None:
    quantize_rows(builder)


def _int8_product(builder: Builder, quantized: list[str]) -> None:
    shape = builder.shape
    for gated in (0, 1):
        operands, attributes = _linear_operands(builder, gated)
        weight, scale = formulas.quantize_per_channel(
            builder.rng.standard_normal(((1 + gated) * shape.out, shape.columns)).astype(np.float32),
            7 + shape.choice % 2,
        )
        named = {
            **dict(zip(("x", "scale", "zero_point"), quantized, strict=True)),
            "weight": builder.constant(f"{_FORMS[gated]}weight", weight, DType.I8),
            "weight_scale": builder.constant(f"{_FORMS[gated]}weight.scale", scale),
            **operands,
        }
        _results(builder, "linear_int8", named, {**attributes, "out_dtype": "f32"})


def attention(builder: Builder) -> None:
    choice, heads = builder.shape.choice, builder.shape.heads
    head_size = 16 * (1 + choice % 4)
    disentangled = bool(builder.shape.columns % 2)
    sharers = heads // 2 if heads % 2 == 0 and choice % 2 and not disentangled else heads
    columns = (heads + 2 * sharers) * head_size
    inputs = {"qkv": builder.activation("qkv", columns, spread=0.0), "cu_seqlens": "cu_seqlens"}
    if builder.shape.out % 3:
        inputs["attended"] = "attended"
    if disentangled:
        inputs |= _distances(builder, heads * head_size, bf16=choice // 4 % 3 > 0)
    elif choice % 5 > 2:
        inputs["distance_bias"] = builder.normal("distance_bias", heads, 2 * choice + 1)
    elif choice % 5 == 2:
        inputs["slopes"] = builder.normal("slopes", heads)
    if choice % 3 == 2 and not disentangled:
        angles = builder.rng.uniform(-4, 4, (512, 16 + head_size // 48 * 16))
        table = np.concatenate([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
        if table.shape[1] <= head_size:
            inputs |= {"rotary": builder.constant("rotary", table), "position_ids": "position_ids"}
    window: dict[str, Attribute] = {"window": choice // 2 + 1} if choice % 4 > 1 and not disentangled else {}
    if window or (disentangled and choice % 2):
        inputs["places"] = "places"
    builder.node(
        "attention",
        inputs,
        ["y"],
        **window,
        num_attention_heads=heads,
        num_key_value_heads=sharers,
        scale=head_size**-0.5,
        compute_dtype=("f32", "bf16", "int8")[choice // 4 % 3],
    )
    builder.result("y")


def _distances(builder: Builder, width: int, *, bf16: bool) -> dict[str, str]:
    """Buckets that rise by 0 or 1, and rows that queries, keys or both meet by them."""
    reach, terms = builder.shape.out, builder.shape.choice % 3
    steps = np.cumsum(builder.rng.integers(0, 2, 2 * reach + 1))
    buckets = (steps - steps[0]).astype(np.int32)[None]
    inputs = {"buckets": builder.constant("buckets", buckets, DType.I32)}
    for index, name in enumerate(("position_keys", "position_queries")):
        if terms != index:
            rows = builder.rng.standard_normal((int(buckets.max()) + 1, width)).astype(np.float32)
            rows = formulas.round_to_bf16(rows) if bf16 else rows
            inputs[name] = builder.constant(name, rows, DType.BF16 if bf16 else DType.F32)
    return inputs


def embed(builder: Builder) -> None:
    """One table to four, words among them or not, in each of the dtypes."""
    shape, rng = builder.shape, builder.rng
    rows = {"word": shape.tokens, "token_type": 2, "position": 512, "task_type": 3}
    chosen = [name for bit, name in enumerate(rows) if (1 + shape.choice % 15) >> bit & 1]
    dtypes = (DType.F32, DType.F16, DType.I8)
    tables = {}
    for index, name in enumerate(chosen):
        table = rng.standard_normal((rows[name], shape.columns)).astype(np.float32)
        dtype = dtypes[(shape.choice + index) % (3 if name == "word" else 2)]
        if dtype == DType.I8:
            table, row_scale = formulas.quantize_per_channel(table)
            tables["word_scale"] = builder.constant("word.scale", row_scale)
        elif dtype == DType.F16:
            table = table.astype(np.float16)
        tables[name] = builder.constant(name, table, dtype)
    first_position = shape.choice % 3 if "position" in chosen else 0
    builder.nodes.append(tiny_graphs.embed("y", first_position=first_position, **tables))
    builder.result("y")


def pool(builder: Builder) -> None:
    modes = tuple(reference.POOLINGS)
    mode = modes[builder.shape.choice % len(modes)]
    x = builder.activation("x", builder.shape.columns)
    inputs = {"x": x, "cu_seqlens": "cu_seqlens", **({"pooled": "pooled"} if builder.shape.out % 3 else {})}
    builder.result(*builder.node("pool", inputs, ["y"], mode=mode))


def select_rows(builder: Builder) -> None:
    """The rows, and a product with them alone."""
    shape = builder.shape
    (rows,) = builder.node("select_rows", [builder.activation("x", shape.columns), "selected"], ["rows"])
    operands = [rows, builder.normal("w", shape.out, shape.columns), builder.normal("b", shape.out)]
    builder.result(rows, *builder.node("linear", operands, ["y"], activation="none"))


def concat(builder: Builder) -> None:
    shape = builder.shape
    operands = [builder.activation("a", shape.columns), builder.activation("b", shape.out)]
    (both,) = builder.node("concat", operands, ["both"])
    weight = builder.normal("w", shape.out, shape.columns + shape.out)
    product = [both, weight, builder.normal("bias", shape.out)]
    builder.result(both, *builder.node("linear", product, ["y"], activation="none"))


def normalize(builder: Builder) -> None:
    builder.result(*builder.node("normalize", [builder.activation("x", builder.shape.columns)], ["y"]))


CASES: dict[str, Callable[[Builder], None]] = {
    function.__name__: function
    for function in (
        layer_norm,
        layer_norm_quantize,
        layer_norm_bf16,
        quantize_rows,
        cast_bf16,
        linear,
        linear_bf16,
        linear_int8,
        attention,
        embed,
        pool,
        select_rows,
        concat,
        normalize,
    )
}
