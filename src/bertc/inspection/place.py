"""Where a node runs, and why not in the native core: the one place that knows."""

from __future__ import annotations

import json
from typing import NamedTuple

from bertc.ir.graph import Node

NATIVE, HOST = "native", "host"


class Place(NamedTuple):
    """Where a node runs."""

    name: str
    why: str = ""


def place_of(node: Node) -> Place:
    """Return where a node runs: nodes of the op ``host`` say in their region why they do."""
    if node.op != HOST:
        return Place(NATIVE)
    region = json.loads(str(node.attributes.get("region", "{}")))
    return Place(HOST, str(region.get("reason", "")))
