"""A run under load, from instances to a report: every case and scope, in rounds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from bertc.artifact.reader import Artifact, open_artifact
from bertc.bench.circumstances import circumstances
from bertc.bench.engine import OURS
from bertc.bench.load.energy import EnergyMeter
from bertc.bench.load.figures import Measured, Work, figures
from bertc.bench.load.generator import Schedule, Trace, arrivals
from bertc.bench.load.instance import LoadDriver
from bertc.bench.load.settings import KERNEL, Case, LoadSettings, check_settings, cores_of
from bertc.bench.plan import dtype_of
from bertc.bench.process import EngineProcess, EngineSpec
from bertc.bench.work import operations

FORMAT = 1
"""The format of a report: raised when a reader of the old one misreads the new one."""
KIND = "load-test"
HEAD_START = 0.05
"""The seconds from planning a round to its start: all instances have their schedule by then."""

Say = Callable[[str], None]
Keep = Callable[[dict[str, Any]], None]


def run_load(
    settings: LoadSettings, say: Say = lambda _: None, keep: Keep = lambda _: None
) -> dict[str, Any]:
    """Measure each case and scope, and return a report that is plain JSON.

    ``keep`` gets the report as far as it is, again and again: what an interrupted run leaves. Raises
    ``InputError`` for settings that make no sense, and ``EngineError`` if an instance fails.
    """
    artifact = open_artifact(settings.file)
    check_settings(settings, artifact.manifest.model)
    meter = EnergyMeter() if settings.energy else None
    run = _Run(settings, artifact, meter)
    with ExitStack() as stack:
        say("loading")
        run.start(stack)
        for case in settings.cases:
            say(f"preparing {_spell(case)}")
            run.prepare(case)
        for number, (case, scope) in product(range(settings.rounds), product(settings.cases, run.scopes)):
            say(f"{_spell(case)}, {scope}, round {number + 1} of {settings.rounds}")
            run.measure(case, scope)
            keep(run.report())
    report = run.report(complete=True)
    keep(report)
    return report


class _Run:
    """The instances of a run, and what was measured so far."""

    def __init__(self, settings: LoadSettings, artifact: Artifact, meter: EnergyMeter | None) -> None:
        self._settings, self._artifact, self._meter = settings, artifact, meter
        self._info = artifact.manifest.model
        self._cores = cores_of(settings.instances, settings.threads)
        self._instances: list[EngineProcess] = []
        self._isa: str | None = None
        self._work: dict[Case, Work] = {}
        self._scores: dict[Case, dict[str, Any]] = {}
        self._measured: dict[tuple[Case, str], list[Measured]] = {}
        self.scopes = settings.scopes if settings.has_texts else (KERNEL,)

    def start(self, stack: ExitStack) -> None:
        """Load all instances; their processes end with the stack."""
        settings = self._settings
        for cores in self._cores:
            spec = EngineSpec(
                library=OURS,
                dtype=dtype_of(self._artifact),
                name=settings.file.name,
                file=settings.file,
                checkpoint=None,
                cache=Path(),
                calibration=(),
                threads=settings.threads,
                cores=cores,
            )
            instance = EngineProcess(spec, settings.texts, LoadDriver)
            stack.callback(instance.close)
            self._instances.append(instance)
        self._isa = self._instances[0].facts().isa

    def prepare(self, case: Case) -> None:
        """Make the requests of a case in all instances; on labeled data, score them first."""
        settings = self._settings
        if settings.data is not None:
            first, *others = self._instances
            found = self._ask_all(LoadDriver.score, settings.data, case, of=[first])
            self._scores[case], calls, requests = found[0]
            self._ask_all(LoadDriver.add_calls, case, calls, of=others)
        elif settings.texts:
            requests = self._ask_all(LoadDriver.add_texts, case)[0]
        else:
            made = settings.sequences, settings.fill, settings.seed
            requests = self._ask_all(LoadDriver.add_ids, case, *made)[0]
        count = partial(operations, self._artifact.executable, self._info)
        self._work[case] = Work.of(count, requests, case.length)

    def measure(self, case: Case, scope: str) -> None:
        """Run one round of a case and scope in all instances at once."""
        settings, count = self._settings, len(self._work[case].samples)
        self._ask_all(LoadDriver.warm_up, case, scope, settings.warmup)
        due = limit = None
        seconds: float | None = settings.seconds / settings.rounds
        patience = float("inf")
        if settings.rate is not None:
            due = arrivals(settings.rate, settings.seconds, poisson=settings.poisson, seed=settings.seed)
            limit, seconds, patience = len(due), None, 2 * settings.seconds
        elif settings.loops is not None:
            limit, seconds = settings.loops * count, None
        schedule = partial(
            Schedule,
            start=time.monotonic() + HEAD_START,
            order=np.random.default_rng(settings.seed).permutation(count),
            queue=settings.queue,
            step=settings.instances,
            limit=limit,
            seconds=seconds,
            due=due,
            patience=patience,
        )
        if self._meter is not None:
            self._meter.joules()
        with self._all_at_once() as pool:
            running = [
                pool.submit(instance.ask, LoadDriver.measure, case, scope, schedule(first=place))
                for place, instance in enumerate(self._instances)
            ]
            traces: list[Trace] = [each.result() for each in running]
        joules = None if self._meter is None else self._meter.joules()
        self._measured.setdefault((case, scope), []).append(Measured(traces, joules))

    def report(self, *, complete: bool = False) -> dict[str, Any]:
        """Return the report as plain JSON."""
        settings = self._settings
        file = {
            "name": settings.file.name,
            "dtype": dtype_of(self._artifact),
            "megabytes": self._artifact.size / 1e6,
            "weights_sha256": self._artifact.weights_sha256,
        }
        return {
            "kind": KIND,
            "format": FORMAT,
            "complete": complete,
            **circumstances(self._info),
            "file": file,
            "settings": {**_settings_facts(settings, self._cores), "isa": self._isa},
            "rows": [
                {
                    "batch": case.batch,
                    "length": case.length,
                    "scope": scope,
                    **figures(self._work[case], rounds, settings.rate),
                    "scores": self._scores.get(case),
                }
                for (case, scope), rounds in self._measured.items()
            ],
        }

    def _ask_all(
        self, question: Callable[..., Any], *arguments: Any, of: Sequence[EngineProcess] | None = None
    ) -> list[Any]:
        """Ask all instances (or some) the same at once, and return their answers."""
        with self._all_at_once() as pool:
            asked = self._instances if of is None else of
            running = [pool.submit(each.ask, question, *arguments) for each in asked]
            return [each.result() for each in running]

    @contextmanager
    def _all_at_once(self) -> Iterator[ThreadPoolExecutor]:
        """Give a thread for each instance; an error or an interrupt ends the work of all."""
        with ThreadPoolExecutor(len(self._instances)) as pool:
            try:
                yield pool
            except BaseException:
                for instance in self._instances:
                    instance.kill()
                raise


def _settings_facts(settings: LoadSettings, cores: list[tuple[int, ...]]) -> dict[str, Any]:
    """Return the settings as plain JSON."""
    used = [core for each in cores for core in each]
    return {
        "source": None if settings.source is None else Path(settings.source).name,
        "fill": None if settings.source is not None else settings.fill,
        "instances": settings.instances,
        "threads": settings.threads,
        "cores": [list(each) for each in cores],
        "shares_cores": len(set(used)) < len(used),
        "queue": settings.queue,
        "rate": settings.rate,
        "arrivals": None if settings.rate is None else "poisson" if settings.poisson else "regular",
        "warmup": settings.warmup,
        "loops": settings.loops,
        "seconds": None if settings.loops is not None else settings.seconds,
        "seed": settings.seed,
    }


def _spell(case: Case) -> str:
    return f"{case.batch} x {case.length or 'real length'}"
