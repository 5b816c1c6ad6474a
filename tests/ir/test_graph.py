from __future__ import annotations

import pytest

from bertc.ir.graph import DType, Node, TensorType
from bertc.ports import Port

NODE = Node("dense", "linear", {"x": "x", "weight": "w", "bias": "b"}, ("y",), {"activation": "none"})


def test_an_absent_operand_reads_as_no_name() -> None:
    assert (NODE["weight"], NODE["residual"]) == ("w", "")


def test_inputs_and_attributes_are_changed_in_a_copy() -> None:
    changed = NODE.with_inputs(x="z", residual="r", bias="").with_attributes(activation="gelu")
    assert changed.inputs == {"x": "z", "weight": "w", "residual": "r"}
    assert (changed.attributes, changed.name, changed.outputs) == ({"activation": "gelu"}, "dense", ("y",))
    assert NODE.inputs == {"x": "x", "weight": "w", "bias": "b"}


def test_a_node_is_no_sequence() -> None:
    """Else ``in`` would ask it for the operands 0, 1, 2, ..., none of which is missing."""
    with pytest.raises(TypeError, match="not iterable"):
        "x" in NODE  # type: ignore[operator]  # noqa: B015


@pytest.mark.parametrize(
    ("port", "shape"),
    [
        (Port("input_ids", "i32", "tokens"), ("tokens",)),
        (Port("inputs_embeds", "f32", "tokens", 8), ("tokens", 8)),
        (Port("logits", "f32", "selected", 30), ("selected", 30)),
    ],
)
def test_the_type_of_a_port_has_its_rows_and_columns(port: Port, shape: tuple[object, ...]) -> None:
    assert TensorType.of_port(port) == TensorType(DType(port.dtype), shape)  # type: ignore[arg-type]
