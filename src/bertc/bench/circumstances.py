"""The part of every report that says when, where, with which software and of which model it was measured."""

from __future__ import annotations

import datetime
from typing import Any

from bertc.artifact.schema import ModelInfo
from bertc.bench.versions import commit, versions
from bertc.runtime.machine import machine_facts

SIZES = ("num_hidden_layers", "hidden_size", "intermediate_size", "num_attention_heads")


def circumstances(info: ModelInfo) -> dict[str, Any]:
    """Return date, commit, machine, versions and the facts of a model, as plain JSON."""
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        "commit": commit(),
        "machine": machine_facts(),
        "versions": versions(),
        "model": {"name": info.name, "task": info.task, **{key: info.size(key) for key in SIZES}},
    }
