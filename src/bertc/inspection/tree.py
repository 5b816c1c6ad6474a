"""Folds nodes to modules by their names, and modules that are alike and have numbers for names to one."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bertc.inspection.facts import NodeFacts, Row
from bertc.inspection.nodes import Size


def fold(nodes: Sequence[NodeFacts], sizes: Mapping[str, Size]) -> tuple[Row, ...]:
    """Return the modules of a model as a tree; ``sizes`` are those of its constants."""
    root = _Module()
    for node in nodes:
        root.add(node.name.split("."), node)
    return tuple(_Folder(sizes, {node.name: index for index, node in enumerate(nodes)}).rows([root]))


class _Module:
    """What names start with: a node of that name, if there is one, and modules below it."""

    def __init__(self) -> None:
        self.node: NodeFacts | None = None
        self.below: dict[str, _Module] = {}

    def add(self, path: Sequence[str], node: NodeFacts) -> None:
        if path:
            self.below.setdefault(path[0], _Module()).add(path[1:], node)
        else:
            self.node = node

    def signature(self) -> Any:
        """Return what modules that are alike have in common: all but their names and times."""
        own = None if self.node is None else _signature(self.node)
        return own, tuple((name, module.signature()) for name, module in self.below.items())

    def nodes(self) -> Iterator[NodeFacts]:
        if self.node is not None:
            yield self.node
        for module in self.below.values():
            yield from module.nodes()


def _signature(node: NodeFacts) -> Any:
    """Return what nodes that are alike have in common.

    A layer norm may write its result in 8 bits too, for a product that follows: that of the last layer does
    not, and is alike nevertheless.
    """
    op = "layer_norm" if node.op.startswith("layer_norm") else node.op
    output = node.outputs[0].dtype, node.outputs[0].shape
    attributes = tuple(sorted(node.attributes.items()))
    return op, node.place, node.dtype, node.why, attributes, output, node.parameters, node.operations


class _Folder:
    """Makes rows of modules that are alike, given as lists: the first one's names are the rows'."""

    def __init__(self, sizes: Mapping[str, Size], places: Mapping[str, int]) -> None:
        self._sizes, self._places = sizes, places

    def rows(self, alike: Sequence[_Module]) -> Iterator[Row]:
        """Yield the rows of what is below modules."""
        for names in _groups(alike[0].below):
            title = names[0] if len(names) == 1 else f"{names[0]} .. {names[-1]}"
            modules = [module.below[name] for module in alike for name in names]
            yield from self._row(title, len(names), modules)

    def _row(self, title: str, count: int, alike: Sequence[_Module]) -> Iterator[Row]:
        """Yield one row; or, for a node with others below its name, theirs beside its own."""
        below = list(self.rows(alike))
        own = [module.node for module in alike if module.node is not None]
        if own:
            named = [_renamed(row, f"{title}.{row.name}") for row in below]
            rows = [self._sums(title, count, own, ()), *named]
            yield from sorted(rows, key=lambda row: self._places[row.nodes[0]])
        elif len(below) == 1 and count == 1:
            yield _renamed(below[0], f"{title}.{below[0].name}")
        else:
            nodes = [node for module in alike for node in module.nodes()]
            nodes.sort(key=lambda node: self._places[node.name])
            yield self._sums(title, count, nodes, tuple(below))

    def _sums(self, title: str, count: int, nodes: Sequence[NodeFacts], children: tuple[Row, ...]) -> Row:
        read = {value for node in nodes for value in node.inputs.values() if value in self._sizes}
        leaf, first = not children, nodes[0]
        products = [node for node in nodes if node.operations or node.op == "embed"]
        times = [node.milliseconds for node in nodes if node.milliseconds is not None]
        shares = [node.share for node in nodes if node.share is not None]
        return Row(
            name=title,
            count=count,
            op=first.op if leaf else "",
            place=", ".join(dict.fromkeys(node.place for node in nodes)),
            dtype=", ".join(dict.fromkeys(node.dtype for node in products or nodes)),
            why=first.why if leaf else "",
            output=str(first.outputs[0]) if leaf else "",
            parameters=sum(self._sizes[value].parameters for value in read),
            bytes=sum(self._sizes[value].bytes for value in read),
            operations=sum(node.operations for node in nodes),
            milliseconds=sum(times) if times else None,
            share=sum(shares) if shares else None,
            nodes=tuple(node.name for node in nodes),
            children=children,
        )


def _groups(below: Mapping[str, _Module]) -> Iterator[list[str]]:
    """Yield the names of modules that are one row: numbers, one after the other, that are alike."""

    def key(item: tuple[str, _Module]) -> Any:
        name, module = item
        return (True, module.signature()) if name.isdecimal() else (False, name)

    for _, group in itertools.groupby(below.items(), key):
        yield [name for name, _ in group]


def _renamed(row: Row, name: str) -> Row:
    return dataclasses.replace(row, name=name)
