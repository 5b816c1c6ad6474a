"""The steps of a graph or a program that run on the host, for checks and for people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from bertc.ports import HOST
from bertc.primitives.region import Region, RegionError

_NAMED = 20
"""The most nodes that a sentence names."""


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
    return {step.name: _region(step) for step in steps if step.op == HOST}


def _region(step: Step) -> Region:
    try:
        return Region.from_json(str(step.attributes.get("region")))
    except RegionError as error:
        raise RegionError(f"step {step.name!r}: {error}: compile the model again") from None


def tell_host_steps(found: Mapping[str, Region]) -> str:
    """Tell which nodes of the source run on the host, and why."""
    nodes = [source for region in found.values() for source in region.sources]
    named = [*nodes[:_NAMED], *([f"{len(nodes) - _NAMED} more"] if len(nodes) > _NAMED else [])]
    reasons = "; ".join(dict.fromkeys(region.reason for region in found.values()))
    return f"nodes that run on the host, with NumPy in fp32: {', '.join(named)} ({reasons})"
