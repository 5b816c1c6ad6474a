"""The plan of a run of the bench: settings, and the engines that follow from them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path

from bertc.artifact.reader import Artifact, open_artifact
from bertc.artifact.schema import ModelInfo
from bertc.bench.engine import OURS
from bertc.bench.peers import PEERS
from bertc.bench.peers.base import check_installed
from bertc.bench.peers.torch_model import CLASSES
from bertc.bench.process import EngineSpec
from bertc.bench.timing import Effort
from bertc.bench.work import product_dtype
from bertc.errors import InputError
from bertc.precision import DTYPES, INT7
from bertc.task_table import TASKS


@dataclass(frozen=True)
class Settings:
    """The settings of a run: what to measure, and how long."""

    files: tuple[Path, ...]
    """The files, compiled from one checkpoint; peers are compared with the first."""
    threads: int
    against: tuple[str, ...] = ()
    """The names of peers."""
    dtypes: tuple[str, ...] = DTYPES
    """The dtypes that peers run in, as far as they have them."""
    checkpoint: Path | None = None
    batches: tuple[int, ...] = (1, 4, 8, 16, 32, 64)
    lengths: tuple[int, ...] = (16, 128, 512)
    texts: tuple[str, ...] = ()
    source: str | None = None
    """The name of the texts, for the report."""
    sts: Path | None = None
    """An STS file to score embeddings on."""
    calibration: tuple[str, ...] = ()
    cache: Path = Path()
    effort: Effort = field(default_factory=Effort)
    startup: bool = True
    peaks: bool = True
    memory: bool = True
    scaling: bool = False
    neighbors: int = 0
    """The number of busy programs beside the engines while shapes and texts are timed."""


def plan(settings: Settings) -> list[EngineSpec]:
    """List the engines, our files first, then the peers; file names tell files of one dtype apart.

    Raises ``InputError`` and ``MissingExtraError`` before anything runs.
    """
    artifacts = [open_artifact(path) for path in settings.files]
    names = {artifact.manifest.model.name for artifact in artifacts}
    if len(names) != 1:
        raise InputError(f"the files are of different models: {', '.join(sorted(names))}")
    engines = [(OURS, dtype_of(each), each.path) for each in artifacts]
    for library in settings.against:
        if library not in PEERS:
            nearest = get_close_matches(library, PEERS, 1, cutoff=0)[0]
            raise InputError(f"no peer {library!r}: did you mean {nearest!r}? There are {', '.join(PEERS)}")
        check_installed(PEERS[library])
        dtypes = [dtype for dtype in PEERS[library].dtypes if dtype in settings.dtypes]
        engines += [(library, dtype, settings.files[0]) for dtype in dtypes]
    if settings.against and (settings.checkpoint is None or not settings.checkpoint.is_dir()):
        raise InputError(
            f"comparing with others needs the checkpoint folder that {settings.files[0]} was compiled from"
        )
    check_work(settings, artifacts[0].manifest.model)
    counts = Counter(f"{library} {dtype}" for library, dtype, _ in engines)
    return [
        EngineSpec(
            library=library,
            dtype=dtype,
            name=f"{name} {file.stem}" if counts[name] > 1 else name,
            file=file,
            checkpoint=settings.checkpoint,
            cache=settings.cache,
            calibration=settings.calibration,
            threads=settings.threads,
        )
        for library, dtype, file in engines
        for name in (f"{library} {dtype}",)
    ]


def check_work(settings: Settings, info: ModelInfo) -> None:
    """Raise ``InputError`` for texts or peers that the bench cannot run or compare for such a model."""
    is_for = f"{info.name} is a model for {info.task}"
    if settings.against and info.task not in CLASSES:
        raise InputError(f"{is_for}: peers are compared on {', '.join(CLASSES)} alone, leave --against out")
    if settings.against and "modules" in info.facts:
        raise InputError(
            f"peers do not run the modules of {info.name}, {info.facts['modules']}: leave --against out"
        )
    if settings.sts is not None and info.task != "embedding":
        raise InputError(f"{is_for}: --sts scores embeddings, leave it out")
    if not settings.texts:
        return
    if TASKS[info.task].takes != "texts":
        raise InputError(f"{is_for}, which answers about pairs: leave --input out, shapes are measured")
    if settings.against and info.task == "token_classification":
        raise InputError("texts are compared for embedding and classification models alone: leave them out")
    changes = [*info.embedding.features, *(["max_lengths"] if "" in info.embedding.max_lengths else [])]
    if settings.against and changes:
        raise InputError(
            f"{info.name} has {' and '.join(changes)}, which peers do not know: leave texts or --against out"
        )


def dtype_of(artifact: Artifact) -> str:
    """Return the recipe's dtype, or int7 for products with weights of 7 bits, which have their own limit."""
    dtypes = {product_dtype(step) for step in artifact.manifest.program.steps}
    return INT7 if INT7 in dtypes else str(artifact.manifest.recipe.get("dtype"))
