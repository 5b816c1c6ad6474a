"""The bits of all-MiniLM-L6-v2's vectors, to see that a change of the code changes none of them.

``python benchmarks/bits.py [--sts sts-test.csv] [--json FILE] [--check FILE]``

The checkpoint is compiled to fp32, bf16, int8 and by preset avx2, each file encodes the same sentences on
each instruction set of this processor, and SHA-256 of the vectors' bytes is printed, as well as that of the
tensors in the file. ``--json`` writes them down, ``--check`` compares with what was written down before
and exits with 1 if anything differs. Only the public functions of the package are used, so that any
version of it can be checked: ``PYTHONPATH=OTHER/src python benchmarks/bits.py``.

Compare on one machine only: the last two are calibrated by running the model on the processor's best
instruction set, and NumPy's linear algebra rounds the weights, so that the files differ between machines.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from minilm import SAMPLE, model_folder, sentences

import bertc

RECIPES = {"fp32": "fp32", "bf16": "bf16", "int8": "default", "fours": "avx2"}
"""The dtype, as the bench names it -> the preset of the recipe."""
ISAS = ("scalar", "avx2", "avx_vnni", "avx512_vnni", "avx512_bf16")
"""The values of ``BERTC_ISA`` to try; those that the processor lacks are left out."""
TENSORS, SENTENCES = "tensors", "sentences"

Hashes = dict[str, str]


def measure(texts: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield names, such as ``int8 avx2``, each with the SHA-256 of what it names."""
    yield SENTENCES, hashlib.sha256("\n".join(texts).encode()).hexdigest()
    with tempfile.TemporaryDirectory() as folder:
        for dtype, recipe in RECIPES.items():
            os.environ.pop("BERTC_ISA", None)
            path = Path(folder) / f"{dtype}.bertc"
            yield f"{dtype} {TENSORS}", bertc.compile(model_folder(), path, recipe).weights_sha256
            for isa in ISAS:
                os.environ["BERTC_ISA"] = isa  # read when a model is loaded
                try:
                    encoder = bertc.load(path)
                except bertc.InputError as error:
                    print(f"{dtype} {isa}: left out: {error}", file=sys.stderr)
                    continue
                vectors = np.ascontiguousarray(encoder.encode(texts))
                yield f"{dtype} {isa}", hashlib.sha256(vectors.tobytes()).hexdigest()


def differences(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """List the names whose hashes are not the same, or that are on one side alone."""
    return [name for name in {**before, **after} if before.get(name) != after.get(name)]


def main() -> None:
    """Print a row for each hash, and compare."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--sts", type=Path, help="encode the sentences of this STS file as well")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the hashes into this file")
    parser.add_argument("--check", type=Path, metavar="FILE", help="compare with a file that --json wrote")
    args = parser.parse_args()
    texts = sentences(SAMPLE) + (sentences(args.sts) if args.sts else [])
    hashes: Hashes = {}
    for name, sha in measure(texts):
        hashes[name] = sha
        print(f"{name:20} {sha}", flush=True)
    if args.json:
        args.json.write_text(json.dumps(hashes, indent=1) + "\n", encoding="utf-8")
    if args.check:
        changed = differences(json.loads(args.check.read_text("utf-8")), hashes)
        if changed:
            sys.exit(f"not as in {args.check}: {', '.join(changed)}")
        print(f"all as in {args.check}")


if __name__ == "__main__":
    main()
