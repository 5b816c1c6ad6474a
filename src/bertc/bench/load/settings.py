"""The settings of a run under load, and what follows from them before anything runs."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bertc.artifact.schema import ModelInfo
from bertc.errors import InputError
from bertc.task_table import TASKS

Array = np.ndarray[Any, Any]

END_TO_END, KERNEL = "end_to_end", "kernel"
SCOPES = (END_TO_END, KERNEL)
"""What is timed: calls with texts, tokenizing included; or the model alone on token ids."""
FILLS = ("random", "zero")
"""The token ids where no input is given."""
ROUNDS = 3
"""A closed loop that lasts for some seconds is cut into so many rounds, between which the cases change: what
slows the machine for a while slows all of them."""


class Case(NamedTuple):
    """A row of the table: so many samples per request, of so many tokens each."""

    batch: int
    length: int | None
    """The tokens to which each sample is cut and filled up; None for as many as it has."""


class Call(NamedTuple):
    """A call of a method of the model with a batch of samples."""

    method: str
    arguments: tuple[Sequence[Any], ...]
    """The lists of samples, texts for example, each with an entry for each sample."""
    options: Mapping[str, Any]


class PreparedSequence(NamedTuple):
    """A sample of token ids, int32 [length], and its token types or None."""

    ids: Array
    type_ids: Array | None


@dataclass(frozen=True)
class LoadSettings:
    """What to run, and under which load."""

    file: Path
    batches: tuple[int, ...]
    lengths: tuple[int | None, ...]
    texts: tuple[str, ...] = ()
    sequences: tuple[PreparedSequence, ...] = ()
    """Token ids that others have prepared."""
    data: Path | None = None
    """A labeled file: the samples are its own, and each case is scored."""
    fill: str = FILLS[0]
    """One of ``FILLS``, where there are no samples."""
    source: str | None = None
    """The name of the samples, for the report."""
    scopes: tuple[str, ...] = SCOPES
    instances: int = 1
    """The number of processes, each of which loads the file."""
    threads: int = 1
    """The number of threads, and of processors, of each instance."""
    queue: int = 1
    """The most requests that an instance works on at a time."""
    rate: float | None = None
    """The requests per second that arrive, whether or not those before are done; None for a closed loop, in
    which each request waits for one before."""
    poisson: bool = False
    """Whether requests arrive at random times instead of regular ones."""
    warmup: int = 2
    """The untimed requests of each instance before each measurement."""
    loops: int | None = None
    """The number of passes over the samples, instead of ``seconds``."""
    seconds: float = 2.0
    """The time for each case and scope."""
    seed: int = 0
    energy: bool = False

    @property
    def cases(self) -> list[Case]:
        """The rows of the table, by length, then by batch."""
        return [Case(batch, length) for length, batch in product(self.lengths, self.batches)]

    @property
    def rounds(self) -> int:
        """The number of rounds: one where a loop or a queue must not be cut."""
        return 1 if self.loops is not None or self.rate is not None else ROUNDS

    @property
    def has_texts(self) -> bool:
        """Whether the samples are texts, so that there is something to tokenize."""
        return bool(self.texts) or self.data is not None


def cores_of(instances: int, threads: int) -> list[tuple[int, ...]]:
    """Return the processors of each instance; they share some if there are not enough.

    Empty tuples where the system cannot bind processes.
    """
    if not hasattr(os, "sched_getaffinity"):
        return [()] * instances
    allowed = sorted(os.sched_getaffinity(0))
    threads = min(threads, len(allowed))
    numbers = [[(instance * threads + place) % len(allowed) for place in range(threads)]
               for instance in range(instances)]  # fmt: skip
    return [tuple(allowed[number] for number in each) for each in numbers]


def check_settings(settings: LoadSettings, info: ModelInfo) -> None:
    """Raise ``InputError`` for what cannot be run on such a model, before anything is."""
    longest = info.longest_sequence
    too_long = [length for length in settings.lengths if length is not None and length > longest]
    if too_long:
        raise InputError(f"length {too_long[0]}: the model has {longest} positions")
    if settings.texts and TASKS[info.task].takes != "texts":
        raise InputError(
            f"{info.name} is a model for {info.task}, which answers about {TASKS[info.task].takes}: give "
            "labeled data, prepared token ids, or nothing for random ones"
        )
    if settings.data is not None and not TASKS[info.task].evaluator:
        raise InputError(f"nothing scores models for {info.task} on labeled data: give texts without labels")
    if settings.data is None and not settings.texts and not settings.sequences:
        if None in settings.lengths:
            raise InputError("random and zero ids have no lengths of their own: give numbers of tokens")
        return
    for index, sequence in enumerate(settings.sequences):
        most = min((length for length in settings.lengths if length is not None), default=longest)
        if len(sequence.ids) > min(most, longest):
            raise InputError(
                f"{settings.source}: sample {index} has {len(sequence.ids)} tokens, more than "
                f"{min(most, longest)}: prepared ids are not cut"
            )
