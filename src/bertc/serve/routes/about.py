"""What the server says of itself: /info, /v1/models, /health, /ready and /metrics."""

from __future__ import annotations

import resource
import sys
from typing import Any

from bertc.serve.errors import RequestError
from bertc.serve.models import Model
from bertc.serve.settings import MAX_WHOLE_TEXT
from bertc.serve.state import Phase, State
from bertc.tasks.classification import Classifier
from bertc.version import __version__


async def info(state: State) -> dict[str, Any]:
    """Return the facts of the first model and the limits, as text-embeddings-inference does, and of all."""
    if not state.registry.models:
        raise RequestError("Unhealthy", "the models are still loading")
    first, settings = state.registry.models[0], state.settings
    return {
        **_facts(first),
        "max_concurrent_requests": settings.max_concurrent_requests,
        "max_input_length": first.limit,
        "max_batch_tokens": settings.max_batch_tokens,
        "max_queue_tokens": settings.queue_tokens,
        "max_batch_requests": None,
        "max_client_batch_size": settings.max_client_batch_size,
        "max_uncut_characters": MAX_WHOLE_TEXT,
        "payload_limit": settings.payload_limit,
        "auto_truncate": settings.auto_truncate,
        "tokenization_workers": settings.tokenization_workers,
        "version": __version__,
        "sha": None,
        "docker_label": None,
        "models": [
            {"name": model.name, **_facts(model), "max_input_length": model.limit}
            for model in state.registry.models
        ],
    }


async def models(state: State) -> dict[str, Any]:
    """Return the models as OpenAI does."""
    return {
        "object": "list",
        "data": [
            {
                "id": model.name,
                "object": "model",
                "created": int(model.loaded_at),
                "owned_by": "bertc",
                "task": model.encoder.info.task,
            }
            for model in state.registry.models
        ],
    }


async def certificates(state: State) -> dict[str, Any]:
    """Return what each model's file states about its fidelity."""
    found = [(model.name, model.encoder.artifact.certificate) for model in state.registry.models]
    return {
        "models": [
            {"name": name, "summary": each.summary, "certificate": each.to_json_value()}
            for name, each in found
        ]
    }


async def health(state: State) -> dict[str, Any]:
    """Return nothing if a tiny inference of each model worked a moment ago; otherwise raise."""
    problem = state.health.problem()
    if problem is not None:
        raise RequestError("Unhealthy", problem)
    return {}


async def ready(state: State) -> dict[str, Any]:
    """Return nothing if requests are welcome: the models are loaded, healthy, and not about to end."""
    if state.phase is not Phase.READY:
        raise RequestError("Unhealthy", f"the server is {state.phase.value}")
    return await health(state)


async def metrics(state: State) -> bytes:
    """Return what was counted, as Prometheus reads it."""
    return scrape(state).encode()


def scrape(state: State) -> str:
    """Return the text of /metrics."""
    load, admission = state.engine.queue.load(), state.engine.admission
    gauges = {
        "te_queue_size": load["waiting_requests"],
        "bertc_queue_tokens": load["waiting_tokens"],
        "bertc_running_tokens": load["running_tokens"],
        "bertc_requests_in_flight": state.metrics.in_flight,
        "bertc_admitted_tokens": admission.tokens,
        "bertc_admitted_requests": admission.requests,
        "bertc_requests_waiting_for_room": admission.waiting,
        "bertc_batch_fill": load["tokens"] / (load["batches"] * state.settings.max_batch_tokens or 1),
        "bertc_ready": state.phase is Phase.READY,
        "process_resident_memory_peak_bytes": _peak_memory(),
        "process_start_time_seconds": state.started_at,
    }
    totals = {
        "te_batch_next_size_sum": load["requests"],
        "te_batch_next_size_count": load["batches"],
        "te_batch_next_tokens_sum": load["tokens"],
        "te_batch_next_tokens_count": load["batches"],
        "bertc_model_seconds": load["busy_ns"] / 1e9,
        "process_cpu_seconds": _processor_seconds(),
    }
    return state.metrics.text(gauges, totals)


def _facts(model: Model) -> dict[str, Any]:
    info, manifest = model.encoder.info, model.encoder.artifact.manifest
    labels = {str(index): label for index, label in enumerate(info.labels)}
    classes = {"id2label": labels, "label2id": {label: int(index) for index, label in labels.items()}}
    kind: dict[str, Any] = {info.task: classes if labels else {}}
    if info.task == "embedding":
        kind = {"embedding": {"pooling": str(info.facts.get("pooling", "unknown"))}}
    elif isinstance(model.encoder, Classifier):
        kind = {"reranker" if len(info.labels) == 1 else "classifier": classes}
    return {
        "model_id": model.source.source,
        "model_sha": None,
        "model_dtype": str(manifest.recipe.get("dtype", "unknown")),
        "certificate": model.encoder.artifact.certificate.summary,
        "model_type": kind,
        "task": info.task,
        "mask_token": info.facts.get("mask_token"),
        "isa": model.encoder.session.isa,
        "num_threads": model.encoder.session.num_threads,
    }


def _peak_memory() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def _processor_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
