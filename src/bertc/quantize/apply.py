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
from bertc.ir.verifier import verify
from bertc.quantize.constants import RoundedWeight, StaticScale, TypedConstants
from bertc.quantize.precisions import WEIGHT_BITS, choose_precisions
from bertc.recipe import Recipe

_FORMS = {"int8": "int8", "int7": "int8", "bf16": "bf16"}
"""Precision -> the name of a linear op, of its input's form and of attention's."""

_EITHER = "bf16 or fp32"
"""What attention takes as its input."""


def apply_recipe(graph: Graph, recipe: Recipe) -> Graph:
    """The typed graph of a fused one.

    Raises ``RecipeError`` if the recipe does not fit the graph, ``GraphError`` if it is not fused.
    """
    return apply_precisions(graph, choose_precisions(graph, recipe))


def apply_precisions(
    graph: Graph,
    precisions: Mapping[str, str],
    rounded: Mapping[str, RoundedWeight] | None = None,
    static: Mapping[str, StaticScale] | None = None,
) -> Graph:
    """The typed graph of a fused one, its nodes in the precisions that ``choose_precisions`` names.

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
        """Value -> the value that is its bf16 form; itself, if it has no other."""
        self._quantized: dict[str, tuple[str, str, str]] = {}
        """Value -> its 8-bit form: numbers, scales, zero points."""

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
            if "bf16" in wanted and value not in self._bf16:
                self._convert(value, "cast_bf16", self._bf16_form(value))
            if "int8" in wanted and value not in self._quantized:
                self._quantize_rows(value, value)

    def _wanted(self, value: str) -> set[str]:
        """The forms in which consumers of ``value`` take it."""
        wanted = {"fp32"} if value in self._outputs else set()
        for node in self._consumers.get(value, ()):
            precision = _FORMS.get(self._precisions.get(node.name, "fp32"), "fp32")
            if node.op == "linear":
                wanted.update({precision} if node["x"] == value else ())
                wanted.update({"fp32"} if node["residual"] == value else ())
            elif node.op == "attention_qkv" and precision != "fp32":
                wanted.add(_EITHER)
            else:
                wanted.add("fp32")
        return wanted

    def _plain(self, node: Node) -> None:
        """The node as it is, its constants in fp32."""
        for value in node.inputs.values():
            if value in self._graph.constants:
                self.constants.f32(value)
        self.nodes.append(node)

    def _layer_norm(self, node: Node) -> None:
        (value,) = node.outputs
        wanted = self._wanted(value)
        affine = next((n for n in self._consumers.get(value, ()) if n.op == "channel_affine"), None)
        if affine is not None or "int8" in wanted:
            quantized = affine.outputs[0] if affine else value
            outputs = (value, *self._int8_form(quantized))
            node = dataclasses.replace(node, op="layer_norm_quantize", outputs=outputs)
            node = node.with_inputs(**self._rounding(quantized, affine))
        elif "bf16" in wanted:
            node = dataclasses.replace(node, op="layer_norm_bf16", outputs=(value, self._bf16_form(value)))
        self._plain(node)

    def _channel_affine(self, node: Node) -> None:
        """Part of what writes its result in 8 bits: the layer norm before it has done so, or a conversion."""
        (value,) = node.outputs
        if self._wanted(value) != {"int8"}:
            raise GraphError(f"node {node.name!r}: only linear layers in int8 can follow channel_affine")
        if value not in self._quantized:
            self._quantize_rows(value, node["x"], node)

    def _linear(self, node: Node) -> None:
        precision = self._precisions[node.name]
        if precision == "fp32":
            self._plain(node)
            return
        if precision == "bf16":
            operands = {"x": self._bf16[node["x"]], "weight": self.constants.bf16(node["weight"])}
        else:
            operands = dict(zip(("x", "scale", "zero_point"), self._quantized[node["x"]], strict=True))
            weight, scale = self.constants.int8(node["weight"], WEIGHT_BITS[precision])
            operands.update(weight=weight, weight_scale=scale)
        self.constants.f32(node["bias"])
        self._append_result(node.with_inputs(**operands), f"linear_{_FORMS[precision]}")

    def _attention(self, node: Node) -> None:
        precision = self._precisions[node.name]
        if precision == "fp32":
            self._plain(node)
            return
        self._append_result(node.with_attributes(compute_dtype=_FORMS[precision]), node.op)

    def _embed(self, node: Node) -> None:
        """Words in 8 bits have a scale per row, as Guan et al. 2019, arXiv:1911.02079, have them in 4."""
        precision = self._precisions[node.name]
        if precision == "fp32":
            self._plain(node)
            return
        word = node["word"]
        words, scale = self.constants.int8(word) if precision == "int8" else (self.constants.f16(word), "")
        others = {name: self.constants.f16(node[name]) for name in ("position", "token_type")}
        self.nodes.append(node.with_inputs(word=words, word_scale=scale, **others))

    def _append_result(self, node: Node, op: str) -> None:
        """The node, its result in the form that all consumers take, if it can write that; else float32."""
        (value,) = node.outputs
        wanted = set() if node["residual"] else self._wanted(value)
        out_dtype = "f32"
        if wanted and wanted <= {"bf16", _EITHER}:
            self._bf16[value] = value
            out_dtype = "bf16"
        elif wanted == {"int8"} and value in self._static and op != "linear_bf16":
            numbers, scale, zero_point = self._int8_form(value)
            self.constants.shared(scale, zero_point, self._static[value])
            node = node.with_inputs(static=self.constants.static(value, self._static[value]))
            node = dataclasses.replace(node, outputs=(numbers,))
            out_dtype = "u8"
        self.nodes.append(dataclasses.replace(node, op=op).with_attributes(out_dtype=out_dtype))

    def _bf16_form(self, value: str) -> str:
        self._bf16[value] = f"{value}.bf16"
        return self._bf16[value]

    def _int8_form(self, value: str) -> tuple[str, str, str]:
        self._quantized[value] = (f"{value}.q", f"{value}.scale", f"{value}.zero_point")
        return self._quantized[value]

    def _rounding(self, value: str, affine: Node | None) -> dict[str, str]:
        """The operands that say how ``value`` is written in 8 bits; ``affine`` makes it, if it is there."""
        operands = {}
        if affine is not None:
            operands = {name: self.constants.f32(affine[name]) for name in ("multiplier", "offset")}
        if value in self._static:
            operands["static"] = self.constants.static(value, self._static[value])
        return operands

    def _quantize_rows(self, value: str, x: str, affine: Node | None = None) -> None:
        inputs = {"x": x, **self._rounding(value, affine)}
        self.nodes.append(Node(f"{value}.quantize_rows", "quantize_rows", inputs, self._int8_form(value)))

    def _convert(self, value: str, op: str, *outputs: str) -> None:
        self.nodes.append(Node(f"{value}.{op}", op, {"x": value}, outputs))
