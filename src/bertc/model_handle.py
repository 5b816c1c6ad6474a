"""A model by its place: what adapters to other libraries hold, copy to processes and load at first use."""

from __future__ import annotations

from functools import cached_property
from os import PathLike
from typing import Any

from bertc.encoder import Encoder
from bertc.errors import InputError
from bertc.loading import lasting_place, load
from bertc.task_table import TASKS


class ModelHandle:
    """A model that is loaded where it is first used. It pickles by its place, whether it is loaded or not."""

    def __init__(self, model: str | PathLike[str] | Encoder, task: str, **options: Any) -> None:
        """Take what :func:`bertc.load` takes, with its options (None: as if not given), or what it returns.

        ``task`` is the name of a row of ``bertc.task_table``: the model must be for it. A relative path is
        of the folder that the process is in now, wherever the handle is used. Raises ``InputError`` for a
        loaded model of another task, or with options; of another one, the first use does.
        """
        options = {name: value for name, value in options.items() if value is not None}
        if isinstance(model, Encoder):
            if options:
                raise InputError(f"{', '.join(options)}: give these where the model is loaded")
            _check_task(model, task)
        else:
            model = lasting_place(model)
        self._source = model
        self._task = task
        self._options = options

    @cached_property
    def model(self) -> Any:
        """The loaded model, of the class of its task. Raises what ``bertc.load`` does, and ``InputError``."""
        if isinstance(self._source, Encoder):
            return self._source
        found = load(self._source, **self._options)
        _check_task(found, self._task)
        return found

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "model"}


def _check_task(model: Encoder, task: str) -> None:
    if model.info.task != task:
        raise InputError(
            f"{model.info.name} is a model for {model.info.task}: expected one for {task}, which "
            f"{TASKS[task].does}"
        )
