"""The picture of a graph, as SVG; its colors are the page's, by where a node runs, its dtype, or its cost."""

from __future__ import annotations

from collections.abc import Iterator

from bertc.inspection.facts import Inspection, NodeFacts, Row
from bertc.inspection.layout import Frame, Layout, Plan, Rectangle, arrange, plan
from bertc.inspection.table import MEGA
from bertc.report.svg import element, picture, text, titled

_LETTER = 6.2
"""The width of a letter, about, in pixels."""


def draw(inspection: Inspection) -> str:
    """Return the picture: nodes that are alike once, edges by what reads what."""
    drawn = plan(inspection)
    layout = arrange(drawn)
    parts = [
        _arrowhead(),
        *(_frame(frame, rectangle) for frame, rectangle in layout.frames),
        *(_edge(layout, *edge) for edge in drawn.edges),
        *_nodes(drawn, layout),
        *(_port(name, kind, layout.boxes[name]) for name, kind in drawn.ports.items()),
    ]
    what = f"the graph of {inspection.model}: {len(inspection.nodes)} nodes, listed in the table below"
    return picture(parts, layout.width, layout.height, what)


def cost(row: Row) -> float:
    """Return what a row costs: its share of the time if that was measured, else its operations."""
    return float(row.operations) if row.share is None else row.share


def _nodes(drawn: Plan, layout: Layout) -> Iterator[str]:
    most = max([cost(row) for _, row in drawn.nodes.values()], default=0.0) or 1.0
    for name, (node, row) in drawn.nodes.items():
        prefix = max([frame.prefix for frame in drawn.frames if name in frame.inside], key=len, default="")
        yield _node(node, row, layout.boxes[name], prefix, cost(row) / most)


def _node(node: NodeFacts, row: Row, box: Rectangle, prefix: str, heat: float) -> str:
    right = f"{100 * row.share:.1f} %" if row.share is not None else ""
    if row.share is None and row.operations:
        right = f"{row.operations / MEGA:,.1f} MFLOP"
    letters = int((box.width - 20) / _LETTER)
    below = f"{node.op} · {node.dtype} · {node.outputs[0]}"
    shape = (
        _rectangle(box, "card")
        + _rectangle(box, "tint")
        + text(
            _shorten(node.name.removeprefix(prefix), letters - len(right) - 1),
            box.x + 10,
            box.y + 16,
            class_="label name",
        )
        + text(_cut(below, letters), box.x + 10, box.y + 31)
        + text(right, box.right - 10, box.y + 16, anchor="end")
    )
    kinds = f"node place-{node.place} dtype-{node.dtype}"
    colored = element("g", shape, class_=kinds, style=f"--heat:{heat:.3f}")
    return titled(colored, _describe(node, row))


def _describe(node: NodeFacts, row: Row) -> str:
    outputs = ", ".join(f"{value.name}: {value}" for value in node.outputs)
    more = f" (one of {len(row.nodes)} alike)" if len(row.nodes) > 1 else ""
    why = f": {node.why}" if node.why else ""
    return (
        f"{node.name}{more}\n{node.op} in {node.dtype}, {node.place}{why}\n{outputs}\n"
        f"{row.parameters:,} parameters, {row.bytes:,} bytes, {row.operations / MEGA:,.2f} MFLOP together"
    )


def _port(name: str, kind: str, box: Rectangle) -> str:
    shape = _rectangle(box, "port", box.height / 2)
    middle = box.x + box.width / 2
    label = text(
        _cut(name[1:], int(box.width / _LETTER) - 4), middle, box.y + 17, anchor="middle", class_="label name"
    )
    what = "input" if name[0] == "<" else "output"
    return titled(
        shape + label + text(kind, middle, box.y + 31, anchor="middle"), f"{what} {name[1:]}: {kind}"
    )


def _frame(frame: Frame, box: Rectangle) -> str:
    title = text(f"{frame.name}: {frame.count} alike", box.x + 12, box.y + 17, class_="label title")
    return titled(
        _rectangle(box, "frame", 10) + title, f"{frame.count} modules that are alike are drawn once"
    )


def _edge(layout: Layout, first: str, second: str) -> str:
    start, stop = layout.boxes[first], layout.boxes[second]
    lane = layout.lanes.get((first, second))
    if lane is None:
        x, y = start.x + start.width / 2, start.bottom
        to, end = stop.x + stop.width / 2, stop.y - 3
        middle = (y + end) / 2
        path = f"M{x:g} {y:g}C{x:g} {middle:g} {to:g} {middle:g} {to:g} {end:g}"
    else:
        y, end = start.y + start.height * 0.7, stop.y + stop.height * 0.3
        path = (
            f"M{start.right:g} {y:g}H{lane - 8:g}Q{lane:g} {y:g} {lane:g} {y + 8:g}V{end - 8:g}"
            f"Q{lane:g} {end:g} {lane - 8:g} {end:g}H{stop.right + 3:g}"
        )
    return element("path", d=path, class_="edge", marker_end="url(#arrow)")


def _arrowhead() -> str:
    tip = element("path", d="M0 0L6 3L0 6z", class_="tip")
    marker = element(
        "marker",
        tip,
        id="arrow",
        viewBox="0 0 6 6",
        refX=4,
        refY=3,
        markerWidth=7,
        markerHeight=7,
        orient="auto",
    )
    return element("defs", marker)


def _rectangle(box: Rectangle, class_: str, radius: float = 6) -> str:
    return element("rect", x=box.x, y=box.y, width=box.width, height=box.height, rx=radius, class_=class_)


def _cut(label: str, letters: int) -> str:
    return label if len(label) <= letters else label[: letters - 1] + "…"


def _shorten(name: str, letters: int) -> str:
    """Cut off the start of a long name: its end says more."""
    return name if len(name) <= letters else "…" + name[1 - letters :]
