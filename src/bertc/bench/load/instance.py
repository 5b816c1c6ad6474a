"""One instance: a loaded file in a process of its own, with the requests of all cases."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bertc.bench.engine import Driver, Engine
from bertc.bench.load.generator import Schedule, Trace, send
from bertc.bench.load.requests import (
    BatchingEncoder,
    LoadSession,
    Request,
    calls_of,
    made_up,
    request_of_call,
    request_of_ids,
)
from bertc.bench.load.settings import Call, Case, PreparedSequence
from bertc.bench.ours import CompiledModel
from bertc.bench.work import main_output
from bertc.errors import ArtifactError, InputError
from bertc.task_table import TASKS

RequestFacts = tuple[int, tuple[int, ...]]
"""The number of samples of a request, and the tokens of each of its sequences."""


class LoadDriver(Driver):
    """What an instance does when it is asked: make requests, score a case, run requests on a schedule."""

    def __init__(self, engine: Engine, info: Any, texts: Sequence[str] = ()) -> None:
        super().__init__(engine, info, texts)
        assert isinstance(engine, CompiledModel), "load is put on compiled files alone"
        self._encoder = engine.encoder
        self._tokenizer = self._encoder.tokenizer
        self._session = LoadSession(
            self._encoder.artifact.executable, num_threads=self._encoder.session.num_threads
        )
        self._encoder.session = self._session
        self._requests: dict[Case, list[Request]] = {}

    def score(self, data: Path, case: Case) -> tuple[dict[str, Any], list[Call], list[RequestFacts]]:
        """Score the case on a labeled file, and make its requests of the calls that this takes.

        Returns the result, the calls, and what :meth:`add_calls` does. Raises ``InputError`` as the task's
        evaluator does.
        """
        self._use(case)
        evaluator = importlib.import_module(f"bertc.evaluation.{TASKS[self.info.task].evaluator}")
        model = BatchingEncoder(self._encoder, self._session, case.batch)
        result = evaluator.evaluate(model, data).to_dict()
        facts = {key: result[key] for key in ("metrics", "counts", "intervals")}
        return facts, model.calls, self._add(case, model.requests)

    def add_calls(self, case: Case, calls: Sequence[Call]) -> list[RequestFacts]:
        """Make the requests of a case of calls; return the samples of each, and its sequences' tokens."""
        self._use(case)
        return self._add(case, [request_of_call(self._encoder, self._session, call)[0] for call in calls])

    def add_texts(self, case: Case) -> list[RequestFacts]:
        """Make the requests of a case of the driver's texts, as :meth:`add_calls` does."""
        return self.add_calls(case, calls_of(TASKS[self.info.task].methods[0], self.texts, case.batch))

    def add_ids(
        self, case: Case, sequences: Sequence[PreparedSequence], fill: str, seed: int
    ) -> list[RequestFacts]:
        """Make the requests of a case of token ids, as :meth:`add_calls` does.

        Without ids it is one request, of made-up ones.
        """
        self._use(case)
        outputs = main_output(self.info)
        batches = [sequences[at : at + case.batch] for at in range(0, len(sequences), case.batch)]
        if not batches:
            length = case.length or 1
            batches = [made_up(fill, case.batch, length, self.info.size("vocab_size"), seed)]
        return self._add(case, [request_of_ids(self._session, batch, outputs) for batch in batches])

    def warm_up(self, case: Case, scope: str, count: int) -> None:
        """Run ``count`` requests, untimed."""
        self._use(case)
        requests = self._requests[case]
        for number in range(count):
            requests[number % len(requests)].run[scope]()

    def measure(self, case: Case, scope: str, schedule: Schedule) -> Trace:
        """Run the requests of a case on a schedule."""
        self._use(case)
        return send([request.run[scope] for request in self._requests[case]], schedule)

    def _add(self, case: Case, requests: list[Request]) -> list[RequestFacts]:
        self._requests[case] = requests
        return [(request.samples, request.lengths) for request in requests]

    def _use(self, case: Case) -> None:
        """Cut and fill sequences as the case says. Raises ``InputError`` where that leaves a text no room."""
        self._session.length = case.length
        most = self.info.max_seq_length
        limit = most if case.length is None else min(case.length, most)
        # A model may have other limits for queries and documents.
        limits = {kind: min(limit, each) for kind, each in self.info.embedding.max_lengths.items()}
        embedding = dataclasses.replace(self.info.embedding, max_lengths=limits)
        self._encoder.info = dataclasses.replace(self.info, max_seq_length=limit, embedding=embedding)
        try:
            self._encoder.tokenizer = self._tokenizer if limit == most else self._tokenizer.with_limit(limit)
        except ArtifactError:
            raise InputError(f"length {limit} leaves a text no room beside special tokens") from None
