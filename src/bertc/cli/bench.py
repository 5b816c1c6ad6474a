"""``bertc bench``: how fast a file is on this machine, alone and next to other libraries."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bertc.cli.console import AsJson, Subfolder, Threads, print_result, status

if TYPE_CHECKING:
    from bertc.bench.plan import Settings

Files = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="FILE...",
        help=".bertc files of one model, or folders and .onnx files to compile.",
        show_default=False,
    ),
]
Against = Annotated[
    str, typer.Option(help="Also measure some of: transformers, onnxruntime, openvino, ctranslate2.")
]
Checkpoint = Annotated[
    Path | None, typer.Option(help="The folder that FILE was compiled from, for --against.")
]
DTypes = Annotated[str, typer.Option(help="Variants of --against, comma-separated.")]
Batch = Annotated[
    str | None, typer.Option(help="Sequences per run. Default: 1,4,8,16,32,64; with --layers 1,8.")
]
Length = Annotated[
    str | None,
    typer.Option(help="Tokens per sequence. Default: 16,128,512 as far as it goes; with --layers 128."),
]
Input = Annotated[str | None, typer.Option("--input", "-i", help="Also time the texts of this file.")]
Column = Annotated[str, typer.Option(help="Where .jsonl and .parquet have the text.")]
Sts = Annotated[
    Path | None, typer.Option(help="Score on this STS file; without --input, time its sentences.")
]
Calibration = Annotated[
    Path | None, typer.Option(help="Texts or STS file for peers that calibrate. Default: those of ours.")
]
Warmup = Annotated[int, typer.Option(min=0, help="Rounds before measuring.")]
Repeats = Annotated[int, typer.Option(min=1, help="Measured runs, at most.")]
Seconds = Annotated[float, typer.Option(min=0, help="Per engine and shape, about.")]
Layers = Annotated[bool, typer.Option("--layers", help="Tell the time by kernel, and nothing else.")]
Startup = Annotated[bool, typer.Option(help="Time the start of a process, by phase.")]
Memory = Annotated[bool, typer.Option(help="Tell the peak memory of a process of our own at 32x128.")]
Neighbors = Annotated[int, typer.Option(min=0, help="Busy programs beside the engines.")]
Scaling = Annotated[bool, typer.Option(help="Compare all threads with one at 8x128.")]
MeasurePeaks = Annotated[bool, typer.Option(help="Measure the machine's limits; alone, without a FILE.")]
Save = Annotated[Path | None, typer.Option(help="Add the report to this results file.")]
Plots = Annotated[Path | None, typer.Option(help="Draw plots into this folder.")]
Cache = Annotated[Path | None, typer.Option(help="Where converted checkpoints are kept.")]


def command(
    files: Files = None,
    against: Against = "",
    checkpoint: Checkpoint = None,
    dtypes: DTypes = "fp32,bf16,int8",
    batch: Batch = None,
    length: Length = None,
    layers: Layers = False,
    source: Input = None,
    column: Column = "text",
    sts: Sts = None,
    calibration: Calibration = None,
    warmup: Warmup = 1,
    repeats: Repeats = 1000,
    seconds: Seconds = 2.0,
    startup: Startup = True,
    memory: Memory = True,
    scaling: Scaling = False,
    neighbors: Neighbors = 0,
    peaks: MeasurePeaks = True,
    save: Save = None,
    plots: Plots = None,
    cache: Cache = None,
    subfolder: Subfolder = "",
    threads: Threads = None,
    as_json: AsJson = False,
) -> None:
    """Measure latency, throughput and start-up, next to other libraries and the machine's limits."""
    from bertc.artifact.reader import open_artifact
    from bertc.bench.peers.source import default_cache
    from bertc.bench.plan import Settings
    from bertc.bench.timing import Effort
    from bertc.cli.bench_tables import print_report
    from bertc.loading import file_of
    from bertc.runtime.environment import default_num_threads

    count = threads or default_num_threads()
    files = [file_of(each, subfolder) for each in files or ()]
    if layers:
        others = (against, source, sts, save, plots)
        return _only_layers(files, others, count, batch or "1,8", length, seconds, as_json)
    if not files:
        return _only_peaks(count, peaks, as_json)
    batches = _numbers(batch or "1,4,8,16,32,64", "--batch")
    # A process that starts with a text needs a model that reads one.
    reads_ids = not any(port.columns for port in open_artifact(files[0]).manifest.program.inputs)
    settings = Settings(
        files=tuple(files),
        threads=count,
        against=_names(against),
        dtypes=_names(dtypes),
        checkpoint=checkpoint,
        batches=batches,
        lengths=_lengths(length, files[0], (16, 128, 512)),
        texts=_texts(source, column, sts),
        source=source or (str(sts) if sts else None),
        sts=sts,
        calibration=_calibration(calibration, column),
        cache=cache or default_cache(),
        effort=Effort(warmup, repeats, seconds),
        startup=startup and reads_ids,
        memory=memory and reads_ids,
        scaling=scaling,
        neighbors=neighbors,
        peaks=peaks,
    )
    return print_result(_measure(settings, save, plots), as_json, print_report)


