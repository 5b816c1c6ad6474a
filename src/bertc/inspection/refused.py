"""The answer for a source with nodes that can run nowhere: these nodes, why not, and what to do."""

from __future__ import annotations

import re

from bertc.errors import NodeError
from bertc.inspection.facts import Inspection, NodeFacts, Row
from bertc.inspection.place import NOWHERE

_SPELLED = re.compile(r"'(.*)' \((.*)\)", re.DOTALL)
"""A node as messages have it: its name and its operator."""
_NOTE = (
    "nothing else is known of the source: write these nodes with other operators, or take an output that does"
    " not need them (output_name, --output-name)"
)


def describe_refused(
    error: NodeError, *, source: str, task: str, dtype: str, batch: int, length: int
) -> Inspection:
    """Return the nodes of an error as rows of an inspection of which nothing else is known."""
    nodes = tuple(_facts(node, problem) for node, problem in error.problems.items())
    return Inspection(
        source=source,
        compiled=False,
        model="",
        architecture="",
        task=task,
        dtype=dtype,
        batch=batch,
        length=length,
        parameters=0,
        bytes=0,
        operations=0,
        operations_per_token=0.0,
        measured=None,
        inputs=(),
        outputs=(),
        nodes=nodes,
        tree=tuple(map(_row, nodes)),
        notes=(_NOTE,),
        graphs={},
    )


def _facts(node: str, problem: str) -> NodeFacts:
    found = _SPELLED.fullmatch(node)
    name, op = found.groups() if found else (node, "")
    return NodeFacts(
        name=name,
        op=op,
        place=NOWHERE,
        dtype="",
        why=f"cannot run: {problem}",
        inputs={},
        outputs=(),
        attributes={},
        parameters=0,
        bytes=0,
        operations=0,
    )


def _row(node: NodeFacts) -> Row:
    return Row(
        name=node.name,
        count=1,
        op=node.op,
        place=node.place,
        dtype="",
        why=node.why,
        output="",
        parameters=0,
        bytes=0,
        operations=0,
        milliseconds=None,
        share=None,
        nodes=(node.name,),
    )
