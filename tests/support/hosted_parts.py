"""Parts of a tiny BERT that no native op computes, as ONNX spells them."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from tests.support import onnx_models as parts
from tests.support.onnx_models import HEADS, HIDDEN, LOWEST, VOCABULARY, OnnxBert
from tests.support.tiny_models import make_tokenizer


def square(bert: OnnxBert, name: str, x: str, out: int) -> str:
    product = parts.matmul_add(bert, name, x, out)
    return str(bert.op("Mul", product, product)) if name.endswith("inner") else product


def gate(bert: OnnxBert, name: str, x: str, out: int) -> str:
    """The tanh of one linear layer times the sigmoid of another: an op has one activation."""
    product = parts.matmul_add(bert, name, x, out)
    if not name.endswith("inner"):
        return product
    other = bert.op("Sigmoid", parts.matmul_add(bert, f"{name}.gate", x, out))
    return str(bert.op("Mul", bert.op("Tanh", product), other))


def sine(bert: OnnxBert, x: str) -> str:
    return str(bert.op("Sin", x))


def l1_norm(bert: OnnxBert, name: str, x: str) -> str:
    mean = bert.op("ReduceMean", bert.op("Abs", x), axes=[-1], keepdims=1)
    size = bert.op("Add", mean, bert.constant(1e-5))
    return str(bert.op("Mul", bert.op("Div", x, size), bert.weight(f"{name}.gain", HIDDEN)))


def causal(bert: OnnxBert) -> str:
    shape = bert.op("Shape", "input_ids")
    length = bert.op("Gather", shape, bert.constant([1]))
    square = bert.op("ConstantOfShape", bert.op("Concat", length, length, axis=0))
    upper = bert.op("Trilu", bert.op("Add", square, bert.constant(1.0)), bert.constant(1))
    return str(bert.op("Mul", upper, bert.constant(LOWEST)))


def rotary(bert: OnnxBert, name: str, x: str, mask: str, *, values: bool = False) -> str:
    """Attention whose queries and keys are turned by their positions (RoFormer, arXiv:2104.09864, eq. 34).

    There is an op for that, but none for the variant that turns the ``values`` too (``rotary_value``).
    """
    query, key, value = (
        parts.split_heads(bert, bert.linear_part(bert, f"{name}.{part}", x, HIDDEN), 0, 2, 1, 3)
        for part in ("query", "key", "value")
    )
    size = HIDDEN // HEADS
    length = bert.op("Squeeze", bert.op("Gather", bert.op("Shape", "input_ids"), bert.constant([1])))
    places = bert.op("Cast", bert.op("Range", bert.constant(0), length, bert.constant(1)), to=1)
    rates = 10000.0 ** (-np.arange(0, size, 2) / size)
    angles = bert.op("Mul", bert.op("Unsqueeze", places, bert.constant([1])), bert.constant(rates))
    both = bert.op("Concat", angles, angles, axis=1)
    cos, sin = bert.op("Cos", both), bert.op("Sin", both)

    def turned(rows: str) -> str:
        ends, axis = (bert.constant([each]) for each in (0, size // 2, size)), bert.constant([3])
        start, middle, end = ends
        first, second = (bert.op("Slice", rows, a, b, axis) for a, b in ((start, middle), (middle, end)))
        half = bert.op("Concat", bert.op("Neg", second), first, axis=3)
        return str(bert.op("Add", bert.op("Mul", rows, cos), bert.op("Mul", half, sin)))

    across = bert.op("Transpose", turned(key), perm=[0, 1, 3, 2])
    scores = bert.op("Div", bert.op("MatMul", turned(query), across), bert.constant(size**0.5))
    weights = bert.op("Softmax", bert.masked_part(bert, scores, mask), axis=-1)
    mixed = bert.op("MatMul", weights, turned(value) if values else value)
    mixed = bert.op("Transpose", mixed, perm=[0, 2, 1, 3])
    return str(bert.op("Reshape", mixed, bert.constant([0, 0, HIDDEN])))


def _mask(bert: OnnxBert, to: int) -> str:
    return str(bert.op("Unsqueeze", bert.op("Cast", "attention_mask", to=to), bert.constant([2])))


def convolution(bert: OnnxBert, x: str, **attributes: Any) -> str:
    """A convolution of three tokens, to which padding is zeros."""
    turned = bert.op("Transpose", bert.op("Mul", x, _mask(bert, 1)), perm=[0, 2, 1])
    group = attributes.get("group", 1)
    weight = bert.weight(f"conv{len(bert.nodes)}", HIDDEN, HIDDEN // group, 3)
    conv = bert.op("Conv", turned, weight, bert.weight("conv.bias", HIDDEN), pads=[1, 1], **attributes)
    return str(bert.op("Transpose", conv, perm=[0, 2, 1]))


def convolved(bert: OnnxBert, x: str) -> dict[str, str]:
    total = bert.op("Add", convolution(bert, x), x)
    return {"last_hidden_state": parts.fused_norm(bert, "conv.norm", bert.op("Relu", total))}


def convolved_apart(bert: OnnxBert, x: str) -> dict[str, str]:
    return {"last_hidden_state": convolution(bert, x, group=HIDDEN)}


def least(bert: OnnxBert, x: str) -> dict[str, str]:
    """The minimum over tokens that are no padding."""
    kept = bert.op("Where", _mask(bert, 9), x, bert.constant(1e4))
    return {"sentence_embedding": bert.op("ReduceMin", kept, axes=[1], keepdims=0)}


def standard_deviation(bert: OnnxBert, x: str) -> dict[str, str]:
    """A statistic over tokens by their mask, then a linear layer."""
    mask = _mask(bert, 1)
    count = bert.op("ReduceSum", mask, bert.constant([1]), keepdims=1)
    mean = bert.op(
        "Div", bert.op("ReduceSum", bert.op("Mul", x, mask), bert.constant([1]), keepdims=1), count
    )
    squares = bert.op("Pow", bert.op("Mul", bert.op("Sub", x, mean), mask), bert.constant(2.0))
    spread = bert.op("Div", bert.op("ReduceSum", squares, bert.constant([1]), keepdims=1), count)
    return {"logits": parts.matmul_add(bert, "head", bert.op("Squeeze", spread, bert.constant([1])), 3)}


def sum_of_layers(bert: OnnxBert, x: str) -> dict[str, str]:
    """Two norms that are added, and an activation that is after no linear layer."""
    other = parts.fused_norm(bert, "again", x)
    return {"last_hidden_state": bert.op("Tanh", bert.op("Add", x, other))}


CASES: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "square": ({"linear": square}, ("Mul",)),
    "gate": ({"linear": gate}, ("Mul",)),
    "sine": ({"gelu": sine}, ("Sin",)),
    "l1_norm": ({"norm": l1_norm}, ("ReduceMean",)),
    "causal": ({"mask": causal}, ("Trilu", "Softmax", "MatMul")),
    "rotary values": ({"attention": partial(rotary, values=True)}, ("Slice", "Neg", "Softmax", "MatMul")),
    "convolution": ({"head": convolved}, ("Conv", "Transpose", "Relu")),
    "depthwise": ({"head": convolved_apart}, ("Conv",)),
    "least": ({"head": least}, ("Where", "ReduceMin")),
    "deviation": ({"head": standard_deviation}, ("Sub", "Pow")),
    "layers": ({"head": sum_of_layers, "layers": 2}, ("Add", "Tanh")),
    "every layer": ({"gelu": sine, "norm": l1_norm, "layers": 3}, ("Sin",)),
}
"""Parts of a tiny BERT that there is no op for, and operators that the host runs for them."""

ALL = {"linear": gate, "gelu": sine, "norm": l1_norm, "mask": causal, "head": convolved, "layers": 2}
"""Many of them in one model."""


def save_with_tokenizer(folder: Path, **changes: Any) -> Path:
    """Write a model and its tokenizer to a new folder; return the path of the model."""
    folder.mkdir()
    make_tokenizer(VOCABULARY).save(str(folder / "tokenizer.json"))
    return OnnxBert(**changes).save(folder / "model.onnx")