def _measure(settings: Settings, save_to: Path | None, plots: Path | None) -> dict[str, Any]:
    from bertc.bench.report import save
    from bertc.bench.run import run_bench

    def keep(so_far: dict[str, Any]) -> None:
        if save_to is not None:
            save(save_to, so_far)

    with status("starting") as say:
        report = run_bench(settings, say, keep)
    if plots is not None:
        from bertc.bench.plots import save_plots

        save_plots(report, plots)
    return report


def _only_peaks(threads: int, wanted: bool, as_json: bool) -> None:
    from dataclasses import asdict

    from bertc.bench.peaks import measure_peaks
    from bertc.cli.bench_tables import print_peaks
    from bertc.runtime.machine import machine_facts

    if not wanted:
        raise typer.BadParameter("a FILE is needed with --no-peaks", param_hint="FILE")
    with status("measuring the limits of this machine"):
        report: dict[str, Any] = {"machine": machine_facts(), "peaks": asdict(measure_peaks(threads))}
    print_result(report, as_json, print_peaks)


def _only_layers(
    files: list[Path] | None,
    others: tuple[object, ...],
    threads: int,
    batch: str,
    length: str | None,
    seconds: float,
    as_json: bool,
) -> None:
    if not files or any(others):
        message = "it needs a FILE and takes no --against, --input, --sts, --save, --plots"
        raise typer.BadParameter(message, param_hint="--layers")
    from bertc.bench.layers import measure_layers
    from bertc.cli.bench_tables import print_layers

    shapes = [*product(_numbers(batch, "--batch"), _lengths(length, files[0], (128,)))]
    with status("starting") as say:
        report = measure_layers(files, threads, shapes, seconds, say)
    print_result(report, as_json, print_layers)


def _texts(source: str | None, column: str, sts: Path | None) -> tuple[str, ...]:
    """Return the texts of ``--input``, else the sentences of ``--sts``."""
    from bertc.bench.accuracy import sentences
    from bertc.files.texts import read_texts

    if source is not None:
        return tuple(record.text for record in read_texts(source, column))
    return () if sts is None else sentences(sts)


def _calibration(path: Path | None, column: str) -> tuple[str, ...]:
    from bertc.bench.accuracy import sentences
    from bertc.compiler.sources import default_texts
    from bertc.files.texts import READERS, read_texts

    if path is None:
        return default_texts()
    if path.suffix.lower() in READERS:
        return tuple(record.text for record in read_texts(path, column))
    return sentences(path)


def _names(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _lengths(text: str | None, file: Path, usual: tuple[int, ...]) -> tuple[int, ...]:
    """Return the lengths of ``--length``, else the usual ones that the model has positions for."""
    from bertc.artifact.reader import open_artifact

    if text is not None:
        return _numbers(text, "--length")
    longest = open_artifact(file).manifest.model.longest_sequence
    return tuple(length for length in usual if length <= longest) or (longest,)


def _numbers(text: str, name: str) -> tuple[int, ...]:
    try:
        numbers = tuple(int(part) for part in text.split(","))
    except ValueError:
        numbers = ()
    if not numbers or min(numbers) < 1:
        raise typer.BadParameter(f"{text!r}: expected whole numbers from 1, as in 1,8,32", param_hint=name)
    return numbers
