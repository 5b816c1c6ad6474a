"""Refusals: the statuses and error types of text-embeddings-inference, and their two forms of a body."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bertc.errors import ArtifactError, BertcError, InputError
from bertc.runtime.batch_queue import ExpiredError, QueueError

STATUSES: Mapping[str, int] = {
    "Empty": 400,
    "BadRequest": 400,
    "Unauthorized": 401,
    "NotFound": 404,
    "MethodNotAllowed": 405,
    "RequestTimeout": 408,
    "PayloadTooLarge": 413,
    "Validation": 413,
    "UnsupportedMediaType": 415,
    "Unprocessable": 422,
    "Tokenizer": 422,
    "Backend": 424,
    "Overloaded": 429,
    "HeadersTooLarge": 431,
    "Internal": 500,
    "Unhealthy": 503,
    "Timeout": 504,
}
"""Each error type and its status."""

OPENAI_TYPES = {401: "authentication_error", 429: "rate_limit_error"}
"""What clients of OpenAI call an error of a status; else it is an invalid request, or the server's fault."""


class RequestError(BertcError):
    """Raised where a request is refused: ``error_type`` is a key of ``STATUSES``."""

    def __init__(
        self, error_type: str, message: str, *, headers: tuple[tuple[bytes, bytes], ...] = ()
    ) -> None:
        super().__init__(message)
        self.error_type = error_type
        self.status = STATUSES[error_type]
        self.headers = headers

    def body(self, *, openai: bool) -> dict[str, Any]:
        """Return the JSON of a reply, in the form of OpenAI or of text-embeddings-inference."""
        if not openai:
            return {"error": str(self), "error_type": self.error_type}
        usual = "server_error" if self.status >= 500 else "invalid_request_error"
        kind = OPENAI_TYPES.get(self.status, usual)
        return {"error": {"message": str(self), "type": kind, "param": None, "code": self.error_type.lower()}}


def refusal_of(error: BertcError) -> RequestError:
    """Return what a client is told of an error that a task or a session raised."""
    if isinstance(error, RequestError):
        return error
    if isinstance(error, ExpiredError):
        return RequestError("Timeout", f"{error}: the server is overloaded, or the timeout too short")
    if isinstance(error, QueueError):
        return RequestError("Backend", str(error))
    if isinstance(error, ArtifactError):
        return RequestError("Backend" if "written to" in str(error) else "Tokenizer", str(error))
    if isinstance(error, InputError):
        return RequestError("Unprocessable", str(error))
    return RequestError("Backend", str(error))
