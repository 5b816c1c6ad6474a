"""``bertc load-test``: a file under load, with instances, queues and rates, over a grid of shapes."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from enum import Enum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bertc.cli.console import AsJson, Model, print_result, status

if TYPE_CHECKING:
    from bertc.bench.load.settings import LoadSettings, PreparedSequence


class Fill(str, Enum):
    """The token ids where no samples are given."""

    RANDOM = "random"
    ZERO = "zero"


class Scope(str, Enum):
    """What is timed."""

    BOTH = "both"
    END_TO_END = "end-to-end"
    KERNEL = "kernel"


class Arrivals(str, Enum):
    """When the requests of an open loop arrive."""

    REGULAR = "regular"
    POISSON = "poisson"


def _group(panel: str) -> Callable[..., Any]:
    """Return ``typer.Option`` for options that the help shows under a title."""
    return partial(typer.Option, rich_help_panel=panel)


_sample, _shape, _load, _result = map(_group, ("Samples", "Shapes", "Load", "Results"))

Data = Annotated[
    Path | None, _sample("--data", "-d", help="A labeled file, as bertc eval reads it: scores each row.")
]
Input = Annotated[
    str | None,
    _sample(
        "--input", "-i", help="Texts, or prepared token ids: a folder, list or file of .npy, .npz, .bin."
    ),
]
Column = Annotated[str, _sample(help="Where tables and .jsonl have the text.")]
Filled = Annotated[Fill, _sample(help="Token ids without --data or --input.")]
Batch = Annotated[str, _shape(help="Samples per request, as in 1,4,8.")]
Length = Annotated[
    str | None,
    _shape(
        help="Tokens per sample, as in 128,real or 16:128:16 (from:to:step). Samples are cut and filled up "
        "to a number; real: as long as they are. Default: real, or 128 without samples."
    ),
]
TimedScope = Annotated[Scope, _shape(help="Time calls with texts, the model alone on token ids, or both.")]
Instances = Annotated[int, _load(min=1, help="Processes, each on processors of its own.")]
ThreadsEach = Annotated[
    int | None, _load(min=1, help="Threads of each instance. Default: its share of the processors.")
]
Queue = Annotated[int, _load(min=1, help="Requests in work at a time, in each instance.")]
Rate = Annotated[
    float | None,
    _load(help="Requests that arrive per second, ready or not. Default: each waits for one before."),
]
WhenArriving = Annotated[Arrivals, _load("--arrivals", help="How requests of a --rate arrive.")]
Warmup = Annotated[int, _load(min=0, help="Untimed requests of each instance first.")]
Loops = Annotated[int | None, _load(min=1, help="Passes over the samples, instead of seconds.")]
Seconds = Annotated[float, _load(min=0.001, help="For each row and scope.")]
Seed = Annotated[int, _load(min=0, help="Of random ids, order and arrivals.")]
Energy = Annotated[bool, _result("--energy", help="Read the processors' energy (RAPL).")]
CompiledBy = Annotated[
    str | None, typer.Option(help="How to compile a checkpoint: a recipe, or the name of a preset.")
]
Save = Annotated[Path | None, _result(help="The .json file for bertc compare.")]


def command(
    model: Model,
    data: Data = None,
    source: Input = None,
    column: Column = "text",
    fill: Filled = Fill.RANDOM,
    batch: Batch = "1",
    length: Length = None,
    scope: TimedScope = Scope.BOTH,
    instances: Instances = 1,
    threads: ThreadsEach = None,
    queue: Queue = 1,
    rate: Rate = None,
    arrivals: WhenArriving = Arrivals.REGULAR,
    warmup: Warmup = 2,
    loops: Loops = None,
    seconds: Seconds = 2.0,
    seed: Seed = 0,
    energy: Energy = False,
    save: Save = None,
    recipe: CompiledBy = None,
    as_json: AsJson = False,
) -> None:
    """Put load on a file: throughput and percentiles of latency, with the score of each row."""
    from bertc.artifact.reader import open_artifact
    from bertc.atomic_file import check_destination
    from bertc.bench.load.settings import SCOPES, LoadSettings
    from bertc.cli.load_tables import print_run
    from bertc.loading import file_of
    from bertc.runtime.environment import default_num_threads

    if data is not None and source is not None:
        raise typer.BadParameter("give --data or --input, not both", param_hint="--data")
    if rate is not None and (rate <= 0 or loops is not None):
        raise typer.BadParameter("expected a number above 0, and no --loops beside it", param_hint="--rate")
    if save is not None:
        check_destination(save)
    file = file_of(model, recipe=recipe)
    longest = open_artifact(file).manifest.model.longest_sequence
    usual = str(min(128, longest)) if data is None and source is None else "real"
    texts, sequences = _samples(source, column)
    settings = LoadSettings(
        file=file,
        batches=tuple(number for number in _numbers(batch, "--batch") if number is not None),
        lengths=_numbers(length or usual, "--length", real=True),
        texts=texts,
        sequences=sequences,
        data=data,
        fill=fill.value,
        source=source or (str(data) if data else None),
        scopes=SCOPES if scope is Scope.BOTH else (scope.value.replace("-", "_"),),
        instances=instances,
        threads=threads or max(1, default_num_threads() // instances),
        queue=queue,
        rate=rate,
        poisson=arrivals is Arrivals.POISSON,
        warmup=warmup,
        loops=loops,
        seconds=seconds,
        seed=seed,
        energy=energy,
    )
    print_result(_measure(settings, save), as_json, print_run)


def _measure(settings: LoadSettings, save: Path | None) -> dict[str, Any]:
    from bertc.atomic_file import replace_atomically
    from bertc.bench.load.run import run_load

    def keep(so_far: dict[str, Any]) -> None:
        if save is not None:
            with replace_atomically(save) as target:
                target.write(f"{json.dumps({**how, **so_far}, indent=1)}\n".encode())

    how = {"command": sys.argv[1:]}
    with status("starting") as say:
        return {**how, **run_load(settings, say, keep)}


def _samples(source: str | None, column: str) -> tuple[tuple[str, ...], tuple[PreparedSequence, ...]]:
    """Return the texts or the prepared token ids of ``--input``."""
    from bertc.bench.load.settings import PreparedSequence
    from bertc.errors import InputError
    from bertc.files.arrays import PreparedIds, is_prepared, read_arrays
    from bertc.files.lines import STDIN
    from bertc.files.texts import read_texts

    if source is None:
        return (), ()
    if source == STDIN or not is_prepared(Path(source)):
        texts = tuple(record.text for record in read_texts(source, column))
        if not texts:
            raise InputError(f"{source}: no texts")
        return texts, ()
    sequences = []
    for sample in read_arrays(source):
        if not isinstance(sample, PreparedIds):
            raise InputError(f"{sample.where}: these are vectors: load runs token ids")
        sequences.append(PreparedSequence(sample.ids, sample.type_ids))
    if not sequences:
        raise InputError(f"{source}: no samples")
    return (), tuple(sequences)


def _numbers(text: str, option: str, *, real: bool = False) -> tuple[int | None, ...]:
    """Return the numbers of a list such as 1,4,8 or 16:128:16; None for ``real`` where that may be."""
    found: list[int | None] = []
    for part in text.split(","):
        if real and part.strip() == "real":
            found.append(None)
            continue
        match = re.fullmatch(r"\s*(\d+)(?::(\d+)(?::(\d+))?)?\s*", part)
        low, high, step = (int(each) if each else None for each in match.groups()) if match else (0, 0, 0)
        if not low or (high is not None and high < low) or step == 0:
            also = ", real" if real else ""
            message = f"{part!r}: expected whole numbers from 1{also}, or from:to:step"
            raise typer.BadParameter(message, param_hint=option)
        found.extend(range(low, (high or low) + 1, step or 1))
    if not found:
        raise typer.BadParameter(f"{text!r} has no number", param_hint=option)
    return tuple(dict.fromkeys(found))
