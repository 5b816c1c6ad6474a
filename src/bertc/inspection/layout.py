"""Where things are in the picture of a graph: a row of boxes for each step away from the inputs.

Modules that are alike are drawn once, in a frame that says how many there are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from bertc.inspection.facts import Inspection, NodeFacts, Row
from bertc.ports import CU_SEQLENS

WIDTH, HEIGHT, GAP = 400.0, 40.0, 24.0
"""The size of a box that has its row for itself, and the room between two, in pixels."""
ROOM = 660.0
"""The room for the boxes of one row."""
MIDDLE = ROOM / 2 + 8
MOST = 4
"""The most boxes in a row; the others go into a row of their own."""
TITLE, INSIDE = 26.0, 14.0
"""The room in a frame above its first box, for its title, and around all of them."""


class Rectangle(NamedTuple):
    """A place in the picture, in pixels."""

    x: float
    y: float
    width: float
    height: float

    @property
    def right(self) -> float:
        """Return its right edge."""
        return self.x + self.width

    @property
    def bottom(self) -> float:
        """Return its lower edge."""
        return self.y + self.height


@dataclass(frozen=True)
class Frame:
    """A module that stands for several: its name, and the names of the nodes that are drawn for it."""

    name: str
    prefix: str
    """The first part of the names of what is in it."""
    count: int
    inside: frozenset[str]


@dataclass
class Plan:
    """What is drawn, before it is known where."""

    nodes: dict[str, tuple[NodeFacts, Row]] = field(default_factory=dict)
    """The nodes that are drawn, in execution order, each with the row of the tree that it stands for."""
    frames: list[Frame] = field(default_factory=list)
    """The frames, outer ones first."""
    edges: list[tuple[str, str]] = field(default_factory=list)
    """From where to where, by the names of nodes, or of inputs and outputs behind ``<`` and ``>``."""
    ports: dict[str, str] = field(default_factory=dict)
    """The type of each input and output, by those names."""


class Layout(NamedTuple):
    """Where everything is."""

    boxes: Mapping[str, Rectangle]
    frames: Sequence[tuple[Frame, Rectangle]]
    lanes: Mapping[tuple[str, str], float]
    """The x at which each edge passes other rows, for those that do."""
    width: float
    height: float


def plan(inspection: Inspection) -> Plan:
    """Return what is drawn of a model: a node of each that are alike, and what goes from one to another."""
    found, stands = Plan(), dict[str, str]()
    facts = {node.name: node for node in inspection.nodes}
    rows = {row.nodes[0]: row for row in _walk(inspection.tree, "", found.frames)}
    for first, row in rows.items():
        stands.update(dict.fromkeys(row.nodes, first))
    found.nodes = {name: (node, rows[name]) for name, node in facts.items() if name in rows}
    place = {name: index for index, name in enumerate(facts)}
    makers = {value.name: node.name for node in inspection.nodes for value in node.outputs}
    given = {value.name: value for value in inspection.inputs}
    edges: dict[tuple[str, str], None] = {}
    for node in inspection.nodes:
        for value in node.inputs.values():
            if value in makers:
                edge = stands[makers[value]], stands[node.name]
                # From one of several that are alike to the next: back, in the one that is drawn.
                if place[edge[0]] < place[edge[1]]:
                    edges[edge] = None
            elif value in given and value != CU_SEQLENS:
                edges[f"<{value}", stands[node.name]] = None
                found.ports[f"<{value}"] = str(given[value])
    for public, value in inspection.graphs["typed"].outputs.items():
        if value in makers:
            edges[stands[makers[value]], f">{public}"] = None
            found.ports[f">{public}"] = next(str(each) for each in inspection.outputs if each.name == public)
    found.edges = [*edges]
    return found


def _walk(rows: Sequence[Row], prefix: str, frames: list[Frame]) -> Iterator[Row]:
    """Yield the rows of nodes; put the frames on the way into the list."""
    for row in rows:
        path = f"{prefix}{row.name.split(' .. ')[0]}."
        index = len(frames)
        below = [*_walk(row.children, path, frames)] if row.children else [row]
        if row.count > 1:
            inside = frozenset(each.nodes[0] for each in below)
            frames.insert(index, Frame(f"{prefix}{row.name}", path, row.count, inside))
        yield from below


def arrange(drawn: Plan) -> Layout:
    """Return where everything is."""
    rows = _rows(drawn)
    at = {name: index for index, row in enumerate(rows) for name in row}
    spans = [_span(frame.inside, at) for frame in drawn.frames]
    boxes: dict[str, Rectangle] = {}
    y = 4.0
    for index, row in enumerate(rows):
        y += sum(TITLE for first, _ in spans if first == index)
        width = min(WIDTH, (ROOM - GAP * (len(row) - 1)) / len(row))
        x = MIDDLE - (width * len(row) + GAP * (len(row) - 1)) / 2
        for name in row:
            boxes[name] = Rectangle(x, y, width, HEIGHT)
            x += width + GAP
        y += HEIGHT + GAP + sum(INSIDE for _, last in spans if last == index)
    framed = [
        (frame, _around([boxes[name] for name in frame.inside], _depth(frame, drawn.frames)))
        for frame in drawn.frames
    ]
    lanes = _lanes(drawn.edges, at, rows, boxes)
    right = max([rectangle.right for rectangle in boxes.values()], default=0.0)
    right = max([right, *(rectangle.right for _, rectangle in framed), *lanes.values()])
    return Layout(boxes, framed, lanes, right + 8, y)


def _rows(drawn: Plan) -> list[list[str]]:
    """Return the names of boxes by row: below all that they read, inputs just above what reads them."""
    rank: dict[str, int] = {}
    for name in drawn.nodes:
        rank[name] = 1 + max(
            [rank[first] for first, second in drawn.edges if second == name and first in rank], default=0
        )
    for port in drawn.ports:
        readers = [rank[second] - 1 for first, second in drawn.edges if first == port]
        makers = [rank[first] + 1 for first, second in drawn.edges if second == port]
        rank[port] = min(readers or makers)
    by_rank: dict[int, list[str]] = {}
    for name, value in rank.items():
        by_rank.setdefault(value, []).append(name)
    return [
        names[start : start + MOST]
        for _, names in sorted(by_rank.items())
        for start in range(0, len(names), MOST)
    ]


def _span(names: frozenset[str], at: Mapping[str, int]) -> tuple[int, int]:
    places = [at[name] for name in names]
    return min(places), max(places)


def _depth(frame: Frame, frames: Sequence[Frame]) -> int:
    """Return how many frames are inside of one, at most, one in the other."""
    inside = [each for each in frames if each.inside < frame.inside]
    return 1 + max([_depth(each, inside) for each in inside], default=-1)


def _around(boxes: Sequence[Rectangle], depth: int) -> Rectangle:
    side = INSIDE * (depth + 1)
    x, y = min(box.x for box in boxes) - side, min(box.y for box in boxes) - TITLE * (depth + 1)
    right, bottom = max(box.right for box in boxes) + side, max(box.bottom for box in boxes) + side
    return Rectangle(x, y, right - x, bottom - y)


def _lanes(
    edges: Sequence[tuple[str, str]],
    at: Mapping[str, int],
    rows: Sequence[Sequence[str]],
    boxes: Mapping[str, Rectangle],
) -> dict[tuple[str, str], float]:
    """Give each edge that passes rows an x to the right of them; two that overlap have different ones."""
    taken: list[list[tuple[int, int]]] = []
    lanes: dict[tuple[str, str], float] = {}
    for edge in sorted(edges, key=lambda edge: at[edge[1]] - at[edge[0]]):
        first, last = at[edge[0]], at[edge[1]]
        if last - first < 2:
            continue
        for lane in taken:
            if all(last <= start or stop <= first for start, stop in lane):
                break
        else:
            lane = []
            taken.append(lane)
        lane.append((first, last))
        right = max(boxes[name].right for row in rows[first : last + 1] for name in row)
        lanes[edge] = right + INSIDE * 0.6 + 12 * taken.index(lane)
    return lanes
