"""Ready recipes side by side, to see what the vendors' settings lose and the default does not.

``python benchmarks/recipes.py ../shared``: each recipe compiles three models, which are scored on all of
their test data by the evaluators of ``bertc eval``: all-MiniLM-L6-v2 on the STS benchmark's test split, a
classifier on the dev split of SST-2 and a tagger on the test split of People's Daily.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from demo import Recorder
from minilm import model_folder

import bertc
from bertc.evaluation import classification, ner, sts
from bertc.fidelity import cosine

Array = np.ndarray[Any, Any]
Row = dict[str, float]

RECIPES = ("fp32", "bf16", "default", "avx2", "round-to-nearest", "vendor-percentile", "vendor-static")
WITHOUT: Mapping[str, Mapping[str, Any]] = {
    "without rotation": {"smoothing": {"rotation": False}},
    "without shift by place": {"smoothing": {"place_shift": False}},
    "without migration and shift": {"smoothing": {"migration": None, "channel_shift": False}},
    "without shift": {"smoothing": {"channel_shift": False}},
    "without gptq": {"weights": {"rounding": "nearest"}},
    "without clip search": {"weights": {"clip": "max"}},
    "without bias correction": {"bias_correction": False},
    "with fp16 tables": {"embeddings": "fp16"},
}
"""Variants of the default recipe, each with something left out."""
_UNBOUNDED = {"weights": {"bound": "none"}}
_FFN_OUTPUT = "encoder.layer.?.output.dense"
PARTS: Mapping[str, Mapping[str, Any]] = {
    "nothing, and no shift by place": {**_UNBOUNDED, "smoothing": {"place_shift": False}},
    "nothing": _UNBOUNDED,
    **{
        name: {**_UNBOUNDED, "nodes": dict.fromkeys(nodes, "bf16")}
        for name, nodes in {
            "query, key, value": ("*.self.query", "*.self.key", "*.self.value"),
            "attention's output": ("*.attention.output.dense",),
            "first feed-forward matrix": ("*.intermediate.dense",),
            "second feed-forward matrix": (_FFN_OUTPUT,),
            "both": ("*.intermediate.dense", _FFN_OUTPUT),
        }.items()
    },
}
"""Variants of the default with weights that are not bounded, each with parts in bf16."""
HEADINGS = {
    "cosine": "mean cosine",
    "worst": "worst cosine",
    "spearman": "STS Spearman",
    "agreement": "SST-2 labels as fp32",
    "accuracy": "SST-2 accuracy",
    "margin": "error of SST-2's logits",
    "f1": "People's Daily F1",
}
DIGITS = {"cosine": 5, "worst": 5, "margin": 4}


class _Labels:
    """A classifier that keeps the labels it gave."""

    def __init__(self, model: bertc.Encoder) -> None:
        self.model = model
        self.found: Array = np.empty(0, str)
        self.margins: Array = np.empty(0)
        """How far the logit of the second label is above that of the first."""

    def classify(self, inputs: Any) -> Any:
        """Do as :meth:`bertc.Encoder.classify`."""
        answers: Any = self.model.classify(inputs)
        self.found = np.array([answer["label"] for answer in answers])
        scores = np.array([answer["score"] for answer in answers], np.float64)
        margins = np.log(scores / (1 - scores))
        self.margins = np.where(self.found == self.model.info.labels[1], margins, -margins)
        return answers


class Yardsticks:
    """Scores of compiled files; the first of each kind is what others are compared with."""

    def __init__(self, shared: Path) -> None:
        self._data = shared / "data"
        self._vectors: Array | None = None
        self._labels: _Labels | None = None

    def similarity(self, file: Path) -> Row:
        """Score sentence embeddings."""
        recorder = Recorder(bertc.load(file))
        result = sts.evaluate(recorder, self._data / "stsbenchmark" / "sts-test.csv")
        if self._vectors is None:
            self._vectors = recorder.vectors
        cosines = cosine(self._vectors, recorder.vectors)
        return {
            "cosine": float(cosines.mean()),
            "worst": float(cosines.min()),
            "spearman": result.metrics["spearman"],
        }

    def classification(self, file: Path) -> Row:
        """Score labels of sentences."""
        model = bertc.load(file)
        labels = _Labels(model)
        result = classification.evaluate(labels, self._data / "sst2" / "dev.tsv", model.info.labels)
        if self._labels is None:
            self._labels = labels
        agreement = 100 * float(np.mean(self._labels.found == labels.found))
        margin = float(np.sqrt(np.mean((self._labels.margins - labels.margins) ** 2)))
        return {"agreement": agreement, "accuracy": result.metrics["accuracy"], "margin": margin}

    def entities(self, file: Path) -> Row:
        """Score labels of characters."""
        return {"f1": ner.evaluate(bertc.load(file), self._data / "peoples_daily" / "test.txt").metrics["f1"]}


def measure(
    recipe: str | Mapping[str, Any], models: Mapping[Path, Callable[[Path], Row]], folder: Path
) -> Row:
    """Measure one row of the table."""
    row: Row = {}
    for model, score in models.items():
        row |= score(bertc.compile(model, folder / f"{model.name}.bertc", recipe).path)
    return row


def main() -> None:
    """Print a table in Markdown, or JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("shared", type=Path, help="the folder with data/ and models/")
    parser.add_argument(
        "--recipes", nargs="+", default=RECIPES, help="presets or files; the first is the norm"
    )
    parser.add_argument("--methods", action="store_true", help="also the default without each of its methods")
    parser.add_argument("--parts", action="store_true", help="also with parts in bf16: where the error is")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    yardsticks = Yardsticks(args.shared)
    models = {
        model_folder(): yardsticks.similarity,
        args.shared / "models" / "sst2-minilm-l6": yardsticks.classification,
        args.shared / "models" / "ner-zh-small": yardsticks.entities,
    }
    recipes = {
        **{name: name for name in args.recipes},
        **(WITHOUT if args.methods else {}),
        **(PARTS if args.parts else {}),
    }
    rows = {}
    if not args.json:
        print(f"| recipe | {' | '.join(HEADINGS.values())} |\n|---|{'---|' * len(HEADINGS)}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for name, recipe in recipes.items():
            rows[name] = row = measure(recipe, models, Path(folder))
            if not args.json:
                cells = (f"{row[key]:.{DIGITS.get(key, 2)}f}" for key in HEADINGS)
                print(f"| {name} | {' | '.join(cells)} |", flush=True)
    if args.json:
        print(json.dumps(rows, indent=2))


if __name__ == "__main__":
    main()
