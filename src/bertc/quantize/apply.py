"""The pass that gives a fused graph its dtypes: fused -> typed.

A linear layer in bf16 or int8 wants its input in that form. Whoever produces the input makes the
form as a by-product where it can (layer norm writes it beside the plain result; when nobody wants
float32, attention and linear layers write bf16 instead, and those in int8 also 8 bits whose scale is
known in advance); else a conversion follows.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType

from bertc.errors import GraphError
from bertc.ir.graph import Attribute, Graph, Node
from bertc.ir.verifier import verify
from bertc.precision import BF16, FP32, INT8, PRECISIONS, WEIGHT_BITS
from bertc.quantize.constants import RoundedWeight, StaticScale, TypedConstants
from bertc.quantize.precisions import choose_precisions
from bertc.recipe import Recipe

_EITHER = f"{BF16} or {FP32}"
"""The form of an input that attention takes."""


def apply_recipe(graph: Graph, recipe: Recipe) -> Graph:
    """Return the typed graph of a fused one.

    Raises ``RecipeError`` if the recipe does not fit the graph, ``GraphError`` if it is not fused.
    """
    return apply_precisions(graph, choose_precisions(graph, recipe))


def apply_precisions(
    graph: Graph,
    precisions: Mapping[str, str],
    rounded: Mapping[str, RoundedWeight] | None = None,
    static: Mapping[str, StaticScale] | None = None,
) -> Graph:
    """Return the typed graph of a fused one, nodes in the precisions that ``choose_precisions`` names.

    ``rounded`` has weights of int8 layers by name; those that are not in it are rounded to nearest.
    ``static`` has scales of values that enter int8 layers; others get one for each row as they come.
    Raises ``GraphError`` if the graph is not fused.
    """
    if graph.stage != "fused":
        raise GraphError(f"a recipe applies to a fused graph, this one is {graph.stage}")
    typer = _Typer(graph, precisions, TypedConstants(graph, precisions, rounded), static or {})
    for node in graph.nodes:
        typer.emit(node)
    typed = graph.with_nodes(typer.nodes, constants=typer.constants.made, stage="typed")
    verify(typed)
    return typed


class _Typer:
    """Walks the fused nodes in order, and writes the typed ones."""

    def __init__(
        self,
        graph: Graph,
        precisions: Mapping[str, str],
        constants: TypedConstants,
        static: Mapping[str, StaticScale],
    ) -> None:
        self.nodes: list[Node] = []
        self.constants = constants
        self._static = static
        self._graph = graph
        self._precisions = precisions
        self._consumers = graph.consumers()
        self._outputs = set(graph.outputs.values())
        self._bf16: dict[str, str] = {}
        """The bf16 form of each value that has one; a value itself, if it has no other."""
        self._quantized: dict[str, tuple[str, str, str]] = {}
        """The 8-bit form of each value that has one: numbers, scales, zero points."""

    def emit(self, node: Node) -> None:
        """Write the typed form of a node, then the conversions that its result still needs."""
        rules = {
            "embed": self._embed,
            "layer_norm": self._layer_norm,
            "channel_affine": self._channel_affine,
            "linear": self._linear,
            "attention_qkv": self._attention,
        }
        rules.get(node.op, self._plain)(node)
        for value in node.outputs:
            wanted = self._wanted(value)
            if BF16 in wanted and value not in self._bf16:
                self._convert(value, "cast_bf16", self._bf16_form(value))
            if INT8 in wanted and value not in self._quantized:
                self._quantize_rows(value, value)

    def _wanted(self, value: str) -> set[str]:
        """Return the forms in which consumers of ``value`` take it."""
        wanted = {FP32} if value in self._outputs else set()
        for node in self._consumers.get(value, ()):
            precision = PRECISIONS[self._precisions.get(node.name, FP32)].form
            if node.op == "linear":
                wanted.update({precision} if node.inputs[0] == value else ())
                wanted.update({FP32} if node.inputs[3] == value else ())
            elif node.op == "attention_qkv" and precision != FP32:
                wanted.add(_EITHER)
            else:
                wanted.add(FP32)
        return wanted

    def _plain(self, node: Node) -> None:
        """Write the node as it is, its constants in fp32."""
        for value in node.inputs:
            if value in self._graph.constants:
                self.constants.f32(value)
        self.nodes.append(node)

    def _layer_norm(self, node: Node) -> None:
        (value,) = node.outputs
        wanted = self._wanted(value)
        affine = next((n for n in self._consumers.get(value, ()) if n.op == "channel_affine"), None)
        if affine is not None or INT8 in wanted:
            quantized, *vectors = (*affine.outputs, *affine.inputs[1:]) if affine else (value, "", "")
            inputs = (*node.inputs, *self._how(quantized, *vectors))
            outputs = (value, *self._int8_form(quantized))
            node = dataclasses.replace(node, op="layer_norm_quantize", inputs=inputs, outputs=outputs)
        elif BF16 in wanted:
            node = dataclasses.replace(node, op="layer_norm_bf16", outputs=(value, self._bf16_form(value)))
        self._plain(node)

    def _channel_affine(self, node: Node) -> None:
        """Write nothing if the layer norm before has written the result in 8 bits, else a conversion."""
        (value,) = node.outputs
        if self._wanted(value) != {INT8}:
            raise GraphError(f"node {node.name!r}: only linear layers in int8 can follow channel_affine")
        if value not in self._quantized:
            self._quantize_rows(value, *node.inputs)

    def _linear(self, node: Node) -> None:
        precision = self._precisions[node.name]
        x, weight, bias, residual = node.inputs
        if precision == FP32:
            self._plain(node)
            return
        operands: tuple[str, ...]
        if precision == BF16:
            operands = (self._bf16[x], self.constants.bf16(weight))
        else:
            operands = (*self._quantized[x], *self.constants.int8(weight, WEIGHT_BITS[precision]))
        operands = (*operands, self.constants.f32(bias), residual)
        self._append_result(node, f"linear_{PRECISIONS[precision].form}", operands)

    def _attention(self, node: Node) -> None:
        precision = self._precisions[node.name]
        if precision == FP32:
            self._plain(node)
            return
        self._append_result(node, node.op, node.inputs, compute_dtype=PRECISIONS[precision].form)

    def _embed(self, node: Node) -> None:
        """Give words in 8 bits a scale per row, as Guan et al. 2019, arXiv:1911.02079, do in 4 bits."""
        precision = self._precisions[node.name]
        if precision == FP32:
            self._plain(node)
            return
        *ids, word, _, position, token_type = node.inputs
        words = self.constants.int8(word) if precision == INT8 else (self.constants.f16(word), "")
        self._append(
            node, "embed", (*ids, *words, self.constants.f16(position), self.constants.f16(token_type))
        )

    def _append_result(self, node: Node, op: str, inputs: tuple[str, ...], **attributes: Attribute) -> None:
        """Write the node, its result in the form that all consumers take, if it can; else in float32."""
        (value,) = node.outputs
        wanted = set() if node.op == "linear" and node.inputs[3] else self._wanted(value)
        out_dtype = "f32"
        if wanted and wanted <= {BF16, _EITHER}:
            self._bf16[value] = value
            out_dtype = "bf16"
        elif wanted == {INT8} and value in self._static and op != f"linear_{BF16}":
            numbers, scale, zero_point = self._int8_form(value)
            self.constants.shared(scale, zero_point, self._static[value])
            inputs = (*inputs, self.constants.static(value, self._static[value]))
            node = dataclasses.replace(node, outputs=(numbers,))
            out_dtype = "u8"
        self._append(node, op, inputs, **attributes, out_dtype=out_dtype)

    def _bf16_form(self, value: str) -> str:
        self._bf16[value] = f"{value}.bf16"
        return self._bf16[value]

    def _int8_form(self, value: str) -> tuple[str, str, str]:
        self._quantized[value] = (f"{value}.q", f"{value}.scale", f"{value}.zero_point")
        return self._quantized[value]

    def _how(self, value: str, multiplier: str = "", offset: str = "") -> tuple[str, ...]:
        """Return the last operands of the op that writes ``value`` in 8 bits."""
        vectors = [self.constants.f32(vector) if vector else "" for vector in (multiplier, offset)]
        if value in self._static:
            return (*vectors, self.constants.static(value, self._static[value]))
        return tuple(vectors) if multiplier else ()

    def _quantize_rows(self, value: str, x: str, *vectors: str) -> None:
        inputs = (x, *self._how(value, *vectors))
        self.nodes.append(Node(f"{value}.quantize_rows", "quantize_rows", inputs, self._int8_form(value)))

    def _convert(self, value: str, op: str, *outputs: str) -> None:
        self.nodes.append(Node(f"{value}.{op}", op, (value,), outputs))

    def _append(self, node: Node, op: str, inputs: tuple[str, ...], **attributes: Attribute) -> None:
        changed = MappingProxyType({**node.attributes, **attributes})
        self.nodes.append(dataclasses.replace(node, op=op, inputs=inputs, attributes=changed))
