"""One request while it is answered: what it asked of which model, and what that took."""

from __future__ import annotations

import asyncio
import itertools
import os
import re
import time
from dataclasses import dataclass, field

_IDS = itertools.count(1)
_RUN = os.urandom(4).hex()
_SANE_ID = re.compile(rb"[\w.:-]{1,128}")

Header = tuple[bytes, bytes]


@dataclass
class Call:
    """The facts about a request that its reply's headers, the log and the metrics tell."""

    id: bytes
    route: str = ""
    openai: bool = False
    """Whether errors take the form of OpenAI."""
    started: float = field(default_factory=time.perf_counter)
    model: str = ""
    items: int = 0
    is_batch: bool = False
    characters: int = 0
    tokens: int = 0
    truncated: int = 0
    tokenization_s: float = 0.0
    queue_s: float = 0.0
    inference_s: float = 0.0
    task: asyncio.Task[object] | None = None
    cancelled_because: str = ""
    """Why the server itself cancelled the request: its client went away, or its body never came."""

    @classmethod
    def of(cls, headers: list[Header]) -> Call:
        """Return a call with the id that the client gave it, or one of ours."""
        given = next((value for name, value in headers if name == b"x-request-id"), b"")
        return cls(given if _SANE_ID.fullmatch(given) else f"{_RUN}-{next(_IDS):x}".encode())

    @property
    def seconds(self) -> float:
        """The time since the request came."""
        return time.perf_counter() - self.started

    def headers(self) -> list[Header]:
        """Return the headers of a reply that say what it took, in milliseconds, tokens and characters."""
        total = b"%.3f" % (1000 * self.seconds)
        return [
            (b"x-compute-type", b"cpu"),
            (b"x-compute-time", total),
            (b"x-total-time", total),
            (b"x-tokenization-time", b"%.3f" % (1000 * self.tokenization_s)),
            (b"x-queue-time", b"%.3f" % (1000 * self.queue_s)),
            (b"x-inference-time", b"%.3f" % (1000 * self.inference_s)),
            (b"x-compute-characters", b"%d" % self.characters),
            (b"x-compute-tokens", b"%d" % self.tokens),
            (b"x-truncated-inputs", b"%d" % self.truncated),
        ]
