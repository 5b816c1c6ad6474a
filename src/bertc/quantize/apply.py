"""The pass that gives a fused graph its dtypes: fused -> typed.

A linear layer in bf16 or int8 wants its input in that form. Whoever produces the input makes the
form as a by-product where it can (layer norm writes it beside the plain result; when nobody wants
float32, attention and linear layers write bf16 instead, and those in int8 also 8 bits whose scale is
known in advance); else a conversion follows.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from bertc.errors import GraphError
from bertc.ir.graph import Graph, Node
from bertc.ir.ops import OPS
from bertc.ir.reference import TABLES
from bertc.ir.verifier import verify
from bertc.ports import CU_SEQLENS
from bertc.precision import BF16, FP32, INT8, PRECISIONS, WEIGHT_BITS
from bertc.quantize.constants import RoundedWeight, StaticScale, TypedConstants
from bertc.quantize.precisions import choose_precisions
from bertc.recipe import Recipe

_BF16_OR_FP32 = f"{BF16} or {FP32}"
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
    for port in graph.inputs:
        if port.columns:
            typer.convert(port.name)
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
            "attention": self._attention,
        }
        rules.get(node.op, self._plain)(node)
        for value in node.outputs:
            self.convert(value)

    def convert(self, value: str) -> None:
        """Write the conversions of a value that its consumers need and nothing has made."""
        wanted = self._wanted(value)
        if BF16 in wanted and value not in self._bf16:
            outputs = (self._bf16_form(value),)
            self.nodes.append(Node(f"{value}.cast_bf16", "cast_bf16", {"x": value}, outputs))
        if INT8 in wanted and value not in self._quantized:
            self._quantize_rows(value, value)

    def _wanted(self, value: str) -> set[str]:
        """Return the forms in which consumers of ``value`` take it."""
        wanted = {FP32} if value in self._outputs else set()
        for node in self._consumers.get(value, ()):
            precision = PRECISIONS[self._precisions.get(node.name, FP32)].form
            if node.op == "linear":
                wanted.update({precision} if node["x"] == value else ())
                wanted.update({FP32} if node["residual"] == value else ())
            elif node.op == "attention" and precision != FP32:
                wanted.add(_BF16_OR_FP32)
            else:
                wanted.add(FP32)
        return wanted

    def _plain(self, node: Node) -> None:
        """Write the node as it is, its constants in fp32."""
        for value in node.inputs.values():
            if value in self._graph.constants:
                self.constants.f32(value)
        self.nodes.append(node)

    def _layer_norm(self, node: Node) -> None:
        (value,) = node.outputs
        wanted = self._wanted(value)
        affine = next((n for n in self._consumers.get(value, ()) if n.op == "channel_affine"), None)
        if affine is not None or INT8 in wanted:
            quantized = affine.outputs[0] if affine else value
            outputs = (value, *self._int8_form(quantized))
            node = dataclasses.replace(node, op="layer_norm_quantize", outputs=outputs)
            node = node.with_inputs(**self._rounding(quantized, affine))
            node = node.with_attributes(**(affine.attributes if affine else {}))
        elif BF16 in wanted:
            node = dataclasses.replace(node, op="layer_norm_bf16", outputs=(value, self._bf16_form(value)))
        self._plain(node)

    def _channel_affine(self, node: Node) -> None:
        """Write nothing if the layer norm before has written the result in 8 bits, else a conversion."""
        (value,) = node.outputs
        if self._wanted(value) != {INT8}:
            raise GraphError(f"node {node.name!r}: only linear layers in int8 can follow channel_affine")
        if value not in self._quantized:
            self._quantize_rows(value, node["x"], node)

    def _linear(self, node: Node) -> None:
        precision = self._precisions[node.name]
        if precision == FP32:
            self._plain(node)
            return
        if precision == BF16:
            operands = {"x": self._bf16[node["x"]], "weight": self.constants.bf16(node["weight"])}
        else:
            operands = dict(zip(("x", "scale", "zero_point"), self._quantized[node["x"]], strict=True))
            weight, scale = self.constants.int8(node["weight"], WEIGHT_BITS[precision])
            operands.update(weight=weight, weight_scale=scale)
        for bias in ("bias", "first_bias", "last_bias"):
            if node[bias]:
                self.constants.f32(node[bias])
        self._append_result(node.with_inputs(**operands), OPS[node.op].forms[PRECISIONS[precision].form])

    def _attention(self, node: Node) -> None:
        precision = self._precisions[node.name]
        if precision == FP32:
            self._plain(node)
            return
        for operand in ("distance_bias", "slopes", "rotary", "buckets"):
            if node[operand]:
                self.constants.f32(node[operand])
        tables = [name for name in ("position_keys", "position_queries") if node[name]]
        node = node.with_inputs(**{name: self.constants.bf16(node[name]) for name in tables})
        self._append_result(node.with_attributes(compute_dtype=PRECISIONS[precision].form), node.op)

    def _embed(self, node: Node) -> None:
        """Give words in 8 bits a scale per row, as Guan et al. 2019, arXiv:1911.02079, do in 4 bits."""
        precision = self._precisions[node.name]
        if precision == FP32:
            self._plain(node)
            return
        tables = {name: node[name] for name in TABLES if name in node.inputs}
        typed = {name: self.constants.f16(table) for name, table in tables.items() if name != "word"}
        if "word" in tables and precision == INT8:
            typed["word"], typed["word_scale"] = self.constants.int8(tables["word"])
        elif "word" in tables:
            typed["word"] = self.constants.f16(tables["word"])
        self.nodes.append(node.with_inputs(**typed))

    def _append_result(self, node: Node, op: str) -> None:
        """Write the node, its result in the form that all consumers take, if it can; else in float32."""
        (value,) = node.outputs
        wanted = set() if node["residual"] else self._wanted(value)
        out_dtype = "f32"
        if wanted and wanted <= {BF16, _BF16_OR_FP32}:
            self._bf16[value] = value
            out_dtype = "bf16"
        elif (stored := self._stored(value, wanted)) is not None and OPS[op].stores("u8"):
            stored_value, affine = stored
            numbers, scale, zero_point = self._int8_form(stored_value)
            self.constants.for_all_rows(scale, zero_point, self._static[stored_value])
            node = node.with_inputs(**self._rounding(stored_value, affine))
            node = dataclasses.replace(node, outputs=(numbers,))
            out_dtype = "u8"
        self.nodes.append(dataclasses.replace(node, op=op).with_attributes(out_dtype=out_dtype))

    def _stored(self, value: str, wanted: set[str]) -> tuple[str, Node | None] | None:
        """Return what is stored of a value in 8 bits alone by a static scale: it, or a shift by place."""
        readers = self._consumers.get(value, ())
        if len(readers) == 1 and readers[0].op == "channel_affine" and value not in self._outputs:
            (affine,) = readers
            by_place = not (affine["multiplier"] or affine["offset"])
            return (affine.outputs[0], affine) if by_place and affine.outputs[0] in self._static else None
        return (value, None) if wanted == {INT8} and value in self._static else None

    def _bf16_form(self, value: str) -> str:
        self._bf16[value] = f"{value}.bf16"
        return self._bf16[value]

    def _int8_form(self, value: str) -> tuple[str, str, str]:
        self._quantized[value] = (f"{value}.q", f"{value}.scale", f"{value}.zero_point")
        return self._quantized[value]

    def _rounding(self, value: str, affine: Node | None) -> dict[str, str]:
        """Return the operands that say how ``value`` is written in 8 bits; ``affine`` makes it, if given."""
        operands = dict(affine.inputs) if affine is not None else {}
        operands.pop("x", None)
        for vector in operands.values():
            if vector != CU_SEQLENS:
                self.constants.f32(vector)
        if value in self._static:
            operands["static"] = self.constants.static(value, self._static[value])
        return operands

    def _quantize_rows(self, value: str, x: str, affine: Node | None = None) -> None:
        inputs = {"x": x, **self._rounding(value, affine)}
        attributes = affine.attributes if affine else {}
        form = self._int8_form(value)
        self.nodes.append(Node(f"{value}.quantize_rows", "quantize_rows", inputs, form, attributes))
