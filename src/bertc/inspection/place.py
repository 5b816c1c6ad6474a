"""Where a node runs, and why not in the native core: the one place that knows."""

from __future__ import annotations

from typing import NamedTuple

from bertc.ir.graph import Node
from bertc.ports import HOST
from bertc.primitives.region import Region

NATIVE = "native"
NOWHERE = "nowhere"


class Place(NamedTuple):
    """Where a node runs."""

    name: str
    why: str = ""


def place_of(node: Node) -> Place:
    """Return where a node runs; the region of one on the host has a reason, and the nodes of the source."""
    if node.op != HOST:
        return Place(NATIVE)
    region = Region.from_json(str(node.attributes["region"]))
    return Place(HOST, f"{region.reason}: {', '.join(region.sources)}")
