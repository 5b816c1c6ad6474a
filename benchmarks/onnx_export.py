"""Exports three real models as ONNX and scores them in ONNX Runtime, next to our own files.

``python benchmarks/onnx_export.py ../shared``: all-MiniLM-L6-v2 on the STS benchmark's test split, a
classifier on the dev split of SST-2 and a tagger on the test split of People's Daily, by the evaluators of
``bertc eval``. ONNX Runtime's own quantizer gets the fp32 export and the texts that ours is calibrated on.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from markdown_tables import table
from minilm import NAME, model_folder
from onnx_session import in_onnx_runtime

import bertc
from bertc import passes
from bertc.compiler.calibration_data import read_calibration_data
from bertc.evaluation import classification, ner, sts
from bertc.frontends.source import import_source
from bertc.recipe import Calibration

Array = np.ndarray[Any, Any]

STATIC = {"activations": {"mode": "static"}}
"""A recipe with one range for each tensor, which an export has without it."""
GROUPS = {"activations": {"mode": "static", "granularity": "per_channel_group"}}
FP32_ROW = "ONNX, fp32"
MODELS: dict[str, tuple[Any, str, str]] = {
    NAME: (sts, "data/stsbenchmark/sts-test.csv", "spearman"),
    "sst2-minilm-l6": (classification, "data/sst2/dev.tsv", "accuracy"),
    "ner-zh-small": (ner, "data/peoples_daily/test.txt", "f1"),
}
CALIBRATION_SAMPLES = 128
"""The texts that ONNX Runtime's quantizer gets: it keeps all values of all of them in memory."""


class _Texts:
    """Gives the calibration texts to ONNX Runtime's quantizer, one at a time."""

    def __init__(self, source: Path, inputs: set[str]) -> None:
        model = import_source(source)
        model = dataclasses.replace(model, graph=passes.fuse(model.graph))
        data = read_calibration_data(Calibration(samples=CALIBRATION_SAMPLES), model)
        self._texts: Iterator[dict[str, Array]] = iter(
            {
                name: array[None].astype(np.int64)
                for name, array in {**each, "attention_mask": np.ones_like(each["input_ids"])}.items()
                if name in inputs
            }
            for batch in data.samples.batches
            for each in _sequences(batch.inputs)
        )

    def get_next(self) -> dict[str, Array] | None:
        """Return the inputs of the next text; None after the last."""
        return next(self._texts, None)


def _sequences(inputs: Any) -> Iterator[dict[str, Array]]:
    bounds = inputs["cu_seqlens"]
    for start, stop in itertools.pairwise(bounds):
        yield {name: array[start:stop] for name, array in inputs.items() if name != "cu_seqlens"}


def quantize_by_onnx_runtime(source: Path, fp32: Path, output: Path, form: str) -> None:
    """Run ONNX Runtime's static quantizer with weights per channel, all else by default."""
    import onnx
    from onnxruntime import quantization
    from onnxruntime.quantization import shape_inference

    inputs = {each.name for each in onnx.load(fp32).graph.input}
    prepared = output.with_suffix(".prepared.onnx")
    shape_inference.quant_pre_process(fp32, prepared, skip_symbolic_shape=True)
    quantization.quantize_static(
        prepared,
        output,
        _Texts(source, inputs),
        quant_format=quantization.QuantFormat[form],
        per_channel=True,
        weight_type=quantization.QuantType.QInt8,
        activation_type=quantization.QuantType.QUInt8,
    )


def makers(source: Path, folder: Path) -> dict[str, Callable[[Path], object]]:
    """Return what writes each ONNX file, by the name of its row; the fp32 one comes first."""
    fp32 = folder / f"{FP32_ROW}.onnx"
    return {
        FP32_ROW: lambda path: bertc.export(source, path),
        "ONNX, qdq": lambda path: bertc.export(source, path, format="qdq"),
        "ONNX, qoperator": lambda path: bertc.export(source, path, format="qoperator"),
        "ONNX, qdq, channel groups": lambda path: bertc.export(source, path, format="qdq", recipe=GROUPS),
        "quantize_static, QDQ": lambda path: quantize_by_onnx_runtime(source, fp32, path, "QDQ"),
        "quantize_static, QOperator": lambda path: quantize_by_onnx_runtime(source, fp32, path, "QOperator"),
    }


def measure(source: Path, score: Callable[[Any], str], folder: Path, only: str) -> Iterator[tuple[str, str]]:
    """Yield what each file of a model is, and its score; only of files whose names hold a text."""
    recipes: dict[str, Any] = {"fp32": {"dtype": "fp32"}, "int8": {}, "int8, static": STATIC}
    for name, recipe in recipes.items():
        path = folder / f"{name}.bertc"
        if name == "fp32" or only in f"bertc, {name}":
            bertc.compile(source, path, recipe)
        if only in f"bertc, {name}":
            yield f"bertc, {name}", score(bertc.load(path))
    model = bertc.load(folder / "fp32.bertc")
    for name, make in makers(source, folder).items():
        path = folder / f"{name}.onnx"
        if name == FP32_ROW or only in name:
            make(path)
        if only in name:
            yield name, score(in_onnx_runtime(model, path, num_threads=2))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("shared", type=Path, help="the folder with data and models")
    parser.add_argument("--only", default="", metavar="TEXT", help="rows whose names hold this text")
    parser.add_argument("--model", choices=MODELS, action="append", help="one of the models, again for more")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    columns: dict[str, dict[str, str]] = {}
    for name in arguments.model or MODELS:
        evaluator, data, metric = MODELS[name]
        source = model_folder() if name == NAME else arguments.shared / "models" / name

        def score(engine: Any, evaluator: Any = evaluator, data: str = data, metric: str = metric) -> str:
            return f"{evaluator.evaluate(engine, arguments.shared / data).metrics[metric]:.2f}"

        with tempfile.TemporaryDirectory() as folder:
            for row, value in measure(source, score, Path(folder), arguments.only):
                sys.stderr.write(f"{name}: {row}: {value}\n")
                columns.setdefault(row, {})[name] = value
    rows = [[row, *(values.get(name, "") for name in MODELS)] for row, values in columns.items()]
    print("\n".join(table(["", *MODELS], rows)))


if __name__ == "__main__":
    main()
