"""``bertc serve``: models over HTTP. Options and variables are those of text-embeddings-inference."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer

from bertc.serve.settings import ModelSource, Settings

_serving = partial(typer.Option, rich_help_panel="Batches and overload")
_network = partial(typer.Option, rich_help_panel="Network")
_telling = partial(typer.Option, rich_help_panel="Logs and metrics")

Models = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[NAME=]MODEL...",
        help=".bertc files; or checkpoints, which are compiled into the cache at first.",
        show_default=False,
    ),
]
ModelId = Annotated[
    str | None, typer.Option(envvar="MODEL_ID", help="One more model: a file, a folder or a hub id.")
]
ServedName = Annotated[
    str | None, typer.Option(envvar="SERVED_MODEL_NAME", help="Its name in requests.", show_default=False)
]
Threads = Annotated[int | None, typer.Option(min=1, help="Threads of the models, which run in turns.")]
Concurrent = Annotated[
    int, _serving(envvar="MAX_CONCURRENT_REQUESTS", min=1, help="Requests in work at a time.")
]
BatchTokens = Annotated[int, _serving(envvar="MAX_BATCH_TOKENS", min=1, help="Tokens of a batch.")]
QueueTokens = Annotated[
    int, _serving(envvar="MAX_QUEUE_TOKENS", min=0, help="Tokens in work at a time. 0: 16 batches.")
]
ClientBatch = Annotated[
    int, _serving(envvar="MAX_CLIENT_BATCH_SIZE", min=1, help="Inputs of a request; the server splits them.")
]
AutoTruncate = Annotated[
    bool,
    _serving("--auto-truncate", envvar="AUTO_TRUNCATE", help="Cut what is too long, unless told not to."),
]
Workers = Annotated[
    int, _serving(envvar="TOKENIZATION_WORKERS", min=1, help="Threads that tokenize long texts.")
]
Timeout = Annotated[float, _serving(min=0.001, help="Seconds that a request may wait in the queue.")]
Delay = Annotated[float, _serving(min=0, help="Seconds that a request waits for room before its 429.")]
Drain = Annotated[float, _serving(min=0, help="Least seconds between SIGTERM and the end.")]
Host = Annotated[str, _network("--hostname", "--host", help="The address to listen on.")]
Port = Annotated[int, _network("--port", "-p", envvar="PORT", min=0, max=65535, help="The port.")]
Uds = Annotated[str | None, _network(help="The path of a unix socket to listen on instead.")]
Payload = Annotated[int, _network(envvar="PAYLOAD_LIMIT", min=1, help="Bytes of a body.")]
ApiKey = Annotated[
    str | None,
    _network(envvar="API_KEY", help="The key that requests must show.", show_default=False),
]
Cors = Annotated[
    list[str] | None,
    _network(envvar="CORS_ALLOW_ORIGIN", help="An origin whose pages may ask; * for all. Default: none."),
]
JsonOutput = Annotated[bool, _telling("--json-output", envvar="JSON_OUTPUT", help="Logs in JSON.")]
LogRequests = Annotated[bool, _telling("--log-requests", help="A line for each request, without its texts.")]
PrometheusPort = Annotated[
    int | None,
    _telling(envvar="PROMETHEUS_PORT", min=0, max=65535, help="A port for /metrics alone, without a key."),
]
OtlpEndpoint = Annotated[
    str | None,
    _telling(envvar="OTLP_ENDPOINT", help="Refused, as no traces are sent.", show_default=False),
]


def command(
    models: Models = None,
    model_id: ModelId = None,
    served_model_name: ServedName = None,
    threads: Threads = None,
    max_concurrent_requests: Concurrent = Settings.max_concurrent_requests,
    max_batch_tokens: BatchTokens = Settings.max_batch_tokens,
    max_queue_tokens: QueueTokens = Settings.max_queue_tokens,
    max_client_batch_size: ClientBatch = Settings.max_client_batch_size,
    auto_truncate: AutoTruncate = Settings.auto_truncate,
    tokenization_workers: Workers = Settings.tokenization_workers,
    request_timeout: Timeout = Settings.request_timeout,
    overload_delay: Delay = Settings.overload_delay,
    drain_seconds: Drain = Settings.drain_seconds,
    hostname: Host = Settings.host,
    port: Port = Settings.port,
    uds: Uds = None,
    payload_limit: Payload = Settings.payload_limit,
    api_key: ApiKey = None,
    cors_allow_origin: Cors = None,
    json_output: JsonOutput = Settings.json_output,
    log_requests: LogRequests = Settings.log_requests,
    prometheus_port: PrometheusPort = None,
    otlp_endpoint: OtlpEndpoint = None,
) -> None:
    """Serve models over HTTP, to clients of text-embeddings-inference, OpenAI, Jina and Cohere.

    SIGTERM answers what was asked and ends; SIGHUP loads files that were replaced.
    """
    from importlib.util import find_spec

    from bertc.errors import InputError, MissingExtraError

    if otlp_endpoint is not None:
        raise InputError(
            "bertc serve sends no traces: leave out --otlp-endpoint (OTLP_ENDPOINT). /metrics has the times"
            " of requests by part, and --json-output --log-requests a line with the id of each"
        )
    for package in ("uvicorn", "uvloop", "httptools", "msgspec", "orjson"):
        if find_spec(package) is None:
            raise MissingExtraError(package, "serve", "bertc serve")
    from bertc.serve.server import serve

    sources = [ModelSource.parse(each) for each in models or ()]
    if model_id is not None:
        parsed = ModelSource.parse(model_id)
        sources.insert(0, ModelSource(served_model_name or parsed.name, parsed.source))
    settings = Settings(
        models=tuple(sources),
        host=hostname,
        port=port,
        uds=uds,
        num_threads=threads,
        tokenization_workers=tokenization_workers,
        max_concurrent_requests=max_concurrent_requests,
        max_batch_tokens=max_batch_tokens,
        max_queue_tokens=max_queue_tokens,
        max_client_batch_size=max_client_batch_size,
        auto_truncate=auto_truncate,
        payload_limit=payload_limit,
        request_timeout=request_timeout,
        overload_delay=overload_delay,
        drain_seconds=drain_seconds,
        api_key=api_key,
        cors_allow_origin=tuple(cors_allow_origin or ()),
        prometheus_port=prometheus_port,
        json_output=json_output,
        log_requests=log_requests,
    )
    raise typer.Exit(serve(settings))
