"""THE list of tasks: a line here, a file beside it, and a method on ``Encoder``."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from bertc.errors import ArtifactError
from bertc.tasks.base import Model, Task
from bertc.tasks.classification import Classification
from bertc.tasks.embedding import Embedding
from bertc.tasks.token_classification import TokenClassification

TASKS: Mapping[str, type[Task]] = MappingProxyType(
    {task.name: task for task in (Embedding, Classification, TokenClassification)}
)
"""Task name, as in ``ModelInfo.task`` -> its class."""


def create(model: Model) -> Task:
    """The task of this model; raises ``ArtifactError`` for one that this version does not know."""
    if model.info.task not in TASKS:
        raise ArtifactError(
            f"the file is for the task {model.info.task!r}, this version of bertc knows "
            f"{', '.join(TASKS)}: install a newer bertc"
        )
    return TASKS[model.info.task](model)
