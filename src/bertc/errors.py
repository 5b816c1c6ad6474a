"""Every exception that bertc raises on purpose, a ``BertcError`` each, and its warnings.

A message says what was wrong, where, and what to do about it.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping


class BertcError(Exception):
    """The base class: ``except bertc.BertcError`` catches everything that bertc raises on purpose."""


class CheckpointError(BertcError):
    """Raised for a model folder that cannot be read, or that is not what bertc supports."""


class NodeError(CheckpointError):
    """Raised for nodes of a source that can run nowhere: neither in the native core nor on the host."""

    def __init__(self, problems: Mapping[str, str]) -> None:
        """``problems`` has for each node, as ``'name' (op)``, why not and what to do."""
        told = [f"node {node}: {problem}" for node, problem in problems.items()]
        more = [f"and {len(told) - _NAMED} nodes more"] if len(told) > _NAMED else []
        super().__init__("; ".join([*told[:_NAMED], *more]))
        self.problems = dict(problems)


_NAMED = 5
"""The most nodes that a message names."""


class RecipeError(BertcError, ValueError):
    """Raised for a recipe that is not valid."""


class GraphError(BertcError):
    """Raised for a graph that breaks the rules of the IR: a bug of bertc, or of a custom pass."""


class ArtifactError(BertcError):
    """Raised for a ``.bertc`` file that is damaged, truncated, or from a newer version."""


class BudgetError(BertcError):
    """Raised if no choice of precisions loses as little as the recipe allows."""


class InputError(BertcError, ValueError):
    """Raised for what a caller passed to a loaded model, or for a data file, that is not valid."""


class MissingExtraError(BertcError, ImportError):
    """Raised where an optional package is needed that is not installed."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(f'{purpose} needs the package {package!r}: pip install "bertc[{extra}]"')


class TruncationWarning(UserWarning):
    """Given once per call where texts are longer than the model's limit, so that their ends are not seen."""

    def __init__(self, truncated: int, total: int, limit: int) -> None:
        subject = "the text has" if total == 1 else f"{truncated:,} of {total:,} texts have"
        super().__init__(
            f"{subject} more than {limit} tokens, the limit of this model: what is longer was cut off there"
        )
        self.truncated, self.total, self.limit = truncated, total, limit


def warn_caller(warning: str | Warning) -> None:
    """Warn whoever called into bertc, at the line that did."""
    level, frame = 2, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("bertc."):
        level, frame = level + 1, frame.f_back
    warnings.warn(warning, stacklevel=level)
