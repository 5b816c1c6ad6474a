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
    """Return where a node runs; the region of one on the host has a reason, and the nodes of the source."""
    if node.op != HOST:
        return Place(NATIVE)
    region = json.loads(str(node.attributes["region"]))
    sources = dict.fromkeys(str(each["source"]) for each in region["nodes"])
    return Place(HOST, f"{region['reason']}: {', '.join(sources)}")
