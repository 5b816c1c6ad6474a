"""What engines that divide rows among processes say of the task at hand."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping


def assigned_threads() -> int | None:
    """Return the threads that a model may use in the task of an engine; None outside of one.

    They are the CPUs that the engine counts for a task, so that as many tasks as it starts fill the machine.
    """
    for package, ask in _ENGINES.items():
        if package in sys.modules and (found := ask()):
            return found
    return None


def _ray() -> int | None:
    import ray

    context = ray.get_runtime_context() if ray.is_initialized() else None
    if context is None or context.worker.mode != ray.WORKER_MODE:
        return None
    return max(1, int(context.get_assigned_resources().get("CPU", 1)))


def _spark() -> int | None:
    from pyspark import TaskContext

    context = TaskContext.get()
    return None if context is None else max(1, context.cpus())


def _dask() -> int | None:
    """Dask counts threads: it starts a task for each, and all of a process share a model."""
    from distributed import get_worker

    try:
        get_worker()
    except ValueError:
        return None
    return 1


_ENGINES: Mapping[str, Callable[[], int | None]] = {"ray": _ray, "pyspark": _spark, "distributed": _dask}
"""The package of an engine -> the threads of the task that this is, if it is one."""
