from __future__ import annotations

from bertc.inspection.place import place_of
from bertc.ir.graph import Node
from bertc.primitives.region import Call, Region


def test_an_op_with_a_kernel_runs_in_the_native_core() -> None:
    assert place_of(Node("a", "linear", {}, ("a",))) == ("native", "")


def test_a_step_on_the_host_says_why() -> None:
    sources = "'a' (Conv)", "'b' (Add)", "'a' (Conv)"
    calls = tuple(Call("add", ("x", "x"), "y", {}, source) for source in sources)
    region = Region({}, {}, calls, "y", "no op does this")
    node = Node("a", "host", {}, ("a",), {"region": region.to_json()})
    assert place_of(node) == ("host", "no op does this: 'a' (Conv), 'b' (Add)")
