"""Shards of a job as tasks of a Ray cluster, and a model file that each node takes once."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from bertc.atomic_file import replace_atomically
from bertc.bulk.engines import assigned_threads
from bertc.bulk.output import MANIFEST, Finished
from bertc.bulk.shards import Shard
from bertc.bulk.work import Advance, Work, Worker
from bertc.cache import compiling
from bertc.encoder import Encoder, load
from bertc.errors import BertcError, InputError, MissingExtraError
from bertc.files.hashing import hash_of
from bertc.runtime.environment import cache_folder, default_num_threads
from bertc.version import __version__

RETRIES = 3
"""How often a shard is begun again whose process or node has died."""
_WAITING = 2
"""The shards in work or waiting, for each place of the cluster: none has to wait for this process."""


@dataclass(frozen=True)
class ShippedModel:
    """A model file in Ray's object store, for tasks on any node; it is there while this object is.

    Ray copies an object once to a node. Its first process writes it to bertc's cache there, by its hash, and
    all of them map that file.
    """

    name: str
    sha256: str
    content: Any
    """Ray's reference to the bytes, an array."""

    def __fspath__(self) -> str:
        """Return the path of the file on this node. Raises ``ArtifactError`` for a cache it cannot write."""
        place = cache_folder() / f"{self.name}-{self.sha256[:16]}.bertc"
        if not place.is_file():
            with compiling(place):
                if not place.is_file():
                    with replace_atomically(place) as file:
                        file.write(ray_for("reading a shipped model").get(self.content))
        return str(place)


def ray_for(purpose: str) -> Any:
    """Return the package. Raises ``MissingExtraError``."""
    try:
        import ray
    except ImportError:
        raise MissingExtraError("ray", "ray", purpose) from None
    return ray


def ship(path: str | os.PathLike[str]) -> ShippedModel:
    """Put a .bertc file into the object store of the cluster that this process is connected to.

    Keep what comes back until the last task is done. Raises ``InputError`` for a file that cannot be read.
    """
    ray = ray_for("shipping a model")
    try:
        with Path(path).open("rb") as file:
            digest = hash_of(file)
        content = np.fromfile(path, np.uint8)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from None
    return ShippedModel(Path(path).stem, digest, ray.put(content))


@contextmanager
def connected(address: str) -> Iterator[None]:
    """Be connected to a cluster while the block runs, unless this process is; "local" starts one for it.

    Raises ``InputError`` for a cluster that does not answer.
    """
    ray = ray_for("a job on many machines")
    if ray.is_initialized():
        yield
        return
    try:
        ray.init(address, logging_level="error", log_to_driver=False)
    except (ConnectionError, RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise InputError(f"cannot reach a Ray cluster at {address}: {reason}") from None
    try:
        yield
    finally:
        ray.shutdown()


def run_shards(
    encoder: Encoder, work: Work, shards: Sequence[Shard], most: int | None, advance: Advance
) -> Iterator[Finished]:
    """Run shards as tasks of the cluster that this process is connected to, and yield each when it is done.

    A task has as many CPUs as the model has threads here, or those of the smallest node, and the model there
    as many threads. ``most`` bounds the tasks at a time. Raises ``InputError`` for a folder that the nodes do
    not share, and ``BertcError`` for a shard that kills its processes.
    """
    ray = ray_for("a job on many machines")
    threads = min(encoder.session.num_threads or default_num_threads(), _smallest_node(ray))
    task = ray.remote(_run_shard).options(num_cpus=threads, max_retries=RETRIES)
    model = ship(encoder.artifact.path)
    work = replace(work, folder=work.folder.absolute())
    left, running = iter(shards), dict[Any, Shard]()
    try:
        while True:
            places = max(1, int(ray.cluster_resources().get("CPU", 1)) // threads)
            room = (most or _WAITING * places) - len(running)
            for shard in islice(left, max(0, room)):
                running[task.remote(model, work, shard, __version__)] = shard
            if not running:
                return
            (done,), _ = ray.wait(list(running), num_returns=1)
            shard = running.pop(done)
            finished = _result(ray, done, shard)
            advance(shard.rows, finished.tokens)
            yield finished
    finally:
        if ray.is_initialized():
            for each in running:
                ray.cancel(each)


def _smallest_node(ray: Any) -> int:
    """Return the CPUs of the node that has the fewest; a node without one does no work."""
    cpus = [int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"]]
    if not any(cpus):
        raise InputError("the Ray cluster has no node with a CPU: add one")
    return min(each for each in cpus if each)


def _result(ray: Any, reference: Any, shard: Shard) -> Finished:
    try:
        finished: Finished = ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        raise error.cause from None
    except ray.exceptions.RayError as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise BertcError(
            f"{shard.file.path}: its processes died {RETRIES + 1} times, perhaps for want of memory: {reason}"
        ) from None
    return finished


# What follows runs in the processes of a cluster.

_latest: list[tuple[Any, Worker]] = []
"""The worker of this process, behind what it is for: tasks that follow have the model loaded."""


def _run_shard(model: ShippedModel, work: Work, shard: Shard, version: str) -> Finished:
    if version != __version__:
        raise BertcError(f"the job is of bertc {version}, a node has {__version__}: install the same one")
    if not (work.folder / MANIFEST).exists():
        raise InputError(f"a node does not see the folder {work.folder}: name one that all nodes share")
    threads = assigned_threads()
    wanted = (model.sha256, work, threads)
    if not _latest or _latest[0][0] != wanted:
        _latest[:] = [(wanted, Worker(load(os.fspath(model), num_threads=threads), work))]
    return _latest[0][1].run(shard, lambda *_: None)
