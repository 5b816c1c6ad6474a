"""The steps of a graph or a program that run on the host, for checks and for people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from bertc.primitives.region import Region

HOST = "host"
"""The op whose steps run on the host."""


class Step(Protocol):
    """What nodes of a graph and steps of a program have in common."""

    @property
    def name(self) -> str:
        """The name of the step."""

    @property
    def op(self) -> str:
        """The name of its op."""

    @property
    def attributes(self) -> Mapping[str, Any]:
        """Its attributes by name."""


def find_host_steps(steps: Iterable[Step]) -> dict[str, Region]:
    """Return the region of each step that runs on the host, by the step's name. Raises ``RegionError``."""
    return {step.name: Region.from_json(str(step.attributes["region"])) for step in steps if step.op == HOST}


def tell_host_steps(found: Mapping[str, Region]) -> str:
    """Return one sentence on steps that run on the host, with the nodes of the source that they compute."""
    nodes = [source for region in found.values() for source in region.sources]
    return f"{len(nodes)} nodes run on the host, with NumPy: {', '.join(nodes)}"
