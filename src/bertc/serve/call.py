"""One request while it is answered: what it asked of which model, and what that took."""

from __future__ import annotations

import itertools
import os
import re
import time
from collections.abc import Iterable

_IDS = itertools.count(1)
_RUN = os.urandom(4).hex().encode()
_SANE_ID = re.compile(rb"[\w.:-]{1,128}")

_HEAD = (
    b"x-compute-type: cpu\r\n"
    b"x-compute-time: %.3f\r\n"
    b"x-total-time: %.3f\r\n"
    b"x-tokenization-time: %.3f\r\n"
    b"x-queue-time: %.3f\r\n"
    b"x-inference-time: %.3f\r\n"
    b"x-compute-characters: %d\r\n"
    b"x-compute-tokens: %d\r\n"
    b"x-truncated-inputs: %d\r\n"
)

Header = tuple[bytes, bytes]
LINK = "bertc.link"
"""The extension of ASGI by which our own server tells the application of a client that goes away, and takes
replies whole."""


class Call:
    """The facts about a request that its reply's headers, the log and the metrics tell.

    What few requests have is an attribute of the class until it is set: making one costs next to nothing.
    """

    route = ""
    openai = False
    """Whether errors take the form of OpenAI."""
    model = ""
    items = 0
    is_batch = False
    characters = 0
    tokens = 0
    truncated = 0
    tokenization_s = 0.0
    queue_s = 0.0
    inference_s = 0.0
    cancelled_because = ""
    """Why the server itself cancelled the request: its client went away, or its body never came."""

    def __init__(self, given: bytes = b"") -> None:
        """``given`` is the id that the client gave the request, if it did; else it gets one of ours."""
        self.id = given if given and _SANE_ID.fullmatch(given) else b"%b-%x" % (_RUN, next(_IDS))
        self.started = time.perf_counter()

    @property
    def seconds(self) -> float:
        """The time since the request came."""
        return time.perf_counter() - self.started

    def head(self) -> bytes:
        """Return the headers of a reply that say what it took, in milliseconds, tokens and characters."""
        total = 1000 * self.seconds
        return _HEAD % (
            total,
            total,
            1000 * self.tokenization_s,
            1000 * self.queue_s,
            1000 * self.inference_s,
            self.characters,
            self.tokens,
            self.truncated,
        )


def head_of(headers: Iterable[Header]) -> bytes:
    """Return headers as HTTP writes them."""
    return b"".join([b"%b: %b\r\n" % header for header in headers])
