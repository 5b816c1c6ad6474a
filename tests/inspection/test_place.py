from __future__ import annotations

import json

from bertc.inspection.place import place_of
from bertc.ir.graph import Node


def test_an_op_with_a_kernel_runs_in_the_native_core() -> None:
    assert place_of(Node("a", "linear", {}, ("a",))) == ("native", "")


def test_a_step_on_the_host_says_why() -> None:
    nodes = [{"source": "'a' (Conv)"}, {"source": "'b' (Add)"}, {"source": "'a' (Conv)"}]
    region = json.dumps({"nodes": nodes, "reason": "no op does this"})
    node = Node("a", "host", {}, ("a",), {"region": region})
    assert place_of(node) == ("host", "no op does this: 'a' (Conv), 'b' (Add)")
