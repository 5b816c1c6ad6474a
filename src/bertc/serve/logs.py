"""The log: a line for each event on standard error, as text or JSON. It never holds what a user wrote."""

from __future__ import annotations

import sys
import time
from typing import Any, TextIO

import orjson


class Log:
    """Writes events."""

    def __init__(self, *, json_output: bool = False, stream: TextIO | None = None) -> None:
        self._json = json_output
        self._stream = sys.stderr if stream is None else stream

    def info(self, event: str, **facts: Any) -> None:
        """Write an event and its facts: numbers, and names that the server itself has given."""
        self._write("info", event, facts)

    def error(self, event: str, **facts: Any) -> None:
        """Write an event that somebody should look after."""
        self._write("error", event, facts)

    def _write(self, level: str, event: str, facts: dict[str, Any]) -> None:
        if self._json:
            now = time.time()
            whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now))
            stamp = f"{whole}.{int(now * 1000) % 1000:03d}Z"
            line = orjson.dumps({"timestamp": stamp, "level": level, "event": event, **facts}).decode()
        else:
            shown = " ".join(f"{key}={value}" for key, value in facts.items())
            line = f"bertc: {'error: ' if level == 'error' else ''}{event}{' ' if shown else ''}{shown}"
        self._stream.write(f"{line}\n")
        self._stream.flush()
