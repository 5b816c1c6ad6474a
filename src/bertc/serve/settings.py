"""What a server is started with, by the names of text-embeddings-inference where it has them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bertc.errors import InputError

MAX_BATCH_TOKENS = 2048
"""The usual budget of a batch. Nothing is padded, so that a larger one runs no faster: on two threads a chunk
of 192 tokens each is enough, and what comes in meanwhile would wait for longer."""
MAX_QUEUE_BATCHES = 16
"""The usual room of the queue, in batches: some seconds of work for a base model on two cores."""
MAX_WHOLE_TEXT = 1_000_000
"""The most characters of one request that are tokenized whole, by routes that cut nothing off."""


@dataclass(frozen=True)
class ModelSource:
    """A model to serve: its name in requests, and a file, a checkpoint's folder or a hub id."""

    name: str
    source: str

    @classmethod
    def parse(cls, text: str) -> ModelSource:
        """Read ``source`` or ``name=source``; without a name it is the file's or the folder's."""
        name, equals, source = text.partition("=")
        if equals and name and source and "/" not in name:
            return cls(name, source)
        path = Path(text)
        return cls(path.stem if path.suffix == ".bertc" else path.name, text)


@dataclass(frozen=True)
class Settings:
    """The settings of a server."""

    models: tuple[ModelSource, ...]
    host: str = "127.0.0.1"
    port: int = 3000
    uds: str | None = None
    """The path of a unix socket, instead of host and port."""
    num_threads: int | None = None
    """The threads of each model, of which one runs at a time."""
    tokenization_workers: int = 1
    max_concurrent_requests: int = 512
    max_batch_tokens: int = MAX_BATCH_TOKENS
    max_queue_tokens: int = 0
    """The tokens that may wait or run at a time; 0 for ``MAX_QUEUE_BATCHES`` batches."""
    max_client_batch_size: int = 2048
    auto_truncate: bool = False
    payload_limit: int = 2_000_000
    request_timeout: float = 60.0
    """The seconds that a request may wait for its turn."""
    body_timeout: float = 30.0
    """The seconds in which a body, and before it the head of a request, must have come."""
    overload_delay: float = 1.0
    """The seconds that a request waits for room in the queue before it is refused."""
    drain_seconds: float = 1.0
    """The least seconds between SIGTERM and the end, in which clients are told to close their connections."""
    api_key: str | None = None
    cors_allow_origin: tuple[str, ...] = ()
    prometheus_port: int | None = None
    json_output: bool = False
    log_requests: bool = False

    def __post_init__(self) -> None:
        if not self.models:
            raise InputError("there is no model to serve: name a .bertc file")
        names = [model.name for model in self.models]
        if len(set(names)) < len(names):
            raise InputError(f"models are called {', '.join(names)}: give each a name of its own (name=file)")
        positive = ("max_concurrent_requests", "max_batch_tokens", "max_client_batch_size", "payload_limit")
        for name in (*positive, "tokenization_workers"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}: expected at least 1")
        if self.max_queue_tokens and self.max_queue_tokens < self.max_batch_tokens:
            raise InputError("max_queue_tokens is below max_batch_tokens: not even one batch could wait")

    @property
    def queue_tokens(self) -> int:
        """The tokens that may wait or run at a time."""
        return self.max_queue_tokens or MAX_QUEUE_BATCHES * self.max_batch_tokens
