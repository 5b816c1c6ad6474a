"""Every exception that bertc raises on purpose.

    BertcError
    |-- CheckpointError     a model folder cannot be read, or is not what we support
    |-- RecipeError         a compile configuration is invalid
    |-- GraphError          a graph breaks the rules of the IR (a bug of ours, or of a custom pass)
    |-- ArtifactError       a .bertc file is damaged, truncated, or from a newer version
    |-- BudgetError         no choice of precisions loses as little as a recipe allows
    |-- InputError          what the caller passed to a loaded model, or a data file, is invalid
    `-- MissingExtraError   an optional package is needed and not installed

A message says what was wrong, where, and what to do about it.
"""

from __future__ import annotations


class BertcError(Exception):
    """Base class: ``except bertc.BertcError`` catches everything bertc raises on purpose."""


class CheckpointError(BertcError):
    """A model folder cannot be read, or is not what we support."""


class RecipeError(BertcError, ValueError):
    """A compile configuration is invalid."""


class GraphError(BertcError):
    """A graph breaks the rules of the IR."""


class ArtifactError(BertcError):
    """A ``.bertc`` file is damaged, truncated, or from a newer version."""


class BudgetError(BertcError):
    """No choice of precisions loses as little as the recipe allows."""


class InputError(BertcError, ValueError):
    """What the caller passed to a loaded model, or a data file, is invalid."""


class MissingExtraError(BertcError, ImportError):
    """An optional package is needed and not installed."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(f'{purpose} needs the package {package!r}: pip install "bertc[{extra}]"')
