"""Peak memory of one long text, by its length: beyond the weights it should be linear (Linux).

``python benchmarks/long_texts.py [--class NomicBertModel] [--lengths 512 8192 32768] [--dtype int8]``

Compiles an encoder of base shape with random weights (12 layers of 768 columns), and measures each length in
a process of its own, as ``bertc bench`` measures memory. The last column is what a token takes beyond what
the shortest text does: the same in every row where memory is linear.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from real_models import random_encoder

import bertc
from bertc.bench.memory import measure_memory, resident_mb
from bertc.frontends.model_class import supported_classes
from bertc.recipe import Recipe
from bertc.runtime.environment import default_num_threads

BASE = {
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "pad_token_id": 0,
}
SAMPLES = {"samples": 128, "held_out": 2}
"""Few to certify: memory does not depend on how weights that mean nothing were rounded."""


def measure(
    class_name: str, lengths: Sequence[int], dtype: str, threads: int, keep: Path | None = None
) -> list[dict[str, float]]:
    """Measure one text of each length, with a file that is kept if ``keep`` says where."""
    model = next(each for each in supported_classes() if each.name == class_name)
    sizes = {**BASE, "max_position_embeddings": max(lengths)}
    with tempfile.TemporaryDirectory() as folder:
        source = random_encoder(model, Path(folder) / "model", **sizes)
        preset = Recipe.load("round-to-nearest" if dtype == "int8" else dtype).to_dict()
        recipe = {**preset, "calibration": SAMPLES}
        artifact = bertc.compile(source, keep or Path(folder) / "model.bertc", recipe)
        rows = []
        for length in lengths:
            row = measure_memory(artifact.path, threads, (1, length))
            assert row is not None  # main() has looked
            rows.append(row)
    return rows


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--class", dest="class_name", default="NomicBertModel", help="of an encoder")
    parser.add_argument("--lengths", type=int, nargs="+", default=[512, 2048, 8192, 32768])
    parser.add_argument("--dtype", default="int8")
    parser.add_argument("--threads", type=int, default=default_num_threads())
    parser.add_argument("--keep", type=Path, metavar="FILE", help="where the compiled file stays")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    given = parser.parse_args()
    if resident_mb() is None:
        sys.exit("this system has no /proc/self/status: measure on Linux")
    rows = measure(given.class_name, sorted(given.lengths), given.dtype, given.threads, given.keep)
    if given.json:
        print(json.dumps({"class": given.class_name, "dtype": given.dtype, "rows": rows}))
        return
    print(f"{given.class_name}, {given.dtype}, {given.threads} threads, 1 text; MB are 10^6 bytes")
    print(f"{'tokens':>8}{'peak MB':>10}{'weights':>10}{'beyond':>10}{'bytes/token':>14}")
    for row in rows:
        more = row["length"] - rows[0]["length"]
        slope = f"{(row['peak_mb'] - rows[0]['peak_mb']) * 1e6 / more:14.0f}" if more else " " * 14
        figures = "".join(f"{row[name]:10.1f}" for name in ("peak_mb", "weights_mb", "beyond_mb"))
        print(f"{row['length']:8.0f}{figures}{slope}")


if __name__ == "__main__":
    main()
