"""Reads the body of a request: JSON of a known type, of a bounded size, in a bounded time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import cache
from typing import Any

import msgspec

from bertc.serve.errors import RequestError

Receive = Callable[[], Awaitable[Any]]


class Disconnected(Exception):  # noqa: N818 (nobody has made a mistake)
    """Raised where a client went away before it had sent its request."""


async def read_body(receive: Receive, headers: Mapping[bytes, bytes], limit: int) -> bytes:
    """Return the bytes of a body. Raises ``RequestError`` for too many, ``Disconnected``."""
    length = headers.get(b"content-length", b"")
    if length.isdigit() and int(length) > limit:
        raise _too_large(limit)
    message = await receive()
    if message["type"] == "http.request" and not message.get("more_body"):
        return bounded(message.get("body", b""), limit)
    parts, size = [], 0
    while True:
        if message["type"] != "http.request":
            raise Disconnected
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > limit:
            raise _too_large(limit)
        if not message.get("more_body"):
            return b"".join(parts)
        message = await receive()


def bounded(body: bytes, limit: int) -> bytes:
    """Return a body. Raises ``RequestError`` for more than ``limit`` bytes."""
    if len(body) > limit:
        raise _too_large(limit)
    return body


def check_content_type(headers: Mapping[bytes, bytes]) -> None:
    """Raise ``RequestError`` for a body that says it is something else than JSON."""
    kind = headers.get(b"content-type", b"")
    if kind != b"application/json":
        kind = kind.split(b";", 1)[0].strip().lower()
        if kind not in (b"application/json", b"") and not kind.endswith(b"+json"):
            raise RequestError(
                "UnsupportedMediaType", "the body must be JSON: send Content-Type: application/json"
            )
    if headers.get(b"content-encoding", b"").strip().lower() not in (b"", b"identity"):
        raise RequestError("UnsupportedMediaType", "the body is compressed: send it as it is")


def parse(body: bytes, kind: type) -> Any:
    """Return a body as its type. Raises ``RequestError`` that says where it is wrong, without its text."""
    try:
        return _decoder(kind).decode(body)
    except msgspec.ValidationError as error:
        # Where the message quotes a value it is one of the client's own; it goes back to nobody else.
        raise RequestError("Unprocessable", f"the body is not what the route takes: {error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RequestError("BadRequest", f"the body is no JSON: {error}") from None


@cache
def _decoder(kind: type) -> Any:
    return msgspec.json.Decoder(kind)


def _too_large(limit: int) -> RequestError:
    return RequestError(
        "PayloadTooLarge",
        f"the body has more than {limit:,} bytes, the limit of --payload-limit",
        headers=((b"connection", b"close"),),
    )
