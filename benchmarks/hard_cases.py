"""How many labels of a classifier survive 8 bits when its layer norms have outlier channels.

``python benchmarks/hard_cases.py ../shared/models/sst2-minilm-l6 --data ../shared/data/sst2/dev.tsv``

RoBERTa and XLM-R have such channels by nature. Here they are planted: in every layer norm a constant is
added to the bias of two random channels, and cancelled in the bias of each layer that reads the norm and, on
the residual path, in the output bias of the next dense layer. The function stays; plain quantization breaks.
Each copy is compiled by the recipe, and its labels are compared with those of the fp32 model.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

import bertc
from bertc.evaluation import classification

Array = np.ndarray[Any, Any]

SIZES = (0.0, 20.0, -20.0, 60.0, -60.0, 200.0, -200.0)
"""The sizes of outliers; 0 is the model as it is."""


def plant_outliers(source: Path, target: Path, size: float, channels: Sequence[int]) -> Path:
    """Copy the BERT checkpoint ``source`` to the new folder ``target`` with the outliers of :func:`plant`."""
    shutil.copytree(source, target)
    path = target / "model.safetensors"
    tensors = {name: array.astype(np.float32) for name, array in load_file(path).items()}
    save_file(plant(tensors, size, channels), path, {"format": "pt"})
    return target


def plant(tensors: Mapping[str, Array], size: float, channels: Sequence[int]) -> dict[str, Array]:
    """Add outliers of ``size`` to a BERT checkpoint's tensors, by their names.

    It may be any model but one that uses the last hidden state itself: nothing after it cancels the
    outliers there, so the last layer norm gets some only if a pooler reads it.
    """
    planted = dict(tensors)
    prefix = "bert." if "bert.embeddings.LayerNorm.bias" in tensors else ""
    shift = np.zeros_like(tensors[f"{prefix}embeddings.LayerNorm.bias"])
    shift[list(channels)] = size
    for norm, readers, residual in _norms(tensors, prefix):
        if not readers:
            continue
        planted[f"{norm}.bias"] = planted[f"{norm}.bias"] + shift
        for reader in readers:
            planted[f"{reader}.bias"] = planted[f"{reader}.bias"] - tensors[f"{reader}.weight"] @ shift
        if residual:
            planted[f"{residual}.bias"] = planted[f"{residual}.bias"] - shift
    return planted


def _norms(tensors: Mapping[str, Array], prefix: str) -> list[tuple[str, list[str], str]]:
    """List layer norms, the layers that read them, and the dense layer whose output they are added to."""
    layers = 1 + max(int(name.split("layer.")[1].split(".")[0]) for name in tensors if "layer." in name)
    found = []
    for index in range(-1, layers):
        layer, following = f"{prefix}encoder.layer.{index}", f"{prefix}encoder.layer.{index + 1}"
        if index >= 0:
            readers = [f"{layer}.intermediate.dense"]
            found.append((f"{layer}.attention.output.LayerNorm", readers, f"{layer}.output.dense"))
        norm = f"{layer}.output.LayerNorm" if index >= 0 else f"{prefix}embeddings.LayerNorm"
        if index + 1 < layers:
            readers = [f"{following}.attention.self.{each}" for each in ("query", "key", "value")]
            found.append((norm, readers, f"{following}.attention.output.dense"))
        else:
            readers = [f"{prefix}pooler.dense"] if f"{prefix}pooler.dense.weight" in tensors else []
            found.append((norm, readers, ""))
    return found


def random_channels(seed: int, hidden: int) -> list[int]:
    """Choose two channels."""
    return [int(channel) for channel in np.random.default_rng(seed).choice(hidden, 2, replace=False)]


def labels(path: Path, texts: Sequence[Any]) -> list[str]:
    """The most likely label of each text."""
    answers: Any = bertc.load(path).classify(texts)
    return [answer["label"] for answer in answers]


def main() -> None:
    """Print a table, or JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--recipe", help="a file or a preset; by default the default recipe")
    parser.add_argument("--sizes", type=float, nargs="+", default=SIZES)
    parser.add_argument("--seeds", type=int, nargs="+", default=(0,), help="of the channels")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plain = bertc.compile(args.model, folder / "fp32.bertc", dtype="fp32")
        texts = [each.text for each in classification.read(args.data, plain.manifest.model.labels)]
        expected = labels(plain.path, texts)
        for seed in args.seeds:
            channels = random_channels(seed, plain.manifest.model.size("hidden_size"))
            for size in args.sizes:
                planted = plant_outliers(args.model, folder / f"{seed}{size}", size, channels)
                artifact = bertc.compile(planted, folder / "planted.bertc", args.recipe)
                found = labels(artifact.path, texts)
                agreement = sum(map(str.__eq__, expected, found)) / len(texts)
                rows.append(
                    {"channels": channels, "size": size, "samples": len(texts), "agreement": agreement}
                )
                if not args.json:
                    print(f"{size:6g} on channels {channels}: {agreement:.4f} of {len(texts)}", flush=True)
    if args.json:
        print(json.dumps(rows, indent=2))


if __name__ == "__main__":
    main()
