"""What all routes know: settings, models, the engine that runs them, and what the server is doing."""

from __future__ import annotations

import time
from enum import Enum

from bertc.serve.engine import Engine
from bertc.serve.health import Health
from bertc.serve.logs import Log
from bertc.serve.metrics import Metrics
from bertc.serve.models import Registry
from bertc.serve.settings import Settings


class Phase(str, Enum):
    """What a server is doing."""

    LOADING = "loading"
    READY = "ready"
    DRAINING = "draining"


class State:
    """The parts of a server."""

    def __init__(self, settings: Settings, log: Log | None = None) -> None:
        self.settings = settings
        self.registry = Registry()
        self.engine = Engine(settings)
        self.health = Health(self.engine.queue, self.registry)
        self.metrics = Metrics()
        self.log = log or Log(json_output=settings.json_output)
        self.phase = Phase.LOADING
        self.started_at = time.time()
