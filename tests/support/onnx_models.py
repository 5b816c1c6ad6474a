"""Hand-made ONNX files of one tiny BERT, whose parts can be spelled in other ways.

>>> OnnxBert(mask=where_mask, norm=spelled_norm).save(path)    # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

Array = np.ndarray[Any, Any]

VOCABULARY, POSITIONS, TYPES = 40, 24, 2
HIDDEN, HEADS, INNER = 16, 2, 24
EPSILON = 1e-5
LOWEST = float(np.finfo(np.float32).min)


class OnnxBert:
    """Writes the graph node by node. A part is a function that takes the writer, and what it works on."""

    def __init__(
        self,
        *,
        mask: Callable[[OnnxBert], str] | None = None,
        masked: Callable[[OnnxBert, str, str], str] | None = None,
        norm: Callable[[OnnxBert, str, str], str] | None = None,
        gelu: Callable[[OnnxBert, str], str] | None = None,
        attention: Callable[[OnnxBert, str, str, str], str] | None = None,
        embeddings: Callable[[OnnxBert], str] | None = None,
        linear: Callable[[OnnxBert, str, str, int], str] | None = None,
        head: Callable[[OnnxBert, str], dict[str, str]] | None = None,
        layers: int = 1,
        inputs: Sequence[str] = ("input_ids", "attention_mask", "token_type_ids"),
        sizes: Sequence[int | str] = ("batch", "sequence"),
        opset: int = 17,
    ) -> None:
        self.rng = np.random.default_rng(3)
        self.nodes: list[Any] = []
        self.tensors: dict[str, Array] = {}
        self.inputs, self.sizes, self.opset = inputs, sizes, opset
        self.linear_part = linear or matmul_add
        self.norm_part, self.gelu_part = norm or fused_norm, gelu or erf_gelu
        self.masked_part, self.attention_part = masked or added, attention or plain_attention
        x = (embeddings or plain_embeddings)(self)
        self.mask = (mask or additive_mask)(self)
        for index in range(layers):
            x = self._layer(f"layer.{index}", x)
        self.outputs = {"last_hidden_state": x} if head is None else head(self, x)

    def op(self, kind: str, *inputs: str, domain: str = "", outputs: int = 1, **attributes: Any) -> Any:
        """Append a node; returns the name of its output, or of all."""
        from onnx import helper

        names = [f"v{len(self.nodes)}.{index}" for index in range(outputs)]
        self.nodes.append(
            helper.make_node(kind, inputs, names, name=f"n{len(self.nodes)}", domain=domain, **attributes)
        )
        return names[0] if outputs == 1 else names

    def constant(self, value: Any, dtype: Any = None) -> str:
        """Append an initializer: of a float, float32, of an int, int64."""
        array = np.asarray(value, dtype)
        array = array.astype(np.float32) if array.dtype == np.float64 else array
        return self.tensor(f"c{len(self.tensors)}", array)

    def tensor(self, name: str, array: Array) -> str:
        """Append an initializer of a name; the first of a name stays."""
        self.tensors.setdefault(name, array)
        return name

    def weight(self, name: str, *shape: int) -> str:
        """Append a random initializer."""
        if name not in self.tensors:
            rng = np.random.default_rng([*name.encode()])
            self.tensors[name] = rng.normal(0, 0.4, shape).astype(np.float32)
        return name

    def _layer(self, name: str, x: str) -> str:
        context = self.attention_part(self, f"{name}.attention", x, self.mask)
        dense = self.linear_part(self, f"{name}.output", context, HIDDEN)
        x = self.norm_part(self, f"{name}.norm1", self.op("Add", dense, x))
        inner = self.gelu_part(self, self.linear_part(self, f"{name}.inner", x, INNER))
        dense = self.linear_part(self, f"{name}.outer", inner, HIDDEN)
        return self.norm_part(self, f"{name}.norm2", self.op("Add", dense, x))

    def model(self) -> Any:
        """Return the protobuf."""
        from onnx import TensorProto, helper, numpy_helper

        graph = helper.make_graph(
            self.nodes,
            "bert",
            [helper.make_tensor_value_info(name, TensorProto.INT64, [*self.sizes]) for name in self.inputs],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in self.outputs],
            [numpy_helper.from_array(array, name) for name, array in self.tensors.items()],
        )
        graph.node.extend(
            helper.make_node("Identity", [value], [name]) for name, value in self.outputs.items()
        )
        domains = [helper.make_opsetid("", self.opset), helper.make_opsetid("com.microsoft", 1)]
        return helper.make_model(graph, opset_imports=domains, ir_version=8)

    def save(self, path: Path) -> Path:
        """Write the file."""
        pytest.importorskip("onnx")
        path.write_bytes(self.model().SerializeToString())
        return path


def plain_embeddings(bert: OnnxBert) -> str:
    """Words, types if they are an input, and positions by a slice of a buffer."""
    total = bert.op("Gather", bert.weight("word", VOCABULARY, HIDDEN), "input_ids")
    types = "token_type_ids"
    if types not in bert.inputs:
        shape = bert.op("Shape", "input_ids")
        types = bert.op("ConstantOfShape", shape)
        types = bert.op("Cast", types, to=7)
    total = bert.op("Add", total, bert.op("Gather", bert.weight("type", TYPES, HIDDEN), types))
    total = bert.op(
        "Add", total, bert.op("Gather", bert.weight("position", POSITIONS, HIDDEN), sliced_positions(bert))
    )
    return bert.norm_part(bert, "embeddings.norm", total)


def sliced_positions(bert: OnnxBert) -> str:
    """Position ids as a slice of a buffer [1, positions]."""
    buffer = bert.constant(np.arange(POSITIONS)[None])
    length = bert.op("Gather", bert.op("Shape", "input_ids"), bert.constant([1]))
    return bert.op("Slice", buffer, bert.constant([0]), length, bert.constant([1]))


def additive_mask(bert: OnnxBert) -> str:
    """(1 - mask) * lowest, as transformers 4 writes it."""
    if "attention_mask" not in bert.inputs:
        return ""
    wide = bert.op("Unsqueeze", "attention_mask", bert.constant([1, 2]))
    dropped = bert.op("Sub", bert.constant(1.0), bert.op("Cast", wide, to=1))
    return bert.op("Mul", dropped, bert.constant(LOWEST))


def added(bert: OnnxBert, scores: str, mask: str) -> str:
    """Scores plus mask."""
    return bert.op("Add", scores, mask) if mask else scores


def fused_norm(bert: OnnxBert, name: str, x: str) -> str:
    """The operator LayerNormalization."""
    return bert.op("LayerNormalization", x, *norm_weights(bert, name), axis=-1, epsilon=EPSILON)


def norm_weights(bert: OnnxBert, name: str) -> tuple[str, str]:
    """The scale and the bias of a layer norm."""
    return bert.weight(f"{name}.weight", HIDDEN), bert.weight(f"{name}.bias", HIDDEN)


def matmul_add(bert: OnnxBert, name: str, x: str, out: int) -> str:
    """A linear layer as MatMul and Add."""
    width = {f"{part}": INNER for part in ("outer",)}.get(name.rsplit(".", 1)[-1], HIDDEN)
    product = bert.op("MatMul", x, bert.weight(f"{name}.weight", width, out))
    return bert.op("Add", bert.weight(f"{name}.bias", out), product)


def erf_gelu(bert: OnnxBert, x: str) -> str:
    """GELU as torch exports it to opset 17."""
    inner = bert.op("Erf", bert.op("Div", x, bert.constant(float(np.sqrt(2)))))
    product = bert.op("Mul", x, bert.op("Add", inner, bert.constant(1.0)))
    return bert.op("Mul", product, bert.constant(0.5))


def split_heads(bert: OnnxBert, x: str, *perm: int) -> str:
    """[batch, length, hidden] as heads, their axes in an order."""
    shape = bert.constant([0, 0, HEADS, HIDDEN // HEADS])
    return bert.op("Transpose", bert.op("Reshape", x, shape), perm=list(perm))


def plain_attention(bert: OnnxBert, name: str, x: str, mask: str) -> str:
    """Three linear layers, scores over their root, a mask, softmax, and the mix."""
    query, key, value = (
        bert.linear_part(bert, f"{name}.{part}", x, HIDDEN) for part in ("query", "key", "value")
    )
    q, v = (split_heads(bert, each, 0, 2, 1, 3) for each in (query, value))
    scores = bert.op("MatMul", q, split_heads(bert, key, 0, 2, 3, 1))
    scores = bert.op("Div", scores, bert.constant(float(np.sqrt(HIDDEN / HEADS))))
    weights = bert.op("Softmax", bert.masked_part(bert, scores, mask), axis=-1)
    mixed = bert.op("Transpose", bert.op("MatMul", weights, v), perm=[0, 2, 1, 3])
    return bert.op("Reshape", mixed, bert.constant([0, 0, HIDDEN]))
