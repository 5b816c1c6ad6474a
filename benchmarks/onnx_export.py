"""Exports three real models as ONNX and scores them in ONNX Runtime, next to our own files.

``python benchmarks/onnx_export.py ../shared``: all-MiniLM-L6-v2 and all-mpnet-base-v2 on the STS benchmark's
test split, a classifier on the dev split of SST-2 and a tagger on the test split of People's Daily, by the
evaluators of ``bertc eval``. ONNX Runtime's own quantizers and NNCF get the fp32 export and the texts that
ours is calibrated on; OpenVINO reads and runs our files, too.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import minilm
import mpnet
from markdown_tables import table
from onnx_quantizers import quantize_by_nncf, quantize_dynamic, quantize_static, round_products
from onnx_session import in_onnx_runtime, in_openvino

import bertc
from bertc.evaluation import classification, ner, sts

STATIC = {"activations": {"mode": "static"}}
"""A recipe with one range for each tensor, which an export has without it."""
GROUPS = {"activations": {"mode": "static", "granularity": "per_channel_group"}}
FP32_ROW, QDQ_ROW = "ONNX, fp32", "ONNX, qdq"
NEEDED = (FP32_ROW, QDQ_ROW)
"""Files that others are made of."""
OURS = (*NEEDED, "ONNX, qoperator")
"""Files that OpenVINO runs, too."""
STS = "data/stsbenchmark/sts-test.csv"
MODELS: dict[str, tuple[Any, str, str]] = {
    minilm.NAME: (sts, STS, "spearman"),
    mpnet.NAME: (sts, STS, "spearman"),
    "sst2-minilm-l6": (classification, "data/sst2/dev.tsv", "accuracy"),
    "ner-zh-small": (ner, "data/peoples_daily/test.txt", "f1"),
}


def makers(source: Path, folder: Path) -> dict[str, Callable[[Path], object]]:
    """Return what writes each ONNX file, by the name of its row; ``NEEDED`` ones come first."""
    fp32, qdq = (folder / f"{name}.onnx" for name in NEEDED)
    return {
        FP32_ROW: lambda path: bertc.export(source, path),
        QDQ_ROW: lambda path: bertc.export(source, path, format="qdq"),
        "ONNX, qoperator": lambda path: bertc.export(source, path, format="qoperator"),
        "ONNX, qdq, channel groups": lambda path: bertc.export(source, path, format="qdq", recipe=GROUPS),
        "ONNX, qdq as QLinearMatMul": lambda path: round_products(source, fp32, qdq, path),
        "quantize_static, QDQ": lambda path: quantize_static(source, fp32, path, "QDQ"),
        "quantize_static, QOperator": lambda path: quantize_static(source, fp32, path, "QOperator"),
        "quantize_dynamic": lambda path: quantize_dynamic(fp32, path),
        "NNCF": lambda path: quantize_by_nncf(source, fp32, path),
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
        if name in NEEDED or only in name:
            make(path)
        if only in name:
            yield name, score(in_onnx_runtime(model, path, num_threads=2))
        if name in OURS and only in name:
            yield f"{name}, in OpenVINO", score(in_openvino(model, path, num_threads=2))


def checkpoint(name: str, shared: Path, work: Path) -> Path:
    """Return the folder of one of ``MODELS``."""
    if name == mpnet.NAME:
        return mpnet.model_folder(work)
    return minilm.model_folder() if name == minilm.NAME else shared / "models" / name


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("shared", type=Path, help="the folder with data and models")
    parser.add_argument("--work", type=Path, default=Path("build"), help="where a checkpoint is put together")
    parser.add_argument("--only", default="", metavar="TEXT", help="rows whose names hold this text")
    parser.add_argument("--model", choices=MODELS, action="append", help="one of the models, again for more")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    columns: dict[str, dict[str, str]] = {}
    for name in arguments.model or MODELS:
        evaluator, data, metric = MODELS[name]
        source = checkpoint(name, arguments.shared, arguments.work)

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
